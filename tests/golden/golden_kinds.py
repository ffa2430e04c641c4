"""All kinds of vectors: those that something replays and those that wait for an executor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import kinds_emulators
import kinds_graded
import kinds_learning
import kinds_loihi
import kinds_nengo
import kinds_spinnaker
import kinds_spinnaker_maps
from golden_base import Data, Fields, Kind, Tally

from snnc.errors import SnncError

# Raw memory, from which other fields were read, and the floats that the user gave to the host software.
MEMORY = r"float\|.*|\w+_region|n_neurons|row_key|meta"
EXECUTED: tuple[Kind, ...] = (
    *kinds_loihi.KINDS,
    *kinds_graded.KINDS,
    *kinds_nengo.KINDS,
    *kinds_emulators.KINDS,
    *kinds_learning.KINDS,
    *kinds_spinnaker_maps.KINDS,
)
WAITING: tuple[Kind, ...] = ()  # recognised, and executed by nothing yet


def replay(stem: str, data: Data) -> Tally:
    """Replays a file by the kind that its fields show; its name does not count for ours.

    Args:
        stem: of the file's name.
        data: all of its fields.
    """
    for kind in EXECUTED:
        if kind.fits(data):
            with fitting(kind.name):
                return kind.run(data)
    waiting = next((kind for kind in WAITING if kind.fits(data)), None)
    checker = None if waiting else kinds_spinnaker.recognise(stem, data)
    if checker is not None:
        with fitting("a recording of SpiNNaker"):
            return spinnaker(checker, data)
    return waiting.run(data) if waiting else Tally(mismatches={"file": unknown(data)})


def spinnaker(checker: kinds_spinnaker.Checker, data: Data) -> Tally:
    """Runs a SpiNNaker checker; rows without plasticity stay what they were, and no field goes unnoticed."""
    fields = Fields(data)
    compared, differing = checker(fields)
    tally = Tally(compared, {name: str(count) for name, count in differing.items() if count})
    if "final_row_words" in data and "plastic_row" not in data:
        tally.same("final_row_words", fields["row_words"], fields["final_row_words"])
    for key in sorted(set(data) - fields.used):
        if not re.fullmatch(MEMORY, key):
            tally.mismatches[key] = "a recording of SpiNNaker has no such field, so that nothing compared it"
    return tally


@contextmanager
def fitting(name: str) -> Iterator[None]:
    """Turns what a damaged file causes inside a replay into a sentence."""
    try:
        yield
    except (SnncError, ValueError, KeyError, IndexError, TypeError) as error:
        raise AssertionError(f"recognised as {name}, but its fields do not fit together: {error!r}") from error


def unknown(data: Data) -> str:
    """Message for a file that no kind recognises, with the kind that comes nearest."""
    near = max((*EXECUTED, *WAITING), key=lambda kind: len(kind.needs & set(data)) / len(kind.needs))
    lacking = ", ".join(sorted(near.needs - set(data)))
    fields = ", ".join(sorted(data)[:12]) or "none"
    return f"unknown kind of vector with the fields {fields}; the nearest is {near.name}, which also needs {lacking}"
