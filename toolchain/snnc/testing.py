"""Conformance: what every back end must show, ours like a stranger's.

A back end's package holds one test class::

    class TestMine(Conformance):
        backend = "mine"
        unsupported = {"soft_reset*": "the chip resets to zero"}

Each case is a small float network with random weights. It is prepared, quantized and lowered for every target of
the back end and must run bit for bit like the reference under the target's conventions. A case that matches
``unsupported`` must be refused; one that is listed and runs is a stale entry and fails. A pattern ``chip/soft_reset*``
speaks of one target only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from snnc.backend import Backend, Registry, discover
from snnc.compare import Comparison, compare
from snnc.errors import NotEquivalentError, UnsupportedError
from snnc.ir import Add, Affine, Conv, Edge, Flatten, FloatArray, Graph, Input, Neuron, Node, Pool, Readout
from snnc.ladder import EVERYTHING
from snnc.passes import DEFAULT
from snnc.passes.base import run_passes
from snnc.quantize.base import QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.target import Target, demand

SAMPLES, STEPS = 3, 14


@dataclass(frozen=True, eq=False)
class Case:
    """A named float network and the shape of its input."""

    name: str
    graph: Graph


def _chain(*nodes: Node, extra: Iterable[Edge] = (), more: Iterable[Node] = ()) -> Graph:
    """Nodes in a row, ended by a readout."""
    row = (*nodes, Readout("output"))
    edges = [Edge(a.name, b.name) for a, b in pairwise(row)]
    return Graph((*row, *more), (*edges, *extra))


def _weights(rng: np.random.Generator, *shape: int) -> FloatArray:
    fan_in = int(np.prod(shape[1:]))
    return np.asarray(rng.normal(0.25, 0.8, shape) / np.sqrt(0.3 * fan_in))


def _lif(name: str, *shape: int, **fields: object) -> Neuron:
    return Neuron(name, shape, **{"decay_v": 0.875, "reset_v": "zero", **fields})  # type: ignore[arg-type]


def cases() -> tuple[Case, ...]:
    """Every network of the suite; the same ones in every call."""
    rng = np.random.default_rng(2)
    x, image = Input("input", (12,)), Input("input", (2, 6, 6))
    fc1, fc2 = Affine("fc1", _weights(rng, 16, 12)), Affine("fc2", _weights(rng, 5, 16))
    biased = Affine("fc1", _weights(rng, 16, 12), rng.normal(0, 0.1, 16))
    rec = Affine("rec", _weights(rng, 16, 16) * 0.4)
    loop = (Edge("lif1", "rec", 1), Edge("rec", "lif1"))
    conv = Conv("conv", _weights(rng, 3, 2, 3, 3), None, (1, 1), (1, 1), (1, 1))
    strided = Conv("conv", _weights(rng, 4, 1, 3, 3), None, (2, 2), (1, 1), (1, 1), 2)
    pool = Pool("pool", "avg")
    flat, head = Flatten("flat"), Affine("fc2", _weights(rng, 5, 27))
    skip = Affine("skip", _weights(rng, 5, 12))
    values, picture = Input("input", (12,), "direct"), Input("input", (2, 6, 6), "direct")
    graphs = {
        "dense": _chain(x, fc1, _lif("lif1", 16), fc2, _lif("lif2", 5)),
        "dense_ge": _chain(x, fc1, _lif("lif1", 16, fires="ge"), fc2, _lif("lif2", 5, fires="gt")),
        "bias": _chain(x, biased, _lif("lif1", 16), fc2, _lif("lif2", 5)),
        "cuba": _chain(x, fc1, _lif("lif1", 16, decay_u=0.75), fc2, _lif("lif2", 5, decay_u=0.5)),
        "cuba_bias": _chain(x, biased, _lif("lif1", 16, decay_u=0.75), fc2, _lif("lif2", 5)),
        "recurrent": _chain(x, fc1, _lif("lif1", 16), fc2, _lif("lif2", 5), extra=loop, more=(rec,)),
        "conv": _chain(image, conv, _lif("lif1", 3, 6, 6), pool, flat, head, _lif("lif2", 5)),
        "strided_grouped_conv": _chain(
            image, strided, _lif("lif1", 4, 3, 3), Flatten("flat"), Affine("fc2", _weights(rng, 5, 36)), _lif("lif2", 5)
        ),
        "skip": _chain(
            x, fc1, _lif("lif1", 16), fc2, _lif("lif2", 5), extra=(Edge("input", "skip"), Edge("skip", "lif2")),
            more=(skip,),
        ),
        "add": Graph(
            (x, fc1, Affine("fc1b", _weights(rng, 16, 12)), Add("add"), _lif("lif1", 16), Readout("output")),
            (Edge("input", "fc1"), Edge("input", "fc1b"), Edge("fc1", "add"), Edge("fc1b", "add"),
             Edge("add", "lif1"), Edge("lif1", "output")),
        ),
        "soft_reset": _chain(x, fc1, _lif("lif1", 16, reset_v="subtract")),
        "delayed_reset": _chain(x, fc1, _lif("lif1", 16, reset_delay=1)),
        "max_pool": _chain(
            image, Pool("pool", "max"), Flatten("flat"), Affine("fc2", _weights(rng, 5, 18)), _lif("lif2", 5)
        ),
        "refractory": _chain(x, fc1, _lif("lif1", 16, refractory=2)),
        "reset_u": _chain(x, fc1, _lif("lif1", 16, decay_u=0.5, reset_u=True)),
        "non_leaky": _chain(x, fc1, _lif("lif1", 16, decay_v=1.0)),
        "reset_value": _chain(x, fc1, _lif("lif1", 16, reset_v="value", v_reset=-0.25)),
        "direct": _chain(values, biased, _lif("lif1", 16), fc2, _lif("lif2", 5)),
        "direct_conv": _chain(picture, conv, _lif("lif1", 3, 6, 6), pool, flat, head, _lif("lif2", 5)),
    }  # fmt: skip
    return tuple(Case(name, graph) for name, graph in graphs.items())


def trial(case: Case, backend: Backend, target: Target, registry: Registry) -> Comparison:
    """Takes a case down the corridor and compares every spike and state with the reference.

    Raises:
        UnsupportedError: the target refuses the case.
    """
    reference = registry.reference
    rng = np.random.default_rng(5)
    spikes = _played(rng, case.graph.inputs[0])
    graph, _ = run_passes(case.graph, (*DEFAULT, *target.prepare))
    demand(graph, target)
    quantized = target.quantize(graph, calibrate(graph, spikes, reference.execute), QuantizeOptions())
    program = backend.lower(quantized.graph, target)
    return compare(reference.execute(quantized.graph, spikes, EVERYTHING), backend.run(program, spikes, EVERYTHING))


def _played(rng: np.random.Generator, source: Input) -> npt.NDArray[Any]:
    """Spikes, or values that stay the same for a whole sample."""
    if source.encoding == "direct":
        return np.repeat(rng.uniform(0, 0.7, (SAMPLES, 1, *source.shape)), STEPS, axis=1)
    return (rng.random((SAMPLES, STEPS, *source.shape)) < 0.35).astype(np.int8)


class Conformance:
    """Inherit, name the back end, and list what it refuses with the reason."""

    backend: ClassVar[str] = ""
    unsupported: ClassVar[dict[str, str]] = {}

    def test_conformance(self) -> None:
        """Every case on every target: bit-exact, or refused as announced."""
        registry = discover()
        backend = registry.backend(self.backend)
        faults: list[str] = []
        for target in backend.targets:
            for case in cases():
                faults += self._judge(case, backend, target, registry)
        if faults:
            raise NotEquivalentError("\n".join((f"{self.backend} does not conform:", *faults)))

    def _judge(self, case: Case, backend: Backend, target: Target, registry: Registry) -> list[str]:
        where = f"{target.name}/{case.name}"
        matching = (why for key, why in self.unsupported.items() if fnmatch(case.name, key) or fnmatch(where, key))
        reason = next(matching, None)
        try:
            found = trial(case, backend, target, registry)
        except UnsupportedError as error:
            return [] if reason else [f"{where}: refused without an entry in unsupported: {error}"]
        if reason:
            return [f"{where}: listed as unsupported ({reason}) but runs: remove the entry"]
        if not found.equal:
            return [f"{where}: {found.text}"]
        silent = [layer.population for layer in found.layers if layer.spikes.compared == 0]
        return [f"{where}: {name} was not compared" for name in silent]
