"""Graph -> Graph, one file each. ``DEFAULT`` is the order that every target gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from snnc.errors import InputError, unknown
from snnc.passes.add_weights import AddWeights
from snnc.passes.average_to_sum import AverageToSum
from snnc.passes.base import Applied, Pass, Preserves, run_passes
from snnc.passes.bias_to_source import BiasToSource
from snnc.passes.drop_identity import DropIdentity
from snnc.passes.fold_gain import FoldGain
from snnc.passes.fold_rest import FoldRest
from snnc.passes.fuse_batch_norm import FuseBatchNorm
from snnc.passes.harden_reset import HardenReset
from snnc.passes.move_bias import MoveBias

DEFAULT: tuple[Pass, ...] = (DropIdentity(), FuseBatchNorm(), AverageToSum(), FoldGain(), FoldRest())
KNOWN: Mapping[str, type[Any]] = {
    kind.name: kind
    for kind in (
        AddWeights, AverageToSum, BiasToSource, DropIdentity, FoldGain, FoldRest, FuseBatchNorm, HardenReset,
        MoveBias,
    )
}  # fmt: skip

__all__ = [
    "DEFAULT",
    "KNOWN",
    "AddWeights",
    "Applied",
    "AverageToSum",
    "BiasToSource",
    "DropIdentity",
    "FoldGain",
    "FoldRest",
    "FuseBatchNorm",
    "HardenReset",
    "MoveBias",
    "Pass",
    "Preserves",
    "options",
    "parse",
    "parse_passes",
    "run_passes",
]


def options(kind: type[Any]) -> dict[str, tuple[str, str]]:
    """Options of a pass: name -> (what is allowed, default)."""
    hints = get_type_hints(kind)
    return {
        f.name: (_allowed(hints[f.name]), "" if f.default is MISSING else str(f.default))
        for f in (fields(kind) if is_dataclass(kind) else ())
    }


def parse(text: str) -> Pass:
    """A pass as the user types it: ``fold-gain`` or ``fold-gain{into=threshold}``; several options have commas.

    Raises:
        InputError: no such pass, option or value.
    """
    match = re.fullmatch(r"\s*([\w-]+)\s*(?:\{(.*)\})?\s*", text)
    if match is None:
        raise InputError(f"a pass is written name or name{{key=value}}, not {text!r}")
    name, inside = match.group(1), match.group(2) or ""
    kind = KNOWN.get(name)
    if kind is None:
        raise InputError(unknown("pass", name, list(KNOWN)))
    hints, given = get_type_hints(kind), {}
    for part in (p.strip() for p in inside.split(",") if p.strip()):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in options(kind):
            raise InputError(unknown(f"option of {name}", key, list(options(kind))))
        given[key] = _value(f"{name}.{key}", value, hints[key])
    made: Pass = kind(**given)
    return made


def parse_passes(texts: Iterable[str]) -> tuple[Pass, ...]:
    """Several passes, in order; see :func:`parse`."""
    return tuple(parse(text) for text in texts)


def _allowed(hint: Any) -> str:
    choices = get_args(hint)
    return " or ".join(str(c) for c in choices) if choices else str(getattr(hint, "__name__", hint))


def _value(where: str, text: str, hint: Any) -> Any:
    choices = {str(c): c for c in get_args(hint)} if get_args(hint) else None
    if hint is bool:
        choices = {"true": True, "false": False}
    if choices is not None:
        if text not in choices:
            raise InputError(f"{where} is {text!r}, allowed is {' or '.join(choices)}")
        return choices[text]
    try:
        return hint(text)
    except ValueError:
        raise InputError(f"{where} is {text!r}, allowed is {_allowed(hint)}") from None
