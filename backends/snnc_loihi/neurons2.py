"""A Neuron node as the neuron program of Loihi 2, or the reasons why it is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnc.errors import FormatError, Violation
from snnc.ir import Fixed, IntArray, Neuron
from snnc_loihi.microcode import DECAY_BITS, TOP, Microcode
from snnc_loihi.plan import Population

FIELDS: dict[str, tuple[Any, ...]] = {
    "fires": ("gt", "ge"),
    "fire_from": ("updated",),
    "reset_delay": (0, 1),
    "leak": ("exp",),
    "adaptation": ((),),
    "output": ("binary",),
    "one_shot": (False,),
    "schedule": ((),),
}
FOLDED = {"gain": 1, "gain_u": 1, "v_rest": 0}
RANGES = {
    "keep_u": (0, 1 << DECAY_BITS),
    "keep_v": (0, 1 << DECAY_BITS),
    "threshold": (0, TOP),
    "bias": (-TOP, TOP),
    "v_reset": (-TOP, TOP),
    "v_init": (-TOP, TOP),
}


def programmed(node: Neuron, latency: int) -> tuple[Population | None, tuple[Violation, ...]]:
    """The program of a population.

    Returns:
        The population and no violation, or None and every violation.
    """
    found = [
        Violation(node.name, key, str(getattr(node, key)), " or ".join(str(one) for one in allowed))
        for key, allowed in FIELDS.items()
        if getattr(node, key) not in allowed
    ]
    found += _folded(node)
    registers: dict[str, IntArray] = {}
    for key, (low, high) in RANGES.items():
        value = _register(node, key, low, high)
        if isinstance(value, Violation):
            found.append(value)
        else:
            registers[key] = value
    if found:
        return None, tuple(found)
    code = Microcode(
        **registers, fires=node.fires, reset_v=node.reset_v, reset_delay=node.reset_delay, reset_u=node.reset_u,
        refractory=node.refractory,
    )  # fmt: skip
    silent = np.zeros(code.bias.size, dtype=np.int64)
    return Population(node.name, node.shape, latency, 0, 0, 0, silent, 0, code), ()


def _fixed(value: Any) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def _folded(node: Neuron) -> Iterator[Violation]:
    for key, number in FOLDED.items():
        value = _fixed(getattr(node, key)).to_float()
        if np.any(value != number):
            yield Violation(node.name, key, f"{float(value[value != number].flat[0]):g}", str(number))


def _register(node: Neuron, key: str, low: int, high: int) -> IntArray | Violation:
    """One number per neuron, in units of the state (decays: in 4096ths)."""
    decay = key.startswith("keep")
    name, frac = (key.replace("keep", "decay"), DECAY_BITS) if decay else (key, 0)
    unit = "/4096 kept per step" if decay else ""
    try:
        raw = _fixed(getattr(node, name)).aligned(frac)
    except FormatError as error:
        return Violation(node.name, name, str(error), f"{low}{unit} to {high}{unit} in steps of 1{unit}")
    outside = raw[(raw < low) | (raw > high)]
    if outside.size:
        return Violation(node.name, name, f"{int(outside.flat[0])}{unit}", f"{low}{unit} to {high}{unit}")
    return np.broadcast_to(raw, node.shape).reshape(-1).astype(np.int64)
