"""Rung 4, three ways: engine, reference and onnxruntime give the same bits for any network that a file can say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.engine.run import execute
from snnc.formats import onnx_file, onnx_run
from snnc.ir import Conventions, Fixed, FixedGraph
from snnc.trace import Trace
from snnc_reference.execute import execute as define
from unit.engine.engine_nets import ENGINES, EVERYTHING, differing
from unit.formats.onnx_nets import LOIHI, SPLIT, Array, random_network

BLOCKS, EACH = 7, 96
KINDS: dict[str, Conventions | str] = {"random": "random", "loihi": LOIHI, "split": SPLIT}


def network(kind: str, seed: int) -> tuple[FixedGraph, Array]:
    """A random network of a kind and its input."""
    graph, x = random_network(seed, KINDS[kind])  # type: ignore[arg-type]
    assert isinstance(graph, FixedGraph)
    return graph, x


def witness(graph: FixedGraph, x: Array) -> Trace:
    """What onnxruntime, which shares no code with us, makes of the file."""
    return onnx_run.run(onnx_file.write(graph), x)


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", KINDS)
def test_three_executors_give_the_same_bits(kind: str, block: int) -> None:
    """3 x 7 x 96 = 2,016 networks."""
    for seed in range(2000 + block * EACH, 2000 + (block + 1) * EACH):
        graph, x = network(kind, seed)
        want = witness(graph, x)
        assert differing(define(graph, x, EVERYTHING), want) == "", f"seed {seed}, reference"
        for engine in ENGINES:
            assert differing(execute(graph, x, EVERYTHING, engine=engine), want) == "", f"seed {seed}, {engine}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_witness_sees_a_decay_that_is_off_by_one(kind: str) -> None:
    caught = 0
    for seed in range(2000, 2030):
        graph, x = network(kind, seed)
        first = graph.neurons[0]
        assert isinstance(first.decay_v, Fixed)
        lower = Fixed(np.maximum(first.decay_v.raw - 1, 0), first.decay_v.format)
        other = graph.replace_node(replace(first, decay_v=lower))
        caught += differing(execute(other, x, EVERYTHING), witness(graph, x)) != ""
    assert caught >= 10
