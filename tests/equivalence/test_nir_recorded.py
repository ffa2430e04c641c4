"""NIR files of the NIR paper against what other people's tools recorded on them (rung 6 for the reader).

A NIR file brings no module to compare with, so that recordings stand where rung 1 stands for a Python file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equivalence.nmnist_nir import INTEGERS, STEPS, WITHIN, integers, network, predictions, recordings, right
from snnc.errors import InputError
from snnc.formats.nir_file import Meaning, read
from snnc.ir import Graph
from snnc.trace import Probes
from snnc_reference.execute import execute

HIDDEN = 38


@pytest.fixture(scope="module")
def nir_data(shared_data: Path) -> Path:
    return shared_data / "nir"


# One Braille sample through a recurrent CubaLIF network, hidden spikes recorded from snnTorch.


@pytest.fixture(scope="module")
def braille(nir_data: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(nir_data / "braille_sample0.npz", allow_pickle=False) as data:
        bits = np.unpackbits(data["snntorch_activity_noDelay_bias_zero"], axis=1)[:, :HIDDEN]
        return data["x"][np.newaxis].astype(np.int8), bits


def braille_net(nir_data: Path, reset: str, decay: str, dt: float = 1e-4) -> Graph:
    return read(nir_data / "braille_noDelay_bias_zero.nir", Meaning(dt, reset, decay))


@pytest.mark.parametrize("decay", ["euler", ""])
def test_braille_hidden_spikes(nir_data: Path, braille: tuple[np.ndarray, np.ndarray], decay: str) -> None:
    """0 of 9,728 bits; the file's gains of 1 settle the discretisation alone."""
    spikes, want = braille
    trace = execute(braille_net(nir_data, "zero", decay), spikes)
    found = trace.spikes["lif1.lif"][0]
    assert found.shape == want.shape == (256, HIDDEN)
    assert want.sum() == 119
    assert np.count_nonzero(found != want) == 0
    assert trace.counts("lif2")[0].argmax() == 1, "the sample's label"


@pytest.mark.parametrize(
    ("reset", "decay", "dt"),
    [
        ("zero-delayed", "euler", 1e-4),
        ("subtract", "euler", 1e-4),
        ("subtract-delayed", "euler", 1e-4),
        ("zero", "exact", 1e-4),
        ("zero", "euler", 5e-5),
    ],
)
def test_another_meaning_of_the_braille_file_is_seen(
    nir_data: Path, braille: tuple[np.ndarray, np.ndarray], reset: str, decay: str, dt: float
) -> None:
    spikes, want = braille
    found = execute(braille_net(nir_data, reset, decay, dt), spikes).spikes["lif1.lif"][0]
    assert np.count_nonzero(found != want) > 20


def test_a_braille_net_without_its_loop_is_seen(nir_data: Path, braille: tuple[np.ndarray, np.ndarray]) -> None:
    spikes, want = braille
    graph = braille_net(nir_data, "zero", "euler")
    cut = graph.with_nodes(
        (n for n in graph.nodes if n.name != "lif1.w_rec"),
        (e for e in graph.edges if "lif1.w_rec" not in (e.source, e.target)),
    )
    assert np.count_nonzero(execute(cut, spikes).spikes["lif1.lif"][0] != want) > 20


# One LIF neuron, 1,000 steps of 0.1 ms, recorded on eleven platforms.


@pytest.mark.parametrize("platform", ["norse", "exact", "snntorch", "nengo", "spinnaker2"])
def test_single_lif_spikes(nir_data: Path, platform: str) -> None:
    with np.load(nir_data / "lif_traces.npz", allow_pickle=False) as data:
        given, recorded = data["norse"], data[platform]
    spikes = (given[:, 0] > 0).astype(np.int8).reshape(1, -1, 1)
    graph = read(nir_data / "lif_norse.nir", Meaning(1e-4, "zero", "euler"))
    found = execute(graph, spikes).spikes["1"][0, :, 0]
    assert np.flatnonzero(found).tolist() == [460, 510, 710, 760] == np.flatnonzero(recorded[:, 2]).tolist()


def test_single_lif_membrane(nir_data: Path) -> None:
    """Norse's membrane in its float32; the exact exponential and the soft reset are further away."""
    with np.load(nir_data / "lif_traces.npz", allow_pickle=False) as data:
        given = data["norse"]
    spikes = (given[:, 0] > 0).astype(np.int8).reshape(1, -1, 1)

    def error(reset: str, decay: str) -> float:
        graph = read(nir_data / "lif_norse.nir", Meaning(1e-4, reset, decay))
        v = execute(graph, spikes, Probes(states="all")).states["1", "v"][0, :, 0]
        return float(np.abs(v - given[:, 1]).max())

    assert error("zero", "euler") < 1e-7
    assert error("zero", "exact") > 1e-3
    assert error("subtract", "euler") > 1e-3


def test_a_resting_value_above_the_threshold_fires_by_itself(nir_data: Path) -> None:
    """v_leak = 1.2, threshold 1: v = 1.2 * (1 - 0.99^n) exceeds 1 after 179 steps of 0.1 ms, again and again."""
    graph = read(nir_data / "two_lif_neurons.nir", Meaning(1e-4, "zero", "euler"))
    trace = execute(graph, np.zeros((1, 1000, 1), dtype=np.int8))
    period = int(np.floor(np.log(1 - 1 / 1.2) / np.log(0.99))) + 1
    assert np.flatnonzero(trace.spikes["lif1"][0, :, 0]).tolist() == [period * k - 1 for k in range(1, 6)]


# The N-MNIST network of the NIR paper. The whole test part, which `make nightly` runs: 98 of 100 (soft reset), 100
# (hard), 91 (swapped polarity).


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_nmnist_recordings_are_recognised(shared_data: Path, reset: str) -> None:
    spikes, labels = recordings(shared_data, count=10, steps=STEPS)
    graph = network(shared_data, reset)
    assert predictions(graph, spikes) == labels.tolist()


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_integers_recognise_the_recordings(shared_data: Path, reset: str) -> None:
    """In float all of the first 20 are right; turned by a quarter they are not."""
    spikes, labels = recordings(shared_data, count=20, steps=STEPS)
    made = integers(shared_data, reset, INTEGERS[1:])
    assert tuple(made) == INTEGERS
    for name, graph in made.items():
        assert right(graph, spikes, labels) >= 20 - WITHIN, name
        assert right(graph, np.rot90(spikes, axes=(3, 4)), labels) < 20 - WITHIN, name


def test_swapped_polarity_is_seen(shared_data: Path) -> None:
    """The fourth recording is one of nine that the network gets wrong with swapped channels."""
    spikes, labels = recordings(shared_data, count=4)
    graph = network(shared_data, "zero")
    assert predictions(graph, spikes[3:]) == [labels[3]]
    assert predictions(graph, spikes[3:, :, ::-1]) != [labels[3]]


# Published files that nir 1.0.8 refuses.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("braille_noDelay_bias_zero_subgraph", r"lif1\.input -> lif1\.lif names 'lif', which is no node"),
        ("braille_noDelay_noBias_subtract_subgraph", r"lif1\.input -> lif1\.lif names 'lif', which is no node"),
        ("lif_rockpool", r"output shape is \(1, 1, 1\), allowed is \(1,\)"),
    ],
)
def test_broken_files_are_refused(nir_data: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as error:
        read(nir_data / "refused" / f"{name}.nir", Meaning(1e-4, "zero", "euler"))
    assert error.value.exit_code == 2
