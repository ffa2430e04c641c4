"""Lava's registers and the chip's: where they differ, and the proof that they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.backend import discover
from snnc.config import Config
from snnc.errors import InputError, UnsupportedError
from snnc.formats import onnx_file, onnx_run
from snnc.ir import Affine, Edge, FixedGraph, Format, Input, Readout
from snnc.pipeline import check_overflow
from snnc.quantize.bounds import registers, unproven
from snnc_loihi import backend
from snnc_loihi.conventions import CHIP, LAVA
from snnc_loihi.target import LOIHI1
from snnc_loihi.target2 import LOIHI2
from snnc_reference.execute import execute
from unit.loihi.loihi_nets import DECAY, EVERYTHING, Net, bias, dense, differing, fixed, graph, neuron, positive, rain


def net(exponent: int = 0, inputs: int = 300, **fields: Any) -> Net:
    """Positive weights whose sum leaves 21 bits for an exponent of 1 or more."""
    rng = np.random.default_rng(1)
    nodes = (
        Input("in", (inputs,)), Affine("f", positive(rng, 6, inputs, exponent=exponent)),
        neuron("a", 6, **{"vth": 100_000, **fields}), Readout("out"),
    )  # fmt: skip
    edges = (Edge("in", "f", 1), Edge("f", "a"), Edge("a", "out"))
    return Net(graph(nodes, edges, {"in": 0, "a": 1}), rain(rng, 0.6, 3, 50, inputs))


def on_chip(found: FixedGraph) -> FixedGraph:
    return replace(found, conventions=CHIP)


def unlike(one: Net) -> int:
    """Values of the reference that differ between the two."""
    runs = [execute(g, one.spikes, EVERYTHING) for g in (one.graph, on_chip(one.graph))]
    return differing(*runs)


# What leaves a register: the sum of weights of one step, and u with the bias of its neuron.
BEYOND: dict[str, tuple[Net, set[str]]] = {
    "sum of weights": (net(exponent=1), {"x", "u", "u + bias"}),
    "drive": (net(inputs=150, u=3720, v=1, vth=131_000, bias=bias(4095, 7)), {"u", "u + bias"}),
}


@pytest.mark.parametrize("name", BEYOND)
def test_beyond_a_register_the_two_differ_and_nothing_is_proven(name: str) -> None:
    one, quantities = BEYOND[name]
    assert unlike(one) > 0
    assert {r.quantity for r in unproven(on_chip(one.graph), LAVA)} == quantities
    assert {r.quantity for r in unproven(one.graph, CHIP)} == quantities
    program = backend.lower(on_chip(one.graph), LOIHI1)
    assert not program.runs
    assert "not executed by Lava: registers of the chip" in program.remark
    assert backend.export(program) == {}
    with pytest.raises(UnsupportedError, match="not executed by Lava"):
        backend.run(program, one.spikes, EVERYTHING)


def test_a_bias_alone_decides() -> None:
    """The drive has a register of its own: the same net without the bias is proven."""
    biased = net(inputs=150, bias=bias(4095, 7), vth=131_000)
    quiet = net(inputs=150)
    assert unproven(on_chip(biased.graph), LAVA) == ()
    assert unproven(on_chip(quiet.graph), LAVA) == ()
    far = net(inputs=150, u=3450, bias=bias(4095, 7), vth=131_000)
    near = net(inputs=150, u=3450, vth=131_000)
    assert {r.quantity for r in unproven(on_chip(far.graph), LAVA)} == {"u + bias"}
    assert unproven(on_chip(near.graph), LAVA) == ()


def test_one_wrap_of_the_current_is_a_mask_but_at_the_edge() -> None:
    """Less than a whole turn is added per step, so that only 2**23 itself is kept by Lava and wrapped by the chip."""
    for exponent, count in ((0, 0), (7, 3)):
        node = replace(neuron("a", 1, v=0), decay_u=fixed(4096, DECAY))
        weight = fixed([[128 - (exponent == 0)]], Format(8, -(6 + exponent), signed=False))
        edges = (Edge("in", "f", 1), Edge("f", "a"))
        nodes = (Input("in", (1,)), Affine("f", weight), node)
        one = Net(graph(nodes, edges, {"in": 0, "a": 1}), np.ones((1, 9, 1), dtype=np.int8))
        assert unlike(one) == count
        assert {r.quantity for r in unproven(on_chip(one.graph), LAVA)} == {"u", "u + bias"}


def test_a_net_within_the_registers_is_proven_and_equal_in_lava() -> None:
    one = dense()
    assert unproven(on_chip(one.graph), LAVA) == ()
    assert unlike(one) == 0
    program = backend.lower(on_chip(one.graph), LOIHI1)
    assert program.runs
    assert "proven to be the same" in program.remark
    wanted = execute(program.graph, one.spikes, EVERYTHING)
    assert differing(wanted, backend.run(program, one.spikes, EVERYTHING)) == 0
    assert set(backend.export(program)) == set(backend.export(backend.lower(one.graph, LOIHI1)))


def test_nothing_that_fits_is_wider_than_its_bound() -> None:
    one = dense()
    trace = execute(on_chip(one.graph), one.spikes, EVERYTHING)
    for r in registers(on_chip(one.graph)):
        if r.quantity in "uv":
            assert r.range.low <= trace.states[r.population, r.quantity].min()
            assert trace.states[r.population, r.quantity].max() <= r.range.high
    assert [r.bits for r in registers(on_chip(one.graph))] == [22, 24, 24, 24] * 2
    assert [r.bits for r in registers(one.graph)] == [32, 24, 24] * 2


def test_a_register_behind_one_that_overflows_is_not_safe() -> None:
    """A sum that wraps may turn negative, which the bound of what follows does not know."""
    found = {r.quantity: r for r in registers(on_chip(net(exponent=1, v=0).graph))}
    assert not any(r.safe for r in found.values())


def test_other_conventions_are_never_proven_to_be_the_same() -> None:
    one = dense()
    assert unproven(one.graph, replace(LAVA, state_bits=40, decay_rounding="floor")) != ()


def test_other_targets_have_the_registers_of_lava_only() -> None:
    assert LOIHI1.variants == {"lava": LAVA, "loihi": CHIP}
    assert not LOIHI2.variants
    with pytest.raises(UnsupportedError, match="conventions"):
        backend.lower(on_chip(dense().graph), LOIHI2)


def test_onnx_files_have_the_registers_of_the_chip() -> None:
    for name, (one, _) in BEYOND.items():
        chip = on_chip(one.graph)
        model = onnx_file.write(chip)
        assert onnx_file.read(model).digest == chip.digest
        got = onnx_run.run(model, one.spikes)
        assert differing(execute(chip, one.spikes, EVERYTHING), got) == 0, name
        assert differing(execute(one.graph, one.spikes, EVERYTHING), got) > 0, name


def test_a_word_that_no_target_has_is_refused() -> None:
    registry = discover()
    config = Config().override("compile", overflow="lohi", targets=("loihi1",))
    with pytest.raises(InputError, match="no overflow is called 'lohi'; the nearest is 'loihi'"):
        check_overflow(config, registry)
    idle = Config().override("compile", overflow="loihi", targets=("loihi2", "spinnaker1"))
    with pytest.raises(InputError, match=r"no target that is compiled for has it \(those that do: loihi1\)"):
        check_overflow(idle, registry)
    check_overflow(Config().override("compile", overflow="loihi", targets=("loihi2", "loihi1")), registry)
    check_overflow(Config(), registry)
