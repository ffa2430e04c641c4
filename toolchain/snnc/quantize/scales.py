"""The free parameter: how many state units one float unit of a population is, by layer or by channel.

Spikes carry no amplitude, so weights, threshold and bias of one layer may be multiplied together by any gain. The
search tries, for every exponent of the weight format, gains from half to almost three times the one at which no
weight clips, the step of weights that lie on a grid already, and the largest gain that the registers allow. It takes
the one whose error (see fit.py) is smallest; the first wins a tie. It uses no random number and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import FloatArray, Graph, Neuron, to_fixed
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.quantize.bounds import ranges
from snnc.quantize.fit import Cell, Load, cell, load
from snnc.quantize.groups import Group, Weighted
from snnc.quantize.profile import ShiftProfile
from snnc.quantize.signals import rates, signals

FACTORS = tuple(2.0 ** (k / 8) for k in (0, *(s * k for k in range(1, 9) for s in (-1, 1)), 9, 10, 11))
FINE = tuple(2.0 ** (k / 32) for k in (-3, -2, -1, 1, 2, 3))
NUDGE = 1 - 1e-12


@dataclass(frozen=True, eq=False)
class Scale:
    """What the search decided for one group.

    Attributes:
        unit: state units per 1.0; (), or per channel (C,).
        exponents: weight node -> e of its format.
        signed: weight node -> sign of its format.
    """

    unit: FloatArray
    exponents: Mapping[str, int]
    signed: Mapping[str, bool]


@dataclass(eq=False)
class Search:
    """The search for one group.

    Attributes:
        pattern: relative gain per channel that makes every threshold of the group equal; () and 1 if not needed.
        limit: largest gain that the registers allow, per channel (C,), for pattern 1.
    """

    group: Group
    profile: ShiftProfile
    bits: int
    loads: tuple[Load, ...]
    cells: tuple[Cell, ...]
    pattern: FloatArray = field(default_factory=lambda: np.ones(()))
    limit: FloatArray = field(default_factory=lambda: np.full((1,), math.inf))
    seen: dict[tuple[str, float], FloatArray] = field(default_factory=dict)

    @property
    def to_value(self) -> float:
        """State units to values of a Fixed."""
        return float(2.0**-self.profile.conventions.state_frac)

    def run(self, *, per_channel: bool) -> Scale:
        """The best gain, then the best gain of each channel if asked for and possible."""
        best = self._best(self._candidates())
        best = self._best([best, *(best * factor for factor in FINE)])
        unit = best * self.pattern
        exponents = {item.name: self._exponent(item, unit) for item in self.loads}
        if per_channel and self.group.channelwise and self.profile.per_channel and self.cells:
            unit = self._channels(float(best), exponents)
        return Scale(unit, exponents, {item.name: item.signed for item in self.loads})

    def _candidates(self) -> list[float]:
        """Gains worth trying, those that need no exponent first."""
        low, high = self.profile.exponents
        found: list[float] = []
        for exponent in sorted(range(low, high + 1), key=abs):
            for item in self.loads:
                fmt = self.profile.weight_format(self.bits, exponent, signed=item.signed)
                fit = float(item.fit(fmt, self.pattern, per_channel=False)) / self.to_value
                if math.isfinite(fit):
                    steps = [fmt.step / item.grid / self.to_value] if item.grid and not self.pattern.ndim else []
                    found += [*steps, *(fit * NUDGE * factor for factor in FACTORS)]
        ceiling = self._ceiling()
        if math.isfinite(ceiling):
            found += [ceiling, ceiling * 2.0**-0.5, 2.0 ** math.floor(math.log2(ceiling))]
        fmt = self.profile.weight_format(self.bits, 0, signed=True)
        return [s for s in found if s <= ceiling * (1 + 1e-12)] or [fmt.maximum * fmt.step / self.to_value]

    def _ceiling(self) -> float:
        return float(np.min(self.limit / self.pattern))

    def _best(self, candidates: Iterable[float]) -> float:
        ceiling = self._ceiling() * (1 + 1e-12)
        allowed = [s for s in candidates if s <= ceiling]
        scores = [float(np.mean(self._score(np.asarray(s) * self.pattern))) for s in allowed]
        return allowed[int(np.argmin(scores))]

    def _score(self, unit: FloatArray, exponents: Mapping[str, int] | None = None) -> FloatArray:
        """Mean square error in thresholds, per channel (C,) if the group has channels, else ()."""
        worst = self._relative()
        total = np.zeros(())
        for item in self.loads:
            if exponents is None:
                error = self._load_error(item, unit, self._exponent(item, unit))
            else:
                error = self._load_error_at(item, unit, exponents[item.name])
            total = total + (error * worst if self.group.channelwise else error.mean() * worst)
        for found in self.cells:
            rest = _cell_error(found, unit, self.profile, self.to_value)
            total = total + (rest if self.group.channelwise else rest.mean())
        return np.asarray(total)

    def _relative(self) -> FloatArray:
        """1 / threshold**2, per channel if the group has channels."""
        if not self.cells:
            return np.ones(())
        each = [_by_channel(c.node, np.asarray(c.node.threshold), np.min) for c in self.cells]
        if not self.group.channelwise:
            return np.asarray(min(float(e.min()) for e in each) ** -2.0)
        return np.asarray(np.min(np.stack(each), axis=0) ** -2.0)

    def _exponent(self, item: Load, unit: FloatArray) -> int:
        """The exponent with the smallest error among the one that just fits and two below it (some weights clip)."""
        low, high = self.profile.exponents
        base = self.profile.weight_format(self.bits, low, signed=item.signed)
        fit = float(item.fit(base, unit, per_channel=False)) / self.to_value
        fits = low if math.isinf(fit) else low + math.ceil(-math.log2(fit) - 1e-9)
        tried = sorted({min(max(fits - k, low), high) for k in range(3)}, reverse=True)
        errors = [float(self._load_error(item, unit, e).mean()) for e in tried]
        return tried[int(np.argmin(errors))]

    def _load_error(self, item: Load, unit: FloatArray, exponent: int) -> FloatArray:
        """As _load_error_at, remembered: only gain / 2**exponent matters."""
        ratio = float(unit.flat[0]) * 2.0**-exponent
        key = item.name, float(f"{ratio:.12e}")
        if key not in self.seen:
            self.seen[key] = self._load_error_at(item, unit, exponent)
        return self.seen[key]

    def _load_error_at(self, item: Load, unit: FloatArray, exponent: int) -> FloatArray:
        fmt = self.profile.weight_format(self.bits, exponent, signed=item.signed)
        noise, drift = item.error(unit * self.to_value, fmt)
        more_noise = max((c.noise for c in self.cells), default=1.0)
        more_drift = max((c.drift for c in self.cells), default=1.0)
        return noise * more_noise + (drift * more_drift) ** 2

    def _channels(self, layer: float, exponents: Mapping[str, int]) -> FloatArray:
        """The best gain of every channel on its own, with the formats that the layer chose."""
        size = self.limit.size
        tried = [np.full(size, layer)]
        for item in self.loads:
            fmt = self.profile.weight_format(self.bits, exponents[item.name], signed=item.signed)
            fit = item.fit(fmt, np.ones(()), per_channel=True) / self.to_value
            fit = np.where(np.isfinite(fit), fit, layer)
            tried += [fit * NUDGE * factor for factor in FACTORS]
        tried = [np.minimum(unit, self.limit) for unit in tried]
        scores = np.stack([np.broadcast_to(self._score(unit, exponents), (size,)) for unit in tried])
        return np.asarray(np.stack(tried)[np.argmin(scores, axis=0), np.arange(size)])


def _by_channel(node: Neuron, value: FloatArray, reduce: Callable[..., FloatArray]) -> FloatArray:
    """A parameter reduced to one value per channel (C,)."""
    spread = np.broadcast_to(value, node.shape).reshape(node.shape[0], -1)
    return np.asarray(reduce(spread, axis=1))


def _cell_error(found: Cell, unit: FloatArray, profile: ShiftProfile, to_value: float) -> FloatArray:
    """Squared relative error of the threshold plus that of the drift of the bias, per channel (C,)."""
    node = found.node
    gain = unit * to_value
    threshold = _by_channel(node, np.asarray(node.threshold), np.min)
    off = to_fixed(threshold * gain, profile.threshold).to_float() / gain - threshold
    bias = _by_channel(node, np.asarray(node.bias), np.max)
    raw = np.abs(np.ldexp(bias * gain, profile.bias.frac))
    top = min(profile.bias.maximum, -profile.bias.minimum or profile.bias.maximum)
    shift = np.clip(np.ceil(np.log2(np.maximum(raw.max(), 1.0) / top)), *profile.bias_exponents)
    step = 2.0 ** (shift - profile.bias.frac)
    shaky = np.rint(bias * gain / step) * step / gain - bias
    return np.asarray((off**2 + (shaky * found.drift) ** 2) / threshold**2)


def limits(group: Group, profile: ShiftProfile, loads: Iterable[Load], cells: Iterable[Cell]) -> FloatArray:
    """Largest state units per 1.0 that threshold, bias, accumulator and state registers allow, per channel."""
    c = profile.conventions
    state = float((1 << (c.state_bits - 1)) - 1)
    room = float(profile.accumulator_peak or (1 << (c.accumulator_bits - 1)) - 1)
    size = max((found.node.shape[0] for found in cells), default=1) if group.channelwise else 1
    limit = np.full(size, math.inf)

    def hold(value: FloatArray, most: float) -> None:
        nonlocal limit
        with np.errstate(divide="ignore"):
            each = np.where(value > 0, most / np.where(value > 0, value, 1.0), math.inf)
        limit = np.minimum(limit, each if group.channelwise else each.min())

    unit = 2.0**c.state_frac
    top_bias = unit * min(profile.bias.maximum, -profile.bias.minimum or profile.bias.maximum) * profile.bias.step
    for found in cells:
        node = found.node
        hold(
            _by_channel(node, np.asarray(node.threshold), np.max),
            unit * profile.threshold.maximum * profile.threshold.step,
        )
        hold(_by_channel(node, np.abs(np.asarray(node.bias)), np.max), top_bias * 2.0 ** profile.bias_exponents[1])
        hold(found.peak_x, room)
        hold(found.peak_state, state)
        for key in ("v_init", "v_reset"):
            hold(_by_channel(node, np.abs(np.asarray(getattr(node, key))), np.max), state)
    for item in loads:
        if item.bias is not None:
            hold(np.abs(item.bias), top_bias)
    return limit


def pattern(group: Group, profile: ShiftProfile, cells: Iterable[Cell]) -> FloatArray:
    """Relative gain per channel that makes the thresholds of a population one number, where a target needs that.

    Raises:
        UnsupportedError: thresholds differ where the weights cannot follow.
    """
    varied = [c.node for c in cells if np.unique(np.asarray(c.node.threshold)).size > 1]
    if profile.per_channel or not varied:
        return np.ones(())
    node = varied[0]
    threshold = np.broadcast_to(np.asarray(node.threshold), node.shape).reshape(node.shape[0], -1)
    even = bool(np.all(threshold == threshold[:, :1]))
    found = float(threshold.max()) / threshold[:, 0]
    for other in (c.node for c in cells):
        scaled = _by_channel(other, np.asarray(other.threshold), np.max) * (found if group.channelwise else 1.0)
        even = even and bool(np.allclose(scaled, scaled[0], rtol=1e-12, atol=0.0))
    if not (even and group.channelwise):
        fix = "Train one threshold per layer (or per channel, with weights that feed no other population)."
        allowed = f"one per population on {profile.target}"
        raise UnsupportedError(str(Violation(node.name, "threshold", "different between neurons", allowed, fix)))
    return np.asarray(found)


def search(
    graph: Graph, found: Iterable[Group], calibration: Calibration, options: QuantizeOptions, profile: ShiftProfile
) -> dict[Group, Scale]:
    """The gain of every group."""
    known = signals(graph, rates(graph, calibration.trace.spikes))
    span = ranges(graph)
    bits = profile.width(options.weight_bits)
    scales: dict[Group, Scale] = {}
    for group in found:
        loads = tuple(
            load(n, graph, known, profile) for n in map(graph.__getitem__, group.weights) if isinstance(n, Weighted)
        )
        neurons = [n for n in map(graph.__getitem__, group.neurons) if isinstance(n, Neuron)]
        cells = tuple(cell(node, calibration, span, profile.safety) for node in neurons)
        one = pattern(group, profile, cells)
        limit = limits(group, profile, loads, cells)
        scales[group] = Search(group, profile, bits, loads, cells, one, limit).run(per_channel=options.per_channel)
    return scales
