"""Vectors of nengo-loihi 1.1.0: its compartments under the chip's registers, its noise, and how it makes integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from golden_base import Data, Kind, Tally, meta
from replay import DECAY, STATE, SYNAPSE, arrivals, chain, fixed, holds, neuron, run

from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, FloatArray, Input, IntArray, Neuron, Node
from snnc_loihi.conventions import ACCUMULATOR_BITS, CHIP, limited
from snnc_loihi.nengo import (
    bias_to_manexp,
    decay_int,
    decay_magnitude,
    discretize_weights,
    noise,
    overflow_signed,
)
from snnc_loihi.nengo_block import FloatBlock, IntegerBlock, discretize_block

Values = npt.NDArray[Any]

ACCUMULATOR = replace(SYNAPSE, accumulator_bits=ACCUMULATOR_BITS, state_frac=0)
MAGNITUDES = (1, 5, 50, 500, 2000, 4000)


def _wide(weights: Values) -> Fixed:
    """Expanded weights (axon, neuron) as (neuron, axon) in state units."""
    return fixed(weights.T, STATE)


def nengo(
    x: Values, block: dict[str, Any], w: Values, w_rec: Values | None = None, conventions: Conventions | None = None
) -> dict[str, IntArray]:
    """A block of compartments, one population for each refractory period because a population has one.

    Args:
        x: spikes [axons, T].
        block: decay_u, decay_v, vth, bias and refract, scalar or one for each compartment.
        w: (axons, compartments), expanded.
        w_rec: (compartments, compartments) or None.
        conventions: None means the chip's.

    Returns:
        q0, u, v, s and ref, each [compartments, T].
    """
    n = w.shape[1]
    p = {key: np.broadcast_to(np.asarray(block[key], dtype=np.int64), (n,)) for key in block}
    groups = [np.flatnonzero(p["refract"] == r) for r in np.unique(p["refract"])]
    nodes: list[Node] = [Input("in", shape=x.shape[:1])]
    edges: list[Edge] = []
    for i, part in enumerate(groups):
        nodes += [Affine(f"w{i}", weight=_wide(w[:, part])), _compartments(f"g{i}", p, part)]
        edges += [Edge("in", f"w{i}", 1), Edge(f"w{i}", f"g{i}")]
        for j, other in enumerate(groups if w_rec is not None else []):
            nodes.append(Affine(f"r{j}_{i}", weight=_wide(w_rec[np.ix_(other, part)])))
            edges += [Edge(f"g{j}", f"r{j}_{i}", 1), Edge(f"r{j}_{i}", f"g{i}")]
    graph = FixedGraph(tuple(nodes), tuple(edges), "vector", CHIP if conventions is None else conventions)
    parts = run(graph, x) | {f"{name}.ref": hold for name, hold in holds(graph, x).items()}
    out = {key: np.zeros((n, x.shape[1]), dtype=np.int64) for key in ("u", "v", "s", "ref")}
    for key, whole in out.items():
        for i, part in enumerate(groups):
            whole[part] = parts[f"g{i}.{key}"]
    sources, weights = (x, w) if w_rec is None else (np.vstack([x, out["s"]]), np.vstack([w, w_rec]))
    out["q0"] = arrivals([(Affine("w", weight=_wide(weights)), 1)], sources, (n,), ACCUMULATOR)
    return out


def _compartments(name: str, p: dict[str, Values], part: IntArray) -> Neuron:
    own = {key: value[part] for key, value in p.items()}
    return neuron(
        name, part.shape, decay_u=fixed(4095 - own["decay_u"], DECAY), decay_v=fixed(4096 - own["decay_v"], DECAY),
        threshold=fixed(own["vth"]), bias=fixed(own["bias"]), refractory=int(own["refract"][0]) - 1,
    )  # fmt: skip


def _all(tally: Tally, out: dict[str, IntArray], data: Data, before: str = "", after: str = "") -> None:
    for key, got in out.items():
        tally.same(f"{before}{key}{after}", got, data[f"{before}{key}{after}"])


def _limited(vmin: float, vmax: float) -> Conventions:
    return limited(CHIP, round(np.log2(1 - vmin)), round((np.log2(vmax + 1) - 9) / 2))


def compartments(data: Data, tally: Tally) -> None:
    """64 compartments with their own parameters, sums beyond every register, limits that clip."""
    keys = ("decay_u", "decay_v", "bias")
    block = {key: data[key] for key in (*keys, "vth", "refract")}
    _all(tally, nengo(data["spikes"], block, data["w"]), data)
    over = {key: data[f"ovf_{key}"] for key in keys} | {"vth": meta(data)["ovf_vth"], "refract": 1}
    _all(tally, nengo(data["ovf_spikes"], over, data["ovf_w"]), data, "ovf_")
    p = meta(data)["clamp"]
    clamp = {key: p[key] for key in ("decay_u", "decay_v", "vth")} | {"bias": 0, "refract": 1}
    limits = _limited(p["vmin"], p["vmax"])
    _all(tally, nengo(data["spikes"], clamp, data["clamp_w"], conventions=limits), data, "clamp_")


def recurrent(data: Data, tally: Tally) -> None:
    """Compartments with several refractory periods that hear each other."""
    block = {key: meta(data)[key] for key in ("decay_u", "decay_v", "vth", "bias")} | {"refract": data["refract"]}
    _all(tally, nengo(data["spikes"], block, data["w_in"], data["w_rec"]), data)


def mlp(data: Data, tally: Tally) -> None:
    """Two blocks from discretised floats, with the limits that the discretisation programmed."""
    x = np.unpackbits(data["spikes"], axis=1)[:, : int(data["T"])]
    for k in "12":
        p = meta(data)[f"block{k}"]
        block = {key: p[key] for key in ("decay_u", "decay_v", "vth", "refract")} | {"bias": data[f"bias{k}"]}
        out = nengo(x, block, data[f"w{k}"], conventions=_limited(p["vmin"], p["vmax"]))
        _all(tally, out, data, after=k)
        x = out["s"]


def noisy(data: Data, tally: Tally) -> None:
    """Noise on the sum of weights, and noise on the sum of current and bias."""
    p = meta(data)
    for name in "uv":
        own = p[name]
        n, steps = data[f"{name}_u"].shape
        drawn = noise(np.random.RandomState(p["seed"]), steps, n, own["noise_exp"], own["noise_offset"]).T
        block = {key: np.broadcast_to(p[key], (n,)) for key in ("decay_u", "decay_v", "vth")}
        whole = block | {"bias": data[f"{name}_bias"], "refract": np.ones(n, dtype=np.int64)}
        cell = _compartments("n", whole, np.arange(n))
        silent = Affine("w", weight=_wide(np.zeros((1, n))))
        graph = chain([Input("in", shape=(1,)), silent, cell], CHIP)
        port = "drive" if own["noise_at_membrane"] else "x"
        quiet = np.zeros((1, steps), dtype=np.int64)
        out = run(graph, quiet, {("n", port): drawn})
        got = {key: out[f"n.{key}"] for key in "uvs"} | {"ref": holds(graph, quiet)["n"]}
        one = Affine("w", weight=_wide(np.eye(n)))
        arriving = drawn if port == "x" else np.zeros_like(drawn)
        got["q0"] = arrivals([(one, 0)], arriving, (n,), replace(ACCUMULATOR, hop_delay=0))
        _all(tally, got, data, f"{name}_")


def functions(data: Data, tally: Tally) -> None:
    """The emulator's arithmetic, one function after the other."""
    for offset in (0, 1):
        got = decay_int(data["x"], data["decay"], offset)
        tally.same(f"decay_int_off{offset}", got, data[f"decay_int_off{offset}"])
        magnitude = decay_magnitude(MAGNITUDES, offset)
        tally.same(f"decay_magnitude[{offset}]", magnitude, data["decay_magnitude"][offset], 1e-9)
    for bits in (21, 23):
        kept, flags = overflow_signed(data["ov"], bits)
        tally.same(f"ov{bits}", kept, data[f"ov{bits}"])
        tally.same(f"ov{bits}_flag", flags, data[f"ov{bits}_flag"])
    mantissa, exponent = bias_to_manexp(data["bias"])
    tally.same("bias_man", mantissa, data["bias_man"])
    tally.same("bias_exp", exponent, data["bias_exp"])
    for k, exponent in enumerate(data["w_disc_exp"].tolist()):
        tally.same(f"w_disc[{exponent}]", discretize_weights(data["w_float"], exponent), data["w_disc"][k])


def blocks(data: Data, tally: Tally) -> None:
    """Random blocks of floats. Column 9 (refract_delay) has no float in the file that it came from."""
    names = [name.strip() for name in meta(data)["floats"].split(",")]
    for k, row in enumerate(data["floats"]):
        got = discretize_block(_float_block(dict(zip(names, row.tolist(), strict=True)), data, k))
        first = [got.decay_u, got.decay_v, got.threshold]
        ints = [*(array[0] for array in first), got.minimum, got.maximum, got.scales.weight_exp, *got.weight_exps]
        tally.same(f"ints[{k}]", ints, data["ints"][k, 1:9])
        tally.same(f"scales[{k}]", _scales(got) / np.where(row[7:], row[7:], 1), np.sign(row[7:]), 1e-12)
        tally.same(f"bias_int[{k}]", got.bias, data["bias_int"][k])
        for j, weights in enumerate(got.weights):
            tally.same(f"w_int[{k}, {j}]", weights, data["w_int"][k, j])


def _float_block(p: dict[str, float], data: Data, k: int) -> FloatBlock:
    bias = data["bias_float"][k]
    same = {key: np.full(len(bias), p[key], dtype=np.float32) for key in ("decay_u", "decay_v")}
    return FloatBlock(
        **same, threshold=np.full(len(bias), p["vth"], dtype=np.float32), bias=bias, minimum=p["vmin"],
        maximum=p["vmax"], scale_u=bool(p["scale_u"]), scale_v=bool(p["scale_v"]), synapses=tuple(data["w_float"][k]),
    )  # fmt: skip


def _scales(block: IntegerBlock) -> FloatArray:
    found = block.scales
    return np.array([found.largest_weight, *(a.flat[0] for a in (found.weight, found.membrane, found.bias))])


def _kind(name: str, check: Callable[[Data, Tally], None], needs: str, inputs: str = "meta") -> Kind:
    return Kind(name, frozenset(["meta", *needs.split()]), check, inputs)


KINDS = (
    _kind("nl_compartments", compartments, "decay_u decay_v vth bias refract spikes w q0 u v s ref ovf_q0 clamp_q0"),
    _kind("nl_recurrent", recurrent, "refract spikes w_in w_rec q0 u v s ref"),
    _kind("nl_mlp_784_64_10", mlp, "spikes T w1 bias1 q01 u1 w2 bias2 q02 u2", r"meta|(w|bias)[12]_float"),
    _kind("nl_noise", noisy, "u_bias u_q0 u_u v_bias v_q0 v_u"),
    _kind("nl_functions", functions, "x decay decay_int_off0 ov ov21 bias bias_man w_float w_disc w_disc_exp"),
    _kind("nl_discretize", blocks, "ints floats w_float w_int bias_float bias_int"),
)
