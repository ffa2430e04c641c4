"""A session repeats a run: it gives what a run without it gives, and its traces stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.engine import library, native, run, session
from snnc.engine.planner import plan
from snnc.errors import TraceError
from snnc.trace import Probes, Trace
from unit.engine.engine_nets import KINDS, random_case

pytestmark = pytest.mark.skipif(library.kernels() is None, reason="there is no C compiler: nothing to repeat")
PROBES = (Probes(), Probes(states="all"), Probes(spikes=(), states="all"))
CASES = [
    case for kind in KINDS for seed in range(60, 90) if native.whole(plan((case := random_case(seed, kind)).graph))
]


def arrays(trace: Trace) -> dict[object, np.ndarray]:
    return {**trace.spikes, **trace.states}


def differing(a: Trace, b: Trace) -> list[object]:
    left, right = arrays(a), arrays(b)
    assert left.keys() == right.keys()
    return [key for key in left if not np.array_equal(left[key], right[key])]


def test_a_session_gives_what_a_run_without_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(CASES) > 40
    found = [(run.planned(case.graph), case.values, probes) for case in CASES for probes in PROBES]
    kept = [run.execute(*one) for one in found]
    assert all(session.session(p, x.shape, probes) is not None for p, x, probes in found)
    monkeypatch.setattr(session, "FEW", 0)
    free = [run.execute(*one) for one in found]
    assert [differing(a, b) for a, b in zip(kept, free, strict=True)] == [[]] * len(found)


def test_an_earlier_trace_is_not_written_over() -> None:
    case = CASES[0]
    first = run.execute(case.graph, case.values, Probes(states="all"))
    before = {key: array.copy() for key, array in arrays(first).items()}
    second = run.execute(case.graph, np.zeros_like(case.values), Probes(states="all"))
    assert all(np.array_equal(array, before[key]) for key, array in arrays(first).items())
    assert differing(first, second), "other input, other answer: the session does not remember"
    assert not any(array.flags.writeable for array in arrays(first).values())


def test_a_session_checks_its_input() -> None:
    case = next(case for case in CASES if not run.planned(case.graph).populations[0].numbers)
    wrong = case.values.copy()
    wrong.flat[0] = 2
    with pytest.raises(TraceError, match="spikes are 0 or 1"):
        run.execute(case.graph, wrong)
    with pytest.raises(TraceError, match="input shape"):
        run.execute(case.graph, case.values[..., np.newaxis])
