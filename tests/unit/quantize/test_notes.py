"""Nothing is silent: every kind of note is produced where it should be, and the totals add up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from snnc.ir import Affine, Format, Neuron
from snnc.quantize.base import Note, Quantized
from snnc.quantize.report import note_json, notes_json, summary, totals
from unit.quantize import nets


def entry(made: Quantized, node: str, quantity: str) -> Note:
    (found,) = (note for note in made.notes if (note.node, note.quantity) == (node, quantity))
    return found


def with_weights(weight: np.ndarray) -> Quantized:
    graph = nets.mlp(bias=False)
    fc = graph["fc0"]
    assert isinstance(fc, Affine)
    return nets.quantized(graph.replace_node(replace(fc, weight=weight)), 4)


def test_every_quantity_has_a_note_in_the_order_of_the_graph() -> None:
    made = nets.quantized(nets.mlp())
    per_neuron = ["decay_u", "decay_v", "bias", "v_reset", "v_init", "threshold"]
    want = [("fc0", q) for q in ("weight", "bias")] + [("n0", q) for q in per_neuron]
    want += [("fc1", q) for q in ("weight", "bias")] + [("n1", q) for q in per_neuron]
    assert [(note.node, note.quantity) for note in made.notes] == want


def test_outlier_is_clipped_and_named() -> None:
    weight = np.random.default_rng(0).normal(0, 0.3, (40, 32))
    weight[3, 5] = 9.0
    note = entry(with_weights(weight), "fc0", "weight")
    assert 3 * 32 + 5 in note.clipped
    assert note.given[101] == 9.0
    assert note.got[101] < 8.0
    assert note.worst_index == 101
    assert np.isclose(note.worst, 9.0 - note.got[101])


def test_small_weights_are_zeroed_and_named() -> None:
    weight = np.random.default_rng(0).normal(0, 0.5, (40, 32))
    weight[0] = 1e-5
    weight[1] = 0.0
    note = entry(with_weights(weight), "fc0", "weight")
    assert set(range(32)) <= set(note.zeroed)
    assert not set(range(32, 64)) & set(note.zeroed)
    assert all(note.got[index] == 0.0 for index in note.zeroed)


def test_decay_that_rounds_outside_is_moved_to_the_nearest_legal_and_named() -> None:
    made = nets.quantized(nets.mlp(bias=False, decay_u=0.99995, threshold=20.0), 8, nets.LOIHI)
    note = entry(made, "n0", "decay_u")
    assert note.rounded == (0,)
    assert note.got == {0: 4095 / 4096}
    exact = nets.quantized(nets.mlp(bias=False, decay_u=0.75, threshold=3.0), 8, nets.LOIHI)
    assert entry(exact, "n0", "decay_u").worst == 0.0


def test_bias_beyond_its_format_is_clipped_and_named() -> None:
    graph = nets.mlp(bias=False)
    n0 = graph["n0"]
    assert isinstance(n0, Neuron)
    bias = np.linspace(-0.1, 0.1, 40)
    graph = graph.replace_node(replace(n0, bias=bias))
    small = replace(nets.LOIHI, bias=Format(4, 0), bias_exponents=(0, 1), safety=2.0)
    made = nets.quantized(graph, 8, small)
    fine = entry(made, "n0", "bias")
    assert not fine.clipped, "the gain leaves room for the bias"
    assert fine.worst > 1e-3
    assert float(made.scales["n0"]) < float(nets.quantized(graph, 8, nets.LOIHI).scales["n0"])


def test_numbers_within_half_a_step_are_not_named() -> None:
    made = nets.quantized(nets.mlp(), 16)
    weight = entry(made, "fc0", "weight")
    assert weight.clipped == weight.rounded == ()
    assert 0 < weight.worst <= 0.5 * 64 / float(made.scales["n0"])


def test_notes_measure_in_the_floats_own_unit_with_gains_per_channel() -> None:
    made = nets.quantized(nets.mlp(), 6, per_channel=True)
    assert entry(made, "n0", "threshold").worst < 0.01
    assert entry(made, "fc0", "bias").worst < 0.01


def test_json_and_totals() -> None:
    made = nets.quantized(nets.mlp(), 3)
    listed = notes_json(made.notes)
    assert json.loads(json.dumps(listed)) == listed
    assert len(listed) == len(made.notes)
    first = note_json(made.notes[0])
    named = set(made.notes[0].clipped) | set(made.notes[0].zeroed) | set(made.notes[0].rounded)
    assert [change["index"] for change in first["changes"]] == sorted(named)
    assert all(change["given"] != change["got"] for change in first["changes"])
    sums = totals(made.notes)
    assert sums["count"] == sum(note.count for note in made.notes)
    assert sums["zeroed"] == sum(len(note.zeroed) for note in made.notes) > 0
    lines = summary(made.notes)
    assert any(line.startswith("fc0.weight (s3.-6)") and "zeroed" in line for line in lines)


def test_an_exact_network_has_nothing_to_report() -> None:
    made = nets.quantized(nets.whole(0), 8)
    assert summary(made.notes) == []
    assert totals(made.notes) == pytest.approx(
        {"count": sum(n.count for n in made.notes), "clipped": 0, "zeroed": 0, "rounded": 0}
    )
