"""Plans executed by loops over Python's integers, and small plans to execute. Shares nothing with the engine."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from snnc.engine.plan import Bound, Convolution, Dense, Group, Plan, Population, Way
from snnc.ir import Conventions

LOIHI = Conventions(state_bits=24, current_overflow="wrap_once", membrane_overflow="saturate_symmetric")
SPINNAKER = Conventions(
    hop_delay=1, membrane="closed_form", synapse="split", accumulator_bits=16, accumulator_overflow="saturate",
    state_frac=15, current_overflow="wrap", membrane_overflow="wrap", decay_rounding="floor", aligned_start=False,
)  # fmt: skip
OPTIONS = {
    "fires": "gt", "reset_v": "zero", "reset_delay": 0, "reset_u": False, "refractory": 0, "output": "binary",
    "decay_u_frac": 12, "decay_v_frac": 12,
}  # fmt: skip
Faults = frozenset[str]


def links(op: Any, n_in: int) -> list[list[tuple[int, int]]]:
    """For each sending neuron its (target, weight)."""
    if isinstance(op, Dense):
        return [[(o, int(op.weight[o, i])) for o in range(len(op.weight))] for i in range(n_in)]
    if not isinstance(op, Convolution):
        return [
            [(int(op.index[k]), int(op.value[k])) for k in range(int(op.start[i]), int(op.start[i + 1]))]
            for i in range(n_in)
        ]
    outs, per_in, height, width = op.weight.shape
    high, wide = op.given[1:]
    per_out = outs // op.groups
    found: list[list[tuple[int, int]]] = []
    for place in op.place.tolist():
        found.append([])
        if place < 0:
            continue
        c, y, x = place // (high * wide), place // wide % high, place % wide
        for o, oy, ox in product(*(range(n) for n in op.made)):
            ky, kx = y + op.padding[0] - oy * op.stride[0], x + op.padding[1] - ox * op.stride[1]
            inside = 0 <= ky < height * op.dilation[0] and 0 <= kx < width * op.dilation[1]
            if inside and ky % op.dilation[0] == 0 and kx % op.dilation[1] == 0 and o // per_out == c // per_in:
                w = op.weight[o, c % per_in, ky // op.dilation[0], kx // op.dilation[1]]
                found[-1].append(((oy * op.made[2] + ox) * outs + o, int(w)))
    return found


def wrap(x: int, bits: int) -> int:
    return (x + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def overflow(x: int, bits: int, policy: str | None) -> int:
    top = (1 << (bits - 1)) - 1
    if policy == "wrap":
        return wrap(x, bits)
    if policy == "wrap_once":
        x = x - (1 << bits) if x > top + 1 else x
        return x + (1 << bits) if x <= -top - 1 else x
    if policy == "saturate":
        return min(max(x, -top - 1), top)
    if policy == "saturate_symmetric":
        return min(max(x, -top), top)
    return x


def shifted(x: int, bits: int, rounding: str) -> int:
    if rounding == "floor" or bits == 0:
        return x >> bits
    if rounding == "toward_zero":
        return (abs(x) >> bits) * (1 if x >= 0 else -1)
    whole, rest = x >> bits, x % (1 << bits)
    return whole + int(2 * rest > 1 << bits or (2 * rest == 1 << bits and whole % 2 == 1))


class Neuron:
    """One neuron; ``faults`` name steps that are done wrong on purpose."""

    def __init__(self, plan: Plan, p: Population, index: int, faults: Faults) -> None:
        self.c, self.o, self.p, self.faults = plan.conventions, p.options, p, faults
        self.q = {k: int(v if np.ndim(v) == 0 else v[index]) for k, v in p.params.items()}
        self.restart()

    def restart(self) -> None:
        self.u = self.s = self.hold = self.exc = self.inh = 0
        self.v = self.q["v_init"]

    def limited(self, v: int) -> int:
        low, high = self.c.membrane_minimum, self.c.membrane_maximum
        v = v if low is None else max(v, low)
        return v if high is None else min(v, high)

    def reset(self, v: int, s: int) -> int:
        how = self.o["reset_v"]
        if how == "subtract":
            taken = self.q["threshold"] if s > 0 else self.q["threshold_low"] if s < 0 else 0
            return self.limited(overflow(v - taken, self.c.state_bits, self.c.membrane_overflow))
        to = self.q["v_reset"] if how == "value" else 0
        return v if how == "none" or s == 0 else to

    def fired(self, v: int) -> int:
        strict = (self.o["fires"] == "gt") != ("fires" in self.faults)
        up = v > self.q["threshold"] if strict else v >= self.q["threshold"]
        if self.o["output"] != "ternary":
            return int(up)
        return int(up) - int(v < self.q["threshold_low"] if strict else v <= self.q["threshold_low"])

    def euler(self, x: int, drive: int) -> None:
        c, o, q = self.c, self.o, self.q
        rounding = "floor" if "floor" in self.faults else c.decay_rounding
        policy = "wrap" if "wrap" in self.faults and c.current_overflow == "wrap_once" else c.current_overflow
        x = overflow(x, c.accumulator_bits, c.accumulator_overflow)
        kept = shifted(self.u * q["decay_u"], int(o["decay_u_frac"]), rounding)
        self.u = overflow(wrap(kept + x, c.register_bits), c.state_bits, policy)
        kept = shifted(self.v * q["decay_v"], int(o["decay_v_frac"]), rounding)
        added = self.u + q["bias"] + drive
        if c.drive_overflow is not None:
            added = overflow(added, c.state_bits, c.drive_overflow)
        v = self.limited(overflow(wrap(kept + added, c.register_bits), c.state_bits, c.membrane_overflow))
        held = self.hold > 0
        v = self.v if held else v
        if o["reset_delay"]:
            v = self.reset(v, self.s)
        s = 0 if held else self.fired(v)
        self.v = v if o["reset_delay"] else self.reset(v, s)
        self.u = 0 if o["reset_u"] and s else self.u
        self.hold = int(o["refractory"]) if s else max(self.hold - 1, 0)
        self.s = s

    def closed(self, exc: int, inh: int, shift: int) -> tuple[int, int]:
        c, o, q = self.c, self.o, self.q
        used = []
        for kept, x in ((self.exc, exc), (self.inh, inh)):
            ring = wrap(min(x, (1 << c.accumulator_bits) - 1) << shift, c.state_bits)
            used.append(wrap(kept + (ring * q["gain_u"] >> int(o["gain_u_frac"])), c.state_bits))
        a = wrap(used[0] - used[1] + q["bias"], c.state_bits)
        a = wrap((a * q["gain"] >> c.state_frac) + q["v_rest"], c.state_bits)
        moved = wrap(a - (q["decay_v"] * wrap(a - self.v, c.state_bits) >> c.state_frac), c.state_bits)
        held = self.hold > 0
        v = self.v if held else moved
        self.s = int(v > q["threshold"] if o["fires"] == "gt" else v >= q["threshold"])
        self.v = q["v_reset"] if self.s else v
        self.hold = int(o["refractory"]) if self.s else self.hold - int(held)
        self.exc, self.inh = (wrap(value * q["decay_u"] >> int(o["decay_u_frac"]), c.state_bits) for value in used)
        return used[0], used[1]


class Brute:
    """Runs one sample of a plan after the other; signals and states over windows, in engine order."""

    def __init__(self, plan: Plan, faults: Faults = frozenset()) -> None:
        self.plan, self.faults = plan, faults
        self.links = [
            [links(way.operator, plan.populations[way.source].size) for way in p.ways] for p in plan.populations
        ]

    def run(
        self,
        given: dict[int, Any],
        steps: int,
        forced: dict[int, Any] | None = None,
        extra: dict[int, Any] | None = None,
    ) -> tuple[dict[int, Any], dict[tuple[int, str], Any], dict[int, list[list[int]]]]:
        batch = len(next(iter(given.values())))
        plan, signals, states = self.plan, {}, {}
        closed = plan.conventions.membrane == "closed_form"
        names = ("u_exc", "u_inh", "v") if closed else ("u", "v")
        ranges: dict[int, list[list[int]]] = {}
        for k, p in enumerate(plan.populations):
            signals[k] = np.zeros((batch, steps + p.extra, p.size), dtype=np.int64)
            if k in given:
                signals[k][:] = given[k]
            elif p.kind == "neuron":
                states |= {(k, name): np.zeros(signals[k].shape, dtype=np.int64) for name in names}
        for b in range(batch):
            self._sample(b, steps, signals, states, forced or {}, extra or {}, ranges)
        return signals, states, ranges

    def _sample(self, b: int, steps: int, signals: Any, states: Any, forced: Any, extra: Any, ranges: Any) -> None:
        plan = self.plan
        run = [k for k, p in enumerate(plan.populations) if p.kind == "neuron" and (k, "v") in states]
        neurons = {
            k: [Neuron(plan, plan.populations[k], i, self.faults) for i in range(plan.populations[k].size)] for k in run
        }
        order = [k for group in plan.groups for k in group.members if k in neurons]
        for step in range(max(p.first + steps + p.extra for p in plan.populations)):
            for k in order:
                p = plan.populations[k]
                t = step - p.first
                if not 0 <= t < steps + p.extra:
                    continue
                if step == p.restart:
                    for neuron in neurons[k]:
                        neuron.restart()
                acc = self._sums(k, b, step, steps, signals, forced)
                for r in range(1 + (plan.conventions.membrane == "closed_form")):
                    seen = ranges.setdefault(k, [[1 << 62, -(1 << 62)], [1 << 62, -(1 << 62)]])[r]
                    seen[0], seen[1] = min(seen[0], *acc[r]), max(seen[1], *acc[r])
                self._advance(k, b, t, acc, neurons[k], signals, states, extra)

    def _sums(self, k: int, b: int, step: int, steps: int, signals: Any, forced: Any) -> list[list[int]]:
        p = self.plan.populations[k]
        acc = [[0] * p.size, [0] * p.size]
        for way, table in zip(p.ways, self.links[k], strict=True):
            source = self.plan.populations[way.source]
            t = step - way.delay - (source.latency if way.source in forced else source.first)
            if source.kind == "constant":
                sent = [int(step - way.delay >= source.latency)] * source.size
            elif way.source in forced:
                sent = forced[way.source][b, t].tolist() if 0 <= t < steps else []
            else:
                sent = signals[way.source][b, t].tolist() if 0 <= t < steps + source.extra else []
            count = 0
            for i, value in enumerate(sent):
                if not value:
                    continue
                count += 1
                for target, weight in table[i]:
                    acc[way.receptor][target] += weight * value
                    if "flush" in self.faults and count > 255:
                        acc[way.receptor][target] = wrap(acc[way.receptor][target], 16)
        return acc

    def _advance(
        self, k: int, b: int, t: int, acc: Any, neurons: list[Neuron], signals: Any, states: Any, extra: Any
    ) -> None:
        p = self.plan.populations[k]
        closed = self.plan.conventions.membrane == "closed_form"
        added = extra.get(k)
        for i, neuron in enumerate(neurons):
            drive = 0 if added is None or added.drive is None else int(added.drive[b, t, i])
            if closed:
                more = (0, 0) if added is None or added.x is None else added.x[b, t, :, i].tolist()
                used = neuron.closed(acc[0][i] + more[0], acc[1][i] + more[1], p.shift)
                states[k, "u_exc"][b, t, i], states[k, "u_inh"][b, t, i] = used
            else:
                more = 0 if added is None or added.x is None else int(added.x[b, t, i])
                neuron.euler((acc[0][i] << p.shift) + more, drive)
                states[k, "u"][b, t, i] = neuron.u
            states[k, "v"][b, t, i] = neuron.v
            signals[k][b, t, i] = neuron.s


def bound(ways: tuple[Way, ...], sources: list[int], neurons: int, receptor: int = 0) -> Bound:
    """What the weights prove, by adding all of them up."""
    low, high = [0] * neurons, [0] * neurons
    for way, n_in in zip(ways, sources, strict=True):
        if way.receptor != receptor:
            continue
        for row in links(way.operator, n_in):
            for target, weight in row:
                low[target] += min(weight, 0)
                high[target] += max(weight, 0)
    peak = max(h - lo for lo, h in zip(low, high, strict=True))
    return Bound(min(low), max(high), peak)


def number(value: Any) -> Any:
    return np.asarray(value, dtype=np.int64)


def source(size: int, **fields: Any) -> Population:
    """An input population."""
    given = {
        "name": "in",
        "kind": "input",
        "shape": (size,),
        "order": None,
        "latency": 0,
        "first": 0,
        "extra": 0,
        "restart": None,
    }
    return Population(**(given | fields))


def neurons(
    size: int, ways: tuple[Way, ...], sources: list[int], params: Any = None, options: Any = None, **fields: Any
) -> Population:
    """A population with proven bounds; params and options beside the usual ones."""
    usual = {
        "decay_u": 3000,
        "decay_v": 3900,
        "bias": 0,
        "threshold": 6400,
        "v_reset": 0,
        "v_init": 0,
        "threshold_low": -6400,
    }
    receptors = 1 + max((way.receptor for way in ways), default=0)
    given = {
        "name": f"n{size}", "kind": "neuron", "shape": (size,), "order": None, "latency": 0, "first": 0, "extra": 0,
        "restart": None, "shift": 6, "ways": ways, "options": OPTIONS | (options or {}),
        "params": {key: number(value) for key, value in (usual | (params or {})).items()},
        "bounds": tuple(bound(ways, sources, size, r) for r in range(receptors)),
    }  # fmt: skip
    return Population(**(given | fields))


def plan(conventions: Conventions, *populations: Population, loops: tuple[tuple[int, ...], ...] = ()) -> Plan:
    """Populations in order; loops name those that wait for each other."""
    groups, inside = [], {k for loop in loops for k in loop}
    for k in range(len(populations)):
        if k not in inside:
            groups.append(Group((k,), False))
        for loop in loops:
            if loop[0] == k:
                groups.append(Group(loop, True))
    return Plan("generic", conventions, "", 0, populations, tuple(groups))
