"""Vectors of learning synapses: Lava's LearningDense in integers and floats, nengo-loihi's PES, brian2-loihi's STDP.

What the engine learns too is replayed in the reference and in the engine, compiled and in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from golden_base import Data, Kind, Tally, meta
from replay import LOIHI, fixed, lava_lif, neuron, shifted

from snnc.engine.learn_core import RuleSynapses
from snnc.engine.learn_pairs import PairSynapses
from snnc.ir import Format, IntArray, Neuron, PlasticityRule, RoundingSeeds, SynapticTrace
from snnc.ir.fixed import wrap
from snnc_reference import neuron_euler
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_brian import BrianLearning
from snnc_reference.learning_float import FloatLearning
from snnc_reference.pes import Pes, PesRule

Values = npt.NDArray[Any]
TRACES = ("x1", "x2", "y1", "y2", "y3")
STARTS: dict[str, Callable[[Values], Values]] = {
    "w0": lambda w: w,
    "abs(w0)": np.abs,
    "-abs(w0)": lambda w: -np.abs(w),
    "4*w0": lambda w: 4 * w,
}
# The float file says which rules it holds, but not their traces; these are what its rules were made with.
FLOAT_TRACES = {
    "stdp_default_e1": {"x1": [16, 10], "y1": [16, 10]},
    "stdp_e4": {"x1": [16, 10], "y1": [16, 10]},
    "stdp_small_lr": {"x1": [16, 20], "y1": [16, 5]},
    "three_factor_product": {"y1": [40, 10], "y2": [60, 40]},
    "soft_bound": {"x1": [40, 10]},
}
NENGO = replace(LOIHI, accumulator_bits=22, current_overflow="wrap")
DEVIATIONS = 5.0
Made = Callable[..., IntegerLearning | RuleSynapses]
EXECUTORS: dict[str, Made] = {
    "": IntegerLearning,
    "engine: ": RuleSynapses,
    "engine without kernels: ": partial(RuleSynapses, variant="none"),
}
"""What a quantity's name begins with -> synapses of a rule and weights."""
PAIRS: dict[str, Callable[..., BrianLearning | PairSynapses]] = {
    "": BrianLearning,
    "engine: ": PairSynapses,
}
SYNAPSES = 4000


def rule_of(p: dict[str, Any], **more: Any) -> PlasticityRule:
    """The rule that a file's meta describes."""
    sums = {key: p[key] for key in ("dw", "dd", "dt") if p.get(key)}
    traces = {key: SynapticTrace(*p[key]) for key in TRACES if key in p}
    return PlasticityRule.parse(**sums, **traces, t_epoch=p["t_epoch"], **more)


def learned(
    learning: IntegerLearning | RuleSynapses, pre: Values, post: Values, third: Values | None = None
) -> dict[str, IntArray]:
    """All steps of given spikes: states [..., T], and a [post, T] as it arrives one step later."""
    kept: dict[str, list[IntArray]] = {key: [] for key in ("weights", "tag_1", "tag_2", "x1", "x2", "y1", "y2", "sum")}
    for t in range(pre.shape[1]):
        given = () if third is None else (third[..., t],)
        kept["sum"].append(learning.step(pre[:, t], post[:, t], *given))
        for key in ("weights", "tag_1", "tag_2"):
            kept[key].append(getattr(learning, key).copy())
        for key, value in zip(("x1", "x2", "y1", "y2"), [*learning.x, *learning.y[:2]], strict=True):
            kept[key].append(value.copy())
    out = {key: np.stack(values, axis=-1) for key, values in kept.items()}
    out["a"] = np.concatenate([np.zeros((post.shape[0], 1), np.int64), out.pop("sum")[:, :-1]], axis=1)
    return out


def stdp(data: Data, tally: Tally) -> None:
    """Two-factor rules driven by given spikes on both sides."""
    for name, p in meta(data)["rules"].items():
        options = p["kw"]
        seeds = RoundingSeeds(p["rng_seed"])
        rule = rule_of(p, sign=options.get("sign_mode", "MIXED").lower(), seeds=seeds)
        tally.same(f"{name}.products", *parsed(rule, p))
        start = STARTS[p["w0"]](data["w0"].astype(np.int64))
        for executor, made in EXECUTORS.items():
            learning = made(rule, start, weight_bits=options.get("num_weight_bits", 8))
            out = learned(learning, data["pre"], data["post"])
            out["a"] = wrap(shifted(out["a"], options.get("weight_exp", 0)), 32)
            for key in ("weights", "tag_1", "tag_2", "x1", "x2", "y1", "a"):
                tally.same(f"{executor}{name}__{key}", out[key], data[f"{name}__{key}"])


def parsed(rule: PlasticityRule, p: dict[str, Any]) -> tuple[Values, Values]:
    """Our reading of the rule and Lava's: one text for each product, and K of the events uK."""
    ours = [
        f"{key} {q.dependency} {q.mantissa} {q.exponent + 7} {[(f.variable, f.constant, f.sign) for f in q.factors]}"
        for key in ("dw", "dd", "dt")
        for q in rule.sums[key]
    ]
    theirs = [
        f"{key} {q['dep']} {q['s_mant']} {q['s_exp_stored']} {[(v, c or 0, s) for v, c, s in q['factors']]}"
        for key in ("dw", "dd", "dt")
        for q in p["products"].get(key, [])
    ]
    return as_numbers([*ours, f"period {rule.period}"]), as_numbers([*theirs, f"period {p['decimate']}"])


def as_numbers(lines: list[str]) -> IntArray:
    """Characters as integers, which a tally compares."""
    return np.array([ord(character) for line in lines for character in line], dtype=np.int64)


def stdp_float(data: Data, tally: Tally) -> None:
    """The same without rounding, to 1e-9 of each weight."""
    for name, p in meta(data)["rules"].items():
        learning = FloatLearning(rule_of(p | FLOAT_TRACES[name]), data["w0"])
        kept = []
        for t in range(data["pre"].shape[1]):
            learning.step(data["pre"][:, t], data["post"][:, t])
            kept.append(learning.weights)
        want = data[f"{name}__weights"]
        unit = np.where(want == 0, 1.0, np.abs(want))
        tally.same(f"{name}__weights", np.stack(kept, axis=-1) / unit, want / unit, 1e-9)


def closed_loop(data: Data, tally: Tally) -> None:
    """STDP with the neuron in the loop, three factors, and graded spikes that load the trace."""
    for executor, made in EXECUTORS.items():
        closed_loops(data, tally, executor, made)


def closed_loops(data: Data, tally: Tally, executor: str, made: Made) -> None:
    """The three parts of the file in one executor."""
    p = meta(data)
    rule = rule_of(p["stdp"], seeds=RoundingSeeds(p["stdp"]["rng_seed"]))
    out = looped(made(rule, data["w0"]), data["pre"], p["lif"])
    for key in ("weights", "x1", "y1", "u", "v", "s"):
        tally.same(f"{executor}{key}", out[key], data[key])
    r3 = p["r3"]
    rule = rule_of(r3, third_factors=True, seeds=RoundingSeeds(r3["rng_seed"]))
    y1, y2 = (data[f"r3_{key}_in"].astype(np.int64) for key in ("y1", "y2"))
    third = np.stack([y1, y2, np.zeros_like(y1)])
    out = learned(made(rule, data["w0"]), data["pre"], data["r3_post"], third)
    for key in ("weights", "tag_1", "x1", "y1", "y2", "a"):
        tally.same(f"{executor}r3_{key}", out[key], data[f"r3_{key}"])
    for mode, payload in enumerate(("overwrite", "add_saturate", "add_overflow"), start=1):
        rule = rule_of(p["graded"], payload=payload, seeds=RoundingSeeds(p["graded"]["rng_seed"]))
        out = learned(made(rule, data["w0"]), data["graded_in"], data["graded_post"])
        for key in ("weights", "x1", "x2", "a"):
            tally.same(f"{executor}graded{mode}_{key}", out[key], data[f"graded{mode}_{key}"])


def looped(learning: IntegerLearning | RuleSynapses, pre: Values, lif: dict[str, int]) -> dict[str, IntArray]:
    """The neurons hear the synapses one step later, and the synapses hear the neurons' spikes in the same step."""
    n = learning.weights.shape[0]
    cell = lava_lif("n", (n,), lif["du"], lif["dv"], lif["vth"])
    state = neuron_euler.start(cell, LOIHI, 1)
    arriving = np.zeros(n, dtype=np.int64)
    kept: dict[str, list[IntArray]] = {key: [] for key in ("weights", "x1", "y1", "u", "v", "s")}
    for t in range(pre.shape[1]):
        state = neuron_euler.step(cell, LOIHI, state, (arriving << 6)[np.newaxis])
        arriving = learning.step(pre[:, t], state.s[0])
        found = (learning.weights, learning.x[0], learning.y[0], state.u[0], state.v[0], state.s[0])
        for key, value in zip(kept, found, strict=True):
            kept[key].append(value.copy())
    return {key: np.stack(values, axis=-1) for key, values in kept.items()}


def pes(data: Data, tally: Tally) -> None:
    """PES with its compartments; vmin cuts v after each step, which cannot change whether v passes the threshold."""
    m = meta(data)
    dice = np.random.RandomState(m["emulator_seed"])
    rule = PesRule(
        m["tracing_tau"], m["tracing_mag"], m["lr_int"], m["lr_exp"], m["weight_exp"], m["shift_bits"],
        m["train_epoch"], m["learn_epoch"], m["pes_error_scale"],
    )  # fmt: skip
    axons, steps = data["spikes"].shape
    n = data["weights"].shape[1]
    learning = Pes(rule, axons, n, dice.rand)
    cell, arrived = compartments(m, data["bias"]), np.zeros(axons, dtype=np.int64)
    state = neuron_euler.start(cell, NENGO, 1)
    kept: dict[str, list[IntArray]] = {key: [] for key in ("weights", "trace", "q0", "u", "v", "s", "ref")}
    for t in range(steps):
        q0 = wrap(learning.step(arrived, data["error"][:, t]), NENGO.accumulator_bits)
        arrived = data["spikes"][:, t]
        dice.randint(-127, 128, size=n, dtype=np.int32)  # the emulator draws noise and does not use it
        state = neuron_euler.step(cell, NENGO, state, q0[np.newaxis])
        state.v = np.clip(state.v, int(m["vmin"]), int(m["vmax"]))
        found = (learning.weights, learning.trace, q0, state.u[0], state.v[0], state.s[0], state.hold[0])
        for key, value in zip(kept, found, strict=True):
            kept[key].append(value.copy())
    for key, values in kept.items():
        tally.same(key, np.stack(values, axis=-1), data[key])


def compartments(m: dict[str, Any], bias: Values) -> Neuron:
    return neuron(
        "n", bias.shape, decay_u=fixed(4095 - m["decay_u"], Format(16, 12)), threshold=fixed(m["vth"]),
        decay_v=fixed(4096 - m["decay_v"], Format(16, 12)), bias=fixed(bias), refractory=m["refract"] - 1,
    )  # fmt: skip


def brian_stdp(data: Data, tally: Tally) -> None:
    """Means and deviations over synapses that round independently, within five standard errors of both samples.

    Where all synapses must agree, theirs and ours must be equal. The single traces of the file are checked step by
    step: each decay is one of the two whole numbers between which it may be rounded.
    """
    m = meta(data)
    rule = PlasticityRule.parse(dw=m["dw"], x1=SynapticTrace(*m["x1"]), y1=SynapticTrace(*m["y1"]), sign="excitatory")
    fired = data["post_drive"][0] != 0  # 254 through one synapse passes the threshold 1 at once
    tally.same("post_spike_count", m["n"] * fired, data["post_spike_count"])
    for executor, made in PAIRS.items():
        statistics(data, tally, executor, made(rule, np.full(SYNAPSES, m["w0"]), seed=11))
    single = data["x1_first"].astype(np.int64)
    tally.same("x1_first", legal(single, data["pre"][0] != 0, rule.x1), single)


def statistics(data: Data, tally: Tally, executor: str, learning: BrianLearning | PairSynapses) -> None:
    """Means and deviations of one executor's synapses."""
    pre, fired, steps = data["pre"][0] != 0, data["post_drive"][0] != 0, data["pre"].shape[1]
    seen = [learning.step(bool(pre[t]), bool(t and fired[t - 1])) for t in range(steps)]
    for key, ours in (("x1", [s.x1 for s in seen]), ("y1", [s.y1 for s in seen]), ("w", [s.weights for s in seen])):
        far = distances(np.stack(ours, axis=-1), data, key, meta(data)["n"])
        for part, distance in zip(("mean", "std"), far, strict=True):
            tally.same(f"{executor}{key}_{part}", np.where(distance > DEVIATIONS, distance, 0.0), np.zeros(steps))


def distances(ours: IntArray, data: Data, key: str, n: int) -> tuple[Values, Values]:
    """How far the file's means and deviations of n synapses lie from ours, in standard errors, each [T].

    Where our sample has no spread, every difference is infinitely far. The error of a deviation is that of a variance,
    from the fourth moment, and a second-order term for distributions near a fair coin.
    """
    share = 1.0 / n + 1.0 / len(ours)
    middle, spread = ours.mean(axis=0), ours.std(axis=0)
    fourth = ((ours - middle) ** 4).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_of_spread = np.sqrt((fourth - spread**4) * share) / (2 * spread) + DEVIATIONS * spread * share / 2
        far = [np.abs(data[f"{key}_mean"] - middle) / (spread * np.sqrt(share))]
        far.append(np.abs(data[f"{key}_std"] - spread) / error_of_spread)
    gaps = (np.abs(data[f"{key}_mean"] - middle), np.abs(data[f"{key}_std"] - spread))
    fixed_far = [np.where(spread == 0, np.where(gap > 1e-9, np.inf, 0.0), d) for gap, d in zip(gaps, far, strict=True)]
    return fixed_far[0], fixed_far[1]


def legal(found: IntArray, pre: Values, trace: SynapticTrace) -> IntArray:
    """The traces [n, T] themselves where each step is one that rounding allows, else the nearest that is."""
    out = np.zeros_like(found)
    for t in range(1, found.shape[1]):
        kept = found[:, t - 1] * (1 - 1 / trace.tau)
        low = np.floor(kept).astype(np.int64)
        # In the step of an impulse the dice was thrown for the value before it, which the file does not show.
        high = low + 1 if pre[t - 1] else np.ceil(kept).astype(np.int64)
        if pre[t]:
            low, high = (np.minimum(edge + int(trace.impulse), 127) for edge in (low, high))
        out[:, t] = np.clip(found[:, t], low, high)
    return out


def _kind(name: str, check: Callable[[Data, Tally], None], needs: str) -> Kind:
    return Kind(name, frozenset(["meta", *needs.split()]), check)


KINDS = (
    _kind("lava_learning_closed_loop", closed_loop, "pre w0 weights x1 y1 u v s r3_weights graded1_x1"),
    _kind("lava_stdp", stdp, "pre post w0 stdp_default_e1__tag_1"),
    _kind("lava_stdp_float", stdp_float, "pre post w0 stdp_default_e1__weights"),
    _kind("nl_pes_learning", pes, "spikes error weights trace bias q0 u v s ref"),
    _kind("b2_stdp", brian_stdp, "pre post_drive x1_mean x1_std y1_mean y1_std w_mean w_std x1_first"),
)
