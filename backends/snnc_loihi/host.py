"""Analog input on a chip without it: the host computes the first layer and programs it as biases, once per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from snnc.errors import TraceError, UnsupportedError, Violation
from snnc.ir import Fixed, FixedGraph, Input, IntArray, Neuron, to_fixed
from snnc_loihi.microcode import TOP
from snnc_loihi.neurons import BIAS_EXPONENTS, MAX_BIAS
from snnc_loihi.paths import Path, through, weighted
from snnc_loihi.plan import Host, Plan

ENCODE = "Encode the values as spikes"


def is_hosted(graph: FixedGraph, path: Path) -> bool:
    """True if the path's sums are programmed, not sent."""
    return any(node.host is not None for node in weighted(graph, path))


def host_of(graph: FixedGraph, path: Path, target: str) -> tuple[Host | None, tuple[Violation, ...]]:
    """The host's part of a path, or every reason why it is none."""
    found = tuple(_violations(graph, path, target))
    if found:
        return None, found
    node = weighted(graph, path)[0]
    weight, fmt = _fixed(node.weight), _fixed(node.host).format
    shape = graph.shapes[path.target]
    bias = np.zeros(shape[:1], dtype=np.int64)
    if isinstance(node.bias, Fixed):
        bias = node.bias.aligned(weight.format.frac)
    spread = np.broadcast_to(bias.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1)
    return Host(node.name, path, spread, weight.format.frac - fmt.frac, fmt.maximum, -fmt.frac), ()


def _violations(graph: FixedGraph, path: Path, target: str) -> Iterator[Violation]:
    nodes = weighted(graph, path)
    source, cell = graph[path.source], graph[path.target]
    if len(nodes) != 1 or path.hops[-1][0] != nodes[0].name:
        yield Violation(path.target, "host", "other nodes behind the host's weights", "neurons right behind them")
        return
    name = nodes[0].name
    if not isinstance(source, Input) or source.encoding != "direct":
        yield Violation(name, "host", f"spikes of {path.source}", "analog values")
    lag = path.delay - graph.latency.get(path.target, 0) + graph.latency.get(path.source, 0)
    if lag:
        yield Violation(name, "delay", str(lag), "0 for analog values")
    assert isinstance(cell, Neuron)
    if np.any(_fixed(cell.bias).raw):
        yield Violation(cell.name, "bias", "one of its own", "one register, which the host fills")
    fmt = _fixed(nodes[0].host).format
    ends, top = (BIAS_EXPONENTS, MAX_BIAS) if target == "loihi1" else ((0, 23), TOP)
    if not ends[0] <= -fmt.frac <= ends[1]:
        yield Violation(name, "bias exponent", str(-fmt.frac), f"{ends[0]} to {ends[1]}")
    elif fmt.minimum != -fmt.maximum or fmt.maximum << (-fmt.frac if target != "loihi1" else 0) > top:
        yield Violation(name, "bias mantissa", f"{fmt.minimum} to {fmt.maximum}", f"-{top} to {top}")


def stray_values(graph: FixedGraph, path: Path) -> Violation | None:
    """Analog values on a path that the host does not compute."""
    source = graph[path.source]
    if isinstance(source, Input) and source.encoding == "direct" and not is_hosted(graph, path):
        return Violation(source.name, "input", f"analog values into {path.target}", "spikes", ENCODE + ".")
    return None


def integers(graph: FixedGraph, values: npt.NDArray[np.generic]) -> IntArray:
    """Samples [B, T, *shape] as the integers of one step, [B, *shape].

    Raises:
        TraceError: they should be integers and are not.
        UnsupportedError: they change within a sample.
    """
    source = graph.inputs[0]
    unit = source.unit
    if isinstance(unit, Fixed):
        raw = to_fixed(np.asarray(values, dtype=np.float64), unit.format).raw
    elif values.dtype.kind in "iub":
        raw = values.astype(np.int64)
    else:
        raise TraceError(f"{source.name}: values are {values.dtype}, allowed are integers: the input has no unit")
    moving = np.any(raw != raw[:, :1], axis=tuple(range(1, raw.ndim)))
    if np.any(moving):
        found = f"other values within sample {int(np.argmax(moving))}"
        fix = f"{ENCODE}, or hold the values: they are programmed once per sample."
        want = "the same values in every step of a sample"
        raise UnsupportedError.of(Violation(source.name, "values", found, want, fix))
    return raw[:, 0]


def mantissas(host: Host, graph: FixedGraph, x: IntArray) -> IntArray:
    """What the host programs for integers [B, *shape]; [B, size of the population]."""
    sums = through(graph, host.path, x.astype(np.float64)).reshape(len(x), -1).astype(np.int64) + host.bias
    if host.down <= 0:
        found = sums << -host.down
    else:
        found, rest = np.divmod(sums, 1 << host.down)
        half = 1 << (host.down - 1)
        found = found + ((rest > half) | ((rest == half) & (found % 2 == 1)))
    return np.asarray(np.clip(found, -host.top, host.top), dtype=np.int64)


def programs(plan: Plan, graph: FixedGraph, values: npt.NDArray[np.generic]) -> Mapping[str, IntArray]:
    """Population -> bias mantissas [B, size] of samples of analog values."""
    x = integers(graph, values)
    return {host.path.target: mantissas(host, graph, x) for host in plan.hosts}


def _fixed(value: object) -> Fixed:
    assert isinstance(value, Fixed)
    return value
