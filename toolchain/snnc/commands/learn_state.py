"""Files of ``snnc learn run``: checkpoints from which it goes on, and weights that ``snnc learn apply`` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.commands.screen import save
from snnc.errors import InputError
from snnc.ir import Affine, Fixed
from snnc.learning.session import Learner, State
from snnc.trace import load_npz, npz_bytes, write_atomic

Array = npt.NDArray[Any]
OWN = "run"
WORDS = {
    "folder": "another compiled folder", "backend": "another back end", "target": "another target",
    "data": "other data", "phase": "another phase", "shuffle": "another order of the samples", "seed": "another seed",
    "rounding": "another rounding", "executor": "another executor",
}  # fmt: skip


@dataclass(frozen=True)
class Position:
    """How far a run is: epochs that are done, and samples of the one under way."""

    epoch: int = 0
    index: int = 0


def write_checkpoint(path: Path, learner: Learner, identity: Mapping[str, Any], at: Position) -> None:
    """Writes everything that the rest of the run depends on; whoever is killed under way leaves the old file."""
    head = {"identity": dict(identity), "epoch": at.epoch, "index": at.index}
    content = npz_bytes({OWN: np.array(json.dumps(head, sort_keys=True)), **learner.state()})
    save(path, lambda where: write_atomic(where, content))


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> tuple[Position, State]:
    """Where a run stopped, and its state.

    Raises:
        InputError: the file belongs to another run; says what differs.
    """
    arrays = load_npz(path)
    try:
        head = json.loads(str(arrays.pop(OWN)))
        theirs, at = dict(head["identity"]), Position(int(head["epoch"]), int(head["index"]))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: no checkpoint of `snnc learn run`: its entry {OWN!r} is missing or damaged"
        ) from error
    other = [WORDS.get(key, key) for key in identity if theirs.get(key) != identity[key]]
    if other:
        fix = "Give the options of that run, or another --checkpoint"
        raise InputError(f"{path}: this checkpoint is of {', '.join(other)}. {fix}")
    return at, arrays


def write_weights(path: Path, learner: Learner, facts: Mapping[str, Any]) -> None:
    """Writes the trained weights: ``<projection>`` floats [post, pre] and ``fixed/<projection>`` integers."""
    arrays: dict[str, Array] = dict(learner.weights)
    formats: dict[str, Any] = {}
    network = learner.network
    for name in learner.weights:
        node = network[name]
        assert isinstance(node, Affine)
        if isinstance(node.weight, Fixed):
            arrays[f"fixed/{name}"] = node.weight.raw
            formats[name] = {"bits": node.weight.format.bits, "frac": node.weight.format.frac}
    arrays["meta"] = np.array(json.dumps({**facts, "formats": formats}, sort_keys=True))
    content = npz_bytes(arrays)
    save(path, lambda where: write_atomic(where, content))


@dataclass(frozen=True, eq=False)
class Trained:
    """Weights as :func:`write_weights` left them.

    Attributes:
        floats: projection -> [post, pre], in the float network's unit.
        fixed: projection -> (integers, binary digits behind their point) on the target.
        meta: where they come from.
    """

    floats: Mapping[str, npt.NDArray[np.float64]]
    fixed: Mapping[str, tuple[npt.NDArray[np.int64], int]]
    meta: Mapping[str, Any]


def read_weights(path: Path) -> Trained:
    """Reads trained weights.

    Raises:
        InputError: the file holds none.
    """
    arrays = load_npz(path)
    try:
        meta = json.loads(str(arrays.pop("meta")))
        formats = dict(meta.pop("formats"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no weights of `snnc learn run`: meta is missing or damaged") from error
    floats: dict[str, npt.NDArray[np.float64]] = {}
    fixed: dict[str, tuple[npt.NDArray[np.int64], int]] = {}
    for key, value in arrays.items():
        if value.dtype.kind not in "if" or value.ndim != 2 or not np.all(np.isfinite(value)):
            raise InputError(f"{path}: {key!a} is {value.dtype} {value.shape}, allowed are finite numbers [post, pre]")
        name = key.removeprefix("fixed/")
        if name == key:
            floats[name] = value.astype(np.float64)
        elif name in formats:
            fixed[name] = value.astype(np.int64), int(formats[name]["frac"])
    return Trained(floats, fixed, meta)
