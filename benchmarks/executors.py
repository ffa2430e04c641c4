"""Samples per second of everything that runs the digits network, in one session, interleaved.

Prints medians and the ratio to the plain PyTorch float32 loop; ``--json`` prints the same as one JSON object.
Usage: python benchmarks/executors.py [--samples 64] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnc.artifacts import onnx_runner
from snnc.backend import discover
from snnc.capture import load_model
from snnc.config import Config
from snnc.formats import onnx_file
from snnc.pipeline import compile_source
from snnc.sources import open_source
from snnc.trace import Probes

ROOT = Path(__file__).resolve().parent.parent
MODEL = str(ROOT / "models" / "digits_mlp.py")


def executors(samples: int) -> dict[str, Callable[[], Any]]:
    """Name -> function that runs all samples once."""
    torch.set_num_threads(1)
    registry = discover()
    config = Config().override("compile", targets=("loihi1", "spinnaker1"))
    source = open_source(MODEL, None, config, registry.reference)
    compilation = compile_source(source, config, registry)
    spikes = np.resize(source.samples.spikes, (samples, *source.samples.spikes.shape[1:]))
    module = load_model(MODEL).module.float().eval()
    tensor = torch.as_tensor(spikes, dtype=torch.float32)

    def plain() -> None:
        with torch.no_grad():
            module(tensor)

    probes = Probes()
    found: dict[str, Callable[[], Any]] = {
        "plain PyTorch float32 loop": plain,
        "reference float64": lambda: registry.reference.execute(compilation.graph, spikes, probes),
    }
    for build in compilation.builds:
        graph, program, backend = build.quantized.graph, build.program, build.backend
        name = build.target.name
        found[f"reference int64, {name}"] = lambda graph=graph: registry.reference.execute(graph, spikes, probes)
        runner = onnx_runner(onnx_file.write(graph))
        if runner is not None:
            found[f"onnxruntime, {name}"] = lambda runner=runner: runner(spikes)
        if backend is not registry.reference:
            found[f"{backend.name}, {name}"] = lambda b=backend, p=program: b.run(p, spikes, probes)
    return found


def measure(samples: int, rounds: int) -> list[dict[str, Any]]:
    """Medians over interleaved rounds; the first round warms up and is dropped."""
    runs = executors(samples)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    rates = {name: samples / statistics.median(times[1:]) for name, times in seconds.items()}
    base = rates["plain PyTorch float32 loop"]
    return [{"executor": name, "samples_per_s": rate, "ratio": rate / base} for name, rate in rates.items()]


def main() -> int:
    """Parses options and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.samples, options.rounds)
    if options.json:
        print(json.dumps({"samples": options.samples, "rounds": options.rounds, "rows": rows}, indent=1))
        return 0
    print(f"digits_mlp, {options.samples} samples, median of {options.rounds} rounds, one thread")
    for row in rows:
        print(f"{row['executor']:34s} {row['samples_per_s']:10.1f} samples/s {row['ratio']:9.3f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
