"""A compiled folder: written whole or not at all, and refused when one byte of it changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snnc.errors import InputError, IntegrityError

MANIFEST = "manifest.json"
LAYOUT = 1
MAX_FILE = 4 << 30
GENERIC = "generic"
PLAN_FILE = "plan.npz"
FACTS = ("config", "input", "model", "output", "targets")
"""What the manifest of a compiled network records beside the hashes."""


@dataclass(frozen=True, eq=False)
class Folder:
    """A compiled folder whose files match its manifest.

    Attributes:
        path: where it is.
        files: name -> content.
        manifest: the parsed manifest.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: Mapping[str, Any]

    def json(self, name: str) -> Any:
        """A JSON file of the folder, parsed."""
        return json.loads(self[name])

    def __getitem__(self, name: str) -> bytes:
        if name not in self.files:
            raise IntegrityError(f"{self.path}: the compiled folder has no {name}")
        return self.files[name]


def place(target: str, name: str) -> str:
    """Path of a target's file inside the folder; the generic target lives at the top."""
    return name if target == GENERIC else f"{target}/{name}"


def json_bytes(value: Any) -> bytes:
    """JSON with sorted keys and no NaN, ending in a newline: the same value gives the same bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(content).hexdigest()


def write_folder(out: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Writes files and their manifest to a temporary folder beside ``out``, then renames it.

    Args:
        out: the folder to make; an earlier compiled folder there is replaced, anything else is left alone.
        files: relative name -> content.
        facts: what else the manifest records (versions, configuration).

    Raises:
        InputError: ``out`` exists and is no compiled folder, or cannot be written.
    """
    out = out.absolute()
    import shutil  # who only reads a folder starts sooner without these
    import tempfile

    if out.exists() and not (out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))):
        raise InputError(f"{out} exists and is no compiled folder; choose another name with -o")
    digests = {name: sha256(content) for name, content in sorted(files.items())}
    manifest = {"layout": LAYOUT, "files": digests, **facts}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        for name, content in {**files, MANIFEST: json_bytes(manifest)}.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        temporary.chmod(0o755)
        _exchange(temporary, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, out: Path) -> None:
    """Puts ``new`` where ``out`` is; the old folder goes only after the new one stands."""
    import shutil

    if not out.exists():
        new.rename(out)
        return
    old = new.with_suffix(".old")
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_folder(path: Path, facts: Iterable[str] = ()) -> Folder:
    """Reads a compiled folder and proves that every file is what the manifest says.

    Args:
        path: where it is.
        facts: what the manifest has to record beside the hashes.

    Raises:
        IntegrityError: no manifest, it lacks a fact, or a file is missing, changed or not listed.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        listed = dict(manifest["files"])
        layout = manifest["layout"]
        _ = [manifest[fact] for fact in facts]
    except OSError as error:
        raise IntegrityError(f"{path} is no compiled folder: {MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else repr(error)
        raise IntegrityError(f"{path}: {MANIFEST} is damaged ({why})") from error
    if layout != LAYOUT:
        raise IntegrityError(f"{path} has layout {layout}, this version reads {LAYOUT}; compile again")
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {MANIFEST}
    extra = sorted(present - set(listed))
    if extra:
        raise IntegrityError(f"{path}: {', '.join(extra)} is not in the manifest; compile again")
    files: dict[str, bytes] = {}
    for name, digest in listed.items():
        if name not in present:
            raise IntegrityError(f"{path}: {name} is missing; compile again")
        if (path / name).stat().st_size > MAX_FILE:
            raise IntegrityError(f"{path}: {name} is larger than {MAX_FILE} bytes")
        content = (path / name).read_bytes()
        if sha256(content) != digest:
            raise IntegrityError(
                f"{path}: {name} was changed after it was compiled (sha256 is {sha256(content)[:12]}, "
                f"the manifest says {digest[:12]}); compile again"
            )
        files[name] = content
    return Folder(path, MappingProxyType(files), MappingProxyType(manifest))
