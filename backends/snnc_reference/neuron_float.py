"""One float64 step of a neuron population: the equation in snnc.ir.nodes.Neuron, line by line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import FloatArray, Neuron


@dataclass
class FloatState:
    """u, v, last spikes (the membrane if graded) and remaining refractory steps, each [B, *shape]."""

    u: FloatArray
    v: FloatArray
    s: FloatArray
    hold: FloatArray


def start(node: Neuron, batch: int) -> FloatState:
    """The state before the first step."""
    zeros = np.zeros((batch, *node.shape))
    return FloatState(zeros, zeros + np.asarray(node.v_init), zeros, zeros)


def step(node: Neuron, state: FloatState, x: FloatArray) -> FloatState:
    """One step; x is the summed input [B, *shape]."""
    p = {key: np.asarray(value) for key, value in node.params().items()}
    u = p["decay_u"] * state.u + p["gain_u"] * x
    v = p["decay_v"] * (state.v - p["v_rest"]) + p["v_rest"] + p["gain"] * u + p["bias"]
    if node.output == "graded":
        return FloatState(u, v, v, state.hold)
    held = state.hold > 0
    v = np.where(held, state.v, v)
    if node.reset_delay:
        v = _reset(node, p, v, state.s)
    spikes = np.where(held, 0.0, _fired(node, p, v))
    if not node.reset_delay:
        v = _reset(node, p, v, spikes)
    if "v_min" in p:
        v = np.maximum(v, p["v_min"])
    if node.reset_u:
        u = np.where(spikes != 0, 0.0, u)
    hold = np.where(spikes != 0, node.refractory, np.maximum(state.hold - 1, 0))
    return FloatState(u, v, spikes, hold)


def _low(p: dict[str, FloatArray]) -> FloatArray:
    return p["threshold_low"] if "threshold_low" in p else -p["threshold"]


def _fired(node: Neuron, p: dict[str, FloatArray], v: FloatArray) -> FloatArray:
    if node.output == "multi":
        return np.asarray(np.where(v > 0, np.trunc(v / p["threshold"]), 0.0), dtype=np.float64)
    up = v > p["threshold"] if node.fires == "gt" else v >= p["threshold"]
    if node.output != "ternary":
        return np.asarray(up.astype(np.float64), dtype=np.float64)
    down = v < _low(p) if node.fires == "gt" else v <= _low(p)
    return np.asarray(up.astype(np.float64) - down.astype(np.float64), dtype=np.float64)


def _reset(node: Neuron, p: dict[str, FloatArray], v: FloatArray, spikes: FloatArray) -> FloatArray:
    if node.reset_v == "subtract":
        amount = np.where(spikes > 0, spikes * p["threshold"], np.where(spikes < 0, _low(p), 0.0))
        return np.asarray(v - amount, dtype=np.float64)
    if node.reset_v == "none":
        return v
    return np.where(spikes != 0, p["v_reset"] if node.reset_v == "value" else 0.0, v)
