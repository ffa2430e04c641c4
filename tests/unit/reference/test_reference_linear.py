"""Linear nodes and pools of the reference against torch, in float64 and in integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from snnc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Delay,
    Edge,
    Flatten,
    Graph,
    Identity,
    Input,
    Neuron,
    Node,
    Pool,
    Scale,
)
from snnc.trace import Probes
from snnc_reference import linear
from snnc_reference.execute import execute

Array = npt.NDArray[Any]
RNG = np.random.default_rng(8)


def through(node: Node, x: Array) -> Array:
    """What the node sends into a population for input [B, T, *shape]: the current of a neuron without memory."""
    graph = Graph((Input("in", shape=x.shape[2:], encoding="direct"), node), (Edge("in", node.name),))
    cell = Neuron("n", shape=graph.shapes[node.name], threshold=np.array(1e12))
    graph = Graph((*graph.nodes, cell), (*graph.edges, Edge(node.name, "n")))
    return execute(graph, x, Probes(states="all")).states["n", "u"]


def by_torch(function: Callable[[torch.Tensor], torch.Tensor], x: Array) -> Array:
    flat = torch.from_numpy(x.reshape(-1, *x.shape[2:]))
    y = function(flat).numpy()
    return np.asarray(y.reshape(*x.shape[:2], *y.shape[1:]))


def close(got: Array, want: Array) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_affine() -> None:
    w, b, x = RNG.normal(size=(5, 7)), RNG.normal(size=5), RNG.normal(size=(2, 3, 7))
    want = by_torch(lambda t: F.linear(t, torch.from_numpy(w), torch.from_numpy(b)), x)
    close(through(Affine("x", weight=w, bias=b), x), want)
    close(through(Affine("x", weight=w), x), want - b)


GEOMETRY: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": (2, 3)},
    "padding": {"padding": (1, 2)},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4},
    "all": {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_conv2d(name: str) -> None:
    form = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | GEOMETRY[name]
    w, b = RNG.normal(size=(8, 4 // form["groups"], 3, 2)), RNG.normal(size=8)
    x = RNG.normal(size=(2, 3, 4, 9, 8))
    want = by_torch(lambda t: F.conv2d(t, torch.from_numpy(w), torch.from_numpy(b), **form), x)
    close(through(Conv("x", weight=w, bias=b, **form), x), want)
    flipped = through(Conv("x", weight=w[:, :, ::-1, ::-1], bias=b, **form), x)
    assert not np.allclose(flipped, want)


@pytest.mark.parametrize("form", [{}, {"stride": (2,), "padding": (3,), "dilation": (2,), "groups": 3}])
def test_conv1d(form: dict[str, Any]) -> None:
    form = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1} | form
    w = RNG.normal(size=(6, 3 // form["groups"], 4))
    x = RNG.normal(size=(2, 2, 3, 11))
    want = by_torch(lambda t: F.conv1d(t, torch.from_numpy(w), **form), x)
    close(through(Conv("x", weight=w, **form), x), want)


def test_integer_convolution_is_exact_where_floats_are_not() -> None:
    x = RNG.integers(-(2**30), 2**30, (1, 2, 5, 5))
    w = RNG.integers(-(2**24), 2**24, (3, 2, 3, 3))
    got = linear.conv(x, w, (1, 1), (1, 1), (1, 1), 1)
    assert got.dtype == np.int64
    y, o, i, j = 0, 1, 2, 3
    patch = np.pad(x[0], [(0, 0), (1, 1), (1, 1)])[:, i : i + 3, j : j + 3]
    want = sum(int(a) * int(b) for a, b in zip(patch.ravel(), w[o].ravel(), strict=True))
    assert int(got[y, o, i, j]) == want
    assert want != int(np.sum(patch.astype(np.float64) * w[o]))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((3, 3), (2, 3))])
def test_pools(kernel: tuple[int, int], stride: tuple[int, int], padding: int) -> None:
    x = RNG.normal(size=(2, 2, 3, 7, 8))
    pad = (padding, padding)
    mean = by_torch(lambda t: F.avg_pool2d(t, kernel, stride, pad), x)
    size = kernel[0] * kernel[1]
    close(through(Pool("x", pooling="avg", kernel=kernel, stride=stride, padding=pad), x), mean)
    close(through(Pool("x", pooling="sum", kernel=kernel, stride=stride, padding=pad), x), mean * size)
    spikes = (x > 0).astype(float)
    largest = by_torch(lambda t: F.max_pool2d(t, kernel, stride, pad), spikes)
    close(through(Pool("x", pooling="max", kernel=kernel, stride=stride, padding=pad), spikes), largest)


def test_pool_of_one_axis() -> None:
    x = RNG.normal(size=(1, 2, 3, 9))
    got = through(Pool("x", pooling="avg", kernel=(3,), stride=(2,), padding=(0,)), x)
    close(got, by_torch(lambda t: F.avg_pool1d(t, 3, 2), x))


def test_reshaping_and_scaling() -> None:
    x = RNG.normal(size=(2, 3, 4, 2, 3))
    close(through(Flatten("x"), x), by_torch(lambda t: t.flatten(1), x))
    close(through(Identity("x"), x), x)
    gain, shift = RNG.normal(size=(4, 1, 1)), RNG.normal(size=(4, 1, 1))
    close(through(Scale("x", gain=gain, shift=shift), x), gain * x + shift)
    late = through(Delay("x", steps=2), x)
    close(late[:, 2:], x[:, :-2])
    assert not late[:, :2].any()


def test_sums_and_joins_keep_delays_apart() -> None:
    x = RNG.normal(size=(2, 5, 3))
    two = (Affine("p", weight=np.eye(3)), Affine("q", weight=2 * np.eye(3)))
    edges = (Edge("in", "p"), Edge("in", "q", 2))
    source = Input("in", shape=(3,), encoding="direct")
    later = np.concatenate([np.zeros((2, 2, 3)), x[:, :-2]], axis=1)
    for join, shape, want in (
        (Add("j"), (3,), x + 2 * later),
        (Concat("j"), (6,), np.concatenate([x, 2 * later], axis=-1)),
    ):
        cell = Neuron("n", shape=shape, threshold=np.array(1e12))
        graph = Graph((source, *two, join, cell), (*edges, Edge("p", "j"), Edge("q", "j"), Edge("j", "n")))
        close(execute(graph, x, Probes(states="all")).states["n", "u"], want)
