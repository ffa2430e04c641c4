"""A stand-in for pyNN.spiNNaker that runs the emulated core: floats to words and shifts by the rules of the tools."""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from snnc_spinnaker import arith
from snnc_spinnaker.core import Core
from snnc_spinnaker.ring import Layout
from snnc_spinnaker.rows import Row
from snnc_spinnaker.stdp import PlasticRow, Posts, Rule
from snnc_spinnaker.stdp_config import table
from snnc_spinnaker.words import Words


def shift_of(summed: float) -> int:
    """Ring-buffer shift for a largest expected sum (specs/spinnaker.md section 1.3)."""
    shift = math.ceil(max(0.0, math.log2(summed)))
    return shift + (2**shift <= summed)


class Population:
    def __init__(self, size: int, cell: Any, label: str, additional_parameters: dict[str, Any]) -> None:
        self.size, self.cell, self.label, self.more = size, cell, label, additional_parameters
        self.v = np.zeros(size)
        self.variables: list[str] = []
        self.rows: dict[str, list[Any]] = {}

    def initialize(self, v: list[float]) -> None:
        self.v = np.array(v)

    def record(self, variables: list[str]) -> None:
        self.variables = variables

    def spinnaker_get_data(self, name: str) -> Any:
        return np.array(self.rows.get(name, []))

    def core(self, delay: int) -> Core:
        kind, given = self.cell
        one, nothing = np.full(self.size, 1.0), np.zeros(self.size)
        neuron = [self.v, given["v_rest"], given["cm"], given["tau_m"], given["i_offset"], given["v_reset"],
                  given["tau_refrac"], nothing, one]  # fmt: skip
        synapse = [nothing, nothing]
        if kind == "exp":
            synapse = [given["tau_syn_E"], nothing, given["tau_syn_I"], nothing, one]
        words = Words(
            kind, arith.to_accum(np.stack(neuron, axis=1)), arith.to_accum(given["v_thresh"]),
            arith.to_accum(np.stack(synapse, axis=1)), arith.to_accum(one if kind == "delta" else one[:0]),
        )  # fmt: skip
        exc, inh = (shift_of(summed) for summed in self.more["max_expected_summed_weight"])
        return Core(words, (exc, inh), Layout(8, (delay - 1).bit_length()))


class Learning:
    """A projection with STDP: rows as the core has them, weights as the host reads them."""

    def __init__(self, source: Any, target: Any, rows: Any, synapse: Any) -> None:
        self.source, self.target, self.rows, self.synapse = source, target, rows, synapse

    def load(self, core: Core) -> None:
        timing, weights = self.synapse.timing_dependence, self.synapse.weight_dependence
        given = [weights.w_min, weights.w_max, timing.A_plus, timing.A_minus]
        tables = table(timing.tau_plus), table(timing.tau_minus)
        self.rule = Rule(weights.kind, *tables, np.stack([arith.to_accum(given)] * 2), core.shift)
        self.posts = Posts(self.target.size)
        self.plastic, bits = {}, core.ring.layout.neuron_bits
        for number in range(self.source.size):
            mine = self.rows[self.rows[:, 0] == number]
            words = np.rint(mine[:, 2] * 2 ** (15 - core.shift[0])).astype("<u2")
            plastic = np.concatenate([np.zeros(4, "<u2"), words, np.zeros(len(words) % 2, "<u2")]).view("<u4")
            controls = mine[:, 3].astype(np.int64) << (bits + 1) | mine[:, 1].astype(np.int64)
            self.plastic[number] = PlasticRow(Row(np.zeros(0, np.int64), plastic, controls), core.ring)

    def get(self, names: list[str], **how: str) -> list[tuple[int, int, float]]:
        assert (names, how) == (["weight"], {"format": "list"})
        unit = 2.0 ** (self.rule.shift[0] - 15)
        return [
            (number, int(post), int(word) * unit)
            for number, row in self.plastic.items()
            for post, word in zip(row.neuron, row.weight, strict=True)
        ]


class Simulator(ModuleType):
    """What the script uses of the module."""

    def __init__(self) -> None:
        super().__init__("pyNN.spiNNaker")
        self.setups = 0
        self.SpikeSourceArray = lambda spike_times: ("source", spike_times)
        self.IF_curr_exp = lambda **given: ("exp", given)
        self.IF_curr_delta = lambda **given: ("delta", given)
        self.FromListConnector = lambda rows: rows
        self.StaticSynapse = SimpleNamespace
        self.SpikePairRule = SimpleNamespace
        self.STDPMechanism = SimpleNamespace
        self.AdditiveWeightDependence = lambda **given: SimpleNamespace(kind="additive", **given)
        self.MultiplicativeWeightDependence = lambda **given: SimpleNamespace(kind="multiplicative", **given)

    def setup(self, timestep: float) -> None:
        assert timestep == 1.0
        self.setups += 1
        self.populations: list[Population] = []
        self.projections: list[Any] = []
        self.learning: list[Learning] = []

    def Population(self, *given: Any, **more: Any) -> Population:
        self.populations.append(Population(*given, **more))
        return self.populations[-1]

    def Projection(self, source: Any, target: Any, rows: Any, receptor_type: str, synapse_type: Any) -> Learning | None:
        learning = Learning(source, target, rows, synapse_type) if hasattr(synapse_type, "timing_dependence") else None
        receptor = ("excitatory", "inhibitory").index(receptor_type)
        if learning is None:
            self.projections.append((source, target, rows, receptor))
        else:
            self.learning.append(learning)
        return learning

    def run(self, ticks: int) -> None:
        longest = max((int(rows[:, 3].max()) for _, _, rows, _ in self.projections), default=1)
        longest = max([longest, *(int(one.rows[:, 3].max()) for one in self.learning)])
        cores = {p.label: p.core(longest) for p in self.populations if p.cell[0] != "source"}
        for one in self.learning:
            one.load(cores[one.target.label])
        for time in range(ticks):
            sent = {p.label: [i for i, t in enumerate(p.cell[1]) if time in t]
                    for p in self.populations if p.cell[0] == "source"}  # fmt: skip
            for population in self.populations:
                if population.label in cores:
                    step = cores[population.label].step(time)
                    sent[population.label] = np.flatnonzero(step.spikes[0]).tolist()
                    for one in self.learning:
                        if one.target is population:
                            one.posts.spike(one.rule, time, np.flatnonzero(step.spikes[0]))
                    values = {"v": step.v, "gsyn_exc": step.exc, "gsyn_inh": step.inh}
                    for name in population.variables:
                        rows = population.rows.setdefault(name, [])
                        if name == "spikes":
                            rows += [(i, float(time)) for i in sent[population.label]]
                        else:
                            rows += [(i, float(time), x / 32768) for i, x in enumerate(values[name][0].tolist())]
            for one in self.learning:
                for number in sent[one.source.label]:
                    one.plastic[number].arrive(one.rule, one.posts, cores[one.target.label].ring, time)
            for source, target, rows, receptor in self.projections:
                core = cores[target.label]
                for _, post, weight, delay in rows[np.isin(rows[:, 0], sent[source.label])].tolist():
                    # The host keeps 16 bits of the rounded weight.
                    amount = round(weight * 2 ** (15 - core.shift[receptor])) & 0xFFFF
                    slot = (time + int(delay)) % core.ring.slots
                    where, kind, what = np.array([[slot], [receptor], [amount]])
                    core.ring.put(where, kind, np.array([int(post)]), what)

    def end(self) -> None:
        self.populations = []
