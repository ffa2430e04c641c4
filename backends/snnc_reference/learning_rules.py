"""Synapses that learn by a rule of :mod:`snnc.learning`, in float64: the definition of what those rules mean.

Spikes are counted in the step in which they happen on both sides of the synapse. A chip's integers follow
:mod:`snnc_reference.learning`; this is what their drift is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation, unknown
from snnc.ir import FloatArray
from snnc.learning.rule import Read, Rule, Term

Spikes = npt.NDArray[np.integer]
Values = Mapping[str, float | FloatArray]
Part = tuple[slice | npt.NDArray[np.intp], slice | npt.NDArray[np.intp]]


class RuleLearning:
    """Synapses [post, pre] that learn by a rule.

    Args:
        rule: what happens to them.
        weights: [post, pre], in the rule's unit.
        limits: trace -> largest value that it holds, as on a chip; others have none.

    Attributes:
        weights: [post, pre] after the last step.
        eligibility: [post, pre].
        traces: name -> [pre] or [post], spikes of the last step included.
        steps: how many have run.

    Raises:
        InputError: weights are no matrix of finite numbers.
    """

    def __init__(self, rule: Rule, weights: npt.ArrayLike, limits: Mapping[str, float] | None = None) -> None:
        self.rule = rule
        self.limits = dict(limits or {})
        self.weights: FloatArray = np.array(weights, dtype=np.float64)
        if self.weights.ndim != 2 or not np.all(np.isfinite(self.weights)):
            found = f"shape {self.weights.shape}, or NaN or infinity"
            raise InputError.of(Violation("learning synapses", "weights", found, "finite numbers [post, pre]"))
        self.eligibility: FloatArray = np.zeros_like(self.weights)
        sizes = {"post": self.weights.shape[0], "pre": self.weights.shape[1]}
        self.traces: dict[str, FloatArray] = {t.name: np.zeros(sizes[t.side]) for t in rule.traces}
        self._before = dict(self.traces)
        self._sides = {t.name: t.side for t in rule.traces}
        self.steps = 0

    def step(self, pre: Spikes, post: Spikes, third: Values | None = None, phase: str | None = None) -> FloatArray:
        """One step.

        Args:
            pre: [pre] spikes that arrive, 0 or 1.
            post: [post] spikes of the neurons behind the synapses in this step.
            third: third factors by name, numbers or [post]; those left out are 0.
            phase: of the rule; None takes its first.

        Returns:
            [post] ``weights @ pre`` with the weights from before this step's learning: what the neurons receive.

        Raises:
            InputError: spikes do not match the weights, or there is no such phase or third factor.
        """
        before, after = np.asarray(pre) != 0, np.asarray(post) != 0
        if before.shape != self.weights.shape[1:] or after.shape != self.weights.shape[:1]:
            found = f"{before.shape} and {after.shape}"
            allowed = f"{self.weights.shape[1:]} and {self.weights.shape[:1]}"
            raise InputError.of(Violation("learning synapses", "shapes of pre and post spikes", found, allowed))
        self.steps += 1
        sent = self.weights @ before.astype(np.float64)
        self._move_traces({"pre": before, "post": after})
        active = self.rule.active(phase or self.rule.phases[0])
        rows, columns = np.flatnonzero(after), np.flatnonzero(before)
        everything = slice(None)
        parts: dict[str, Part] = {"pre": (everything, columns), "post": (rows, everything)}
        parts["step"] = (everything, everything)
        happened = {"pre": columns.size > 0, "post": rows.size > 0}
        due = [t for t in active if happened.get(t.event, t.event == "step" and self.steps % t.every == 0)]
        self._change(due, parts, self._third(third))
        return np.asarray(sent, dtype=np.float64)

    def end_sample(self, third: Values | None = None, phase: str | None = None) -> None:
        """The end of a sample: terms of the event ``sample``, then what the rule clears.

        Args:
            third: third factors by name, such as errors [post].
            phase: of the rule; None takes its first.
        """
        due = [term for term in self.rule.active(phase or self.rule.phases[0]) if term.event == "sample"]
        everything: Part = (slice(None), slice(None))
        self._change(due, {"sample": everything}, self._third(third))
        if self.rule.clears:
            self.clear()

    def clear(self) -> None:
        """Traces and eligibilities become 0; weights stay."""
        self.eligibility[:] = 0.0
        self.traces = {name: np.zeros_like(values) for name, values in self.traces.items()}

    def _move_traces(self, spikes: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        for trace in self.rule.traces:
            kept = self.traces[trace.name] * trace.decay
            event = spikes[trace.side]
            self._before[trace.name] = kept
            moved = np.where(event, trace.jump if trace.sets else kept + trace.jump, kept)
            self.traces[trace.name] = np.minimum(moved, self.limits.get(trace.name, np.inf))

    def _third(self, given: Values | None) -> dict[str, FloatArray]:
        found = {third.name: np.zeros((self.weights.shape[0], 1)) for third in self.rule.thirds}
        for name, value in (given or {}).items():
            if name not in found:
                raise InputError(unknown(f"third factor of {self.rule.name}", name, found))
            found[name] = np.broadcast_to(np.asarray(value, np.float64), self.weights.shape[:1])[:, np.newaxis]
        return found

    def _change(self, terms: Sequence[Term], parts: Mapping[str, Part], third: Mapping[str, FloatArray]) -> None:
        """All terms are computed from what was there before, then all changes are added."""
        if not terms:
            return
        changes = [(term.change, parts[term.event], self._value(term, parts[term.event], third)) for term in terms]
        for change, part, value in changes:
            grid = self.weights if change == "w" else self.eligibility
            grid[part] += value
        if any(change == "w" for change, _, _ in changes):
            np.clip(self.weights, self.rule.w_min, self.rule.w_max, out=self.weights)

    def _value(self, term: Term, part: Part, third: Mapping[str, FloatArray]) -> FloatArray:
        value: FloatArray = np.full((1, 1), term.rate)
        for read in term.reads:
            value = value * (read.offset + read.scale * self._read(read, part, third))
        return value

    def _read(self, read: Read, part: Part, third: Mapping[str, FloatArray]) -> FloatArray:
        if read.variable == "w":
            return np.asarray(self.weights[part])
        if read.variable == "e":
            return np.asarray(self.eligibility[part])
        if read.variable in third:
            return np.asarray(third[read.variable][part[0]])
        values = (self._before if read.before else self.traces)[read.variable]
        return values[np.newaxis, part[1]] if self._sides[read.variable] == "pre" else values[part[0], np.newaxis]
