"""A Neuron node as the registers of a Loihi compartment, or the reasons why it is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnc.errors import Violation
from snnc.ir import Fixed, IntArray, Neuron
from snnc_loihi.plan import UNIT_BITS, Population

DECAY_BITS = 12
MAX_DECAY = 4095
MAX_THRESHOLD = (1 << 17) - 1
MAX_BIAS = 4095
BIAS_EXPONENTS = (0, 7)
FIELDS: dict[str, tuple[Any, ...]] = {
    "fires": ("gt",),
    "fire_from": ("updated",),
    "reset_delay": (0,),
    "reset_u": (False,),
    "refractory": (0,),
    "leak": ("exp",),
    "adaptation": ((),),
    "output": ("binary",),
    "one_shot": (False,),
    "schedule": ((),),
}


def population(node: Neuron, latency: int) -> tuple[Population | None, tuple[Violation, ...]]:
    """The registers of a population.

    Returns:
        The population and no violation, or None and every violation.
    """
    found = [
        Violation(node.name, key, str(getattr(node, key)), str(allowed[0]))
        for key, allowed in FIELDS.items()
        if getattr(node, key) not in allowed
    ]
    found += _constants(node)
    fields: dict[str, int] = {}
    for key, read in (("du", _du), ("dv", _dv), ("vth", _vth)):
        value = read(node)
        if isinstance(value, Violation):
            found.append(value)
        else:
            fields[key] = value
    bias = _bias(node)
    if isinstance(bias, Violation):
        found.append(bias)
    if found or isinstance(bias, Violation):
        return None, tuple(found)
    mantissa, exponent = bias
    return Population(node.name, node.shape, latency, **fields, bias_mant=mantissa, bias_exp=exponent, code=None), ()


def _fixed(value: Any) -> Fixed:
    assert isinstance(value, Fixed)
    return value


def _constants(node: Neuron) -> Iterator[Violation]:
    """Quantities that the chip does not have, at the value that makes them vanish."""
    want = {"gain": 1, "gain_u": 1, "v_rest": 0, "v_init": 0}
    if node.reset_v == "value":
        want["v_reset"] = 0
    for key, number in want.items():
        value = _fixed(getattr(node, key)).to_float()
        if np.any(value != number):
            yield Violation(node.name, key, f"{float(np.max(value)):g}", str(number))
    if node.reset_v not in ("zero", "value"):
        yield Violation(node.name, "reset_v", node.reset_v, "zero")


def _one(node: Neuron, key: str) -> Fixed | Violation:
    value = _fixed(getattr(node, key))
    if value.raw.size and np.all(value.raw == value.raw.flat[0]):
        return value
    found = f"{len(np.unique(value.raw))} values"
    return Violation(node.name, key, found, "one value per population", "Split the population or share the value.")


def _register(node: Neuron, key: str, name: str, zero: int) -> int | Violation:
    """Du or dv, which is ``zero`` minus the 4096ths that are kept."""
    value = _one(node, key)
    if isinstance(value, Violation):
        return value
    raw = value.raw.flat[0] * 2.0 ** (DECAY_BITS - value.format.frac)
    if raw != int(raw) or not 0 <= zero - raw <= MAX_DECAY:
        found = f"{raw:g}/4096 kept per step ({name} {zero - raw:g})"
        allowed = f"{zero - MAX_DECAY}/4096 to {zero}/4096 in steps of 1/4096 ({name} {MAX_DECAY} to 0)"
        return Violation(node.name, key, found, allowed)
    return int(zero - raw)


def _du(node: Neuron) -> int | Violation:
    return _register(node, "decay_u", "du", MAX_DECAY)


def _dv(node: Neuron) -> int | Violation:
    return _register(node, "decay_v", "dv", 1 << DECAY_BITS)


def _vth(node: Neuron) -> int | Violation:
    value = _one(node, "threshold")
    if isinstance(value, Violation):
        return value
    vth = value.raw.flat[0] * 2.0 ** (-value.format.frac - UNIT_BITS)
    if vth != int(vth) or not 0 <= vth <= MAX_THRESHOLD:
        return Violation(node.name, "threshold", f"{vth:g} * 64", f"0 to {MAX_THRESHOLD} * 64 in steps of 64")
    return int(vth)


def _bias(node: Neuron) -> tuple[IntArray, int] | Violation:
    bias = _fixed(node.bias)
    mantissa = np.broadcast_to(bias.raw, node.shape).reshape(-1).copy()
    if not np.any(mantissa):
        return mantissa, 0
    exponent, (low, high) = -bias.format.frac, BIAS_EXPONENTS
    if not low <= exponent <= high:
        return Violation(node.name, "bias exponent", str(exponent), f"{low} to {high}")
    worst = int(np.max(np.abs(mantissa)))
    if worst > MAX_BIAS:
        return Violation(node.name, "bias mantissa", str(worst), f"-{MAX_BIAS} to {MAX_BIAS}")
    return mantissa, exponent
