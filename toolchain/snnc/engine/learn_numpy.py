"""The learning engine's steps in NumPy, for machines without compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from snnc.engine.learn_tables import ACCUMULATOR, BYTE, FRACTION, LEAST_TAG, PAYLOADS, WHOLE, Bounds, Recipe
from snnc.ir.products import Factor, Product

Array = npt.NDArray[Any]
TRACE_MAX = 127
X0, Y0 = "x0", "y0"


@dataclass(eq=False)
class Memory:
    """What synapses keep between steps. The arrays stay where they are; pre-synaptic neurons come first.

    Attributes:
        w: int16 [pre, post], weights.
        t: int16 [pre, post], tags.
        d: int16 [pre, post], delays.
        x: int16 [2, pre].
        y: int16 [3, post].
        last_pre: int16 [pre], step 1..T of the last spike in the running epoch, 0 if there was none.
        last_post: int16 [post].
        wide: some weight or tag is where even a learning phase without events changes it.
    """

    w: Array
    t: Array
    d: Array
    x: Array
    y: Array
    last_pre: Array
    last_post: Array
    wide: bool = True


class Now(NamedTuple):
    """What a step needs to know.

    Attributes:
        place: 1..T, where in the epoch it lies.
        early: random number for impulses of y in this step.
        ends: the epoch ends with it, and the rest is there.
        faces: random numbers of the four streams.
        threshold: fractions above it round up.
        counted: events uK count.
    """

    place: int
    early: int
    ends: bool
    faces: Sequence[int] = ()
    threshold: int = 0
    counted: bool = False


def send(memory: Memory, pre: Array) -> Array:
    """``weights @ pre``, int64 [post]: only neurons that spike are looked at."""
    active = np.flatnonzero(pre)
    if not active.size:
        return np.zeros(memory.w.shape[1], dtype=np.int64)
    rows, values = memory.w[active], pre[active]
    if (values == 1).all():
        return np.asarray(rows.sum(axis=0, dtype=np.int64))
    return np.asarray(values.astype(np.int64) @ rows.astype(np.int64))


def step(memory: Memory, recipe: Recipe, now: Now, pre: Array, post: Array) -> Array:
    """One step; see :class:`snnc.engine.learn_core.RuleSynapses`."""
    sent = send(memory, pre)
    _arrive(memory, recipe, now, pre)
    fired = post != 0
    again = fired & (memory.last_post > 0)
    if again.any() and not recipe.rule.third_factors:
        rise = recipe.whole[2:] + (now.early < recipe.part[2:])
        memory.y[:, again] = np.clip(memory.y[:, again] + rise[:, np.newaxis], 0, TRACE_MAX)
    memory.last_post[fired] = now.place
    if now.ends:
        learn(memory, recipe, now)
    return sent


def _arrive(memory: Memory, recipe: Recipe, now: Now, pre: Array) -> None:
    event = pre != 0
    payload = recipe.rule.payload
    first = 0
    if payload != PAYLOADS[0]:
        first, event = 1, _loaded(memory.x[0], pre, event, payload)
    again = event & (memory.last_pre > 0)
    if again.any():
        for k in range(first, 2):
            memory.x[k, again] = np.minimum(memory.x[k, again] + recipe.kicks[k], TRACE_MAX)
    memory.last_pre[event] = now.place


def _loaded(x1: Array, pre: Array, event: Array, payload: str) -> Array:
    """Half of a value (halves to even) replaces x1 or is added to it; returns which spikes are events."""
    values = pre.astype(np.int64)
    half = values >> 1
    half = (half + (values & half & 1)) & (BYTE - 1)
    if payload == "overwrite":
        x1[event] = half[event]
        return event
    total = (x1 + half) & (BYTE - 1)
    passed = total > TRACE_MAX
    if payload == "add_saturate":
        x1[:] = np.minimum(total, TRACE_MAX)
        return event
    x1[:] = np.where(passed, total - TRACE_MAX, total)
    return np.asarray(event & passed)


@dataclass(frozen=True, eq=False)
class Phase:
    """What a learning phase reads; x is [T + 1, 2, pre] and y [T + 1, 3, post], row k after step k of the epoch."""

    memory: Memory
    recipe: Recipe
    now: Now
    x: Array
    y: Array


def learn(memory: Memory, recipe: Recipe, now: Now) -> None:
    """The learning phase at the end of an epoch."""
    rule = recipe.rule
    table = recipe.decays((now.faces[0], now.faces[2]))
    rise = recipe.whole + (np.array([now.faces[1]] * 2 + [now.faces[3]] * 3) < recipe.part)
    x = _history(memory.x, memory.last_pre, table[:2], rise[:2], rule.t_epoch)
    y = _history(memory.y, memory.last_post, table[2:], rise[2:], rule.t_epoch)
    phase = Phase(memory, recipe, now, x, y)
    pre, post = np.arange(memory.last_pre.size), np.arange(memory.last_post.size)
    if memory.wide or now.counted or rule.dd:
        memory.wide = _update(phase, pre, post)
    else:
        memory.wide = _events(phase, pre, post)
    memory.x[:] = x[-1]
    if not rule.third_factors:
        memory.y[:] = y[-1]
    memory.last_pre[:] = 0
    memory.last_post[:] = 0


def _events(phase: Phase, pre: Array, post: Array) -> bool:
    """Changes the synapses that an event reaches: all of a neuron that spiked, the others' of one behind them."""
    spiked = phase.memory.last_pre > 0
    fired = np.flatnonzero(phase.memory.last_post)
    depends, wide, rest = phase.recipe.depends, False, pre
    if X0 in depends:
        # The two blocks have no synapse in common: the second one reads what was there before the first one wrote.
        wide, rest = _update(phase, np.flatnonzero(spiked), post), np.flatnonzero(~spiked)
    if Y0 in depends:
        wide |= _update(phase, rest, fired)
    return wide


def _history(start: Array, last: Array, table: Array, rise: Array, steps: int) -> Array:
    """Values of one side's traces through an epoch, int16 [steps + 1, traces, n]; row k is after step k."""
    rows = np.empty((steps + 1, *start.shape), dtype=np.int16)
    rows[0] = start
    hits = np.bincount(last, minlength=steps + 1)
    for k in range(1, steps + 1):
        for trace in range(len(start)):
            np.take(table[trace], rows[k - 1, trace], out=rows[k, trace], mode="wrap")
        if hits[k]:
            at = np.flatnonzero(last == k)
            rows[k][:, at] = np.clip(rows[k][:, at] + rise[:, np.newaxis], 0, TRACE_MAX)
    return rows


def _update(phase: Phase, rows: Array, columns: Array) -> bool:
    """Changes a block of synapses; True if a tag was left where silence changes it."""
    if not rows.size or not columns.size:
        return False
    memory = phase.memory
    homes = {"w": memory.w, "t": memory.t, "d": memory.d}
    # Whole rows are copied faster than a grid of places.
    part = rows if columns.size == memory.w.shape[1] else np.ix_(rows, columns)
    values = {name: homes[name][part].astype(np.int32) for name in phase.recipe.synaptic}
    block = Block(phase, rows, columns, values)
    new: dict[str, Array] = {}
    for name, products, bounds in zip("wtd", phase.recipe.sums, phase.recipe.bounds, strict=True):
        if products:
            new[name] = _summed(block, values[name], products, bounds)
    for name, found in new.items():
        homes[name][part] = found
    return "t" in new and bool((new["t"] < LEAST_TAG).any())


def _summed(block: Block, value: Array, products: tuple[Product, ...], bounds: Bounds) -> Array:
    """A new variable, int32 [rows, columns]: products in 32-bit registers, the sum clipped after each of them."""
    total = value << FRACTION
    for product in products:
        part = block.product(product)
        part >>= product.shift
        part <<= product.exponent + FRACTION
        total += _clipped(part, *ACCUMULATOR)
        _clipped(total, *ACCUMULATOR)
    _clipped(total, bounds.low_part, bounds.high_part)
    total += WHOLE - 1 - block.phase.now.threshold
    total >>= FRACTION
    return _clipped(total, bounds.low, bounds.high)


def _clipped(values: Array, low: int, high: int) -> Array:
    """Clips in place: for small arrays far less work than ``np.clip``."""
    np.maximum(values, low, out=values)
    return np.asarray(np.minimum(values, high, out=values))


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows (pre-synaptic neurons) and columns of the synapses, with their variables w, t and d."""

    phase: Phase
    rows: Array
    columns: Array
    values: dict[str, Array]

    def product(self, product: Product) -> Array:
        """Mantissa, event and factors multiplied in 32 bits, [rows, columns]; the order of factors does not matter."""
        part = np.full((1, 1), product.mantissa, dtype=np.int32) * self._event(product.dependency)
        for factor in product.factors:
            part = part * self._read(factor, product.dependency)
        return part

    def _event(self, name: str) -> Array:
        if name == X0:
            return (self.phase.memory.last_pre[self.rows] > 0).astype(np.int32)[:, np.newaxis]
        if name == Y0:
            return (self.phase.memory.last_post[self.columns] > 0).astype(np.int32)[np.newaxis, :]
        return np.full((1, 1), self.phase.now.counted, dtype=np.int32)

    def _read(self, factor: Factor, dependency: str) -> Array:
        name = factor.variable
        if name in self.values:
            read = self.values[name] + factor.constant
        elif name in (X0, Y0):
            read = self._event(name) + factor.constant
        else:
            read = self._trace(name, dependency).astype(np.int32)
            read += factor.constant
        read = np.sign(read) if factor.sign else read
        return _clipped(read, -(1 << factor.width), (1 << factor.width) - 1)

    def _trace(self, name: str, dependency: str) -> Array:
        """A trace at the time of the event: in the step of the last spike, or at the end of the epoch."""
        memory, pre = self.phase.memory, name[0] == "x"
        history = (self.phase.x if pre else self.phase.y)[:, int(name[1]) - 1]
        own = self.rows if pre else self.columns
        if dependency == "u":
            found = history[-1, own]
        elif (dependency == X0) is pre:
            found = history[(memory.last_pre if pre else memory.last_post)[own], own]
        else:
            rows = history[memory.last_post[self.columns] if pre else memory.last_pre[self.rows]]
            rows = rows if own.size == rows.shape[1] else rows[:, own]
            return np.asarray(rows.T if pre else rows)
        return np.asarray(found[:, np.newaxis] if pre else found[np.newaxis, :])
