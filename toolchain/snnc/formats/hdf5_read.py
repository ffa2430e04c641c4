"""HDF5 files of strangers, read by a process of their own that may crash, hang or run out of memory instead of us."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from snnc.errors import InputError
from snnc.formats import hdf5_worker
from snnc.formats.hdf5_check import check_hdf5
from snnc.formats.hdf5_tree import DAMAGE, Group, Limits, Member, Refused, Value, unpack

LIMITS = Limits()
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from snnc.formats.hdf5_worker import main; main()"
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def read_content(path: Path, limits: Limits = LIMITS) -> bytes:
    """The file's bytes.

    Raises:
        InputError: it cannot be read or is larger than the limit.
    """
    try:
        if path.stat().st_size > limits.file:
            raise InputError(f"{path} has {path.stat().st_size} bytes, at most {limits.file} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def read_hdf5(content: bytes, where: str, extra: str, limits: Limits = LIMITS) -> Group:
    """All that lies in an HDF5 file.

    Args:
        content: the file's bytes.
        where: what messages call the file.
        extra: the pip extra that brings h5py.
        limits: bounds.

    Raises:
        InputError: h5py is missing, or the file is damaged or exceeds a limit.
    """
    if importlib.util.find_spec("h5py") is None:
        raise InputError(f"{where}: {Path(where).suffix or 'HDF5'} files need h5py; pip install 'snnc[{extra}]'")
    if len(content) > limits.file:
        raise InputError(f"{where} has {len(content)} bytes, at most {limits.file} are read")
    check_hdf5(content, where)
    kind, answer = _WORKER.ask(content, limits, where)
    if kind == b"e":
        raise InputError(f"{where}: {answer.decode('utf-8', 'backslashreplace')}")
    try:
        return unpack(answer)
    except (*DAMAGE, RecursionError) as error:
        raise InputError(f"{where} is damaged: its reader gave no tree") from error


def member(group: Member, key: str, where: str, hint: str) -> Value | Group:
    """A member of a group that was read.

    Raises:
        InputError: it is missing or not read, or ``group`` is no group.
    """
    if not isinstance(group, Group):
        raise InputError(f"{where}: there is data where a group with {key!r} is expected; {hint}")
    found = group.members.get(key, Refused("does not exist"))
    if isinstance(found, Refused):
        if key not in group.members:
            raise InputError(f"{where}: {group.path} has no member {key!r}; {hint}")
        raise InputError(f"{where}: {key!r} in {group.path} {found.reason}")
    return found


class _Worker:
    """The reading process; started when first needed, and again after it died."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0

    def ask(self, content: bytes, limits: Limits, where: str) -> tuple[bytes, bytes]:
        """Kind and bytes of the answer.

        Raises:
            InputError: the process died or took too long.
        """
        with self.lock:
            process = self._running()
            late = threading.Event()
            timer = threading.Timer(2 * limits.seconds + (len(content) >> 20) / 10, _stop, (process, late))
            timer.start()
            try:
                return _exchange(process, content, limits)
            except (OSError, EOFError) as error:
                self.close()
                how = "takes too long to read" if late.is_set() else "makes the HDF5 library fail"
                raise InputError(f"{where} is damaged: it {how}") from error
            except BaseException:
                self.close()
                raise
            finally:
                timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.owner != os.getpid() or self.process.poll() is not None:
            if self.owner == os.getpid():
                self.close()
            paths = json.dumps([path for path in sys.path if path])
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-I", "-c", START, paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env={**os.environ, **THREADS},
            )  # fmt: skip
            self.owner = os.getpid()
        return self.process

    def close(self) -> None:
        """Ends the process, if this process started it."""
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue


def _exchange(process: subprocess.Popen[bytes], content: bytes, limits: Limits) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    hdf5_worker.request(content, asdict(limits), process.stdin)
    head = process.stdout.read(1 + hdf5_worker.SIZE)
    size = int.from_bytes(head[1:], "little")
    # Texts may grow sixfold as JSON.
    if len(head) != 1 + hdf5_worker.SIZE or size > 8 * limits.unpacked + (len(content) << 10):
        raise EOFError
    answer = process.stdout.read(size)
    if len(answer) != size:
        raise EOFError
    return head[:1], answer


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


_WORKER = _Worker()
atexit.register(_WORKER.close)
