"""Equivalence as a test of yours: ``pytest -p snnc.pytest_plugin``.

The fixture ``snnc_equivalence`` climbs the ladder for a compiled folder and fails the test with the first difference::

    def test_the_chip_does_what_the_network_does(snnc_equivalence):
        snnc_equivalence("out/net", "held_out.npz", accuracy_points=1.0, spike_mismatch=0.05)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snnc.artifacts import open_folder
from snnc.backend import discover
from snnc.errors import NotEquivalentError
from snnc.evidence import Budget, Evidence
from snnc.trace import read_samples
from snnc.validation import validate

Check = Callable[..., Evidence]


def check_equivalence(
    folder: str | Path,
    data: str | Path,
    *,
    samples: int | None = None,
    accuracy_points: float | None = 1.0,
    spike_mismatch: float | None = None,
) -> Evidence:
    """Climbs every rung for a compiled folder.

    Args:
        folder: what ``snnc compile`` wrote.
        data: .npz with ``spikes`` and, if accuracy is demanded, ``labels``.
        samples: first samples only.
        accuracy_points: largest loss of accuracy in percentage points; None demands nothing.
        spike_mismatch: largest fraction of differing spike bins of a layer, teacher-forced; None demands nothing.

    Returns:
        The evidence, if everything holds.

    Raises:
        NotEquivalentError: with every rung and budget that failed.
    """
    opened = open_folder(Path(folder), discover())
    given = read_samples(Path(data), opened.shape, opened.encoding).head(samples)
    evidence = validate(
        opened.float_graph(), opened.candidates(), given, opened.registry.reference,
        budget=Budget(accuracy_points, spike_mismatch), earlier=opened.earlier(),
    ).evidence  # fmt: skip
    if not evidence.passed:
        raise NotEquivalentError(f"{folder} does not hold on {data}", violations=evidence.violations)
    return evidence


@pytest.fixture(scope="session")
def snnc_equivalence() -> Check:
    """:func:`check_equivalence` as a fixture."""
    return check_equivalence
