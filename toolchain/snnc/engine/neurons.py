"""Steps of populations in NumPy: arrays [B, neurons] of int64 in engine order, for any batch.

The equations are those of :mod:`snnc.ir.nodes` and :mod:`snnc.ir.populations`; what a state loses is what the
conventions say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnc.engine.plan import SINGLES, Population
from snnc.ir import Conventions, IntArray
from snnc.ir.fixed import overflowed, shift_right, wrap

States = dict[str, Any]


class Stepper:
    """State of one population over a batch, and the step that moves it.

    Attributes:
        state: what a trace shows, by name; replaced in every step.
    """

    def __init__(self, population: Population, conventions: Conventions, batch: int) -> None:
        self.population, self.c = population, conventions
        self.lead = (batch, population.size)
        self.p: dict[str, Any] = dict(population.params)
        self.o: dict[str, Any] = dict(population.options)
        self.state: States = {}
        self.restart()

    def restart(self) -> None:
        """Sets the state to where it starts."""
        raise NotImplementedError

    def step(self, x: IntArray, drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent.

        Args:
            x: [B, neurons] in state units; [2, B, neurons] in ring units under ``closed_form``.
            drive: what a host adds to the bias.
        """
        raise NotImplementedError

    def full(self, value: Any = 0) -> IntArray:
        """A state of this value."""
        return np.asarray(np.zeros(self.lead, dtype=np.int64) + value)

    def kept(self, state: IntArray, factor: str) -> IntArray:
        """What a decay leaves of a state."""
        product: IntArray = state * self.p[factor]
        return shift_right(product, self.o[f"{factor}_frac"], self.c.decay_rounding)

    def current(self, x: IntArray) -> IntArray:
        """``u`` of this step."""
        c = self.c
        total = self.kept(self.state["u"], "decay_u") + overflowed(x, c.accumulator_bits, c.accumulator_overflow)
        return overflowed(wrap(total, c.register_bits), c.state_bits, c.current_overflow)

    def membrane(self, u: IntArray, drive: IntArray | int) -> IntArray:
        """``v`` of this step before any reset."""
        c = self.c
        added = u + (self.p["bias"] + drive)
        if c.drive_overflow is not None:
            added = overflowed(added, c.state_bits, c.drive_overflow)
        return self.limited(wrap(self.kept(self.state["v"], "decay_v") + added, c.register_bits))

    def limited(self, v: IntArray) -> IntArray:
        """A membrane inside its width and its limits."""
        c = self.c
        v = overflowed(v, c.state_bits, c.membrane_overflow)
        if c.membrane_minimum is not None:
            v = np.maximum(v, c.membrane_minimum)
        return v if c.membrane_maximum is None else np.minimum(v, c.membrane_maximum)


class Leaky(Stepper):
    """Leaky integrators under ``euler``."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        self.state = {"u": self.full(), "v": self.full(self.p["v_init"])}
        self.sent, self.rest = self.full(), self.full()

    def step(self, x: IntArray, drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        late, resting = bool(self.o["reset_delay"]), self.o["refractory"] > 0
        u = self.current(x)
        v = self.membrane(u, drive)
        if resting:
            v = np.where(self.rest > 0, self.state["v"], v)
        if late:
            v = self.reset(v, self.sent)
        sent = self.compared(v)
        if resting:
            sent = np.where(self.rest > 0, 0, sent)
        if not late:
            v = self.reset(v, sent)
        if self.o["reset_u"]:
            u = np.where(sent == 0, u, 0)
        if resting:
            self.rest = np.where(sent == 0, np.maximum(self.rest - 1, 0), self.o["refractory"])
        self.state, self.sent = {"u": u, "v": v}, sent
        return np.asarray(sent, dtype=np.int64)

    def compared(self, v: IntArray) -> IntArray:
        """1 beyond the threshold, -1 beyond the low one of a ternary output."""
        strict, ternary = self.o["fires"] == "gt", self.o["output"] == "ternary"
        high = np.greater(v, self.p["threshold"]) if strict else np.greater_equal(v, self.p["threshold"])
        sent = high.astype(np.int64)
        if ternary:
            low = self.p["threshold_low"]
            sent -= np.less(v, low) if strict else np.less_equal(v, low)
        return np.asarray(sent)

    def reset(self, v: IntArray, sent: IntArray) -> IntArray:
        """The membrane behind its spikes."""
        how = self.o["reset_v"]
        if how == "none":
            return v
        if how != "subtract":
            return np.where(sent == 0, v, self.p["v_reset"])
        taken = np.where(sent > 0, self.p["threshold"], 0)
        if self.o["output"] == "ternary":
            taken = np.where(sent < 0, self.p["threshold_low"], taken)
        return self.limited(v - taken)


class Split(Stepper):
    """Leaky integrators under ``closed_form`` with two currents."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        self.state = {"u_exc": self.full(), "u_inh": self.full(), "v": self.full(self.p["v_init"])}
        self.left = [self.full(), self.full()]
        self.rest = self.full()

    def step(self, x: IntArray, _drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        bits, frac = self.c.state_bits, self.c.state_frac
        ring = wrap(np.minimum(x, (1 << self.c.accumulator_bits) - 1) << self.population.shift, bits)
        used = [wrap(left + self.scaled(r, "gain_u"), bits) for left, r in zip(self.left, ring, strict=True)]
        self.left = [wrap(self.scaled(u, "decay_u"), bits) for u in used]
        total = wrap(used[0] - used[1] + self.p["bias"], bits)
        goal = wrap(((total * self.p["gain"]) >> frac) + self.p["v_rest"], bits)
        away = wrap(goal - self.state["v"], bits)
        v = wrap(goal - ((self.p["decay_v"] * away) >> frac), bits)
        resting = self.rest > 0
        v = np.where(resting, self.state["v"], v)
        over = v > self.p["threshold"] if self.o["fires"] == "gt" else v >= self.p["threshold"]
        self.rest = np.where(over, self.o["refractory"], self.rest - resting)
        self.state = {"u_exc": used[0], "u_inh": used[1], "v": np.where(over, self.p["v_reset"], v)}
        return np.asarray(over.astype(np.int64))

    def scaled(self, value: IntArray, factor: str) -> IntArray:
        """A product without its fractional bits."""
        return np.asarray((value * self.p[factor]) >> self.o[f"{factor}_frac"])


class Single(Stepper):
    """Leaky integrators in float32 with two currents; NumPy rounds each operation to the type of its operands."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        rest = np.zeros(self.lead, dtype=np.float32)
        self.values = {key: self.number(key) for key in SINGLES}
        self.state = {"u_exc": rest, "u_inh": rest, "v": rest + self.values["v_init"]}

    def number(self, key: str) -> Any:
        """A parameter, exactly."""
        return np.ldexp(self.p[key].astype(np.float32), -int(self.o[f"{key}_frac"]))

    def step(self, x: IntArray, _drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        n = self.values
        exc, inh = (n["decay_u"] * self.state[key] + ring.astype(np.float32)
                    for key, ring in zip(("u_exc", "u_inh"), x, strict=True))  # fmt: skip
        v = n["decay_v"] * self.state["v"] + (exc - inh)
        v = v + n["bias"]
        over = v > n["threshold"] if self.o["fires"] == "gt" else v >= n["threshold"]
        behind = {"subtract": v - n["threshold"], "none": v, "zero": np.float32(0)}.get(self.o["reset_v"], n["v_reset"])
        self.state = {"u_exc": exc, "u_inh": inh, "v": np.where(over, behind, v)}
        return np.asarray(over.astype(np.int64))


class Adaptive(Stepper):
    """Adaptive threshold and refractory trace."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        start = {"u": 0, "v": 0, "theta": self.p["threshold"], "r": 0}
        self.state = {key: self.full(value) for key, value in start.items()}

    def step(self, x: IntArray, drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        bits = self.c.register_bits
        u = self.current(x)
        v = self.membrane(u, drive)
        above = shift_right(
            wrap(self.state["theta"] - self.p["threshold"], bits) * self.p["decay_threshold"],
            self.o["decay_threshold_frac"], self.c.decay_rounding,
        )  # fmt: skip
        theta, r = wrap(above + self.p["threshold"], bits), self.kept(self.state["r"], "decay_refractory")
        sent = (wrap(v - r, bits) >= theta).astype(np.int64)
        r = wrap(r + 2 * theta * sent, bits)
        theta = wrap(theta + self.p["threshold_step"] * sent, bits)
        self.state = {"u": u, "v": v, "theta": theta, "r": r}
        return np.asarray(sent, dtype=np.int64)


class Passing(Stepper):
    """Passes on what it is given."""

    def restart(self) -> None:
        """There is no state."""

    def step(self, x: IntArray, _drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        return x


class Summing(Stepper):
    """Adds up messages."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        self.state = {"sigma": self.full(), "s": self.full()}

    def step(self, x: IntArray, _drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        bits = self.c.register_bits
        total = wrap(self.state["sigma"] + wrap(x, bits), bits)
        self.state = {"sigma": total, "s": total}
        return total


class Changing(Stepper):
    """Sends changes of its input, or of an activation of summed messages."""

    def restart(self) -> None:
        """Sets the state to where it starts."""
        names = ("act", "residue", "error", "s", *(("sigma",) if self.population.kind == "sigmadelta" else ()))
        self.state = {key: self.full() for key in names}

    def step(self, x: IntArray, _drive: IntArray | int = 0) -> IntArray:
        """One step; returns what is sent."""
        bits, last = self.c.register_bits, self.state
        act, more = wrap(x, bits), {}
        if self.population.kind == "sigmadelta":
            more["sigma"] = wrap(last["sigma"] + act, bits)
            act = wrap(more["sigma"] + self.p["bias"], bits)
            act = np.maximum(act, 0) if self.o["activation"] == "relu" else act
        change = wrap(act - last["act"] + last["residue"], bits)
        error = wrap(last["error"] + change, bits) if self.o["cum_error"] else last["error"]
        judged = error if self.o["cum_error"] else change
        message = np.where(np.abs(judged) >= self.p["threshold"], change, 0)
        if self.o["cum_error"]:
            error = np.where(message == 0, error, 0)
        sent: IntArray = message >> self.o["shift"]
        self.state = {"act": act, "residue": change - message, "error": error, "s": sent, **more}
        return np.asarray(sent, dtype=np.int64)


def stepper(population: Population, conventions: Conventions, batch: int) -> Stepper:
    """A population at its start.

    Args:
        population: not an input.
        conventions: of the plan.
        batch: samples.
    """
    kinds: dict[str, type[Stepper]] = {
        "neuron": {"closed_form": Split, "float32": Single}.get(conventions.membrane, Leaky),
        "atrlif": Adaptive, "sigma": Summing, "delta": Changing, "sigmadelta": Changing, "relay": Passing,
    }  # fmt: skip
    return kinds[population.kind](population, conventions, batch)
