"""Measures the integer executor on five workloads against what others would run, in one session, interleaved.

    python benchmarks/engine.py [--workloads A,B] [--rounds N] [--quick] [--json [FILE]] [--nengo-python PATH]

Everything that computes integers is first compared with the reference, spike for spike; a difference ends the program
with exit code 1 and nothing is timed. Peers that are not installed are named with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import engines  # noqa: E402
import extras  # noqa: E402
import peers  # noqa: E402
import tables  # noqa: E402
from limit import Machine  # noqa: E402
from snnc.artifacts import versions  # noqa: E402
from speed import Bench, DifferenceError, Options  # noqa: E402
from workloads import MADE, make  # noqa: E402

STREAM = 10_000
PRINT = "-"


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    options = _parsed(arguments)
    try:
        result = run(options)
    except DifferenceError as error:
        print(f"not equivalent, nothing is timed:\n{error}", file=sys.stderr)
        return 1
    text = json.dumps(result, indent=1)
    if options.json == PRINT:
        print(text)
        return 0
    tables.show(result)
    if options.json is not None:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as one JSON-ready object.

    Raises:
        DifferenceError: a candidate computes something else than the reference.
    """
    peers.prepare()
    rounds = options.rounds or (3 if options.quick else 9)
    floor = 0.005 if options.quick else 0.02
    machine, limit = _machine()
    result: dict[str, Any] = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(), "load": _load()},
        "versions": versions(), "rounds": rounds, "engine": engines.installed(), "speed": [], "bars": [],
        "threads": [], "recording": [],
    }  # fmt: skip
    for name in options.workloads:
        _say(f"{name}: build and compare")
        _workload(Bench(make(name), Options(rounds, floor, options.nengo_python)), machine, result)
    result["limit"] = asdict(machine.best) if machine else {"reason": limit}
    _say("stream and start-up")
    samples = STREAM if engines.installed() else STREAM // 20
    result["stream"] = _program(lambda: extras.stream(samples))
    result["start_up"] = _program(lambda: extras.start_up(3 if options.quick else 7))
    return result


def _workload(bench: Bench, machine: Machine | None, result: dict[str, Any]) -> None:
    """Adds what is measured on one network."""
    name, options = bench.workload.name, bench.options
    for batch in bench.workload.bars:
        _say(f"{name}: batch {batch}")
        rows = bench.rows(batch, machine.probe() if machine else None)
        result["speed"] += rows
        result["bars"] += bench.bars(rows, batch)
    if engines.installed():
        _say(f"{name}: threads and recording")
        few = max(3, options.rounds // 2)
        result["threads"].append(extras.threads(bench.workload, bench.runner(), few, options.floor, machine))
        result["recording"].append(extras.recording(bench.workload, bench.runner(), few, options.floor))


def _program(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What other programs measured, or why they did not."""
    try:
        return measure()
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()[-1:] or ["no message"]
        return {"reason": said[0]}


def _machine() -> tuple[Machine | None, str]:
    try:
        return Machine(), ""
    except OSError as error:
        return None, str(error)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _load() -> float | None:
    """How many programs compete for the cores, on average over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(MADE), help="such as A,C")
    parser.add_argument("--rounds", type=int, default=0, help="timed rounds (default 9)")
    parser.add_argument("--quick", action="store_true", help="few short rounds")
    parser.add_argument(
        "--json", nargs="?", const=PRINT, metavar="FILE", help="write the figures; print them alone without FILE"
    )
    parser.add_argument("--nengo-python", help="a Python in which nengo-loihi is installed")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.workloads if name not in MADE]:
        parser.error(f"there is no workload {', '.join(unknown)}; there are {', '.join(MADE)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
