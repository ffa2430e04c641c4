"""NIR neurons as populations: differential equations become steps.

NIR states ``tau * dv/dt = v_leak - v + r * I`` and a spike where ``v > v_threshold``. A step of dt makes of it::

    euler:  v = (1 - dt/tau) * (v - v_leak) + v_leak + r * dt/tau * x
    exact:  v = a * (v - v_leak) + v_leak + r * (1 - a) * x         with a = exp(-dt/tau)

and alike for the current of CubaLIF, which the same step's membrane sees, with the gain w_in. An IF neuron adds
``r * x`` per step. All start at 0. I, LI and CubaLI have the equations of IF, LIF and CubaLIF, never spike and send
their membrane. Nothing is guessed: what the file leaves open, the user settles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnc.errors import InputError, Violation
from snnc.formats.nir_file_layers import Shape, matched, numbers
from snnc.formats.nir_file_tree import Item, Tree
from snnc.ir import FloatArray, Neuron

SPIKING = ("IF", "LIF", "CubaLIF")
GRADED = ("I", "LI", "CubaLI")
LEAKY = ("LIF", "CubaLIF", "LI", "CubaLI")
FILTERED = ("CubaLIF", "CubaLI")
TAUS = {kind: ("tau_mem", "tau_syn") if kind in FILTERED else ("tau",) for kind in LEAKY}
# Packages nir before this one define every reset as soft, later ones as hard.
HARD_SINCE = (1, 0, 6)
GAINS = {"tau": "r", "tau_mem": "r", "tau_syn": "w_in"}
ROUNDING = 1e-5


@dataclass(frozen=True)
class Meaning:
    """What the user says about a NIR file; empty where the file settles it.

    Attributes:
        dt: length of a step in the unit of the file's time constants (1 if they count steps).
        reset: ``zero`` (hard: to v_reset, or 0), ``subtract`` (soft), or either with ``-delayed``: one step late.
        decay: ``euler`` or ``exact``.
        fires: ``gt`` as NIR defines it (v > threshold), or ``ge`` where the model fires at the threshold, too.
    """

    dt: float = 0.0
    reset: str = ""
    decay: str = ""
    fires: str = ""


def settle(tree: Tree, meaning: Meaning, where: str) -> Meaning:
    """The meaning with what the file says itself.

    Raises:
        InputError: something is open (all of it is named), or the file and the user contradict each other.
    """
    decay = meaning.decay
    leaky, delays = tree.of_kind(*LEAKY), tree.of_kind("Delay")
    if leaky and not decay and meaning.dt and _unit_gains(leaky, meaning.dt):
        decay = "euler"
    missing = [*_time_missing(leaky, delays, meaning.dt), *_decay_missing(leaky, decay), *_reset_missing(tree, meaning)]
    if missing:
        raise InputError(f"{where} leaves open:\n" + "\n".join(f"  - {text}" for text in missing))
    if leaky:
        _check_unit(leaky, meaning.dt, where)
    return replace(meaning, decay=decay)


def in_steps(tree: Tree) -> bool:
    """True if every time constant is at least 1: a count of steps, not seconds."""
    found = [numbers(item, key) for item in tree.of_kind(*LEAKY) for key in TAUS[item.kind]]
    return bool(found) and all(np.all(tau >= 1) for tau in found)


def neuron(item: Item, shape: Shape, meaning: Meaning) -> Neuron:
    """A primitive with a membrane, or a Threshold, as a population.

    Args:
        item: IF, LIF, CubaLIF, I, LI, CubaLI or Threshold.
        shape: shape of its input.
        meaning: settled.

    Raises:
        InputError: a parameter is missing, has no meaning, or contradicts the reset that the user named.
    """
    fires: Any = meaning.fires or "gt"
    if item.kind == "Threshold":
        return Neuron(item.name, shape, threshold=matched(item, "threshold", shape), fires=fires, reset_v="none")
    membrane = _membrane(item, shape, meaning)
    if item.kind in GRADED:
        return Neuron(item.name, shape, **membrane, reset_v="none", output="graded")
    value = matched(item, "v_reset", shape, default=0.0)
    word, _, late = meaning.reset.partition("-")
    if np.any(value != 0):
        if word == "subtract":
            text = Violation(item.name, "v_reset", f"{float(np.max(np.abs(value))):g}", "0 with --reset subtract")
            raise InputError(f"{text}. The file resets to a value; give --reset zero or leave --reset out")
        word = "value"
    reset: Any = {"subtract": "subtract", "value": "value"}.get(word, "zero")
    return Neuron(
        item.name, shape, **membrane, threshold=matched(item, "v_threshold", shape), v_reset=value, fires=fires,
        reset_v=reset, reset_delay=int(late == "delayed"),
    )  # fmt: skip


def _membrane(item: Item, shape: Shape, meaning: Meaning) -> dict[str, Any]:
    """Decays, gains and the resting value."""
    r = matched(item, "r", shape)
    decay_u, gain_u = np.zeros(()), np.ones(())
    decay_v, gain, rest = np.ones(()), r, np.zeros(())
    if item.kind in LEAKY:
        decay_v, factor = _kept(item, TAUS[item.kind][0], shape, meaning)
        gain, rest = r * factor, matched(item, "v_leak", shape)
    if item.kind in FILTERED:
        decay_u, factor = _kept(item, "tau_syn", shape, meaning)
        gain_u = matched(item, "w_in", shape, default=1.0) * factor
    return {"decay_u": decay_u, "gain_u": gain_u, "decay_v": decay_v, "gain": gain, "v_rest": rest}


def delay_steps(item: Item, dt: float) -> int:
    """A Delay in steps.

    Raises:
        InputError: no whole number of steps, or not the same for all.
    """
    given = numbers(item, "delay").reshape(-1)
    if not np.any(given):
        return 0
    steps = given / dt
    whole = np.round(steps)
    if np.any(np.abs(steps - whole) > 1e-3) or np.any(whole < 0):
        raise InputError(str(Violation(item.name, "delay", f"{steps[0]:g} steps", "whole numbers of steps of --dt")))
    if np.any(whole != whole[0]):
        found = f"{int(whole.min())} to {int(whole.max())} steps"
        raise InputError(str(Violation(item.name, "delay", found, "one number of steps for the whole population")))
    return int(whole[0])


def _kept(item: Item, key: str, shape: Shape, meaning: Meaning) -> tuple[FloatArray, FloatArray]:
    """Fraction kept per step, and the factor of the input."""
    tau = matched(item, key, shape)
    if np.any(tau <= 0):
        raise InputError(str(Violation(item.name, key, f"{float(np.min(tau)):g}", "> 0")))
    ratio = meaning.dt / tau
    if np.any(ratio > 1 + ROUNDING):
        fix = "The neuron would forget everything in one step: check the unit of --dt."
        found = f"{float(np.min(tau)):g}, shorter than the step {meaning.dt:g}"
        raise InputError(str(Violation(item.name, key, found, "at least --dt", fix)))
    ratio = np.minimum(ratio, 1.0)
    kept = 1 - ratio if meaning.decay == "euler" else np.exp(-ratio)
    return kept, 1 - kept if meaning.decay == "exact" else ratio


def _unit_gains(leaky: tuple[Item, ...], dt: float) -> bool:
    """True if every input gain is 1 under forward Euler: what exporters write whose model has no input gain."""
    for item in leaky:
        for key in TAUS[item.kind]:
            gain = numbers(item, GAINS[key]) if GAINS[key] in item.fields else np.ones(())
            tau = numbers(item, key)
            if tau.shape != gain.shape and 1 not in (tau.size, gain.size):
                return False
            if not np.allclose(gain * dt, tau, rtol=ROUNDING):
                return False
    return True


def _time_missing(leaky: tuple[Item, ...], delays: tuple[Item, ...], dt: float) -> Iterator[str]:
    if dt:
        return
    for item in leaky[:1]:
        key = TAUS[item.kind][0]
        tau = float(numbers(item, key).reshape(-1)[0]) if numbers(item, key).size else 0.0
        yield (
            f"the length of a step: {item.name}.{key} is {tau:g}; give --dt SECONDS if time constants are in seconds, "
            "--dt 1 if they count steps"
        )
    if not leaky and any(np.any(numbers(item, "delay") != 0) for item in delays):
        yield "the length of a step, for its delays: give --dt SECONDS (--dt 1 if they count steps)"


def _decay_missing(leaky: tuple[Item, ...], decay: str) -> Iterator[str]:
    if leaky and not decay:
        yield (
            "how time becomes steps: give --decay euler (keeps 1 - dt/tau, as SpikingJelly, snnTorch and Norse do) or "
            "--decay exact (keeps exp(-dt/tau))"
        )


def _reset_missing(tree: Tree, meaning: Meaning) -> Iterator[str]:
    if meaning.reset:
        return
    for item in tree.of_kind(*SPIKING):
        if "v_reset" not in item.fields or np.any(numbers(item, "v_reset") == 0):
            yield (
                f"the reset ({item.name} has no v_reset, or 0, which soft resets are written as, too): give --reset "
                "subtract (soft) or zero (hard); subtract-delayed or zero-delayed if the model resets one step late, "
                f"as snnTorch's default does{_by_version(tree.version)}"
            )
            return


def _by_version(version: str) -> str:
    """What the definition of the file's version says about resets; a hint, because exporters do not keep to it."""
    parts = version.split(".")[:3]
    if not version.isascii() or not all(part.isdigit() and len(part) < 9 for part in parts):
        return ""
    kind = "hard" if tuple(int(part) for part in parts) >= HARD_SINCE else "soft"
    return f". The file says version {version} of nir, whose definition is the {kind} reset; many exporters differ"


def _check_unit(leaky: tuple[Item, ...], dt: float, where: str) -> None:
    """A step far below 1 for time constants of at least 1 mixes seconds with steps."""
    taus = [numbers(item, key) for item in leaky for key in TAUS[item.kind]]
    if dt < 1 and all(np.all(tau >= 1) for tau in taus):
        least = min(float(np.min(tau)) for tau in taus)
        raise InputError(
            f"{where}: all time constants are {least:g} or more, which looks like a count of steps; give --dt 1. "
            "If they are seconds, write them (and --dt) in a smaller unit"
        )
