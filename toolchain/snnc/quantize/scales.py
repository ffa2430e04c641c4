"""The free parameter: how many state units one float unit of a population is, by layer or by channel.

Spikes carry no amplitude, so weights, threshold and bias of one layer may be multiplied together by any gain. The
search tries, for every exponent of the weight format, gains from half to almost three times the one at which no
weight clips, the step of weights that lie on a grid already, and the largest gain that the registers allow. It takes
the one whose error (see fit.py) is smallest; the first wins a tie. Then it tries multiples of that gain, with the same
exponents, on recorded spikes (see forced.py) and follows them if the number of wrong spikes falls by more than chance:
by more than two square roots of it. It uses no random number and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from snnc.ir import FloatArray, Graph, Neuron, Node, to_fixed
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.quantize.bounds import ranges
from snnc.quantize.fit import Cell, Load, cell, load
from snnc.quantize.forced import Forced
from snnc.quantize.groups import Group, Weighted
from snnc.quantize.limits import by_channel, limits, pattern
from snnc.quantize.profile import ShiftProfile
from snnc.quantize.signals import rates, signals

FACTORS = tuple(2.0 ** (k / 8) for k in (0, *(s * k for k in range(1, 9) for s in (-1, 1)), 9, 10, 11))
MULTIPLES = tuple(2.0 ** (k / 4) for k in (-2, -1, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16))
FINE = tuple(2.0 ** (k / 32) for k in (-3, -2, -1, 1, 2, 3))


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
    forced: Forced | None = None
    seen: dict[tuple[str, float], FloatArray] = field(default_factory=dict)
    full: tuple[str, ...] = ()

    @property
    def to_value(self) -> float:
        """State units to values of a Fixed."""
        return float(2.0**-self.profile.conventions.state_frac)

    def run(self, *, per_channel: bool) -> Scale:
        """The best gain, then the best gain of each channel if asked for and possible."""
        filled = [item for item in self.loads if item.name in self.full]
        if filled:
            return self._filled(filled)
        best = self._best(self._candidates())
        best = self._best([best, *(best * factor for factor in FINE)])
        unit = best * self.pattern
        exponents = {item.name: self._exponent(item, unit) for item in self.loads}
        if per_channel and self.group.channelwise and self.profile.per_channel and self.cells:
            unit = self._channels(float(best), exponents)
        return self._tried(Scale(unit, exponents, {item.name: item.signed for item in self.loads}))

    def _filled(self, items: list[Load]) -> Scale:
        """The largest gain at which the first of these weights fill their format and no weight of the group clips."""
        low, high = self.profile.exponents
        ceiling = self._ceiling() * (1 + 1e-12)
        allowed = [self._ceiling()]
        for exponent in range(low, high + 1):
            fmt = self.profile.weight_format(self.bits, exponent, signed=items[0].signed)
            gain = float(items[0].fit(fmt, self.pattern, per_channel=False)) / self.to_value
            if gain <= ceiling and all(self._least(item, gain * self.pattern) <= high for item in self.loads):
                allowed[:] = [gain]
        unit = allowed[0] * self.pattern
        exponents = {item.name: self._exponent(item, unit) for item in self.loads}
        exponents |= {item.name: min(max(self._least(item, unit), low), high) for item in items}
        return Scale(unit, exponents, {item.name: item.signed for item in self.loads})

    def _least(self, item: Load, unit: FloatArray) -> int:
        """The smallest exponent at which none of these weights clips; it may be out of range."""
        low = self.profile.exponents[0]
        base = self.profile.weight_format(self.bits, low, signed=item.signed)
        fit = float(item.fit(base, unit, per_channel=False)) / self.to_value
        return low if math.isinf(fit) else low + math.ceil(-math.log2(fit) - 1e-9)

    def _tried(self, scale: Scale) -> Scale:
        """The best multiple of the gain on recorded spikes, or the gain itself if none is clearly better."""
        start = self._wrong(scale)
        if not start:
            return scale
        best, fewest = scale, start - 2 * math.sqrt(start)
        for factor in MULTIPLES:
            other = self._multiple(scale, factor)
            count = None if other is None else self._wrong(other)
            if other is not None and count is not None and count < fewest:
                best, fewest = other, count
        return best

    def _multiple(self, scale: Scale, factor: float) -> Scale | None:
        """The scale times a factor, all exponents lowered together until the registers hold it; None if they do not."""
        unit, exponents = scale.unit * factor, dict(scale.exponents)
        while np.any(unit > self.limit * (1 + 1e-12)):
            if not exponents or min(exponents.values()) <= self.profile.exponents[0]:
                return None
            unit, exponents = unit / 2, {name: e - 1 for name, e in exponents.items()}
        return Scale(unit, exponents, scale.signed)

    def _wrong(self, scale: Scale) -> int | None:
        """Wrong spikes of the group on recorded spikes, or None if it cannot be run on them."""
        if self.forced is None or not self.cells:
            return None
        gain = scale.unit * self.to_value
        nodes: dict[str, Node] = {}
        for item in self.loads:
            node = self.forced.graph[item.name]
            assert isinstance(node, Weighted)
            fmt = self.profile.weight_format(self.bits, scale.exponents[item.name], signed=item.signed)
            weight = to_fixed(item.weight * item.shaped(gain), fmt).to_float() / item.shaped(gain)
            nodes[item.name] = replace(node, weight=weight)
        for found in self.cells:
            node = found.node
            column = gain.reshape(-1, *(1,) * (len(node.shape) - 1)) if gain.ndim else gain
            threshold = to_fixed(np.asarray(node.threshold) * column, self.profile.threshold).to_float() / column
            nodes[node.name] = replace(node, threshold=threshold)
        return self.forced.wrong(self.group.neurons, nodes)

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
                    found += [*steps, *(fit * factor for factor in FACTORS)]
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
        each = [by_channel(c.node, np.asarray(c.node.threshold), np.min) for c in self.cells]
        if not self.group.channelwise:
            return np.asarray(min(float(e.min()) for e in each) ** -2.0)
        return np.asarray(np.min(np.stack(each), axis=0) ** -2.0)

    def _exponent(self, item: Load, unit: FloatArray) -> int:
        """The exponent with the smallest error among the one that just fits and two below it (some weights clip)."""
        low, high = self.profile.exponents
        fits = self._least(item, unit)
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
            tried += [fit * factor for factor in FACTORS]
        tried = [np.minimum(unit, self.limit) for unit in tried]
        scores = np.stack([np.broadcast_to(self._score(unit, exponents), (size,)) for unit in tried])
        return np.asarray(np.stack(tried)[np.argmin(scores, axis=0), np.arange(size)])


def _cell_error(found: Cell, unit: FloatArray, profile: ShiftProfile, to_value: float) -> FloatArray:
    """Squared relative error of the threshold plus that of the drift of the bias, per channel (C,)."""
    node = found.node
    gain = unit * to_value
    threshold = by_channel(node, np.asarray(node.threshold), np.min)
    off = to_fixed(threshold * gain, profile.threshold).to_float() / gain - threshold
    bias = by_channel(node, np.asarray(node.bias), np.max)
    raw = np.abs(np.ldexp(bias * gain, profile.bias.frac))
    top = min(profile.bias.maximum, -profile.bias.minimum or profile.bias.maximum)
    shift = np.clip(np.ceil(np.log2(np.maximum(raw.max(), 1.0) / top)), *profile.bias_exponents)
    step = 2.0 ** (shift - profile.bias.frac)
    shaky = np.rint(bias * gain / step) * step / gain - bias
    return np.asarray((off**2 + (shaky * found.drift) ** 2) / threshold**2)


def search(
    graph: Graph,
    found: Iterable[Group],
    calibration: Calibration,
    options: QuantizeOptions,
    profile: ShiftProfile,
    hosted: Mapping[str, str] = MappingProxyType({}),
) -> dict[Group, Scale]:
    """The gain of every group; weights that are ``hosted`` (with the population behind them) have any format."""
    spikes = calibration.trace.spikes
    known = signals(graph, rates(graph, spikes), spikes)
    span = ranges(graph)
    forced = Forced.of(graph, calibration)
    bits = profile.width(options.weight_bits)
    full = tuple(name for name, _ in options.grows)
    scales: dict[Group, Scale] = {}
    for group in found:
        loads = tuple(
            load(n, graph, known, profile)
            for n in map(graph.__getitem__, group.weights)
            if isinstance(n, Weighted) and n.name not in hosted
        )
        neurons = [n for n in map(graph.__getitem__, group.neurons) if isinstance(n, Neuron)]
        cells = tuple(cell(node, calibration, span, profile.safety) for node in neurons)
        one = pattern(group, profile, cells)
        limit = limits(group, profile, loads, cells, hosted.values())
        found_scale = Search(group, profile, bits, loads, cells, one, limit, forced, full=full)
        scales[group] = found_scale.run(per_channel=options.per_channel)
    return scales
