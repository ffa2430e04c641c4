"""Builds the compiled kernels of the engine: one shared module that holds a build for each level of instructions.

Everything else about the package stands in pyproject.toml. The module has no Python in it and is loaded with ctypes, so
one wheel serves every version of Python. Without a working compiler the package installs all the same, without kernels.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

KERNELS = Path("toolchain/snnc/engine/kernels")
FLAGS = ["-std=gnu11", "-O3", "-fwrapv", "-fPIC", "-fvisibility=hidden", "-Wno-psabi", "-ffp-contract=off", "-g0"]
SANITIZERS = ["-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
X86 = {
    "baseline": ["-march=x86-64"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "vbmi2": ["-march=x86-64-v4", "-mprefer-vector-width=512", "-mavx512vbmi2"],
}
THREADS = [] if sys.platform == "win32" else ["-pthread"]
PLAIN: dict[str, list[str]] = {"plain": []}


class BuildKernels(build_ext):
    """Compiles the same source once for each level and links the results into one module."""

    user_options = [*build_ext.user_options, ("sanitize", None, "find memory errors and undefined behaviour")]
    boolean_options = [*build_ext.boolean_options, "sanitize"]

    def initialize_options(self) -> None:
        """Adds the option."""
        super().initialize_options()
        self.sanitize = False

    def get_ext_filename(self, fullname: str) -> str:
        """A name without a version of Python."""
        return str(Path(*fullname.split("."))) + (".pyd" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        """One object for each level that the compiler knows, and one that chooses between them."""
        flags = FLAGS + (SANITIZERS if self.sanitize else [])
        levels = X86 if platform.machine().lower() in ("x86_64", "amd64") else PLAIN
        objects, built = [], []
        for name, level in levels.items():
            try:
                objects += self._compile("variant.c", name, [*flags, *level], [("VARIANT", name)])
            except CompileError:
                if name == next(iter(levels)):
                    raise
                self.warn(f"the compiler does not build {name}; the kernels do without it")
                continue
            built.append((f"SNNC_{name.upper()}", None))
        objects += self._compile("dispatch.c", "dispatch", flags, built)
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=THREADS + (SANITIZERS if self.sanitize else [])
        )

    def _compile(self, source: str, name: str, flags: list[str], macros: list[tuple[str, str | None]]) -> list[str]:
        where = str(Path(self.build_temp) / name)
        headers = [str(path) for path in sorted(KERNELS.glob("*.h"))]
        return list(
            self.compiler.compile(
                [str(KERNELS / source)], output_dir=where, macros=macros, extra_postargs=flags, depends=headers
            )
        )


class AnyPython(bdist_wheel):
    """A wheel for this platform and every version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """The platform of the kernels, the versions of pure Python."""
        return ("py3", "none", super().get_tag()[2])


setup(
    ext_modules=[
        Extension(
            "snnc.engine._kernels",
            sources=[str(path) for path in sorted(KERNELS.glob("*.c"))],
            depends=[str(path) for path in sorted(KERNELS.glob("*.h"))],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPython},
)
