"""The N-MNIST network of the NIR paper and the recordings that it is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snnc.backend import discover
from snnc.config import Config
from snnc.engine import run as engine
from snnc.formats.nir_file import Meaning, read
from snnc.ir import FixedGraph, Graph
from snnc.pipeline import compile_source
from snnc.sources import Source
from snnc.trace import Probes, Samples
from snnc_reference.execute import execute
from unit.models.model_scripts import load

STEPS = 180
INTEGERS = ("generic", "loihi2")
WITHIN = 2
"""Recordings of 20 or 100 that integers may get wrong beyond the float network."""


def recordings(shared_data: Path, **which: Any) -> tuple[np.ndarray, np.ndarray]:
    """Spikes [B, T, 2, 34, 34] and labels [B] of the test part, unless ``which`` says otherwise."""
    spikes, labels = load("nmnist").recordings(shared_data / "nmnist" / "nmnist_1100.npz", **which)
    return spikes, labels


def network(shared_data: Path, reset: str) -> Graph:
    """The float network, which leaves its reset open."""
    return read(shared_data / "nir" / "cnn_sinabs.nir", Meaning(1e-3, reset))


def predictions(graph: Graph, spikes: np.ndarray) -> list[int]:
    """What the float network takes the recordings for."""
    counts = execute(graph, spikes, Probes(spikes=("12",))).counts("12")
    return [int(k) for k in counts.argmax(1)]


def integers(shared_data: Path, reset: str, targets: tuple[str, ...], **compile_: Any) -> dict[str, FixedGraph]:
    """The network for targets, calibrated on recordings that no test sees."""
    seen = recordings(shared_data, test=False, count=3, steps=40)
    config = Config().override("compile", targets=targets, **compile_).override("verify", samples=1)
    source = Source("cnn_sinabs", "0", network(shared_data, reset), Samples(*seen))
    made = compile_source(source, config, discover())
    return {build.target.name: build.quantized.graph for build in made.builds}


def right(graph: FixedGraph, spikes: np.ndarray, labels: np.ndarray) -> int:
    """Recordings that the engine's run of the integers recognises."""
    found = engine.execute(graph, spikes, Probes(spikes=("12",))).counts("12").argmax(1)
    return int((found == labels).sum())
