"""Writes ``.net`` files, and computes them by hand: a second implementation that shares nothing with the first.

The products run in float32, where sums of these weights are exact; the states are int64.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Fields = Mapping[str, Any]
NEURON: Fields = {
    "type": "CUBA", "iDecay": 1024, "vDecay": 500, "vThMant": 30, "refDelay": 1, "gradedSpike": False,
}  # fmt: skip


def neuron(**changes: Any) -> dict[str, Any]:
    return {**NEURON, **changes}


def dense(weight: npt.ArrayLike, **more: Any) -> dict[str, Any]:
    array = np.asarray(weight, dtype=np.float32)
    size, inputs = array.shape
    fields = {"type": "dense", "shape": [size], "inFeatures": inputs, "outFeatures": size, "weight": array}
    return {**fields, "neuron": NEURON, **more}


def conv(weight: npt.ArrayLike, space: tuple[int, int], **more: Any) -> dict[str, Any]:
    """``space``: rows and columns of the output."""
    array = np.asarray(weight, dtype=np.float32)
    fields: dict[str, Any] = {
        "type": "conv", "shape": [array.shape[0], *space], "weight": array, "inChannels": array.shape[1],
        "outChannels": array.shape[0], "kernelSize": array.shape[2:4], "stride": [1, 1], "padding": [0, 0],
        "dilation": [1, 1], "groups": 1, "neuron": NEURON,
    }  # fmt: skip
    return {**fields, **more}


def without(fields: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}


def net_bytes(layers: Sequence[Mapping[str, Any]]) -> bytes:
    """A file as slayer's export_hdf5 writes it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for index, fields in enumerate(layers):
            put(file.create_group(f"layer/{index}"), fields)
    return buffer.getvalue()


def put(group: Any, fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, Mapping):
            put(group.create_group(key), value)
        elif isinstance(value, str):
            group.create_dataset(key, (1,), "S10", np.array([value.encode()]))
        else:
            group.create_dataset(key, data=value)


@dataclass(frozen=True)
class Rules:
    """How a layer computes; the defaults are right, everything else is a plausible mistake."""

    fires: str = "gt"
    decay: str = "toward_zero"
    delay: int = 0
    bias_in: str = "v"


def kept(x: npt.NDArray[np.int64], lost: npt.NDArray[np.int64], rules: Rules) -> npt.NDArray[np.int64]:
    product = x * (4096 - lost)
    if rules.decay == "floor":
        return product >> 12
    if rules.decay == "nearest":
        return np.rint(product / 4096).astype(np.int64)
    return np.sign(product) * (np.abs(product) >> 12)


def by_hand(layers: Any, spikes: npt.NDArray[Any], rules: Rules | None = None) -> dict[str, dict[str, Any]]:
    """``u``, ``v`` and ``s`` [B, T, *shape] of every layer of a file that was read."""
    rules = rules or Rules()
    found: dict[str, dict[str, Any]] = {}
    now = np.asarray(spikes)
    for layer in layers.layers:
        if not hasattr(layer, "weight"):
            now = now.reshape(*now.shape[:2], -1)
            continue
        drive = weighted(layer, now)
        if rules.delay:
            drive = np.concatenate([np.zeros_like(drive[:, : rules.delay]), drive[:, : -rules.delay]], axis=1)
        found[layer.name] = states(layer, drive, rules)
        now = found[layer.name]["s"]
    return found


def weighted(layer: Any, spikes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    x = spikes.astype(np.float32)
    weight = layer.weight.astype(np.float32)
    if weight.ndim == 2:
        return np.asarray(x @ weight.T).astype(np.int64)
    rows, columns = layer.padding
    x = np.pad(x, [(0, 0)] * 3 + [(rows, rows), (columns, columns)])
    y = np.zeros((*x.shape[:2], *layer.shape), dtype=np.float32)
    per_out, per_in = layer.shape[0] // layer.groups, weight.shape[1]
    for out in range(layer.shape[0]):
        first = out // per_out * per_in
        for r in range(layer.shape[1]):
            for c in range(layer.shape[2]):
                top, left = r * layer.stride[0], c * layer.stride[1]
                down, right = layer.dilation
                ends = top + down * weight.shape[2], left + right * weight.shape[3]
                window = x[:, :, first : first + per_in, top : ends[0] : down, left : ends[1] : right]
                y[:, :, out, r, c] = (window * weight[out]).sum(axis=(2, 3, 4))
    return y.astype(np.int64)


def states(layer: Any, drive: npt.NDArray[np.int64], rules: Rules) -> dict[str, Any]:
    column = (-1, *(1,) * (len(layer.shape) - 1))
    bias = 0 if layer.bias is None else layer.bias.reshape(column) << 6
    lost_u, lost_v = (d.reshape(column) if d.ndim else d for d in (layer.neuron.i_decay, layer.neuron.v_decay))
    u = np.zeros_like(drive[:, 0])
    v, found = u, {key: np.zeros_like(drive) for key in "uvs"}
    for t in range(drive.shape[1]):
        u = kept(u, lost_u, rules) + (drive[:, t] << 6) + (bias if rules.bias_in == "u" else 0)
        v = kept(v, lost_v, rules) + u + (bias if rules.bias_in == "v" else 0)
        fired = v > layer.neuron.threshold << 6 if rules.fires == "gt" else v >= layer.neuron.threshold << 6
        v = np.where(fired, 0, v)
        for key, value in (("u", u), ("v", v), ("s", fired)):
            found[key][:, t] = value
    return found


def differing(found: Mapping[str, Mapping[str, Any]], trace: Any) -> int:
    """Spikes and states in which a trace is not what was computed by hand."""
    count = 0
    for name, values in found.items():
        count += int((trace.spikes[name] != values["s"]).sum())
        count += sum(int((trace.states[name, key] != values[key]).sum()) for key in ("u", "v"))
    return count
