"""nengo-loihi's emulator on integers that are handed to it, as a program of its own: it needs numpy<2.

    python peer_nengo.py NETWORK.npz

NETWORK holds ``layers``, and per layer i ``weight/i`` [out, in] in accumulator units, ``bias/i``, ``threshold/i``,
``decays`` (registers of u and v) and ``spikes`` [T, in]. For each line on standard input one sample runs and one line
of JSON is printed: seconds of the steps, seconds with building the emulator's state; the line ``spikes`` adds what each
layer sent, as flat indices into [T + layers, n].
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from nengo_loihi.block import Axon, LoihiBlock, Synapse  # noqa: E402
from nengo_loihi.builder import Model  # noqa: E402
from nengo_loihi.emulator import EmulatorInterface  # noqa: E402
from nengo_loihi.inputs import SpikeInput  # noqa: E402

TOP = (1 << 23) - 1


def block(data: Any, number: int) -> tuple[LoihiBlock, Synapse]:
    """A layer: its compartments and the synapse into them."""
    weight = np.asarray(data[f"weight/{number}"], dtype=np.int32)
    size = weight.shape[0]
    made = LoihiBlock(size)
    cells = made.compartment
    decay_u, decay_v = data["decays"]
    registers = {
        "decay_u": decay_u, "decay_v": decay_v, "vth": data[f"threshold/{number}"], "bias": data[f"bias/{number}"],
        "refract_delay": 1,
    }  # fmt: skip
    for name, value in registers.items():
        setattr(cells, name, np.zeros(size, dtype=np.int32) + np.asarray(value, dtype=np.int32))
    cells.scale_u = cells.scale_v = False
    cells.vmin, cells.vmax = -TOP, TOP
    cells.noise_exp, cells.noise_offset = 1, 0
    synapse = Synapse(weight.shape[1])
    synapse._set_weights_indices(list(weight.T.copy()), weight_dtype=np.int32, compression=3)
    made.add_synapse(synapse)
    return made, synapse


def build(data: Any) -> tuple[Model, list[int]]:
    """The network, and where each layer's compartments end."""
    spikes = data["spikes"]
    model, ends = Model(), [0]
    source: Any = SpikeInput(spikes.shape[1])
    for t, row in enumerate(spikes):
        source.add_spikes(t + 1, np.nonzero(row)[0], permanent=True)
    model.add_input(source)
    for number in range(int(data["layers"])):
        made, synapse = block(data, number)
        axon = Axon(synapse.n_axons)
        axon.target = synapse
        source.add_axon(axon)
        model.add_block(made)
        source = made
        ends.append(ends[-1] + made.n_neurons)
    return model, ends


def main() -> None:
    """Answers every line of standard input."""
    logging.disable(logging.CRITICAL)
    with np.load(sys.argv[1], allow_pickle=False) as archive:
        data = {key: archive[key] for key in archive.files}
    model, ends = build(data)
    steps, layers = len(data["spikes"]), len(ends) - 1
    for line in sys.stdin:
        begin = time.perf_counter()
        sent = []
        with EmulatorInterface(model, seed=0) as emulator:
            ready = time.perf_counter()
            cells = emulator.compartment
            for step in range(steps + layers):
                if 1 <= step <= layers:  # a population's own time begins when the first input can reach it
                    own = slice(ends[step - 1], ends[step])
                    cells.current[own] = cells.voltage[own] = 0
                emulator.step()
                if line.strip() == "spikes":
                    sent.append(cells.spiked.copy())
        end = time.perf_counter()
        answer: dict[str, Any] = {"steps": end - ready, "all": end - begin}
        if sent:
            fired = np.array(sent)
            answer["spikes"] = [np.flatnonzero(fired[:, ends[i] : ends[i + 1]]).tolist() for i in range(layers)]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
