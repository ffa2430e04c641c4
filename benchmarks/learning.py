"""Milliseconds per step of synapses that learn: the reference, the engine in NumPy and the engine's kernels.

Pair STDP from 784 to 100 neurons; all that run are compared first, step by step, and then timed in turn. Prints medians
of processor time and how often each step of the reference holds one of the others.
Usage: python benchmarks/learning.py [--rounds 7] [--steps 64] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from measure import Candidate, measure
from snnc.engine import library
from snnc.engine.learn_core import RuleSynapses
from snnc.ir import PlasticityRule, SynapticTrace
from snnc_reference.learning_chip import ChipLearning

PRE, POST = 784, 100
PRE_RATE, POST_RATE = 0.05, 0.02
EPOCHS = (1, 8)
REFERENCE = "reference"
Array = npt.NDArray[Any]


def rule(t_epoch: int) -> PlasticityRule:
    """Pair STDP whose rates round stochastically."""
    trace = SynapticTrace(16, 20)
    text = "2^-2*y0*x1 - 2^-3*x0*y1"
    return PlasticityRule.parse(dw=text, x1=trace, y1=trace, t_epoch=t_epoch, sign="excitatory")


def spikes(steps: int, seed: int = 0) -> tuple[Array, Array]:
    """[steps, pre] and [steps, post]."""
    rng = np.random.default_rng(seed)
    pre, post = rng.random((steps, PRE)) < PRE_RATE, rng.random((steps, POST)) < POST_RATE
    return pre.astype(np.int8), post.astype(np.int8)


def executors(t_epoch: int) -> dict[str, Any]:
    """Name -> fresh synapses, all the same."""
    start = np.random.default_rng(1).integers(0, 256, (POST, PRE))
    made = rule(t_epoch)
    found: dict[str, Any] = {REFERENCE: ChipLearning(made, start), "NumPy": RuleSynapses(made, start, variant="none")}
    kernels = library.kernels()
    if kernels is not None:
        found[f"kernels, {kernels.best}"] = RuleSynapses(made, start)
    return found


def differing(found: dict[str, Any], pre: Array, post: Array) -> str:
    """The first step in which somebody is not the reference; empty if nobody is."""
    for t, (before, behind) in enumerate(zip(pre, post, strict=True)):
        sums = {name: one.step(before, behind) for name, one in found.items()}
        for name, one in found.items():
            same = np.array_equal(sums[name], sums[REFERENCE])
            if not same or not np.array_equal(one.weights, found[REFERENCE].weights):
                return f"{name} differs from the reference in step {t}"
    return ""


def candidate(name: str, one: Any, pre: Array, post: Array) -> Candidate:
    """Runs all steps once."""

    def run() -> None:
        for before, behind in zip(pre, post, strict=True):
            one.step(before, behind)

    return Candidate(name, run, len(pre))


def rows(t_epoch: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """What is printed for one epoch's length.

    Raises:
        SystemExit: somebody computes something else.
    """
    pre, post = spikes(steps)
    wrong = differing(executors(t_epoch), pre, post)
    if wrong:
        raise SystemExit(wrong)
    timed = [candidate(name, one, pre, post) for name, one in executors(t_epoch).items()]
    found = measure(timed, rounds, 0.05)
    base = found[REFERENCE].cpu_median
    return [
        {"t_epoch": t_epoch, "executor": name, "ms": 1e3 * row.cpu_median, "ratio": base / row.cpu_median}
        for name, row in found.items()
    ]


def main() -> int:
    """Parses options and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [row for t_epoch in EPOCHS for row in rows(t_epoch, options.steps, options.rounds)]
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{PRE} -> {POST}, {PRE_RATE:.0%} and {POST_RATE:.0%} of the neurons per step, {options.rounds} rounds")
    for row in sorted(found, key=lambda one: (one["t_epoch"], one["ratio"])):
        print(f"t_epoch {row['t_epoch']:2d}  {row['executor']:18s} {row['ms']:8.4f} ms {row['ratio']:7.1f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
