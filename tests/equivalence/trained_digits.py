"""scikit-learn's digits as spikes, a few epochs of training in any framework, and the way to chips in Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

from snnc.backend import discover
from snnc.config import Config
from snnc.evidence import Budget, Evidence
from snnc.ir import Graph
from snnc.pipeline import Compilation, compile_source
from snnc.sources import Source
from snnc.trace import Samples
from snnc.validation import Candidate, validate

STEPS, TRAIN = 8, 1200
Counts = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@cache
def digits() -> Samples:
    """1797 samples [B, T, 64]: a pixel spikes in each step with its brightness as probability."""
    found = load_digits()
    bright = found.data[:, None, :] / 16.0
    spikes = np.random.default_rng(0).random((len(bright), STEPS, 64)) < 0.7 * bright
    return Samples(spikes.astype(np.int8), found.target.astype(np.int64))


def held_out(count: int) -> Samples:
    """The first samples that no training sees."""
    every = digits()
    assert every.labels is not None
    return Samples(every.spikes[TRAIN : TRAIN + count], every.labels[TRAIN : TRAIN + count])


def train(module: nn.Module, counts: Counts, *, epochs: int = 3, rate: float = 5e-3) -> None:
    """Cross entropy of the output's spike counts [B, 10]."""
    every = digits()
    assert every.labels is not None
    x, y = torch.from_numpy(every.spikes[:TRAIN]).float(), torch.from_numpy(every.labels[:TRAIN])
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(TRAIN, generator=order).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(counts(module, x[batch]), y[batch]).backward()
            optimizer.step()


def accuracy(counts: npt.NDArray[np.int64] | torch.Tensor, samples: Samples) -> float:
    """Fraction of samples whose label spiked most."""
    assert samples.labels is not None
    return float((np.asarray(counts).argmax(1) == samples.labels).mean())


def deploy(graph: Graph, samples: Samples, *targets: str, allow: tuple[str, ...] = ()) -> tuple[Compilation, Evidence]:
    """Compiles for the targets and climbs the ladder; the budget is 10 points of accuracy."""
    registry = discover()
    config = Config().override("compile", targets=targets, allow=allow).override("verify", samples=4)
    made = compile_source(Source("digits", "0", graph, samples), config, registry)
    candidates = [Candidate(b.target.name, b.program, b.backend, b.quantized.scales, None) for b in made.builds]
    found = validate(made.graph, candidates, samples, registry.reference, budget=Budget(10.0, None))
    return made, found.evidence
