"""Where a command writes: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from snnc.errors import InputError, SnncError


class Pipe(Console):
    """A console whose reader may leave (``| head``): the rest is not shown, the exit code stays the verb's own."""

    def on_broken_pipe(self) -> None:
        """Writes the rest to nowhere; what is still buffered must not fail at exit either."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


@dataclass(frozen=True)
class Screen:
    """Both consoles of a command."""

    out: Console
    err: Console

    def show(self, *parts: RenderableType) -> None:
        """Prints rich renderables to stdout."""
        for part in parts:
            self.out.print(part)

    def line(self, text: str) -> None:
        """Prints one line of plain text to stdout, never wrapped or interpreted."""
        self.out.print(text, markup=False, highlight=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """Prints one JSON object to stdout."""
        self.line(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))

    def error(self, text: str) -> None:
        """Prints an error to stderr."""
        self.err.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Prints a remark to stderr, so that stdout stays clean."""
        self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Progress bars on a terminal, silence elsewhere; gives a function (task, done, total)."""
        if not self.err.is_terminal:
            yield lambda _task, _done, _total: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=self.err, transient=True) as bars:

            def update(task: str, done: int, total: int) -> None:
                if task not in tasks:
                    tasks[task] = bars.add_task(task, total=total)
                bars.update(tasks[task], completed=done, total=total)

            yield update


def perform(verb: Callable[[Screen], int]) -> int:
    """Runs a verb on both streams of this process; a SnncError becomes its message and exit code."""
    screen = Screen(Pipe(), Pipe(stderr=True))
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
