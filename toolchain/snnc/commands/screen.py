"""Where a command writes: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from snnc.errors import InputError, SnncError
from snnc.folder import MANIFEST
from snnc.report.grid import Grid

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import TaskID

COLOURED = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which people ask rich for a terminal's output where there is none."""


class Stream:
    """One of this process's streams. Its reader may leave (``| head``): the exit code stays the verb's own."""

    def __init__(self, *, stderr: bool = False) -> None:
        self.stderr = stderr

    @property
    def file(self) -> TextIO:
        """The stream as it is now; tests and progress bars put others in its place."""
        return sys.stderr if self.stderr else sys.stdout

    @property
    def is_plain(self) -> bool:
        """True if nobody sees colours here, so that text is written as it is."""
        return not self.file.isatty() and not any(os.environ.get(name) for name in COLOURED)

    @cached_property
    def console(self) -> Console:
        """Rich's view of the stream, made when something asks for it: its import takes longer than a run."""
        from rich.console import Console

        leave = self.leave

        class Pipe(Console):
            def on_broken_pipe(self) -> None:
                self.quiet = True
                leave()

        return Pipe(stderr=self.stderr)

    def write(self, text: str) -> None:
        """Writes a line; what the stream's encoding does not have is written as an escape."""
        encoding = self.file.encoding or "utf-8"
        try:
            self.file.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self.file.flush()
        except BrokenPipeError:
            self.leave()

    def leave(self) -> None:
        """Sends the rest to nowhere; what is still buffered must not fail at exit either."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


@dataclass(frozen=True)
class Screen:
    """Both streams of a command."""

    out: Stream
    err: Stream

    def show(self, *parts: RenderableType) -> None:
        """Prints tables and other rich renderables to stdout."""
        for part in parts:
            if isinstance(part, Grid) and self.out.is_plain:
                unicode = (self.out.file.encoding or "utf-8").lower().startswith("utf")
                self.out.write(part.text("─" if unicode else "-"))
            else:
                self.out.console.print(part)

    def line(self, text: str) -> None:
        """Prints one line of plain text to stdout, never wrapped or interpreted."""
        self.out.write(text)

    def json(self, value: Any) -> None:
        """Prints one JSON object to stdout."""
        self.line(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))

    def error(self, text: str) -> None:
        """Prints an error to stderr."""
        if self.err.is_plain:
            self.err.write(f"error: {text}")
            return
        from rich.markup import escape

        self.err.console.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True, emoji=False)

    def note(self, text: str) -> None:
        """Prints a remark to stderr, so that stdout stays clean."""
        self.err.write(text)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Progress bars on a terminal, silence elsewhere; gives a function (task, done, total)."""
        if self.err.is_plain or not self.err.console.is_terminal:
            yield lambda _task, _done, _total: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=self.err.console, transient=True) as bars:

            def update(task: str, done: int, total: int) -> None:
                if task not in tasks:
                    tasks[task] = bars.add_task(task, total=total)
                bars.update(tasks[task], completed=done, total=total)

            yield update


def perform(verb: Callable[[Screen], int]) -> int:
    """Runs a verb on both streams of this process; a SnncError becomes its message and exit code."""
    screen = Screen(Stream(), Stream(stderr=True))
    try:
        return verb(screen)
    except SnncError as error:
        screen.error(str(error))
        return error.exit_code


def save(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a file; an error names it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None], folder: Path) -> None:
    """Refuses files that cannot be written or would replace what is read, before anything is computed.

    Args:
        outputs: option -> file that it names, or None.
        inputs: files that are read.
        folder: compiled folder; it holds nothing but what the manifest lists.

    Raises:
        InputError: the first file that is refused.
    """
    seen = {path.resolve(): "is read by this run" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        where = path.resolve()
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file"
            raise InputError(f"{option} {path} cannot be written: it is {what}; name a file")
        if not where.parent.is_dir():
            raise InputError(f"{option} {path} cannot be written: there is no folder {path.parent}")
        if where.is_relative_to(folder.resolve()) and (folder / MANIFEST).is_file():
            raise InputError(f"{option} {path} lies in the compiled folder, which stays as it is; name another place")
        if where in seen:
            raise InputError(f"{option} {path} {seen[where]}; name another file")
        seen[where] = f"is the file of {option} already"
