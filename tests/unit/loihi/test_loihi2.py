"""Target loihi2: what a neuron program takes and refuses, its payload, and its rules."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.errors import UnsupportedError
from snnc.ir import Adaptation, Affine, Edge, Format, Graph, Input, Neuron, Pool, Readout
from snnc.target import check, rule
from snnc.trace import Probes
from snnc_loihi import backend
from snnc_loihi.lowering import plan_of
from snnc_loihi.microcode import Cells, Microcode, advance
from snnc_loihi.target import LOIHI1
from snnc_loihi.target2 import LOIHI2
from snnc_reference.execute import execute
from unit.loihi.loihi2_nets import PROGRAMS, STATE, at_the_edge, programs
from unit.loihi.loihi_nets import Net, bias, dense, fixed, with_node

REFUSED: dict[str, dict[str, Any]] = {
    "fire_from": {"fire_from": "previous"},
    "leak": {"leak": "linear"},
    "output": {"output": "graded"},
    "one_shot": {"one_shot": True},
    "reset_delay": {"reset_delay": 2},
    "gain": {"gain": fixed(2, Format(4, 0))},
    "v_rest": {"v_rest": fixed(1, Format(2, 0))},
    "decay_u": {"decay_u": fixed(4097, Format(14, 12, signed=False))},
    "decay_v": {"decay_v": fixed(1, Format(14, 13, signed=False))},
    "threshold": {"threshold": fixed(1 << 23, Format(24, 0, signed=False))},
    "bias": {"bias": fixed([1 << 23] * 9, Format(25, 0))},
    "v_reset": {"v_reset": fixed(-(1 << 23), Format(24, 0))},
    "v_init": {"v_init": fixed(1, Format(8, 1))},
}


@pytest.mark.parametrize("quantity", list(REFUSED))
def test_neurons_that_the_program_does_not_do_are_refused(quantity: str) -> None:
    with pytest.raises(UnsupportedError, match="do not run on loihi2") as caught:
        plan_of(with_node(programs(), "value", **REFUSED[quantity]).graph)
    assert [(v.node, v.quantity) for v in caught.value.violations] == [("value", quantity)]


def test_the_payload_holds_program_and_registers() -> None:
    net = programs()
    payload = backend.lower(net.graph, LOIHI2).payload
    node = net.graph["value_late"]
    assert isinstance(node, Neuron)
    for key, value in {"keep_u": node.decay_u, "threshold": node.threshold, "v_reset": node.v_reset}.items():
        assert np.array_equal(payload[f"value_late.{key}"], value.raw)  # type: ignore[union-attr]
    found = {
        key: payload[f"value_late.{key}"].item() for key in ("fires", "reset_v", "reset_delay", "refractory", "reset_u")
    }
    assert found == {"fires": "gt", "reset_v": "value", "reset_delay": 1, "refractory": 2, "reset_u": 0}
    assert all(array.dtype.kind in "iU" for array in payload.values())


def test_integers_of_loihi1_run_on_loihi2_but_not_the_other_way() -> None:
    """The conventions are the same; a compartment is a program, a program need not be a compartment."""
    small = with_node(dense(), "a", bias=bias(100, 0))
    plan = plan_of(small.graph, "loihi2")
    assert plan.populations[0].code is not None
    assert plan_of(small.graph).populations[0].code is None
    with pytest.raises(UnsupportedError, match="do not run on loihi1"):
        backend.lower(programs().graph, LOIHI1)


@pytest.mark.parametrize("make", [programs, at_the_edge])
def test_the_program_alone_computes_what_the_reference_does(make: Any) -> None:
    """Without Lava: the same sums, step by step."""
    net: Net = make()
    expected = execute(net.graph, net.spikes, Probes("all", "all"))
    for population in plan_of(net.graph).populations:
        assert population.code is not None
        synapses = next(s for s in plan_of(net.graph).synapses if s.target == population.name)
        for k, sample in enumerate(net.spikes):
            cells = Cells.at_rest(population.code)
            for t, column in enumerate(sample):
                total = (synapses.weights @ column.astype(np.int64)) << synapses.weight_exp
                advance(population.code, cells, total.astype(np.int32))
                assert np.array_equal(cells.u, expected.states[population.name, "u"][k, t])
                assert np.array_equal(cells.v, expected.states[population.name, "v"][k, t])
                assert np.array_equal(cells.fired, expected.spikes[population.name][k, t])


def one(**fields: Any) -> Microcode:
    registers = {key: np.array([0]) for key in ("keep_u", "keep_v", "bias", "v_reset", "v_init")}
    options = {"fires": "gt", "reset_v": "zero", "reset_delay": 0, "reset_u": False, "refractory": 0}
    return Microcode(**{**registers, "threshold": np.array([1 << 22]), **options, **fields})  # type: ignore[arg-type]


def test_decays_lose_their_fraction_towards_zero() -> None:
    code = one(keep_u=np.array([2048, 2048]), keep_v=np.array([0, 0]), threshold=np.array([1 << 22] * 2))
    code = replace(code, **{key: np.array([0, 0]) for key in ("bias", "v_reset", "v_init")})
    cells = Cells(np.array([3, -3]), np.array([0, 0]), np.array([False, False]), np.array([0, 0]))
    advance(code, cells, np.array([0, 0], dtype=np.int32))
    assert cells.u.tolist() == [1, -1], "a floor would leave -2"


def test_a_refractory_neuron_waits_that_many_steps() -> None:
    code = one(keep_v=np.array([4096]), threshold=np.array([63]), refractory=2)
    cells, fired = Cells.at_rest(code), []
    for _ in range(7):
        advance(code, cells, np.array([1], dtype=np.int32))
        fired.append(bool(cells.fired[0]))
    assert fired == [True, False, False, True, False, False, True]


def net(**fields: Any) -> Graph:
    lif = Neuron("lif", (4,), **{"decay_v": 0.9, **fields})
    nodes = (Input("in", (4,)), Affine("fc", np.ones((4, 4))), lif, Readout("out"))
    return Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")))


RULES: dict[str, Graph] = {
    "plain_neurons": net(adaptation=(Adaptation(0.9, 1.0, 0.1),)),
    "reset_in_time": net(reset_delay=2),
    "no_lower_bound": net(v_min=-1.0),
    "kept_fractions": net(decay_v=np.array([0.1, 0.2, 1.1, 0.3])),
    "rest_at_zero": net(v_rest=0.1),
    "folded_gain": net(gain=2.0),
    "bias_on_neurons": net().replace_node(Affine("fc", np.ones((4, 4)), np.ones(4))),
    "one_weighted_layer": net().without("fc"),
}


@pytest.mark.parametrize("name", list(RULES))
def test_what_breaks_a_rule_is_named(name: str) -> None:
    assert {c.__name__ for c in LOIHI2.constraints if list(c(RULES[name], LOIHI2))} == {name}


def test_what_loihi1_refuses_and_loihi2_runs() -> None:
    for fields in PROGRAMS.values():
        assert check(net(**{**fields, "v_init": 0.2}), LOIHI2) == ()
    graph = net(decay_v=np.array([0.9, 0.5, 1.0, 0.0]), decay_u=1.0, reset_v="subtract")
    assert check(graph, LOIHI2) == ()
    assert len(check(graph, LOIHI1)) >= 4


def test_a_start_value_that_fires_before_the_input_is_refused_where_it_is_heard() -> None:
    graph = net(v_init=1.5)
    loop = Graph((*graph.nodes, Affine("back", np.eye(4))), (*graph.edges, Edge("lif", "back", 1), Edge("back", "lif")))
    assert [v.node for v in check(loop, LOIHI2)] == ["lif"]
    assert check(loop.replace_node(replace(loop.neurons[0], v_init=0.5)), LOIHI2) == ()


def test_rules_and_limits_are_documented() -> None:
    for constraint in LOIHI2.constraints:
        assert rule(constraint).endswith(".")
        assert len((inspect.getdoc(constraint) or "").splitlines()) >= 3
    assert all(limit.source and limit.unit for limit in LOIHI2.limits.values())


def test_cores_are_counted() -> None:
    used = backend.lower(programs().graph, LOIHI2).utilization
    assert used["neuro cores"] == (len(PROGRAMS), 128)
    assert used["compartments per core"] == (9, 8192)


def test_max_pooling_is_refused() -> None:
    image, pool = Input("in", (1, 4, 4)), Pool("pool", "max")
    graph = Graph(
        (image, pool, Neuron("lif", (1, 2, 2)), Readout("out")),
        (Edge("in", "pool"), Edge("pool", "lif"), Edge("lif", "out")),
    )
    assert "sum_pooling" in {c.__name__ for c in LOIHI2.constraints if list(c(graph, LOIHI2))}


def test_states_have_24_bits() -> None:
    assert STATE.bits == LOIHI2.formats["state"].bits == 24
