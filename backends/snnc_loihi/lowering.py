"""FixedGraph -> Plan: which Lava processes with which integers. Everything is checked before anything runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Add, Affine, Concat, Conv, Delay, Fixed, FixedGraph, Flatten, Identity, Input, Neuron, Pool, Readout
from snnc_loihi import grid
from snnc_loihi.host import host_of, is_hosted, stray_values
from snnc_loihi.neurons import population
from snnc_loihi.neurons2 import programmed
from snnc_loihi.paths import Path, compose, paths_into, weighted
from snnc_loihi.plan import Host, Kind, Plan, Population, Source, Synapses, Window
from snnc_loihi.windows import is_exact, is_faster, kernel_of, window_of

MAX_DELAY = 62


def plan_of(graph: FixedGraph, target: str = "") -> Plan:
    """The processes of the graph.

    Args:
        graph: integers.
        target: ``loihi1`` or ``loihi2``; empty takes the one that they were made for.

    Raises:
        UnsupportedError: with every reason for which Loihi (or Lava's model of it) cannot hold these integers.
    """
    target = target or graph.target
    found = list(_node_violations(graph))
    populations: list[Population] = []
    synapses: list[Synapses] = []
    hosts: list[Host] = []
    for node in graph.neurons:
        build = programmed if target == "loihi2" else population
        built, broken = build(node, graph.latency.get(node.name, 0))
        found += broken
        if built is not None:
            populations.append(built)
    if not found:
        for path in (p for node in graph.neurons for p in paths_into(graph, node.name)):
            one, broken = host_of(graph, path, target) if is_hosted(graph, path) else _synapses(graph, path)
            found += broken
            if isinstance(one, Host):
                hosts.append(one)
            elif one is not None:
                synapses.append(one)
    found += _shared(hosts)
    if found:
        raise UnsupportedError(f"these integers do not run on {target}", violations=tuple(found))
    sources = tuple(
        Source(node.name, node.shape, graph.latency.get(node.name, 0), node.encoding == "constant")
        for node in graph.nodes
        if isinstance(node, Input) and node.encoding != "direct"
    )
    exponents = {host.path.target: host.exponent for host in hosts}
    cells = tuple(replace(p, bias_exp=exponents.get(p.name, p.bias_exp)) for p in populations)
    return Plan(sources, cells, tuple(_named(synapses)), graph.depth, tuple(hosts))


def _shared(hosts: list[Host]) -> list[Violation]:
    count = Counter(host.path.target for host in hosts)
    fix = "Join the weights."
    return [Violation(name, "bias", f"{n} sums of the host", "one", fix) for name, n in count.items() if n > 1]


def _node_violations(graph: FixedGraph) -> list[Violation]:
    known = (Input, Identity, Affine, Conv, Pool, Add, Concat, Flatten, Delay, Neuron, Readout)
    found = []
    for node in graph.nodes:
        if not isinstance(node, known):
            found.append(Violation(node.name, "node type", node.kind, "a sum of weighted spikes into a neuron"))
        elif isinstance(node, Pool) and node.pooling != "sum":
            found.append(Violation(node.name, "pooling", node.pooling, "sum"))
        elif isinstance(node, (Affine, Conv)) and _is_biased(node):
            fix = "Move it to the neurons (pass move-bias) or carry it by a constant input (pass bias-to-source)."
            found.append(Violation(node.name, "bias", "on the weights", "on the neurons", fix))
    return found


def _is_biased(node: Affine | Conv) -> bool:
    return node.host is None and isinstance(node.bias, Fixed) and bool(np.any(node.bias.raw))


def _synapses(graph: FixedGraph, path: Path) -> tuple[Synapses | None, tuple[Violation, ...]]:
    """The connection process of one path, or why it is none."""
    broken = stray_values(graph, path) or _path_violation(graph, path)
    if broken is not None:
        return None, (broken,)
    node = weighted(graph, path)[0]
    weight = node.weight
    assert isinstance(weight, Fixed)
    at_once = path.delay == 1 or isinstance(graph[path.source], Input)
    window = _window(graph, path, node, weight) if at_once else None
    kind: Kind = "dense" if at_once else "delay"
    if window is not None:
        kind, matrix, shift = "conv", kernel_of(weight.raw), graph.conventions.state_frac - weight.format.frac
    else:
        matrix, shift = compose(graph, path)
    code = grid.encode(matrix, shift, bits=weight.format.bits, signed=weight.format.signed)
    if code is None:
        allowed = "-256 to 254 in steps of 2 (0 to 255 in steps of 1), times one power of two up to 2**7"
        fix = "Pooling windows that overlap add weights up; use fewer weight bits or windows that do not overlap."
        found = grid.describe(matrix, shift)
        name = f"weights from {path.source} to {path.target}"
        return None, (Violation(node.name, name, found, allowed, fix),)
    lag = path.delay - graph.latency.get(path.target, 0) + graph.latency.get(path.source, 0)
    made = Synapses(
        node.name, path.source, path.target, kind, path.delay, lag, code.w, code.exponent, code.bits, code.mixed, window
    )
    return made, ()


def _path_violation(graph: FixedGraph, path: Path) -> Violation | None:
    names = [node.name for node in weighted(graph, path)]
    if len(names) != 1:
        fix = "Put one Linear or Conv between two layers of neurons."
        found = ", ".join(names) or "none"
        return Violation(path.target, f"weights from {path.source}", found, "exactly one weighted layer", fix)
    if path.delay - 1 > MAX_DELAY and not isinstance(graph[path.source], Input):
        fix = "Relay the spikes through further neurons."
        return Violation(path.target, "delay", f"{path.delay - 1} from {path.source}", f"at most {MAX_DELAY}", fix)
    return None


def _window(graph: FixedGraph, path: Path, node: Affine | Conv, weight: Fixed) -> Window | None:
    """The geometry, if the path is a convolution and nothing else, and Lava's Conv is exact and faster."""
    if not isinstance(node, Conv):
        return None
    if not all(isinstance(graph[name], (Conv, Identity, Add, Delay)) for name, _ in path.hops):
        return None
    window = window_of(node, graph.shapes[path.source], graph.shapes[node.name])
    return window if is_exact(node, weight) and is_faster(window) else None


def _named(synapses: list[Synapses]) -> list[Synapses]:
    """Unique names: of the weighted layer alone if it is on one path, else with source and a number."""
    count = Counter(s.name for s in synapses)
    seen: Counter[str] = Counter()
    named = []
    for one in synapses:
        name = one.name if count[one.name] == 1 else f"{one.name}@{one.source}>{one.target}"
        seen[name] += 1
        named.append(replace(one, name=name if seen[name] == 1 else f"{name}#{seen[name]}"))
    return named
