"""All 100 N-MNIST test recordings: minutes. ``make nightly`` names this file; the first 20 run every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivalence.nmnist_nir import WITHIN, integers, network, predictions, recordings, right


@pytest.mark.parametrize(("reset", "want"), [("zero", 100), ("subtract", 98)])
def test_all_nmnist_test_recordings(shared_data: Path, reset: str, want: int) -> None:
    spikes, labels = recordings(shared_data)
    graph = network(shared_data, reset)
    found = [kind for start in range(0, 100, 20) for kind in predictions(graph, spikes[start : start + 20])]
    assert sum(a == b for a, b in zip(found, labels.tolist(), strict=True)) == want


@pytest.mark.parametrize(
    ("reset", "targets", "allow", "right_in_float"),
    [("zero", ("loihi1", "loihi2"), (), 100), ("subtract", ("loihi2",), (), 98),
     ("subtract", ("loihi1",), ("hard-reset",), 98)],
)  # fmt: skip
def test_integers_on_all_test_recordings(
    shared_data: Path, reset: str, targets: tuple[str, ...], allow: tuple[str, ...],
    right_in_float: int,
) -> None:  # fmt: skip
    """99 of 100 for generic, loihi1 and loihi2, whatever the reset."""
    spikes, labels = recordings(shared_data)
    for name, graph in integers(shared_data, reset, targets, allow=allow).items():
        parts = [right(graph, spikes[i : i + 10], labels[i : i + 10]) for i in range(0, 100, 10)]
        assert abs(sum(parts) - right_in_float) <= WITHIN, (name, sum(parts))
