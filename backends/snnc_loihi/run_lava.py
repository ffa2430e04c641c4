"""Runs the network in lava.npz, which lies beside this file, with Lava's bit-accurate models of Loihi.

    python run_lava.py INPUT.npz OUTPUT.npz [--states]

Needs lava-nc 0.10.0 and NumPy and nothing else. INPUT holds ``spikes`` [B, T, ...] or [T, ...] of 0 and 1. OUTPUT gets
``spikes/<population>`` (and ``states/<population>/u`` and ``v``) with the same leading axes, in logical time: step t of
every population is step t of the network without the one step that each connection takes on the chip. Write it to
another folder: a compiled folder that holds further files is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

warnings.simplefilter("ignore")

# Lava is archived and says python < 3.11, numpy < 2. Beyond that it needs two patches:
# 1. lava.magma.compiler.var_model gives a dataclass field an instance of another dataclass as its default. Python 3.11
#    refuses defaults without a hash, so every dataclass gets one while that module is imported.
# 2. ReshapePort calls np.reshape(newshape=), which NumPy 2.4 removed.
original = dataclasses.dataclass
if sys.version_info >= (3, 11):
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
importlib.import_module("lava.magma.compiler.var_model")
dataclasses.dataclass = original

from lava.magma.core.process.ports.ports import ReshapePort  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.conv.process import Conv  # noqa: E402
from lava.proc.dense.process import DelayDense, Dense  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402
from lava.proc.lif.models import PyLifResetModelBitAcc  # noqa: E402
from lava.proc.lif.process import LIFReset  # noqa: E402
from lava.utils.weightutils import SignMode  # noqa: E402

Array = npt.NDArray[Any]
SAMPLES_PER_RUN = 256


def reshaped(shape: tuple[int, ...], data: Array) -> Array:
    """np.reshape with the arguments in the order in which functools.partial fills them."""
    return np.reshape(data, shape)


ReshapePort.get_transform_func_fwd = lambda self: functools.partial(reshaped, self.shape)
ReshapePort.get_transform_func_bwd = lambda self: functools.partial(reshaped, self.old_shape)


class Recorder(PyLifResetModelBitAcc):  # type: ignore[misc]
    """Lava's LIFReset. It writes its spikes and states to a file, because reading them through Lava takes minutes."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.path, steps, size, states = proc_params["record"]
        self.kept = {"s": np.zeros((steps, size), dtype=np.int8)}
        self.kept |= {name: np.zeros((steps, size), dtype=np.int32) for name in ("u", "v") if states}

    def spiking_activation(self) -> Any:
        """Lava's comparison; its result is kept."""
        fired = super().spiking_activation()
        self.kept["s"][self.time_step - 1] = fired
        return fired

    def run_spk(self) -> None:
        """Lava's step; the states after it are kept."""
        super().run_spk()
        for name in self.kept.keys() - {"s"}:
            self.kept[name][self.time_step - 1] = getattr(self, name)
        if self.time_step == len(self.kept["s"]):
            np.savez(self.path, **self.kept)  # type: ignore[arg-type]


def run(network: dict[str, Any], arrays: dict[str, Array], spikes: Array, states: bool) -> dict[str, Array]:
    """Runs samples one after the other in one Lava network.

    Sample k of a population begins ``latency`` steps after step k * period; LIFReset clears its states right then.

    Args:
        network: the processes, as lava.npz describes them.
        arrays: weights and biases.
        spikes: [B, T, ...].
        states: record u and v.

    Returns:
        ``spikes/<population>`` and ``states/<population>/<u or v>``, [B, T, ...].
    """
    samples, steps = spikes.shape[:2]
    period = steps + network["margin"]
    total = (samples - 1) * period + steps + network["depth"]
    # A sample that runs alone is reset once; a loop may run before its own beginning, and no other reset may touch it.
    interval = period if samples > 1 else total + 1
    found: dict[str, Array] = {}
    with tempfile.TemporaryDirectory() as folder:
        neurons = {}
        for number, one in enumerate(network["populations"]):
            size = int(np.prod(one["shape"]))
            lif = LIFReset(
                shape=(size,), du=one["du"], dv=one["dv"], vth=one["vth"], bias_exp=one["bias_exp"],
                bias_mant=arrays[f"bias/{one['name']}"], reset_interval=interval,
                reset_offset=(one["latency"] + 1) % interval,
            )  # fmt: skip
            lif.proc_params["record"] = (str(Path(folder) / f"{number}.npz"), total, size, states)
            neurons[one["name"]] = lif
        connect(network, arrays, neurons, spikes, period, total)
        start(list(neurons.values()), total)
        for number, one in enumerate(network["populations"]):
            begins = one["latency"] + period * np.arange(samples)
            window = begins[:, np.newaxis] + np.arange(steps)
            with np.load(Path(folder) / f"{number}.npz", allow_pickle=False) as recorded:
                for key in recorded.files:
                    name = f"spikes/{one['name']}" if key == "s" else f"states/{one['name']}/{key}"
                    values = recorded[key][window].reshape(samples, steps, *one["shape"])
                    found[name] = values if key == "s" else values.astype(np.int64)
    return found


def start(neurons: list[Any], steps: int) -> None:
    """Runs every connected part of the network; a call to Lava runs only the part that it is called for."""
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={LIFReset: Recorder})
    for one in neurons:
        if one.runtime is None:
            try:
                one.run(RunSteps(num_steps=steps), config)
            finally:
                one.stop()


def connect(
    network: dict[str, Any], arrays: dict[str, Array], neurons: dict[str, Any], spikes: Array, period: int, total: int
) -> None:
    """Makes inputs and connections. A connection takes one step; what an input has more is in when it sends."""
    sources = {one["name"]: one for one in network["sources"]}
    senders: dict[tuple[str, int], Any] = {}
    for one in network["synapses"]:
        key = (one["source"], one["delay"])
        if one["source"] in neurons:
            port = neurons[one["source"]].s_out
        else:
            if key not in senders:
                data = sent(sources[one["source"]], one["delay"], one["extra"], spikes, period, total)
                senders[key] = RingBuffer(data=data)
            port = senders[key].s_out
        join(port, one, arrays[f"weights/{one['name']}"], neurons[one["target"]].a_in)


def sent(source: dict[str, Any], delay: int, extra: int, spikes: Array, period: int, total: int) -> Array:
    """What an input sends, [size, total]: the samples, or ones (and ``extra`` of them after each sample)."""
    samples, steps = spikes.shape[:2]
    data = np.zeros((int(np.prod(source["shape"])), total), dtype=np.int8)
    for k in range(samples):
        begin = k * period + source["latency"] + delay - 1
        if source["constant"]:
            data[:, begin : begin + steps + extra] = 1
        else:
            room = max(0, total - begin)
            data[:, begin : begin + steps] = spikes[k].reshape(steps, -1).T[:, :room]
    return data


def join(port: Any, one: dict[str, Any], weights: Array, target: Any) -> None:
    """Connects two ports through Dense, DelayDense or Conv."""
    if one["window"] is not None:
        window = one["window"]
        # Lava's Conv neither scales nor truncates its weights, and has x before y before channels.
        conv = Conv(
            weight=weights << one["weight_exp"], input_shape=tuple(window["in_shape"]), stride=tuple(window["stride"]),
            padding=tuple(window["padding"]), dilation=tuple(window["dilation"]), groups=window["groups"],
        )  # fmt: skip
        port.reshape(tuple(window["in_shape"][::-1])).transpose((2, 1, 0)).connect(conv.s_in)
        conv.a_out.transpose((2, 1, 0)).flatten().connect(target)
        return
    options = {
        "weights": weights,
        "weight_exp": one["weight_exp"],
        "num_weight_bits": one["weight_bits"],
        "sign_mode": SignMode.MIXED if one["mixed"] else SignMode.EXCITATORY,
    }
    dense = DelayDense(**options, delays=one["delay"] - 1) if one["kind"] == "delay" else Dense(**options)
    port.connect(dense.s_in)
    dense.a_out.connect(target)


def read(path: Path) -> dict[str, Array]:
    """The arrays of an .npz; nothing in it is executed."""
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def main() -> None:
    """Reads, runs, writes."""
    parser = argparse.ArgumentParser(description="Runs lava.npz on Lava's bit-accurate models of Loihi.")
    parser.add_argument("input", type=Path, help="an .npz with spikes [B, T, ...] or [T, ...]")
    parser.add_argument("output", type=Path, help="the .npz to write")
    parser.add_argument("--states", action="store_true", help="record u and v too")
    options = parser.parse_args()
    arrays = read(Path(__file__).resolve().parent / "lava.npz")
    network = json.loads(str(arrays["network"]))
    source = next(one for one in network["sources"] if not one["constant"])
    spikes = np.asarray(read(options.input)["spikes"])
    shape = tuple(source["shape"])
    batched = spikes.ndim == len(shape) + 2
    spikes = spikes if batched else spikes[np.newaxis]
    if spikes.shape[2:] != shape or not spikes.size or not np.all((spikes == 0) | (spikes == 1)):
        parser.error(f"spikes are {spikes.shape}, allowed are 0 and 1 of the shape [B, T, *{shape}] or [T, *{shape}]")
    # Spikes that a loop still sends after one sample would reach the next one, so such networks start anew for each.
    size = SAMPLES_PER_RUN if network["together"] else 1
    parts = [run(network, arrays, spikes[i : i + size], options.states) for i in range(0, len(spikes), size)]
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    for one in network["sources"]:
        ones = np.ones((*spikes.shape[:2], *one["shape"]), dtype=np.int8)
        found[f"spikes/{one['name']}"] = ones if one["constant"] else spikes.astype(np.int8)
    meta = {"backend": "lava", "target": network["target"], "batched": batched}
    found = {key: values if batched else values[0] for key, values in found.items()}
    found["meta"] = np.array(json.dumps(meta, sort_keys=True))
    np.savez_compressed(options.output, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
