"""The compiled kernels: found, checked and chosen for this processor."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from snnc.engine import selftest
from snnc.engine.layout import CALL, TABLES
from snnc.errors import ConfigError, unknown

VARIABLE = "SNNC_KERNELS"
"""Environment variable: name of a variant, ``none``, or path of another compiled module."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """Compiled kernels that passed the self-test.

    Attributes:
        path: the compiled module.
        variants: names of the builds that this processor runs, slowest first.
        best: the one that is used unless another is asked for.
        refused: build -> why it is not used.
        module: the module itself.
        numbers: build -> its number in the module.
    """

    path: Path
    variants: tuple[str, ...]
    best: str
    refused: dict[str, str]
    module: Any
    numbers: dict[str, int]

    def number(self, variant: str | None) -> int:
        """Number of a build in the module.

        Raises:
            ConfigError: there is none of this name, or this processor does not run it.
        """
        name = self.best if variant is None else variant
        if name not in self.variants:
            raise ConfigError(unknown("variant of the kernels", name, self.variants))
        return self.numbers[name]

    def run(self, variant: int, call: Any) -> int:
        """Executes a call: a table of :data:`~snnc.engine.layout.CALL`; returns how it ended."""
        return int(self.module.snnc_run(variant, call))

    def share(self, variant: int, calls: Any, threads: int, grain: int) -> int:
        """Executes calls that lie one behind the other and differ in their memory only, one for each thread.

        Args:
            variant: number of a build.
            calls: address of the first one; its samples are shared out among the threads.
            threads: number of calls.
            grain: samples that a thread takes at least.

        Returns:
            How the pieces ended, together.
        """
        return int(self.module.snnc_share(variant, calls, threads, grain))

    def learn(self, variant: int, call: Any) -> int:
        """Executes a step of synapses that learn: a table of :data:`~snnc.engine.layout.LEARN`."""
        return int(self.module.snnc_learn(variant, call))

    def lesson(self, variant: int, call: Any) -> int:
        """Executes a sample of a network that learns: a table of :data:`~snnc.engine.layout.LESSON`."""
        return int(self.module.snnc_lesson(variant, call))

    def scratch(self, variant: int, call: Any) -> int:
        """Bytes of scratch memory that a call needs."""
        return int(self.module.snnc_scratch(variant, call))


@dataclass(frozen=True)
class Absent:
    """There are no kernels to use.

    Attributes:
        reason: why.
    """

    reason: str


def kernels() -> Kernels | None:
    """The kernels, or None where none can be used; :func:`state` knows why."""
    found = state()
    return found if isinstance(found, Kernels) else None


def state() -> Kernels | Absent:
    """The kernels, or the reason why there are none."""
    return _load(os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=8)
def _load(wish: str) -> Kernels | Absent:
    if wish == "none":
        return Absent(f"{VARIABLE} is none")
    path = Path(wish) if os.sep in wish else _installed()
    if path is None:
        return Absent("the package was installed without a C compiler; install one and run pip install again")
    try:
        module = ctypes.CDLL(str(path))
        _declare(module)
    except (OSError, AttributeError) as error:
        return Absent(f"{path} cannot be loaded: {error}")
    sizes = tuple(int(module.snnc_fields(k)) for k in range(len(TABLES)))
    if sizes != tuple(len(table) for table in TABLES):
        return Absent(f"{path} was built from other sources; build it again")
    return _chosen(path, module, "" if os.sep in wish else wish)


def _installed() -> Path | None:
    found = sorted(Path(__file__).parent.glob("_kernels*.so")) + sorted(Path(__file__).parent.glob("_kernels*.pyd"))
    return found[0] if found else None


def _declare(module: Any) -> None:
    module.snnc_name.restype = ctypes.c_char_p
    for name in (
        "snnc_variants",
        "snnc_supported",
        "snnc_fields",
        "snnc_run",
        "snnc_scratch",
        "snnc_share",
        "snnc_learn",
        "snnc_lesson",
    ):
        getattr(module, name).restype = ctypes.c_int64
    for name in ("snnc_name", "snnc_supported", "snnc_fields"):
        getattr(module, name).argtypes = (ctypes.c_int64,)
    for name in ("snnc_run", "snnc_scratch", "snnc_learn", "snnc_lesson"):
        getattr(module, name).argtypes = (ctypes.c_int64, ctypes.c_void_p)
    module.snnc_share.argtypes = (ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def _names(module: Any) -> tuple[str, ...]:
    return tuple(module.snnc_name(k).decode() for k in range(module.snnc_variants()))


def _chosen(path: Path, module: Any, wish: str) -> Kernels | Absent:
    """The variants that work; the last one, or the one that the environment names, is the best."""
    good, refused = [], {}
    for number, name in enumerate(_names(module)):
        if not module.snnc_supported(number):
            refused[name] = "this processor does not have its instructions"
        elif not _agrees(module, number):
            refused[name] = "it disagrees with the definition on a saturating layer"
        else:
            good.append(name)
    if wish and wish not in good:
        return Absent(f"{VARIABLE} is {wish!r}, allowed is {', '.join((*good, 'none'))} or a path")
    if not good:
        return Absent(f"{path}: no variant can be used: {refused}")
    numbers = {name: number for number, name in enumerate(_names(module))}
    return Kernels(path, tuple(good), wish or good[-1], refused, module, numbers)


def _agrees(module: Any, number: int) -> bool:
    def run(fields: dict[str, int]) -> int:
        call = np.array([fields.get(name, 0) for name in CALL], dtype=np.int64)
        size = int(module.snnc_scratch(number, call.ctypes.data))
        scratch = np.empty(size + 64, dtype=np.uint8)
        call[CALL.index("scratch")] = -(-scratch.ctypes.data // 64) * 64
        return int(module.snnc_run(number, call.ctypes.data))

    return selftest.agrees(run)
