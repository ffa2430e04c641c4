"""The executor of networks that learn, against loops that are written out here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnc.errors import InputError, TraceError, UnsupportedError
from snnc.ir import Fixed, FloatArray, IntArray, Neuron, PlasticityRule, RoundingSeeds, SynapticTrace
from snnc.learning import configure, lower_rule
from snnc.learning.plastic import bind_fixed, bind_float, device_weights, with_weights
from snnc.learning.session import Moment, Values
from snnc_reference.execute import execute
from snnc_reference.learning import IntegerLearning
from snnc_reference.learning_chip import ChipLearning
from snnc_reference.learning_run import Learner
from unit.learning.learning_nets import Made, made, network, rule, spikes

DATA = spikes(6)
CHIPS = ("loihi1", "loihi2")


def float_loop(weights: FloatArray, data: npt.NDArray[np.int8], *, early: bool = False) -> FloatArray:
    """Pair STDP with A_plus 0.05, A_minus 0.03, tau 8 on leaky neurons; ``early`` learns before the neurons fire."""
    w, keep = weights.copy(), np.exp(-1 / 8)
    x, y = np.zeros(w.shape[1]), np.zeros(w.shape[0])
    for sample in data:
        v = np.zeros(w.shape[0])
        fired = np.zeros(w.shape[0])
        for pre in sample.astype(float):
            sent = w @ pre
            before = fired
            v = 0.85 * v + sent
            fired = (v >= 1.5).astype(float)
            v = np.where(fired > 0, 0.0, v)
            post = before if early else fired
            x, y = keep * x + pre, keep * y + post
            w = np.clip(w + 0.05 * np.outer(post, x) - 0.03 * np.outer(y, pre), 0, 1)
    return w


def test_floats_learn_as_the_written_loop() -> None:
    graph = network()
    one = rule(w_max=1.0)
    learner = Learner(graph, bind_float(graph, [one]))
    for sample in DATA:
        learner.sample(sample)
    start = np.asarray(graph["fc"].params()["weight"])
    want = float_loop(start, DATA)
    assert np.allclose(learner.weights["fc"], want, rtol=0, atol=1e-12)
    assert not np.allclose(want, start, atol=0.01)
    assert not np.allclose(learner.weights["fc"], float_loop(start, DATA, early=True), atol=1e-3)


def chip_loop(one: Made, data: npt.NDArray[np.int8], *, hop: int = 1, swapped: bool = False) -> list[IntArray]:
    """Loihi's neurons and Lava's LearningDense step by step; weights after each device step."""
    plastic = one.plastic[0]
    node = one.graph["out"]
    assert isinstance(node, Neuron)
    assert plastic.account is not None
    threshold, decay = node.threshold, node.decay_v
    assert isinstance(threshold, Fixed)
    assert isinstance(decay, Fixed)
    engine = plastic.account.engine["train"]
    assert engine is not None
    learning = IntegerLearning(engine, device_weights(one.graph, plastic))
    kept = []
    for sample in data:
        v = np.zeros(learning.weights.shape[0], dtype=np.int64)
        sent = np.zeros_like(v)
        steps = len(sample) + hop
        for t in range(steps):
            pre = sample[t].astype(np.int64) if t < len(sample) else np.zeros(sample.shape[1], dtype=np.int64)
            v = (v * int(decay.raw) >> 12) + (sent << plastic.up)
            level = int(threshold.aligned(0))
            fired = v > level if node.fires == "gt" else v >= level
            v = np.where(fired, 0, v)
            sent = learning.step(np.roll(pre, 1) if swapped else pre, fired.astype(np.int64))
            kept.append(learning.weights.copy())
    return kept


@pytest.mark.parametrize("target", CHIPS)
def test_chips_learn_as_the_written_loop(target: str) -> None:
    one = made(network(), target, DATA, rule())
    learner = Learner(one.graph, one.plastic, scales=one.scales)
    for sample in DATA:
        learner.sample(sample)
    want = chip_loop(one, DATA)[-1]
    assert np.array_equal(learner.raw["fc"], want)
    assert np.count_nonzero(want != device_weights(one.graph, one.plastic[0])) > 20
    assert not np.array_equal(want, chip_loop(one, DATA, hop=0)[-1]), "the last post spikes count"
    assert not np.array_equal(want, chip_loop(one, DATA, swapped=True)[-1])


def test_synapses_that_no_event_reaches_may_be_left_out() -> None:
    """Blocks of synapses against the whole matrix, for every kind of product."""
    made_rule = PlasticityRule.parse(
        dw="2^-1*y0*x1 - 2^-2*x0*y1*y2 + u1*(-2^-3)*(w-10) + u1*t*2^-4", dt="2^-2*y0*x1 - 2^-3*x0*t",
        x1=SynapticTrace(40, 8), y1=SynapticTrace(50.25, 6), y2=SynapticTrace(30, 20),
        t_epoch=3, seeds=RoundingSeeds(7),
    )  # fmt: skip
    dice = np.random.default_rng(1)
    start = 2 * dice.integers(-60, 60, (6, 9))
    whole, blocks = IntegerLearning(made_rule, start), ChipLearning(made_rule, start)
    for _ in range(200):
        pre, post = dice.random(9) < 0.1, dice.random(6) < 0.1
        whole.step(pre, post)
        blocks.step(pre, post)
        assert np.array_equal(whole.weights, blocks.weights)
        assert np.array_equal(whole.tag_1, blocks.tag_1)
    assert not np.array_equal(whole.weights, start)


@pytest.mark.parametrize("target", ["float", "generic", *CHIPS])
def test_states_go_on_where_they_were(target: str) -> None:
    graph = network()
    if target == "float":
        fresh: Any = lambda: Learner(graph, bind_float(graph, [rule()]))  # noqa: E731
    else:
        one = made(graph, target, DATA, rule(t_epoch=3))
        fresh = lambda: Learner(one.graph, one.plastic, scales=one.scales)  # noqa: E731
    through, first, second, lazy = fresh(), fresh(), fresh(), fresh()
    for n, sample in enumerate(DATA):
        through.sample(sample)
        if n < 3:
            first.sample(sample)
    second.restore(first.state())
    lazy.set_weights("fc", first.weights["fc"])
    for sample in DATA[3:]:
        second.sample(sample)
        lazy.sample(sample)
    assert np.array_equal(through.raw["fc"], second.raw["fc"])
    assert second.samples == 6
    assert not np.array_equal(through.raw["fc"], lazy.raw["fc"]), "weights alone are not the state"


@pytest.mark.parametrize("target", CHIPS)
def test_evaluation_leaves_no_mark_and_runs_what_learned(target: str) -> None:
    one = made(network(), target, DATA, rule())
    plain, watched = (Learner(one.graph, one.plastic, scales=one.scales) for _ in range(2))
    for sample in DATA:
        plain.sample(sample)
        watched.sample(sample)
        watched.sample(sample, phase="test")
    assert np.array_equal(plain.raw["fc"], watched.raw["fc"])
    state, other = plain.state(), watched.state()
    assert all(np.array_equal(state[key], other[key]) for key in state)
    alone = np.concatenate([watched.sample(s, phase="test").spikes["out"] for s in DATA])
    together = plain.evaluate(DATA).spikes["out"]
    assert np.array_equal(alone, together)
    assert not np.array_equal(together, execute(one.graph, DATA).spikes["out"]), "it learned"


def test_seeds_and_rounding_are_the_callers() -> None:
    one = made(network(), "loihi1", DATA, rule())

    def learned(**options: Any) -> IntArray:
        learner = Learner(one.graph, one.plastic, scales=one.scales, **options)
        for sample in DATA[:3]:
            learner.sample(sample)
        return learner.raw["fc"]

    assert np.array_equal(learned(), learned(seed=1)), "the rule's own seed is 1"
    assert not np.array_equal(learned(), learned(seed=2))
    kinds = [learned(rounding=kind).sum() for kind in ("floor", "stochastic", "nearest")]
    assert kinds[0] < kinds[1], "floor loses every rise"
    assert len(set(kinds)) == 3


def test_parity_with_lava_keeps_its_seed_of_weights() -> None:
    one = made(network(), "loihi1", DATA, rule(parity="lava"))
    learner = Learner(one.graph, one.plastic, scales=one.scales, seed=9)
    engine = learner.synapses["fc"].learning.rule
    assert (engine.seeds.traces, engine.seeds.weights) == (9, 2)


def test_quantized_weights_leave_room_up_to_w_max() -> None:
    for target, top in (("loihi1", 255), ("loihi2", 255), ("generic", 254)):
        one = made(network(), target, DATA, rule(w_max=0.8))
        assert one.plastic[0].step * top == pytest.approx(0.8, rel=1e-12)
        own = Learner(one.graph, one.plastic, scales=one.scales).weights["fc"]
        want = np.asarray(network()["fc"].params()["weight"])
        assert np.abs(own - want).max() <= one.plastic[0].step * 1.001
        tight = made(network(), target, DATA)
        assert tight.graph["fc"].params()["weight"].raw.max() > one.graph["fc"].params()["weight"].raw.max()


def test_thresholds_and_weights_of_the_host_are_exact() -> None:
    one = made(network(), "loihi1", DATA, rule())
    learner = Learner(one.graph, one.plastic, scales=one.scales)
    before = learner.evaluate(DATA).spikes["out"].sum()
    learner.set_thresholds("out", [1.5, 1.5, 1e6, 1.5, 1.5])
    after = learner.evaluate(DATA).spikes["out"]
    assert after[..., 2].sum() == 0
    assert 0 < after.sum() < before
    other = Learner(one.graph, one.plastic, scales=one.scales)
    other.restore(learner.state())
    assert np.array_equal(other.evaluate(DATA).spikes["out"], after)
    step = one.plastic[0].step
    learner.set_weights("fc", np.full((5, 12), 7.25 * step))
    raw = learner.raw["fc"]
    assert set(np.unique(raw)) == {7, 8}, "rounded stochastically"
    odd = with_weights(one.graph, one.plastic[0], raw)
    assert np.array_equal(odd["fc"].params()["weight"].raw, raw)


def test_third_factors_and_hosts_are_called_by_name() -> None:
    learning = configure("fc", rule="reward-stdp", A_plus=0.05, A_minus=0.02, rate=0.5, tau_e=10.0)
    one = made(network(), "loihi1", DATA, learning)
    calls: list[str] = []

    def reward(moment: Moment) -> Values:
        calls.append(moment.stage)
        assert moment.spikes is not None
        return {"reward": np.where(moment.spikes > 0, 1.0, 0.5)}

    quiet = Learner(one.graph, one.plastic, scales=one.scales)
    assert [operation.kind for operation in quiet.idle] == ["reward"]
    paid = Learner(one.graph, one.plastic, scales=one.scales, hosts={"reward": reward})
    assert not paid.idle
    given = Learner(one.graph, one.plastic, scales=one.scales)
    for sample in DATA:
        quiet.sample(sample)
        paid.sample(sample)
        given.sample(sample, third={"fc": {"reward": 0.75}})
    assert set(calls) == {"step"}
    assert len(calls) == 6 * 17, "device steps of all samples, the hop included"
    start = device_weights(one.graph, one.plastic[0])
    assert np.array_equal(quiet.raw["fc"], start)
    assert (paid.raw["fc"] != start).sum() > 5
    assert (given.raw["fc"] != start).sum() > 5


def test_normalisation_happens_after_each_sample() -> None:
    graph = network()
    one = configure("fc", rule="triplet-stdp", nu_pre=0.01, nu_post=0.5, sum_weights=2.5)
    learner = Learner(graph, bind_float(graph, [one]))
    learner.sample(DATA[0])
    assert np.allclose(learner.weights["fc"].sum(axis=1), 2.5)
    chip = made(graph, "loihi1", DATA, one)
    integers = Learner(chip.graph, chip.plastic, scales=chip.scales)
    integers.sample(DATA[0])
    assert np.allclose(integers.weights["fc"].sum(axis=1), 2.5, atol=0.05)


def test_the_slow_trace_is_a_step_late() -> None:
    """Triplets: y_slow through its port without the spike of the same step follows the float rule, with it does not."""
    data = spikes(12, rate=0.25)
    learning = configure("fc", rule="triplet-stdp", nu_pre=0.03, nu_post=0.06)
    graph = network(threshold=4.0)
    one = made(graph, "generic", data, learning)
    (plastic,) = one.plastic
    assert plastic.account is not None
    early = replace(plastic.account, registers=tuple(replace(r, late=False) for r in plastic.account.registers))
    floats = Learner(graph, bind_float(graph, [learning]))
    right = Learner(one.graph, one.plastic, scales=one.scales)
    naive = Learner(one.graph, (replace(plastic, account=early),), scales=one.scales)
    for sample in data[:4]:
        for learner in (floats, right, naive):
            learner.sample(sample)
    want = floats.weights["fc"] - right.weights["fc"]
    wrong = floats.weights["fc"] - naive.weights["fc"]
    assert not np.array_equal(right.raw["fc"], naive.raw["fc"])
    assert np.abs(want).mean() < 0.2 * np.abs(wrong).mean()


def test_errors_of_s2_stdp_move_first_spikes_apart() -> None:
    graph = network(post=4, lowest=0.05)
    one = configure("fc", rule="s2-stdp", t_max=16, gap=6.0, A_plus=0.2, A_minus=0.2, w_min=-1.0)
    chip = made(graph, "loihi1", DATA, one)
    both = (Learner(graph, bind_float(graph, [one])), Learner(chip.graph, chip.plastic, scales=chip.scales))
    for learner in both:
        for _ in range(40):
            trace = learner.sample(DATA[0], label=2)
        fired = trace.spikes["out"][0]
        times = np.where(fired.any(axis=0), np.argmax(fired, axis=0), 16)
        assert times[2] < np.delete(times, 2).min()
        with pytest.raises(TraceError, match="learns from labels"):
            learner.sample(DATA[0])


def test_sleep_contracts_to_the_baseline_and_wakes_unchanged() -> None:
    one = configure("fc", rule="pair-stdp", A_plus=0.05, A_minus=0.03,
                    phases={"sleep": {"rule": "weight-decay", "rate": 0.1, "baseline": 0.2}})  # fmt: skip
    graph = network()
    silence = np.zeros_like(DATA[0])
    learner = Learner(graph, bind_float(graph, [one]))
    assert learner.phases == ("train", "test", "sleep")
    start = learner.weights["fc"]
    learner.sample(silence, phase="sleep")
    assert np.allclose(learner.weights["fc"] - 0.2, (start - 0.2) * 0.9**16)
    chip = made(graph, "loihi1", DATA, one)
    integers = Learner(chip.graph, chip.plastic, scales=chip.scales)
    before = integers.weights["fc"]
    for _ in range(3):
        integers.sample(silence, phase="sleep")
    assert np.abs(integers.weights["fc"] - 0.2).mean() < 0.3 * np.abs(before - 0.2).mean()
    with pytest.raises(InputError, match="the nearest is 'sleep'"):
        learner.sample(silence, phase="slep")


def test_what_cannot_learn_is_refused() -> None:
    graph = network(lowest=-0.4)
    with pytest.raises(InputError, match=r"negative ones.*w_min below 0"):
        bind_float(graph, [rule()])
    with pytest.raises(InputError, match="no projection that learns is called 'fcc'; the nearest is 'fc'"):
        bind_float(network(), [configure("fcc", rule="pair-stdp")])
    wide = made(network(), "generic", DATA)
    node = wide.graph["fc"]
    weight = node.params()["weight"]
    assert isinstance(weight, Fixed)
    fat = wide.graph.replace_node(replace(node, weight=Fixed(weight.raw, replace(weight.format, bits=12))))
    with pytest.raises(UnsupportedError, match="weight_bits = 8"):
        bind_fixed(fat, wide.scales, [rule()], lower_rule)
    with pytest.raises(InputError, match="nothing learns"):
        Learner(network(), ())
