"""One saturating layer, by which a build of the kernels is accepted when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine.attach import Attached
from snnc.engine.layout import PORT
from snnc.engine.pack import pack
from snnc.engine.plan import Bound, Dense, Group, Option, Plan, Population, Way
from snnc.ir import Conventions

SOURCES, NEURONS, STEPS = 300, 70, 6
LAVA = Conventions(
    hop_delay=1, state_bits=24, current_overflow="wrap_once", membrane_overflow="saturate_symmetric"
)  # fmt: skip
DECAY, SHIFT, THRESHOLD = 4000, 8, 8_300_000


def layer() -> Plan:
    """More events than 16 bits hold, the widest weights, membranes at both ends of 24 bits."""
    weight: npt.NDArray[Any] = np.full((NEURONS, SOURCES), 127, dtype=np.int8)
    weight[1::2] = -128
    weight[:, ::7] = np.arange(NEURONS)[:, None] - 35
    peak = int(np.abs(weight.astype(np.int64)).sum(axis=1).max())
    params = {"decay_u": DECAY, "decay_v": DECAY, "bias": 0, "threshold": THRESHOLD, "v_reset": 0, "v_init": 0}
    options: dict[str, Option] = {
        "fires": "gt", "reset_v": "none", "reset_delay": 0, "reset_u": False, "refractory": 0, "output": "binary",
        "decay_u_frac": 12, "decay_v_frac": 12,
    }  # fmt: skip
    populations = (
        Population("i", "input", (SOURCES,), None, 0, 0, 0, None),
        Population(
            "o", "neuron", (NEURONS,), None, 0, 0, 0, None, shift=SHIFT, options=options,
            params={key: np.array(value, dtype=np.int64) for key, value in params.items()},
            ways=(Way(0, 0, 0, Dense(weight)),), bounds=(Bound(-peak, peak, peak),),
        ),
    )  # fmt: skip
    return Plan("generic", LAVA, "", 0, populations, (Group((0,), False), Group((1,), False)))


def expected(plan: Plan, spikes: npt.NDArray[np.int8]) -> tuple[list[list[int]], list[list[int]]]:
    """Spikes and membranes of the layer in Python's integers."""
    operator = plan.populations[1].ways[0].operator
    assert isinstance(operator, Dense)
    sums = (spikes.astype(np.int64) @ operator.weight.astype(np.int64).T).tolist()
    top, turn = (1 << 23) - 1, 1 << 24
    fired, membranes = [], []
    u, v = [0] * NEURONS, [0] * NEURONS
    for row in sums:
        for k, total in enumerate(row):
            x = _toward_zero(u[k] * DECAY) + (total << SHIFT)
            x = x - turn if x > turn // 2 else x
            u[k] = x + turn if x <= -turn // 2 else x
            v[k] = max(-top, min(top, _toward_zero(v[k] * DECAY) + u[k]))
        fired.append([int(value > THRESHOLD) for value in v])
        membranes.append(list(v))
    return fired, membranes


def _toward_zero(product: int) -> int:
    return (abs(product) >> 12) * (1 if product >= 0 else -1)


def agrees(run: Callable[[dict[str, int]], int]) -> bool:
    """True if a build computes the layer as Python's integers do.

    Args:
        run: executes the fields of a call, scratch memory aside.
    """
    spikes, attached, wanted = _case()
    out = np.zeros((STEPS, NEURONS), dtype=np.int8)
    membrane = np.zeros((STEPS, NEURONS), dtype=np.int32)
    filled = {
        (0, "run"): 1, (0, "given"): spikes.ctypes.data, (0, "given_sample"): spikes.nbytes,
        (0, "given_step"): SOURCES, (0, "consumed"): 1, (1, "run"): 1, (1, "out"): out.ctypes.data,
        (1, "state1"): membrane.ctypes.data, (1, "state_bits"): 32,
    }  # fmt: skip
    ports: npt.NDArray[Any] = np.zeros((2, len(PORT)), dtype=np.int64)
    for (row, name), value in filled.items():
        ports[row, PORT.index(name)] = value
    fields = attached.fields | {"ports": ports.ctypes.data, "group_end": 2, "end": 1, "steps": STEPS, "chunk": 1}
    if run(fields):
        return False
    return (out.tolist(), membrane.tolist()) == wanted


@cache
def _case() -> tuple[npt.NDArray[np.int8], Attached, tuple[list[list[int]], list[list[int]]]]:
    """Input of the layer, the layer as the kernels see it, and what has to come out: the same for every build."""
    plan = layer()
    spikes = np.ones((STEPS, SOURCES), dtype=np.int8)
    spikes[1::2, ::3] = 0
    return spikes, Attached(pack(plan)), expected(plan, spikes)
