"""A plan as two files that run without snnc: lava.npz and run_lava.py.

The script is the module :mod:`snnc_loihi.run_lava` word for word; all that differs between networks is in the .npz:
``network`` (JSON), ``weights/<connection>`` and ``bias/<population>``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.trace import npz_bytes
from snnc_loihi.plan import Plan, Population, Source, Synapses

SCRIPT, DATA = "run_lava.py", "lava.npz"
REGISTERS = ("name", "shape", "latency", "du", "dv", "vth", "bias_exp")
CONNECTION = ("name", "source", "target", "kind", "delay", "weight_exp", "weight_bits", "mixed")


def script_files(plan: Plan, target: str) -> dict[str, bytes]:
    """The script and its data; none for a network with neurons that Lava itself does not have (Loihi 2 programs).

    None for analog input either: the script plays spikes and programs no biases.

    Args:
        plan: the processes.
        target: for which they were made.
    """
    if plan.hosts or not all(_is_plain(one) for one in plan.populations):
        return {}
    network = {
        "target": target,
        "depth": plan.depth,
        "margin": plan.margin,
        "together": not any(one.lag > 0 and not _is_fed(plan, one) for one in plan.synapses),
        "sources": [asdict(one) for one in plan.sources],
        "populations": [{key: getattr(one, key) for key in REGISTERS} for one in plan.populations],
        "synapses": [_connection(plan, one) for one in plan.synapses],
    }
    arrays: dict[str, npt.NDArray[Any]] = {"network": np.array(json.dumps(network, sort_keys=True))}
    for population in plan.populations:
        arrays[f"bias/{population.name}"] = population.bias_mant.astype(np.int16)
    for one in plan.synapses:
        arrays[f"weights/{one.name}"] = one.weights.astype(np.int32)
    return {SCRIPT: files("snnc_loihi").joinpath(SCRIPT).read_bytes(), DATA: npz_bytes(arrays)}


def _is_plain(one: Population) -> bool:
    """True if a LIFReset with the registers above is all that there is to the population."""
    rest = {field.name for field in fields(one)} - {*REGISTERS, "bias_mant"}
    return all(getattr(one, key) is None for key in rest)


def _connection(plan: Plan, one: Synapses) -> dict[str, Any]:
    found = {key: getattr(one, key) for key in CONNECTION}
    # A constant input sends for as long as the latest of its targets listens.
    same = (s for s in plan.synapses if (s.source, s.delay) == (one.source, one.delay))
    found["extra"] = max(0, *(-s.lag for s in same))
    found["window"] = None if one.window is None else asdict(one.window)
    return found


def _is_fed(plan: Plan, synapses: Synapses) -> bool:
    return isinstance(plan.population(synapses.source), Source)
