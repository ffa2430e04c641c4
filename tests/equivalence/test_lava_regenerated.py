"""A handful of the committed vectors, made again by running lava-nc here: the same integers on this machine.

The processes are plain Lava, wired by hand; nothing of snnc but the import shim takes part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc_loihi import compat

VECTORS = Path(__file__).resolve().parents[1] / "golden" / "vectors"


def vectors(name: str) -> dict[str, Any]:
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


class Bench:
    """Sources, sinks and monitors around processes; runs each connected group once."""

    def __init__(self, steps: int) -> None:
        compat.activate()
        from lava.magma.core.process.process import ProcessServer
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.proc.io.sink import RingBuffer as Sink
        from lava.proc.io.source import RingBuffer as Source
        from lava.proc.monitor.process import Monitor

        self.known = ProcessServer().processes
        self.before = len(self.known)
        self.steps, self.source, self.sink, self.monitor = steps, Source, Sink, Monitor
        self.condition, self.config = RunSteps(steps), Loihi2SimCfg(select_tag="fixed_pt")
        self.sinks: dict[str, Any] = {}
        self.monitors: dict[str, tuple[Any, Any]] = {}

    def drive(self, data: Any, port: Any) -> None:
        self.source(data=np.ascontiguousarray(data)).s_out.connect(port)

    def record(self, key: str, port: Any) -> None:
        self.sinks[key] = self.sink(shape=port.shape, buffer=self.steps)
        port.connect(self.sinks[key].a_in)

    def watch(self, key: str, var: Any) -> None:
        probe = self.monitor()
        probe.probe(var, self.steps)
        self.monitors[key] = (probe, var)

    def run(self) -> dict[str, Any]:
        first = next(iter(self.sinks.values()))
        with compat.quiet():
            try:
                first.run(condition=self.condition, run_cfg=self.config)
                found = {key: sink.data.get() for key, sink in self.sinks.items()}
                for key, (probe, var) in self.monitors.items():
                    found[key] = probe.get_data()[var.process.name][var.name].T
            finally:
                first.stop()
                del self.known[self.before :]
        return found


@pytest.mark.parametrize("case", [2, 9])
def test_lif(case: int) -> None:
    data = vectors("lava_lif_random")
    bench = Bench(data["a_in"].shape[-1])
    from lava.proc.lif.process import LIF

    lif = LIF(
        shape=(data["a_in"].shape[1],), du=int(data["du"][case]), dv=int(data["dv"][case]), vth=int(data["vth"][case]),
        bias_mant=data["bias_mant"][case], bias_exp=data["bias_exp"][case],
    )  # fmt: skip
    bench.drive(data["a_in"][case], lif.a_in)
    bench.record("s", lif.s_out)
    for key in ("u", "v"):
        bench.watch(key, getattr(lif, key))
    found = bench.run()
    for key in ("u", "v", "s"):
        np.testing.assert_array_equal(found[key], data[key][case], err_msg=f"{key} of case {case}")
    other = (case + 1) % len(data["du"])
    assert np.any(found["u"] != data["u"][other]), "another case is told apart"


def test_recurrent_network() -> None:
    data = vectors("lava_recurrent_dense")
    bench = Bench(data["spikes"].shape[-1])
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIF

    into, loop = Dense(weights=data["w_in"]), Dense(weights=data["w_rec"], weight_exp=-1, num_weight_bits=6)
    lif = LIF(shape=(data["w_rec"].shape[0],), du=1000, dv=300, vth=420, bias_mant=2, bias_exp=6)
    bench.drive(data["spikes"], into.s_in)
    into.a_out.connect(lif.a_in)
    lif.s_out.connect(loop.s_in)
    loop.a_out.connect(lif.a_in)
    bench.record("s", lif.s_out)
    bench.record("a_rec", loop.a_out)
    for key in ("u", "v"):
        bench.watch(key, getattr(lif, key))
    found = bench.run()
    for key in ("u", "v", "s", "a_rec"):
        np.testing.assert_array_equal(found[key], data[key], err_msg=key)


@pytest.mark.parametrize("row", [0, 40, 70])
def test_weight_encoding(row: int) -> None:
    data = vectors("lava_dense_weight_encoding")
    count = data["w"].size
    bench = Bench(count + 1)
    from lava.proc.dense.process import Dense
    from lava.utils.weightutils import SignMode

    mode = str(data["mode"][row])
    words = {} if mode == "auto" else {"sign_mode": SignMode[mode.upper()]}
    dense = Dense(
        weights=data["w"][np.newaxis].astype(np.int32), num_weight_bits=int(data["num_weight_bits"][row]),
        weight_exp=int(data["weight_exp"][row]), **words,
    )  # fmt: skip
    bench.drive(np.eye(count, count + 1, dtype=np.uint8), dense.s_in)
    bench.record("a", dense.a_out)
    np.testing.assert_array_equal(bench.run()["a"][0, 1:], data["eff"][row])
