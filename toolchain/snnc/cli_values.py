"""Texts of the command line as values, without the library that typer has for it where they are plain.

Typer asks pydantic for every option, given or not, and importing pydantic takes longer than all that ``snnc run`` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

WHOLE = re.compile(r"-?[0-9]{1,9}")


class PlainCommand(TyperCommand):
    """A command that reads plain values itself; whatever is missing, wrong or special, typer reads or refuses."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options and arguments of the command, ``--help`` too."""
        return _quickened(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options of the group, ``--help`` too."""
        return _quickened(super().get_params(ctx))


def _quickened(options: list[Any]) -> list[Any]:
    for option in options:
        if hasattr(option, "type_descriptor") and not isinstance(option.process_value, partial):
            option.process_value = partial(_process, option, option.process_value)
    return options


def _process(option: Any, ask: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    if option.multiple or option.nargs != 1 or (value is None and option.required):
        return ask(context, value)
    found = None
    if value is not None:
        found = plain(option.type_descriptor.annotation, value, option.min, option.max)
        if found is None:
            return ask(context, value)
    return found if option.callback is None else option.callback(context, option, found)


def plain(kind: Any, value: Any, low: float | None = None, high: float | None = None) -> str | int | Path | None:
    """The value of a text of the command line, or None where typer has to look at it.

    Args:
        kind: type of the option: ``str``, ``int`` and ``Path`` are plain.
        value: text, or the option's default.
        low: smallest number.
        high: largest number.
    """
    if kind is str and isinstance(value, str):
        return value
    if kind is int and WHOLE.fullmatch(str(value)):
        number = int(value)
        return number if (low is None or number >= low) and (high is None or number <= high) else None
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value) if os.access(value, os.R_OK) or not os.path.lexists(value) else None
    return None
