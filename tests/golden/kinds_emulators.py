"""Vectors of the brian2-loihi emulator: its neurons and weights under the reference's overflow policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from golden_base import Data, Kind, Tally, meta
from replay import DECAY, fixed, neuron, run

from snnc.ir import Affine, Conventions, Edge, FixedGraph, Format, Input, IntArray, Node
from snnc_loihi.encoding import SignMode, encode

Values = npt.NDArray[Any]

BRIAN = Conventions(
    accumulator_bits=32, accumulator_overflow="wrap", state_bits=32, current_overflow="wrap", membrane_overflow="wrap"
)
MODES: dict[int, SignMode] = {1: "mixed", 2: "excitatory", 3: "inhibitory"}


def _all(tally: Tally, out: dict[str, IntArray], data: Data) -> None:
    for key, got in out.items():
        tally.same(key, got, data[key])


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
    _kind("b2_neuron", brian_neuron, "c0_spikes c0_w c0_I c0_v c0_s"),
    _kind("b2_recurrent", brian_recurrent, "spikes w w_rec I v s"),
    _kind("b2_weights", brian_weights, "params n w_act"),
)
