"""Makes lava-nc 0.10.0 importable and quiet. The one file that knows what is wrong with it; imports nothing of it.

Lava is archived: it declares ``python<3.11`` and ``numpy<2``, runs on neither limit's far side unpatched, and will not
be fixed. What :func:`activate` does, and why:

1. *Dataclass shim.* ``lava.magma.compiler.var_model`` gives a dataclass field a dataclass instance as its default.
   Python 3.11 refuses defaults without a hash. While that one module is imported, every dataclass gets one.
2. *Reshape patch.* ``ReshapePort`` calls ``np.reshape(..., newshape=)``, which NumPy 2.4 removed; a network with a
   convolution then dies in a child process, often as a hang.
3. *Start method.* Importing Lava calls ``multiprocessing.set_start_method("fork")``, which fails if the program has
   chosen already. If it chose ``fork``, the call is left out; any other choice cannot run Lava.

Lava 0.10.0 passes its own 657 tests with 1 and 2 on Python 3.11 and NumPy 2.3.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import multiprocessing
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.errors import SnncError

INSTALL = (
    "Install it with `make setup`, or with `pip install --no-deps --ignore-requires-python lava-nc==0.10.0` "
    "beside `pip install snnc[lava]`."
)
_done: list[str] = []


def activate() -> None:
    """Imports Lava with the shims above; does nothing the second time.

    Raises:
        SnncError: Lava or something that it needs is missing, or it cannot run in this program.
    """
    if _done:
        return
    with quiet(), _start_method():
        try:
            with _hashable_dataclasses():
                importlib.import_module("lava.magma.compiler.var_model")
            ports = importlib.import_module("lava.magma.core.process.ports.ports")
        except ModuleNotFoundError as error:
            raise SnncError(f"target loihi1 runs on Lava, which lacks the module {error.name!r}. {INSTALL}") from error
        _patch_reshape(ports.ReshapePort)
        importlib.import_module("lava.magma.runtime.runtime")
    _done.append("activated")


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Lava: its warnings about its own code, and the handler that each process adds to the root logger.

    Children are forked inside, so they are silent too, and a test run that turns warnings into errors does not
    change what Lava computes.
    """
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in [h for h in root.handlers if h not in handlers]:
            root.removeHandler(handler)


@contextmanager
def _hashable_dataclasses() -> Iterator[None]:
    if sys.version_info < (3, 11):
        yield
        return
    original = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
    try:
        yield
    finally:
        dataclasses.dataclass = original


@contextmanager
def _start_method() -> Iterator[None]:
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is None:
        yield
        return
    if chosen != "fork":
        raise SnncError(
            f"Lava starts its processes by fork, and this program has chosen the start method {chosen!r}. "
            "Call multiprocessing.set_start_method('fork', force=True) first, or run in a program of its own."
        )
    original = multiprocessing.set_start_method
    multiprocessing.set_start_method = lambda *_args, **_options: None
    try:
        yield
    finally:
        multiprocessing.set_start_method = original


def _reshaped(shape: tuple[int, ...], data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.reshape(data, shape)


def _patch_reshape(port: Any) -> None:
    port.get_transform_func_fwd = lambda self: functools.partial(_reshaped, self.shape)
    port.get_transform_func_bwd = lambda self: functools.partial(_reshaped, self.old_shape)
