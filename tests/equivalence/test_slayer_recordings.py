"""Real SLAYER networks give what was recorded from them: Oxford, PilotNet, MNIST, and the N-MNIST net of the chip.

The reference executes the files' integers. Where a whole data set would take it minutes, a second implementation
(``by_hand``) computes all of it, and the reference is held to that implementation, every state, on some samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.formats.slayer_file import Fires, Place, SlayerNet, open_net, read
from snnc.formats.slayer_layers import Layers
from snnc.ir import FixedGraph
from snnc.target import Target
from snnc.trace import Probes
from snnc_loihi import backend as loihi
from snnc_loihi.target import LOIHI1
from snnc_reference.execute import execute
from snnc_reference.targets import GENERIC
from unit.formats.slayer_nets import Rules, by_hand, dense, differing, net_bytes, neuron
from unit.formats.slayer_recordings import (
    FRAME,
    LAYERS,
    mnist,
    nmnist_events,
    nmnist_layers,
    oxford_input,
    oxford_output,
    pilotnet_spikes,
    rate_coded,
)

EVERYTHING = Probes("all", "all")


def graph_of(net: SlayerNet, target: Target = GENERIC) -> FixedGraph:
    made = net.integers(Place(target.name, target.conventions, target.formats["threshold"]))
    assert made is not None
    return made.graph


def cut(found: dict[str, dict[str, Any]], samples: slice) -> dict[str, dict[str, Any]]:
    return {name: {key: array[samples] for key, array in arrays.items()} for name, arrays in found.items()}


def oxford(data: Path, fires: Fires = "ge") -> SlayerNet:
    return open_net(data / "lava" / "oxford.net", fires)


def test_oxford_gives_the_recorded_spikes(shared_data: Path) -> None:
    """10,178 spikes of 200 neurons in 1,887 steps; the recording is in device steps, two layers later."""
    net, want = oxford(shared_data), oxford_output(shared_data)
    found = execute(graph_of(net), oxford_input(shared_data)).spikes["layer1"][0]
    assert want.sum() == 10_178
    assert int((found[: len(want)] != want).sum()) == 0
    assert not found[len(want) :].sum()


@pytest.mark.parametrize("mistake", ["fires", "time", "rounding"])
def test_oxford_would_show_a_mistake(shared_data: Path, mistake: str) -> None:
    """Negative control: another comparison, one step off, or input times rounded down."""
    net, want = oxford(shared_data, "gt" if mistake == "fires" else "ge"), oxford_output(shared_data)
    spikes = oxford_input(shared_data, np.floor if mistake == "rounding" else np.rint)
    found = execute(graph_of(net), spikes).spikes["layer1"][0]
    late = int(mistake == "time")
    assert int((found[late : len(want) + late] != want).sum()) > 1000


def test_oxford_runs_in_lava(shared_data: Path) -> None:
    """Loihi fires above the threshold only: Lava equals the reference, and both are what ``gt`` says."""
    graph = graph_of(oxford(shared_data, "gt"), LOIHI1)
    spikes = oxford_input(shared_data)[:, :600].reshape(3, 200, 200)
    ran = loihi.run(loihi.lower(graph, LOIHI1), spikes, EVERYTHING)
    expected = by_hand(oxford(shared_data).layers, spikes)
    assert expected["layer1"]["s"].sum() > 500
    assert differing(expected, execute(graph, spikes, EVERYTHING)) == 0
    assert differing(expected, ran) == 0
    assert differing(by_hand(oxford(shared_data).layers, spikes, Rules(fires="ge")), ran) > 0


@pytest.fixture(scope="module")
def pilotnet(shared_data: Path) -> Any:
    """The recording, the input spikes of its 24 steps, and the file.

    The recorded network was reset every 17 steps, layer k one step after layer k-1. In logical time that is a new
    sample: the 24 steps are one sample of 17 and one of 7.
    """
    with np.load(shared_data / "lava" / "pilotnet_lif_trace.npz", allow_pickle=False) as archive:
        trace = {key: archive[key] for key in archive.files}
    return trace, pilotnet_spikes(trace), open_net(shared_data / "lava" / "pilotnet_lif.net")


def test_pilotnet_input_layer_gives_the_recorded_spikes(pilotnet: Any) -> None:
    """The recorded image is the bias 2 * 40 * x - 40 + 36 of every pixel."""
    trace, spikes, net = pilotnet
    values = (trace["image"].transpose(2, 1, 0)[np.newaxis] + 4) / 80
    found = net.encode(values, FRAME)[0]
    assert np.array_equal(found, spikes[:FRAME])
    assert np.array_equal(found[: 24 - FRAME], spikes[FRAME:])
    late = SlayerNet(net.layers, "ge").encode(values, FRAME)[0]
    assert int((late != spikes[:FRAME]).sum()) > 1000


def test_pilotnet_gives_every_recorded_state(pilotnet: Any) -> None:
    """u, v and spikes of 8 layers, 24 device steps each; the last layer, which never fires, stays out.

    Layer k acts from device step k on; before, it runs on its bias alone, which the same graph shows when its
    populations are not aligned. Where a neuron fires the recording holds v = 128 as a mark, not the reset state.
    """
    trace, spikes, net = pilotnet
    graph = graph_of(net, LOIHI1)
    frames = np.zeros((2, FRAME, *spikes.shape[1:]), dtype=np.int8)
    frames[0], frames[1, : 24 - FRAME] = spikes[:FRAME], spikes[FRAME:]
    aligned = execute(graph, frames, EVERYTHING)
    early = execute(FixedGraph(graph.nodes, graph.edges, graph.target, graph.conventions), frames[:1, :9], EVERYTHING)
    compared = wrong = marks = 0
    for key, (name, depth) in LAYERS.items():
        found = {}
        for quantity, source in (("u", "states"), ("v", "states"), ("s", "spikes")):
            where = (name, quantity) if source == "states" else name
            whole, start = getattr(aligned, source)[where], getattr(early, source)[where]
            steps = np.concatenate([start[0, :depth], whole[0], whole[1]])[:24]
            found[quantity] = steps.reshape(24, *reversed(trace[key].shape[:-1])).T
        fired = trace[key].astype(bool)
        wrong += int((found["s"] != fired).sum()) + int((found["u"] != trace[f"{key}_u"]).sum())
        wrong += int((found["v"] != np.where(fired, 0, trace[f"{key}_v"])).sum())
        marks += int((trace[f"{key}_v"][fired] != 128).sum())
        compared += fired.size
    assert compared == 1_029_024 + 1_824_768
    assert (wrong, marks) == (0, 0)


def test_pilotnet_would_show_a_mistake(pilotnet: Any) -> None:
    """Negative control on the first dense layer, driven by the recorded spikes of the layer before it."""
    trace, _, net = pilotnet
    layer = net.layers.layers[6]
    assert layer.name == "layer7"
    alone = Layers((2560,), None, (layer,))
    assert fc_0_differing(trace, alone, Rules()) == 0
    for rules in (Rules(decay="floor"), Rules(decay="nearest"), Rules(delay=1), Rules(bias_in="u")):
        assert fc_0_differing(trace, alone, rules) > 0, rules


def fc_0_differing(trace: Any, layers: Layers, rules: Rules) -> int:
    """Values of fc_0 that differ in its first frame, which begins with a reset in device step 6."""
    depth = LAYERS["fc_0"][1]
    window = slice(depth, depth + FRAME)
    before = trace["conv_4"].transpose(3, 2, 1, 0).reshape(24, -1)[np.newaxis, depth - 1 : depth - 1 + FRAME]
    found = by_hand(layers, before, rules)["layer7"]
    fired = trace["fc_0"].T[window].astype(bool)
    v = np.where(fired, 0, trace["fc_0_v"].T[window])
    return sum(int((found[k][0] != w).sum()) for k, w in (("u", trace["fc_0_u"].T[window]), ("v", v), ("s", fired)))


def test_mnist_bootstrap_is_98_55_percent(shared_data: Path) -> None:
    """The file's input layer codes pixels of 0 to 1; the last layer has no neurons and is read by its membrane."""
    pixels, labels = mnist(shared_data)
    net = open_net(shared_data / "lava" / "mnist_bootstrap.net")
    spikes = net.encode(pixels, 16)
    found = by_hand(net.layers, spikes)
    assert int((found["layer3"]["v"][:, -1].argmax(axis=1) == labels).sum()) == 1971
    trace = execute(graph_of(net, LOIHI1), spikes[40:80], EVERYTHING)
    assert differing(cut(found, slice(40, 80)), trace) == 0


def test_mnist_128_64_10_is_93_7_percent(shared_data: Path) -> None:
    """784 spike trains from integrators that fire when the pixels add up to 255 (1.0), 32 steps.

    SLAYER clips nothing, Loihi has 24 bits: some membranes that are driven far below the threshold stop there.
    """
    pixels, labels = mnist(shared_data)
    net = open_net(shared_data / "lava" / "mnist_128_64_10.net")
    spikes = rate_coded(pixels, 32)
    found = by_hand(net.layers, spikes)
    assert int((found["layer2"]["s"].sum(axis=1).argmax(axis=1) == labels).sum()) == 1874
    part = cut(found, slice(40, 80))
    assert differing(part, execute(graph_of(net), spikes[40:80], EVERYTHING)) == 0
    for arrays in part.values():
        arrays["v"] = np.maximum(arrays["v"], 1 - (1 << 23))
    chip = execute(graph_of(net, LOIHI1), spikes[40:80], EVERYTHING)
    assert differing(part, chip) == 0
    assert differing(cut(found, slice(40, 80)), chip) == 48


@pytest.mark.parametrize(("training", "right"), [("TrainedFull", 100), ("Trained", 91)])
def test_the_nmnist_net_of_the_chip_answers_as_it_did(shared_data: Path, training: str, right: int) -> None:
    """2312-512-10, all 100 test recordings in steps of 1 ms; the weights become a ``.net`` file first."""
    net = read(net_bytes(nmnist_layers(shared_data, training, dense, neuron)), "nmnist.net")
    spikes, labels = nmnist_events(shared_data)
    found = by_hand(net.layers, spikes)
    assert int((found["layer1"]["s"].sum(axis=1).argmax(axis=1) == labels).sum()) == right
    trace = execute(graph_of(net, LOIHI1), spikes[:2], EVERYTHING)
    assert differing(cut(found, slice(0, 2)), trace) == 0
