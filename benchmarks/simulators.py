"""The fixed-point simulators of the field on workload A's own integers: Lava and nengo-loihi. Both must agree first."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from snnc.backend import discover
from snnc.errors import SnncError
from snnc.ir import Affine, Fixed
from snnc.trace import Trace
from workloads import DECAY_U, DECAY_V, WEIGHT, Spikes, Workload

LAVA_STEPS, LAVA_RUN = "Lava, steps only", "Lava, whole run"
NENGO_STEPS, NENGO_RUN = "nengo-loihi, steps only", "nengo-loihi, with building its state"


class Lava:
    """One sample in Lava's bit-accurate simulator, as this package's back end builds it."""

    def __init__(self, workload: Workload, spikes: Spikes) -> None:
        if find_spec("lava") is None:
            raise SnncError("not installed")
        backend, target = discover().target("loihi1")
        from snnc_loihi import compat
        from snnc_loihi.timeline import Timeline

        compat.activate()
        from snnc_loihi.sim import network
        from snnc_loihi.sim.session import Session

        self.seconds: list[float] = []
        self.network: Any = network
        self.compat = compat
        self.plan: Any = backend.lower(workload.graph("loihi1"), target).data
        self.timeline, self.spikes = Timeline.of(self.plan, 1, workload.steps), spikes
        self.network.Session = _timed(Session, self.seconds)

    def run(self) -> Mapping[str, float]:
        """Seconds of the steps alone, and of compiling, starting and running."""
        self.seconds.clear()
        begin = time.perf_counter()
        with self.compat.quiet():
            self.recorded = self.network.simulate(self.plan, self.timeline, self.spikes, frozenset())
        return {LAVA_RUN: time.perf_counter() - begin, LAVA_STEPS: sum(self.seconds)}

    def difference(self, want: Trace) -> list[str]:
        """Populations whose spikes are not those of the trace of the same sample."""
        self.run()
        found = {
            one.name: self.timeline.cut(self.recorded[one.name]["s"], one.latency, one.shape)
            for one in self.plan.populations
        }
        return [f"Lava: {name}" for name, sent in found.items() if not np.array_equal(sent, want.spikes[name])]

    def close(self) -> None:
        """Nothing runs between two runs."""


def _timed(base: Any, seconds: list[float]) -> Any:
    class Timed(base):
        """Notes how long the steps take, from the command to run them to the answer that they are done."""

        def _await(self, ports: Any, limit: float) -> None:
            begin = time.perf_counter()
            super()._await(ports, limit)
            seconds.append(time.perf_counter() - begin)

    return Timed


class Nengo:
    """One sample in nengo-loihi's emulator, in a Python of its own that waits between rounds."""

    def __init__(self, workload: Workload, spikes: Spikes, python: str | None) -> None:
        if python is None:
            raise SnncError("not installed (it needs numpy<2: name a Python that has it with --nengo-python)")
        self.layers, self.steps = workload.layers, workload.steps
        self.program: Any = None
        self.folder = tempfile.TemporaryDirectory(prefix="snnc-nengo-")
        path = Path(self.folder.name) / "network.npz"
        np.savez(path, **_arrays(workload, spikes[0]))  # type: ignore[arg-type]
        command = [python, str(Path(__file__).with_name("peer_nengo.py")), str(path)]
        self.errors = (Path(self.folder.name) / "errors").open("w+")
        try:
            self.program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
            )
            self._ask("run")
        except (OSError, SnncError) as error:
            self.close()
            raise SnncError(f"not installed: {error}") from error

    def _ask(self, what: str) -> dict[str, Any]:
        with suppress(BrokenPipeError):
            self.program.stdin.write(what + "\n")
            self.program.stdin.flush()
        line = self.program.stdout.readline()
        if not line:
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()[-1:] or ["no message"]
            raise SnncError(said[0])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self) -> Mapping[str, float]:
        """Seconds of the steps alone, and with the state that each run builds."""
        found = self._ask("run")
        return {NENGO_STEPS: found["steps"], NENGO_RUN: found["all"]}

    def difference(self, want: Trace) -> list[str]:
        """Populations whose spikes are not those of the trace of the same sample."""
        found = self._ask("spikes")["spikes"]
        wrong = []
        for number, (layer, places) in enumerate(zip(self.layers, found, strict=True)):
            sent = np.zeros((self.steps + len(self.layers), *layer.neuron.shape), dtype=np.int8)
            sent.flat[places] = 1
            if not np.array_equal(sent[number + 1 : number + 1 + self.steps], want.spikes[layer.neuron.name][0]):
                wrong.append(f"nengo-loihi: {layer.neuron.name}")
        return wrong

    def close(self) -> None:
        """Ends the program."""
        if self.program is not None:
            with suppress(BrokenPipeError):
                self.program.stdin.close()
            self.program.wait()
            self.program.stdout.close()
        self.errors.close()
        self.folder.cleanup()


def _arrays(workload: Workload, spikes: Any) -> dict[str, Any]:
    """The network as numbers; the register of u counts one less than it takes away."""
    found: dict[str, Any] = {
        "layers": np.array(len(workload.layers)), "spikes": spikes, "decays": np.array([4095 - DECAY_U, 4096 - DECAY_V])
    }  # fmt: skip
    for number, one in enumerate(workload.layers):
        weight, bias, threshold = one.weight.weight, one.neuron.bias, one.neuron.threshold
        assert isinstance(one.weight, Affine)
        assert isinstance(weight, Fixed)
        assert isinstance(bias, Fixed)
        assert isinstance(threshold, Fixed)
        found[f"weight/{number}"] = weight.raw << -WEIGHT.frac
        found[f"bias/{number}"] = bias.raw
        found[f"threshold/{number}"] = threshold.raw << 6
    return found
