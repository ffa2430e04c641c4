"""What is measured beside speed: threads, recording, memory of a stream, and the time to the first result."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engines import EVERYTHING, Runner
from limit import Machine
from measure import Candidate, call, measure
from snnc.trace import Probes
from workloads import Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
THREAD_BATCH = 32
THREADS_BAR, RECORD_BAR, START_BAR, GROWTH_BAR = 1.7, 2.0, 0.15, 64.0


def threads(
    workload: Workload, runner: Runner, rounds: int, floor: float, machine: Machine | None
) -> dict[str, Any]:  # fmt: skip
    """Two threads against one, wall time, at batch 32 or the workload's own if that is larger.

    Right before it, what the machine itself gives: processors that share a core, or a host, give less than twice.
    """
    both = None if machine is None else machine.scaling()
    batch = max(THREAD_BATCH, *workload.bars)
    spikes, probes = workload.inputs(batch), Probes()
    candidates = [Candidate(str(count), call(runner, spikes, probes, count), batch) for count in (1, 2)]
    rows = measure(candidates, rounds, floor)
    ratio = statistics.median(a / b for a, b in zip(rows["1"].wall, rows["2"].wall, strict=True))
    return {
        "workload": workload.name, "batch": batch, "ratio": ratio, "bar": THREADS_BAR, "met": ratio >= THREADS_BAR,
        "machine": both,
    }  # fmt: skip


def recording(workload: Workload, runner: Runner, rounds: int, floor: float) -> dict[str, Any]:
    """Every spike and state against the spikes of the last layer alone, at the workload's largest batch up to 64."""
    batch = max(b for b in workload.bars if b <= 64)
    spikes = workload.inputs(batch)
    least = Probes(spikes=(workload.layers[-1].neuron.name,))
    candidates = [
        Candidate(name, call(runner, spikes, probes, 1), batch)
        for name, probes in (("least", least), ("all", EVERYTHING))
    ]
    rows = measure(candidates, rounds, floor)
    ratio = statistics.median(a / b for a, b in zip(rows["all"].cpu, rows["least"].cpu, strict=True))
    return {"workload": workload.name, "batch": batch, "ratio": ratio, "bar": RECORD_BAR, "met": ratio <= RECORD_BAR}


STREAM = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from engines import runners
from snnc.trace import Probes
from workloads import make
samples, chunk = int(sys.argv[2]), int(sys.argv[3])
workload = make("A")
runner = next(iter(runners(workload.graph()).values()))
output = Probes(spikes=(workload.layers[-1].neuron.name,))
def peak():
    try:  # ru_maxrss begins with that of the program that started this one
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
marks, spikes = [], 0
begin = time.perf_counter()
for number in range(0, samples, chunk):
    trace = runner(workload.inputs(min(chunk, samples - number), seed=number), output, 1)
    spikes += int(trace.counts(output.spikes[0]).sum())
    marks.append(peak())
first = marks[min(1, len(marks) - 1)]
print(json.dumps({"seconds": time.perf_counter() - begin, "first_mib": first, "peak_mib": marks[-1], "spikes": spikes}))
"""


def stream(samples: int) -> dict[str, Any]:
    """A data set that is made chunk by chunk: the peak of memory after two chunks and at the end."""
    chunk = max(1, min(256, samples // 10))
    done = _python(["-c", STREAM, str(HERE), str(samples), str(chunk)])
    found: dict[str, Any] = json.loads(done.stdout)
    growth = found["peak_mib"] - found["first_mib"]
    return {**found, "samples": samples, "growth_mib": growth, "bar": GROWTH_BAR, "met": growth <= GROWTH_BAR}


API = """
import sys
import numpy
from snnc.compiled import load
load(sys.argv[1]).run(numpy.load(sys.argv[2], allow_pickle=False)["spikes"])
heavy = [name for name in ("torch", "onnx", "onnxruntime") if name in sys.modules]
print(", ".join(heavy))
"""


def start_up(rounds: int) -> dict[str, Any]:
    """Wall time from process start to the first result of a compiled folder, less that of a bare interpreter."""
    with tempfile.TemporaryDirectory(prefix="snnc-start-") as name:
        folder, data = Path(name) / "compiled", Path(name) / "one.npz"
        snnc = [str(Path(sys.executable).with_name("snnc"))]
        model = str(ROOT / "models" / "digits_mlp.py")
        subprocess.run([*snnc, "compile", model, "-o", str(folder)], check=True, capture_output=True)
        shape = json.loads((folder / "manifest.json").read_text())["input"]["shape"]
        np.savez(data, spikes=(np.random.default_rng(0).random((1, 16, *shape)) < 0.2).astype(np.int8))
        bare = [sys.executable, "-c", "pass"]
        api = [sys.executable, "-c", API, str(folder), str(data)]
        run = [*snnc, "run", str(folder), "--input", str(data)]
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        ours = {**kept, "PYTHONPYCACHEPREFIX": str(Path(name) / "bytecode")}  # as an installed package has it
        seconds: dict[str, list[float]] = {"bare": [], "snnc run": [], "Python API": []}
        for _ in range(rounds + 1):
            for key, command in zip(seconds, (bare, run, api), strict=True):
                begin = time.perf_counter()
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=ours)
                seconds[key].append(time.perf_counter() - begin)
    median = {key: statistics.median(times[1:]) for key, times in seconds.items()}
    extra = {key: median[key] - median["bare"] for key in median if key != "bare"}
    met = all(value <= START_BAR for value in extra.values())
    heavy = done.stdout.strip()
    return {
        "bare": median["bare"], "extra": extra, "bar": START_BAR, "met": met, "imported": heavy or "nothing heavy",
        "light": not heavy,
    }  # fmt: skip


def _python(arguments: list[str]) -> Any:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)
