"""What has no integers is refused with node, quantity, found, allowed; and what calibration cannot use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import InputError, SnncError, TraceError, UnsupportedError
from snnc.ir import Affine, Conv, Edge, Flatten, Graph, Input, Neuron, Node, Pool, Readout, Scale, TimeScale
from snnc.quantize.base import Calibration, QuantizeOptions
from snnc.quantize.calibrate import calibrate
from snnc.quantize.groups import groups
from snnc.quantize.shift import quantize_shift
from snnc.target import check, rule
from snnc_reference.backend import targets
from snnc_reference.execute import execute
from snnc_reference.targets import GENERIC
from unit.quantize import nets

EYE = np.eye(4)


def around(*nodes: Node, **neuron: Any) -> Graph:
    return nets.chain(Input("in", (4,)), *nodes, Neuron("n", (4,), **({"decay_v": 0.9} | neuron)), Readout("out"))


def refusal(graph: Graph, profile: Any = nets.GENERIC) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        nets.quantized(graph, 8, profile)
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("graph", "where", "quantity"),
    [
        (around(Affine("fc", EYE), Scale("bn", 2.0)), "bn", "node type"),
        (around(Affine("fc", EYE), TimeScale("ts")), "ts", "node type"),
        (around(Affine("fc", EYE), gain=0.5), "n", "gain"),
        (around(Affine("fc", EYE), gain_u=0.5), "n", "gain_u"),
        (around(Affine("fc", EYE), v_rest=0.5), "n", "v_rest"),
        (around(Affine("fc", EYE), leak="linear"), "n", "leak"),
        (around(Affine("fc", EYE), output="graded"), "n", "output"),
        (around(Affine("fc", EYE), fire_from="previous"), "n", "fire_from"),
        (around(Affine("fc", EYE), reset_delay=2), "n", "reset_delay"),
        (around(Affine("fc", EYE), one_shot=True), "n", "one_shot"),
        (around(Affine("fc", EYE), schedule=("bias",), bias=np.zeros((3, 1))), "n", "schedule"),
        (around(Affine("fc", EYE), decay_v=1.2), "n", "decay_v"),
        (around(Affine("fc", EYE), decay_u=-0.2), "n", "decay_u"),
        (
            nets.chain(
                Input("in", (2, 4, 4)), Conv("c", np.ones((2, 2, 1, 1)), None, (1, 1), (0, 0), (1, 1)),
                Pool("p", "avg"), Neuron("n", (2, 2, 2)),
            ),
            "p", "pooling",
        ),
    ],
)  # fmt: skip
def test_generic_names_what_it_cannot_execute(graph: Graph, where: str, quantity: str) -> None:
    found = check(graph, GENERIC)
    assert [(v.node, v.quantity) for v in found] == [(where, quantity)]
    assert found[0].found
    assert found[0].allowed


def test_generic_takes_what_it_executes_and_explains_its_rules() -> None:
    assert targets == (GENERIC,)
    for graph in (nets.whole(0), nets.mlp(), nets.whole(1, reset_v="subtract", refractory=3, reset_delay=1)):
        assert check(graph, GENERIC) == ()
        assert nets.wrong(graph, GENERIC.quantize(graph, nets.calibrated(graph), QuantizeOptions()).graph)
    for constraint in GENERIC.constraints:
        assert rule(constraint).endswith(".")
        assert len((constraint.__doc__ or "").splitlines()) > 2


def test_quantizer_lists_every_violation_at_once() -> None:
    error = refusal(around(Affine("fc", EYE), Scale("bn", 2.0), gain=0.5, v_rest=0.1))
    assert {(v.node, v.quantity) for v in error.violations} == {("bn", "node type"), ("n", "gain"), ("n", "v_rest")}


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (around(Affine("a", EYE), Affine("b", EYE)), "a: weights is followed by the weights b"),
        (around(), "n: input is spikes of in without weights"),
    ],
)
def test_structure_without_integers_is_refused(graph: Graph, text: str) -> None:
    assert text in str(refusal(graph))


def test_groups_join_populations_that_share_weights() -> None:
    nodes = (Input("in", (4,)), Affine("shared", EYE), Neuron("a", (4,)), Affine("own", EYE), Neuron("b", (4,)))
    edges = [Edge("in", "shared"), Edge("shared", "a"), Edge("shared", "b"), Edge("a", "own"), Edge("own", "b")]
    (group,) = groups(Graph(nodes, tuple(edges)))
    assert group.weights == ("shared", "own")
    assert group.neurons == ("a", "b")
    assert group.channelwise


@pytest.mark.parametrize(
    ("neuron", "quantity", "allowed"),
    [
        ({"decay_u": 1.0}, "decay_u", "0 to 0.999756"),
        ({"decay_v": 0.0}, "decay_v", "0.000244141 to 1"),
        ({"decay_v": 1.5}, "decay_v", "0.000244141 to 1"),
        ({"decay_u": np.array([0.5, 0.5, 0.5, -0.1])}, "decay_u", "0 to 0.999756"),
    ],
)
def test_decays_outside_the_chip_are_refused(neuron: dict[str, Any], quantity: str, allowed: str) -> None:
    error = refusal(around(Affine("fc", EYE), **neuron), nets.LOIHI)
    (violation,) = error.violations
    assert (violation.node, violation.quantity) == ("n", quantity)
    assert allowed in violation.allowed


def test_bias_of_weights_is_refused_where_the_chip_has_none() -> None:
    error = refusal(around(Affine("fc", EYE, np.ones(4))), nets.LOIHI)
    assert "move-bias" in error.violations[0].fix if error.violations else "move-bias" in str(error)


def test_thresholds_that_weights_cannot_follow_are_refused() -> None:
    varied = np.linspace(0.5, 1.0, 8).reshape(2, 2, 2)
    conv = Conv("c", np.ones((2, 1, 1, 1)), None, (1, 1), (0, 0), (1, 1))
    graph = nets.chain(Input("in", (1, 2, 2)), conv, Neuron("n", (2, 2, 2), decay_v=0.9, threshold=varied))
    assert "threshold" in str(refusal(graph, nets.LOIHI))
    flat = nets.chain(
        Input("in", (1, 2, 2)), conv, Flatten("f"), Neuron("n", (8,), decay_v=0.9, threshold=varied.reshape(-1))
    )
    assert "threshold" in str(refusal(flat, nets.LOIHI))
    assert nets.quantized(graph).graph["n"].params()["threshold"].shape == (2, 2, 2)


def test_threshold_far_below_the_weights_is_refused() -> None:
    assert "less than one step" in str(refusal(around(Affine("fc", EYE * 100), threshold=1e-6), nets.LOIHI))


@pytest.mark.parametrize("bits", [1, 17, 0, -3])
def test_weight_bits_outside_the_target_are_refused_with_what_is_allowed(bits: int) -> None:
    with pytest.raises(InputError, match="2 to 16"):
        nets.quantized(nets.mlp(), bits)


def test_default_weight_bits() -> None:
    graph = nets.mlp()
    made = quantize_shift(graph, nets.calibrated(graph), QuantizeOptions(), nets.GENERIC)
    weight: Any = made.graph["fc0"].params()["weight"]
    assert weight.format.bits == 8


def test_calibration_records_everything_once() -> None:
    graph = nets.mlp()
    found: Calibration = nets.calibrated(graph)
    assert set(found.trace.spikes) == {"in", "n0", "n1"}
    assert set(found.trace.states) == {(n, s) for n in ("n0", "n1") for s in "uv"}
    one = calibrate(graph, nets.spikes((32,))[0], execute)
    assert one.samples.shape == (1, 16, 32)


@pytest.mark.parametrize(
    ("samples", "error"),
    [(np.zeros((2, 5, 31)), TraceError), (np.full((2, 5, 32), 0.5), TraceError), (np.zeros((0, 5, 32)), TraceError)],
)
def test_calibration_refuses_samples_that_do_not_fit(samples: np.ndarray, error: type[SnncError]) -> None:
    with pytest.raises(error):
        calibrate(nets.mlp(), samples, execute)
