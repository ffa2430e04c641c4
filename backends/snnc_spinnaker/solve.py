"""Parameter words for constants that a core shall compute, and the other way round from constants to words.

The core is loaded with tau_m, c_m and tau_syn and computes R, e, d and init from them with its own truncating exp and
division. Here those very functions are asked which words give the constant nearest to what is wanted.
One step is 1 ms on the device, whatever it is in the model.
Source: specs/spinnaker.md sections 1.1, 1.4 and 3.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from snnc.errors import UnsupportedError
from snnc.ir import FloatArray, IntArray
from snnc_spinnaker import arith

STEP = arith.ONE
"""Time step word: 1 ms."""
SLOWEST = 1 << 30
"""Largest tau word (32768 steps) whose ``step / tau`` is not 0; slower ones lose their decay."""
FASTEST = 1638
"""A tau word (0.05 steps) short enough that the chip's exp gives 0: nothing is kept."""
_SEARCH = 1 << 16


@lru_cache(maxsize=4096)
def _candidates(kept: float) -> IntArray:
    """Tau words whose decay may be nearest to the fraction that is to be kept."""
    if kept <= 0:
        return np.array([FASTEST])
    argument = max(1, round(-float(np.log(kept)) * STEP))
    # The membrane's exp truncates to 15 bits: the middle of those that become the nearest value.
    middle = max(1, round(-float(np.log((round(kept * STEP) + 0.5) / STEP)) * STEP))
    arguments = np.concatenate([np.arange(max(1, at - 3), at + 4) for at in (argument, middle)])
    longest, shortest = (STEP * STEP) // arguments, (STEP * STEP) // (arguments + 1) + 1
    near = (STEP * STEP) // argument + np.arange(-3, 4)
    words = np.concatenate([longest, shortest, near, [FASTEST]])
    return np.unique(words[(words >= 1) & (words <= SLOWEST)])


def _nearest(values: IntArray, wanted: float) -> int:
    return int(np.argmin(np.abs(values - wanted)))


@lru_cache(maxsize=4096)
def membrane(kept: float) -> tuple[int, int]:
    """Constants of the membrane whose leak is nearest to ``kept``.

    Args:
        kept: fraction kept per step, at most that of a tau of 32768 steps.

    Returns:
        R and e, s16.15; R such that ``R * (1 - e)`` is as near to 1 as c_m can make it.
    """
    taus = _candidates(kept)
    leaks = arith.expk(-arith.kdivk(STEP, taus))
    leak = int(leaks[_nearest(leaks, kept * STEP)])
    wanted = (1 << 30) / (STEP - leak)
    tau = taus[leaks == leak][:, np.newaxis]
    capacity = np.maximum(1, (tau * STEP / wanted).astype(np.int64) + np.arange(-1, 3))
    made = arith.kdivk(tau, capacity).ravel()
    return int(made[_nearest(made, wanted)]), leak


@lru_cache(maxsize=4096)
def synapse(kept: float) -> tuple[int, int]:
    """Constants of the synapse whose decay is nearest to ``kept``.

    Returns:
        Decay d and first-step scale init, u0.32.

    Raises:
        UnsupportedError: every time constant near this decay makes init wrap.
    """
    taus = _candidates(kept)
    fractions, firsts = arith.decay_init(taus, STEP)
    # The chip's exp errs a little upwards for slow decays, so that tau * (1 - d) may pass 1 and wrap to almost 0.
    whole = (taus * (arith.ONE_ULR - fractions)) >> 15 == firsts
    taus, fractions, firsts = taus[whole], fractions[whole], firsts[whole]
    if not taus.size:
        raise UnsupportedError(f"a synaptic decay of {kept!r} per step has no scale that the chip can hold")
    best = _nearest(fractions, kept * 2.0**32)
    return int(fractions[best]), int(firsts[best])


def _tau_range(constant: int, values: IntArray, arguments: IntArray) -> tuple[int, int]:
    """Smallest and largest tau word whose constant this is."""
    same = arguments[values == constant]
    if not same.size:
        raise UnsupportedError(f"no time constant gives the decay {constant}: it is not one that the chip computes")
    return (STEP * STEP) // (int(same.max()) + 1) + 1, (STEP * STEP) // int(same.min())


def _arguments(kept: float) -> IntArray:
    """Arguments ``step / tau`` around that of a decay, wide enough to hold every one with that decay."""
    middle = round(-float(np.log(kept)) * STEP)
    reach = 4 + int(2 / kept)
    return np.arange(max(1, middle - reach), middle + reach + 1)


@lru_cache(maxsize=4096)
def membrane_words(resistance: int, leak: int) -> tuple[int, int]:
    """tau_m and c_m from which the core computes exactly these constants.

    Raises:
        UnsupportedError: no words give them.
    """
    low, high = 1, FASTEST
    if leak > 0:
        arguments = _arguments(leak / STEP)
        low, high = _tau_range(leak, arith.expk(-arguments), arguments)
    # A divisor c works if [ceil(R c / 2^15), ceil((R+1) c / 2^15) - 1] meets the range of tau.
    start = max(1, (low << 15) // (resistance + 1))
    divisor = np.arange(start, min((high << 15) // max(resistance, 1) + 1, start + _SEARCH) + 1)
    first = np.maximum(low, -((-resistance * divisor) >> 15))
    last = np.minimum(high, -((-(resistance + 1) * divisor) >> 15) - 1)
    good = np.flatnonzero(first <= last)
    if not good.size:
        raise UnsupportedError(f"no tau_m and c_m give R = {resistance} with e = {leak}")
    return int(first[good[0]]), int(divisor[good[0]])


@lru_cache(maxsize=4096)
def synapse_words(fraction: int, first: int) -> int:
    """tau_syn from which the core computes exactly these constants.

    Raises:
        UnsupportedError: no word gives them.
    """
    low, high = 1, FASTEST
    if fraction > 0:
        arguments = _arguments(fraction / 2.0**32)
        low, high = _tau_range(fraction, arith.expulr(-arguments), arguments)
    middle = (first << 15) // (arith.ONE_ULR - fraction)
    taus = np.arange(max(low, middle - 2), min(high, middle + 2) + 1)
    if taus.size:
        fractions, firsts = arith.decay_init(taus, STEP)
        good = np.flatnonzero((fractions == fraction) & (firsts == first))
        if good.size:
            return int(taus[good[0]])
    raise UnsupportedError(f"no tau_syn gives d = {fraction} with init = {first}")


def slowest_decay() -> float:
    """Largest fraction kept per step that a time constant of 32768 steps stands for."""
    return float(np.exp(-STEP / SLOWEST))


def each(function: str, *values: FloatArray | IntArray) -> IntArray:
    """Applies ``membrane``, ``synapse``, ``membrane_words`` or ``synapse_words`` to arrays of one shape.

    Returns:
        One array per result, stacked in the first axis.
    """
    call = {"membrane": membrane, "synapse": synapse, "membrane_words": membrane_words}.get(function)
    flat = [np.asarray(v).ravel().tolist() for v in values]
    found = [call(*row) if call else (synapse_words(*row),) for row in zip(*flat, strict=True)]
    stacked: IntArray = np.array(found, dtype=np.int64).T.reshape(-1, *np.shape(values[0]))
    return stacked
