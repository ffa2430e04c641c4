"""Vectors of the nengo-loihi and brian2-loihi emulators: their neurons under the reference's overflow policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from golden_base import Data, Kind, Tally, meta
from replay import DECAY, LOIHI, STATE, SYNAPSE, arrivals, fixed, holds, neuron, run

from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, Format, Input, IntArray, Neuron, Node
from snnc_loihi.encoding import SignMode, encode

Values = npt.NDArray[Any]

NENGO = replace(LOIHI, accumulator_bits=22, current_overflow="wrap")
NENGO_SUM = replace(SYNAPSE, accumulator_bits=22, state_frac=0)
BRIAN = Conventions(
    accumulator_bits=32, accumulator_overflow="wrap", state_bits=32, current_overflow="wrap", membrane_overflow="wrap"
)
MODES: dict[int, SignMode] = {1: "mixed", 2: "excitatory", 3: "inhibitory"}


def _wide(weights: Values) -> Fixed:
    """Expanded weights (axon, neuron) as (neuron, axon) in state units."""
    return fixed(weights.T, STATE)


def nengo(x: Values, block: dict[str, Any], w: Values, w_rec: Values | None = None) -> dict[str, IntArray]:
    """A block of compartments, one population for each refractory period because a population has one.

    Args:
        x: spikes [axons, T].
        block: decay_u, decay_v, vth, bias and refract, scalar or one for each compartment.
        w: (axons, compartments), expanded.
        w_rec: (compartments, compartments) or None.

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
    graph = FixedGraph(tuple(nodes), tuple(edges), "vector", NENGO)
    parts = run(graph, x) | {f"{name}.ref": hold for name, hold in holds(graph, x).items()}
    out = {key: np.zeros((n, x.shape[1]), dtype=np.int64) for key in ("u", "v", "s", "ref")}
    for key, whole in out.items():
        for i, part in enumerate(groups):
            whole[part] = parts[f"g{i}.{key}"]
    sources, weights = (x, w) if w_rec is None else (np.vstack([x, out["s"]]), np.vstack([w, w_rec]))
    out["q0"] = arrivals([(Affine("w", weight=_wide(weights)), 1)], sources, (n,), NENGO_SUM)
    return out


def _compartments(name: str, p: dict[str, Values], part: IntArray) -> Neuron:
    own = {key: value[part] for key, value in p.items()}
    return neuron(
        name, part.shape, decay_u=fixed(4095 - own["decay_u"], DECAY), decay_v=fixed(4096 - own["decay_v"], DECAY),
        threshold=fixed(own["vth"]), bias=fixed(own["bias"]), refractory=int(own["refract"][0]) - 1,
    )  # fmt: skip


def _all(tally: Tally, out: dict[str, IntArray], data: Data, suffix: str = "") -> None:
    for key, got in out.items():
        tally.same(f"{key}{suffix}", got, data[f"{key}{suffix}"])


def compartments(data: Data, tally: Tally) -> None:
    """64 compartments, each with its own parameters."""
    block = {key: data[key] for key in ("decay_u", "decay_v", "vth", "bias", "refract")}
    _all(tally, nengo(data["spikes"], block, data["w"]), data)
    tally.missing["ovf_*"] = "a bias whose sum with u wraps at 24 bits (conventions have no such register)"
    tally.missing["clamp_*"] = "limits vmin and vmax of the membrane (conventions have one width)"


def recurrent(data: Data, tally: Tally) -> None:
    """Compartments with several refractory periods that hear each other."""
    block = {key: meta(data)[key] for key in ("decay_u", "decay_v", "vth", "bias")} | {"refract": data["refract"]}
    _all(tally, nengo(data["spikes"], block, data["w_in"], data["w_rec"]), data)


def mlp(data: Data, tally: Tally) -> None:
    """Two blocks from discretised floats."""
    x = np.unpackbits(data["spikes"], axis=1)[:, : int(data["T"])]
    for k in "12":
        block = {key: meta(data)[f"block{k}"][key] for key in ("decay_u", "decay_v", "vth", "refract")}
        out = nengo(x, block | {"bias": data[f"bias{k}"]}, data[f"w{k}"])
        _all(tally, out, data, k)
        x = out["s"]


def _brian(p: dict[str, int], x: Values, w: Values, w_rec: Values | None, delay: int) -> dict[str, IntArray]:
    cell = neuron(
        "n", w.shape[1:], decay_u=fixed(4096 - p["decay_I"], DECAY), decay_v=fixed(4096 - p["decay_v"], DECAY),
        threshold=fixed(p["threshold_v_mant"], Format(40, -6)), refractory=p["refractory"] - 1,
    )  # fmt: skip
    nodes: list[Node] = [
        Input("in", shape=x.shape[:1]),
        Affine("w", weight=encode(w.T, "mixed", engine="brian2")),
        cell,
    ]
    edges = [Edge("in", "w", delay), Edge("w", "n")]
    if w_rec is not None:
        nodes.append(Affine("r", weight=encode(w_rec.T, "mixed", engine="brian2")))
        edges += [Edge("n", "r", 1), Edge("r", "n")]
    out = run(FixedGraph(tuple(nodes), tuple(edges), "vector", BRIAN), x)
    return {"I": out["n.u"], "v": out["n.v"], "s": out["n.s"]}


def brian_neuron(data: Data, tally: Tally) -> None:
    """Decays, refractory periods and delays."""
    for k, p in enumerate(meta(data)["cases"]):
        out = _brian(p, data[f"c{k}_spikes"], data[f"c{k}_w"], None, p["delay"])
        for key, got in out.items():
            tally.same(f"c{k}_{key}", got, data[f"c{k}_{key}"])


def brian_recurrent(data: Data, tally: Tally) -> None:
    """A recurrent group; input arrives in its own step."""
    _all(tally, _brian(meta(data), data["spikes"], data["w"], data["w_rec"], 0), data)


def brian_weights(data: Data, tally: Tally) -> None:
    """Every mantissa, width and exponent."""
    for k, (mode, bits, exponent) in enumerate(data["params"]):
        count = int(data["n"][k])
        mantissas = np.arange(count) + (0 if mode == 2 else -256)
        got = encode(mantissas, MODES[int(mode)], int(bits), int(exponent), "brian2").aligned(0)
        tally.same(f"w_act[{k}] ({MODES[int(mode)]}, {bits} bits, exponent {exponent})", got, data["w_act"][k, :count])


def _kind(name: str, check: Callable[[Data, Tally], None], needs: str, inputs: str = "meta") -> Kind:
    return Kind(name, frozenset(["meta", *needs.split()]), check, inputs)


KINDS = (
    _kind("nl_compartments", compartments, "decay_u decay_v vth bias refract spikes w q0 u v s ref ovf_q0 clamp_q0"),
    _kind("nl_recurrent", recurrent, "refract spikes w_in w_rec q0 u v s ref"),
    _kind("nl_mlp_784_64_10", mlp, "spikes T w1 bias1 q01 u1 w2 bias2 q02 u2", r"meta|(w|bias)[12]_float"),
    _kind("b2_neuron", brian_neuron, "c0_spikes c0_w c0_I c0_v c0_s"),
    _kind("b2_recurrent", brian_recurrent, "spikes w w_rec I v s"),
    _kind("b2_weights", brian_weights, "params n w_act"),
)
