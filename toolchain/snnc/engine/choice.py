"""What ``--engine`` may say."""

from __future__ import annotations

from typing import Literal, cast, get_args

from snnc.errors import InputError, unknown

Engine = Literal["auto", "event", "dense"]
ENGINES: tuple[str, ...] = get_args(Engine)
REFERENCE = "reference"


def check_choice(word: str) -> None:
    """Refuses a word that names neither a path of the engine nor the reference.

    Raises:
        InputError: names the nearest.
    """
    known = (*ENGINES, REFERENCE)
    if word not in known:
        raise InputError(unknown("engine", word, known))


def path(word: str) -> Engine:
    """A checked word that is not ``reference``."""
    return cast(Engine, word)
