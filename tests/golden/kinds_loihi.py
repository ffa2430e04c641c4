"""Vectors of lava-nc 0.10.0, replayed by the reference executor and the Loihi weight encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from golden_base import Data, Kind, Tally, meta
from replay import DECAY, LOIHI, SYNAPSE, arrivals, chain, driven, fixed, given, lava_lif, run, shifted

from snnc.ir import Affine, Atrlif, Conv, Edge, Fixed, FixedGraph, Format, Graph, Input, IntArray, Neuron, Node
from snnc.trace import Probes
from snnc_loihi.encoding import encode
from snnc_reference.execute import execute

Values = npt.NDArray[Any]


def _given(cell: Node, a: IntArray) -> dict[str, IntArray]:
    return given(cell, a, LOIHI)


def lif_random(data: Data, tally: Tally) -> None:
    """Parameters that a chip has."""
    for k, a in enumerate(data["a_in"]):
        bias = shifted(data["bias_mant"][k], data["bias_exp"][k])
        cell = lava_lif("n", (len(a),), data["du"][k], data["dv"][k], data["vth"][k], bias)
        out = _given(cell, a)
        for key in "uvs":
            tally.same(f"{key}[{k}]", out[key], data[key][k])


def lif_cases(data: Data, tally: Tally) -> None:
    """Corner cases with any start state: the neuron step by itself."""
    for k, name in enumerate(data["names"]):
        a = data["a_in"][k].astype(np.int64)
        bias = shifted(data["bias_mant"][k], data["bias_exp"][k])
        cell = lava_lif("n", (len(a),), data["du"][k], data["dv"][k], data["vth"][k], bias)
        out = driven(cell, LOIHI, a << 6, data["u0"][k], data["v0"][k])
        for key in "uvs":
            tally.same(f"{name}.{key}", out[key], data[key][k])


def lif_variants(data: Data, tally: Tally) -> None:
    """LIFReset: what lies between two resets is a sample of its own. LIFRefractory exists in float only."""
    p, a = meta(data)["reset"], data["a_in"]
    cell = lava_lif("n", (len(a),), p["du"], p["dv"], p["vth"], p["bias_mant"] << p["bias_exp"])
    for j, (interval, offset) in enumerate(p["interval_offset"]):
        resets = [t for t in range(a.shape[1]) if (t + 1) % interval == offset % interval]
        bounds = sorted({0, *resets, a.shape[1]})
        parts = [_given(cell, a[:, start:end]) for start, end in pairwise(bounds)]
        for key in "uvs":
            tally.same(f"reset{j}_{key}", np.concatenate([part[key] for part in parts], -1), data[f"reset{j}_{key}"])
    f, x = meta(data)["refractory_float"], data["reff_a_in"]
    for j, period in enumerate(f["refractory_period"]):
        slow = Neuron(
            "n", shape=(len(x),), decay_u=np.array(1 - f["du"]), decay_v=np.array(1 - f["dv"]), fires="gt",
            threshold=np.array(f["vth"]), bias=np.array(f["bias_mant"]), refractory=period,
        )  # fmt: skip
        graph = Graph((Input("in", shape=(len(x),), encoding="direct"), slow), (Edge("in", "n"),))
        trace = execute(graph, x.T[np.newaxis], Probes(states="all"))
        tally.same(f"reff{j}_s", trace.spikes["n"][0].T, data[f"reff{j}_s"])
        for key in "uv":
            tally.same(f"reff{j}_{key}", trace.states["n", key][0].T, data[f"reff{j}_{key}"], 1e-12)
    ternary(data, tally)
    adaptive(data, tally)


def ternary(data: Data, tally: Tally) -> None:
    """TernaryLIF: a lower threshold of its own, and a reset on either side."""
    p = meta(data)["ternary"]
    low = fixed(p["vth_lo"], Format(40, -6))
    cell = lava_lif("n", data["a_in"].shape[:1], p["du"], p["dv"], p["vth_hi"], p["bias_mant"] << p["bias_exp"])
    out = _given(replace(cell, output="ternary", threshold_low=low), data["a_in"])
    for key in "uvs":
        tally.same(f"tern_{key}", out[key], data[f"tern_{key}"])


def adaptive(data: Data, tally: Tally) -> None:
    """ATRLIF: decays are fractions taken away, and the current's takes 1 of 4096 more."""
    p, a = meta(data)["atrlif"], data["a_in"] // 16
    bias = fixed(p["bias_mant"] << p["bias_exp"])
    for j, own in enumerate(p["params"]):
        kept = {key: 4096 - int(4096 * own[f"delta_{key}"]) for key in ("i", "v", "theta", "r")}
        cell = Atrlif(
            "n", shape=a.shape[:1], decay_u=fixed(kept["i"] - 1, DECAY), decay_v=fixed(kept["v"], DECAY),
            decay_threshold=fixed(kept["theta"], DECAY), decay_refractory=fixed(kept["r"], DECAY), bias=bias,
            threshold=fixed(own["theta_0"], Format(40, -6)), threshold_step=fixed(own["theta_step"], Format(40, -6)),
        )  # fmt: skip
        out = _given(cell, a)
        for key, name in {"u": "i", "v": "v", "theta": "theta", "r": "r", "s": "s"}.items():
            tally.same(f"atr{j}_{name}", out[key], data[f"atr{j}_{name}"])


def weight_encoding(data: Data, tally: Tally) -> None:
    """One spike through every weight."""
    columns = zip(data["mode"], data["num_weight_bits"], data["weight_exp"], strict=True)
    for k, (mode, bits, exponent) in enumerate(columns):
        weight = encode(data["w"][:, np.newaxis], str(mode), int(bits), int(exponent))
        got = arrivals([(Affine("w", weight=weight), 1)], np.array([[1, 0]]), data["w"].shape)
        tally.same(f"eff[{k}] ({mode}, {bits} bits, exponent {exponent})", got[:, 1], data["eff"][k])


def _dense(weight: Fixed, x: Values, delay: int = 1) -> IntArray:
    return arrivals([(Affine("w", weight=weight), delay)], x, (weight.shape[0],))


def dense_random(data: Data, tally: Tally) -> None:
    """Binary and graded input through every sign mode; sums that leave 32 bits."""
    for j, p in meta(data)["jobs"].items():
        weight = encode(data[f"w_{j}"], p["sign_mode"].lower(), p["num_weight_bits"], p["weight_exp"])
        tally.same(f"a_bin_{j}", _dense(weight, data["spikes"] != 0), data[f"a_bin_{j}"])
        tally.same(f"a_grad_{j}", _dense(weight, data["graded"]), data[f"a_grad_{j}"])
    for name, exponent in (("ovf_out", 0), ("ovf_out_exp6", 6)):
        weight = encode(np.array([[255, 254], [255, 0]]), "excitatory", 8, exponent)
        tally.same(name, _dense(weight, data["ovf_in"]), data[name])


def mlp(data: Data, tally: Tally) -> None:
    """784-64-10 in device time: each layer one step behind."""
    x = np.unpackbits(data["spikes"], axis=1)[:, : int(data["T"])]
    weight = {k: encode(data[f"w{k}"]) for k in "12"}
    cell = {}
    for k in "12":
        p = meta(data)[f"lif{k}"]
        n = weight[k].shape[:1]
        cell[k] = lava_lif(f"n{k}", n, p["du"], p["dv"], p["vth"], shifted(data[f"b{k}"], p["bias_exp"]))
    nodes = [Input("in", shape=x.shape[:1])]
    for k in "12":
        nodes += [Affine(f"w{k}", weight=weight[k]), cell[k]]
    out = run(chain(nodes, LOIHI), x)
    for k, source in (("1", x), ("2", out["n1.s"])):
        tally.same(f"a{k}", _dense(weight[k], source), data[f"a{k}"])
        for key in "uvs":
            tally.same(f"{key}{k}", out[f"n{k}.{key}"], data[f"{key}{k}"])


def recurrent(data: Data, tally: Tally) -> None:
    """A population that hears itself one step later."""
    p, form = meta(data)["lif"], meta(data)
    w = {k: encode(data[k], "auto", form[k]["num_weight_bits"], form[k]["weight_exp"]) for k in ("w_in", "w_rec")}
    n = len(data["w_rec"])
    cell = lava_lif("n", (n,), p["du"], p["dv"], p["vth"], p["bias_mant"] << p["bias_exp"])
    nodes = (Input("in", shape=data["spikes"].shape[:1]), *(Affine(k, weight=v) for k, v in w.items()), cell)
    edges = (Edge("in", "w_in", 1), Edge("w_in", "n"), Edge("n", "w_rec", 1), Edge("w_rec", "n"))
    out = run(FixedGraph(nodes, edges, "vector", LOIHI), data["spikes"])
    for key in "uvs":
        tally.same(key, out[f"n.{key}"], data[key])
    tally.same("a_rec", _dense(w["w_rec"], out["n.s"]), data["a_rec"])


def _conv(name: str, kernel: Values, p: dict[str, Any]) -> Conv:
    """Lava's true convolution over (X, Y, C) as cross-correlation over (C, X, Y)."""
    weight = fixed(kernel[:, ::-1, ::-1, :].transpose(0, 3, 1, 2), Format(16, -6))
    size = {key: tuple(p[key]) for key in ("stride", "padding", "dilation")}
    return Conv(name, weight=weight, groups=p["groups"], **size)


def conv(data: Data, tally: Tally) -> None:
    """Strides, paddings, dilations, groups, and the sum that wraps at 24 bits."""
    form, p = meta(data), meta(data)["lif"]
    register = replace(SYNAPSE, accumulator_bits=24)
    spikes, graded = (np.moveaxis(data[key].astype(np.int64), 2, 0) for key in ("spikes", "graded"))
    for k, config in form["cfg"].items():
        node = _conv("w", data[f"{k}_w"], config)
        shape = tuple(np.moveaxis(data[f"{k}_a"], 2, 0).shape[:-1])
        for key, x in (("a", spikes), ("a_wexp3_nwb4", spikes), ("a_graded", graded)):
            got = arrivals([(node, 1)], x, shape, register)
            tally.same(f"{k}_{key}", np.moveaxis(got, 0, 2), data[f"{k}_{key}"])
        cell = lava_lif("n", shape, p["du"], p["dv"], p["vth"], p["bias_mant"] << p["bias_exp"])
        out = run(chain([Input("in", shape=spikes.shape[:-1]), node, cell], LOIHI), spikes)
        for key in "uvs":
            tally.same(f"{k}_{key}", np.moveaxis(out[f"n.{key}"], 0, 2), data[f"{k}_{key}"])
    point = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    tap = _conv("w", np.full((1, 1, 1, 1), 255), point)
    tally.same("wrap_out", arrivals([(tap, 1)], data["wrap_in"], (1, 1, 1), register), data["wrap_out"])


def _slots(weight: Fixed, delays: Values) -> list[tuple[Affine, int]]:
    """One dense node for each delay: Lava shifts and adds the delays of a synapse matrix one by one."""
    return [
        (Affine(f"w{d}", weight=Fixed(np.where(delays == d, weight.raw, 0), weight.format)), int(d) + 1)
        for d in np.unique(delays)
    ]


def delay_dense(data: Data, tally: Tally) -> None:
    """A spike of step t arrives at t + 1 + delay."""
    p, x, weight = meta(data)["lif"], data["spikes"], encode(data["w"])
    shape = weight.shape[:1]
    for k in ("small", "63"):
        slots = _slots(weight, data[f"d_{k}"])
        tally.same(f"a_{k}", arrivals(slots, x, shape), data[f"a_{k}"])
        cell = lava_lif("n", shape, p["du"], p["dv"], p["vth"])
        edges = [Edge("in", w.name, d) for w, d in slots] + [Edge(w.name, "n") for w, _ in slots]
        nodes = (Input("in", shape=x.shape[:1]), *(w for w, _ in slots), cell)
        out = run(FixedGraph(nodes, tuple(edges), "vector", LOIHI), x)
        for key in "uvs":
            tally.same(f"{key}_{k}", out[f"n.{key}"], data[f"{key}_{k}"])
    tally.same("a_maxdelay", arrivals(_slots(weight, data["d_small"]), x, shape), data["a_maxdelay"])
    tally.same("a_const3_exp", _dense(encode(data["w"], "auto", 5, -3), x, 4), data["a_const3_exp"])
    tally.same("a_sparse", _dense(encode(data["w_sparse"], "auto", 6, -2), x), data["a_sparse"])


def _kind(name: str, check: Callable[[Data, Tally], None], needs: str) -> Kind:
    return Kind(name, frozenset(["meta", *needs.split()]), check)


KINDS = (
    _kind("lava_lif_cases", lif_cases, "names du dv vth bias_mant bias_exp u0 v0 a_in u v s"),
    _kind("lava_lif_random", lif_random, "du dv vth bias_mant bias_exp a_in u v s"),
    _kind("lava_lif_variants", lif_variants, "a_in reset0_u reff_a_in"),
    _kind("lava_dense_weight_encoding", weight_encoding, "w mode num_weight_bits weight_exp eff"),
    _kind("lava_dense_random", dense_random, "spikes graded ovf_in ovf_out ovf_out_exp6"),
    _kind("lava_mlp_784_64_10", mlp, "spikes T w1 w2 b1 b2 a1 u1 v1 s1 a2 u2 v2 s2"),
    _kind("lava_recurrent_dense", recurrent, "spikes w_in w_rec a_rec u v s"),
    _kind("lava_conv", conv, "spikes graded c0_w c0_a c0_a_graded wrap_in wrap_out"),
    _kind("lava_delay_dense", delay_dense, "spikes w d_small d_63 w_sparse a_sparse"),
)
