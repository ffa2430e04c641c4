"""What ``snnc learn run`` says of the weights that came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType

from snnc.artifacts import Opened
from snnc.backend import EMULATOR
from snnc.commands.screen import Screen
from snnc.engine.choice import ENGINES
from snnc.ir import FloatArray, IntArray
from snnc.learning.contraction import contraction, decays
from snnc.learning.firsts import firsts
from snnc.learning.host import labelled
from snnc.learning.session import Learner
from snnc.plain import percent, plain
from snnc.report import text
from snnc.trace import Probes, Samples, Trace

BINS = 16
CHUNK = 128


def summary(
    opened: Opened,
    learner: Learner,
    before: Mapping[str, FloatArray],
    samples: Samples,
    test: Samples,
    group: int = 0,
) -> dict[str, Any]:
    """Histograms of the weights, spikes of the output, and its accuracy.

    Without supervision each neuron is given the label of the samples that made it fire most, and a class's neurons
    vote. With supervision the first spike decides.

    Args:
        opened: the folder; names the output population.
        learner: after the last sample.
        before: weights of the start.
        samples: that were learned from; they label the neurons.
        test: that the accuracy is measured on.
        group: neurons of each class, where the rule was told the labels; 0 where it was not.
    """
    after = learner.weights
    projections = {name: _changes(np.asarray(before[name]), np.asarray(after[name])) for name in after}
    output = opened.output
    if output is None:
        return {"projections": projections, "accuracy": None, "assignment": None, "rate": None}
    sent = answers(learner, samples.spikes, output)
    counts, rate = _counts(sent), float(sent.mean())
    found: dict[str, Any] = {"projections": projections, "accuracy": None, "assignment": None, "rate": rate}
    if group and test.labels is not None:
        found["accuracy"] = first_accuracy(learner, test, output, group)
        found["again"] = float(np.mean((counts > 1).any(axis=1)))
    elif samples.labels is not None and test.labels is not None:
        judged = sent if test is samples else answers(learner, test.spikes, output)
        found["accuracy"], found["assignment"] = assigned(sent, samples.labels, judged, test.labels)
    return found


def assigned(
    sent: npt.NDArray[np.int8], labels: npt.NDArray[Any], judged: npt.NDArray[np.int8], truth: npt.NDArray[Any]
) -> tuple[float, list[int | None]]:
    """Accuracy after label assignment: each neuron votes for the class that made it fire most.

    Args:
        sent: [B, T, neurons] spikes on the samples that label the neurons.
        labels: [B] of these.
        judged: [N, T, neurons] spikes on the samples that the accuracy is measured on.
        truth: [N] of those.

    Returns:
        Share of samples whose class has the highest mean vote, and the class of each neuron, None for silent ones.
    """
    classes = int(max(labels.max(), truth.max())) + 1
    counts = _counts(sent)
    owners, silent = labelled(counts, labels, classes), counts.sum(axis=0) == 0
    voted = _voted(_counts(judged)[:, ~silent], owners[~silent], classes)
    return float(np.mean(voted == truth)), [None if s else int(o) for o, s in zip(owners, silent, strict=True)]


def first_accuracy(learner: Learner, test: Samples, output: str, group: int) -> float:
    """Share of samples whose first spike is by a neuron of the label; ties go to the highest membrane.

    Args:
        learner: with the weights to judge.
        test: samples with labels.
        output: population that answers.
        group: neurons of each class.
    """
    network = learner.network
    parts = [
        firsts(trace, network, output).classes(group) for trace in _traces(learner, test.spikes, output, (output,))
    ]
    return float(np.mean(np.concatenate(parts) == test.labels))


def answers(learner: Learner, spikes: npt.NDArray[Any], output: str) -> npt.NDArray[np.int8]:
    """Spikes [B, T, neurons] of a population with the weights of now; nothing learns.

    Args:
        learner: with the weights to judge.
        spikes: samples [B, T, *shape].
        output: population that answers.
    """
    parts = [trace.spikes[output] for trace in _traces(learner, spikes, output)]
    return np.asarray(np.concatenate(parts).reshape(*spikes.shape[:2], -1), dtype=np.int8)


def _traces(learner: Learner, spikes: npt.NDArray[Any], output: str, states: tuple[str, ...] = ()) -> Iterator[Trace]:
    """Traces of parts of the samples, with the weights of now."""
    evaluate = getattr(learner, "evaluate", None)
    probes = Probes(spikes=(output,), states=states)
    for start in range(0, len(spikes), CHUNK):
        part = spikes[start : start + CHUNK]
        if evaluate is not None:
            yield evaluate(part, probes)
        else:
            yield from (learner.sample(one, phase="test", probes=probes) for one in part)


def _counts(sent: npt.NDArray[np.int8]) -> IntArray:
    return np.asarray(sent.sum(axis=1), dtype=np.int64)


def _voted(counts: IntArray, owners: IntArray, classes: int) -> IntArray:
    """The class whose neurons fire most on average; the first of equals."""
    votes = np.zeros((len(counts), classes))
    for one in range(classes):
        if (owners == one).any():
            votes[:, one] = counts[:, owners == one].mean(axis=1)
    return np.asarray(np.argmax(votes, axis=1), dtype=np.int64)


def _changes(before: FloatArray, after: FloatArray) -> dict[str, Any]:
    edges = np.histogram_bin_edges(np.concatenate([before.ravel(), after.ravel()]), BINS)
    return {
        "edges": plain(edges),
        "start": plain(np.histogram(before, edges)[0]),
        "end": plain(np.histogram(after, edges)[0]),
        "mean": float(after.mean()),
        "moved": float(np.mean(after != before)),
        "mean_change": float(np.mean(np.abs(after - before))),
    }


def contractions(learner: Learner, before: Mapping[str, FloatArray], phase: str | None) -> dict[str, Any]:
    """Projection -> how far its weights decayed, against the closed form; only where a phase is decay and no more.

    Args:
        learner: after the last sample; it says for how many steps it learned.
        before: weights of the start.
        phase: of the rules; None takes their first.
    """
    plastic: Mapping[str, Any] = getattr(learner, "plastic", None) or {}
    terms = {name: decays(one, phase) for name, one in plastic.items()}
    state = learner.state() if any(terms.values()) else {}
    return {
        name: asdict(contraction(plastic[name], term, int(steps), before[name], learner.weights[name]))
        for name, term in terms.items()
        if term is not None and (steps := state.get(f"synapses/{name}/steps")) is not None
    }


def show(screen: Screen, result: Mapping[str, Any]) -> None:
    """The result for people."""
    rows = [
        (name, f"{one['mean']:.4g}", f"{one['mean_change']:.4g}", percent(one["moved"]), _bars(one["end"]))
        for name, one in result["projections"].items()
    ]
    columns = ("projection", "mean weight", "mean change", "moved", "weights, least to largest")
    screen.show(text.simple_table(columns, rows, numbers="lrrrl"))
    for line in report_lines(result):
        screen.line(line)
    if result["saturations"]:
        screen.show(_saturation_table(result["saturations"]))
    for one in result["saturations"]:
        if one["warning"]:
            screen.line(f"warning: {one['warning']}")
    for name, one in result["drift"].items():
        screen.show(_drift_table(name, one))
        for line in _drift_lines(name, one):
            screen.line(line)
    screen.line(f"wrote {result['weights']}")


def report_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What is said below the table."""
    how = "" if result["executor"] == EMULATOR else f" ({result['executor']})"
    where = f"the engine ({result['engine']})" if result["engine"] in ENGINES else result["backend"]
    yield f"{result['samples']} samples learned on {where}{how}, target {result['target']}"
    if result["accuracy"] is not None:
        how = "by the first spike" if result["assignment"] is None else "after label assignment"
        yield f"accuracy {how}: {percent(result['accuracy'])}"
    for name, one in result.get("contraction", {}).items():
        far = f"distances to the baseline {one['baseline']:.4g} are times {one['factor']:.4g}"
        off = f"weights are {one['off']:.3g} steps of {one['unit']:.3g} off on average"
        yield f"{name}: after {one['steps']} steps of decay {far} (closed form {one['expected']:.4g}), {off}"
    if result.get("again"):
        share = f"in {percent(result['again'])} of the samples a neuron fires again"
        yield f"{share}: a rule of first spikes takes one; let its spike inhibit it (recurrent weights below 0)"


def _saturation_table(counts: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (one["what"], one["where"], str(one["count"]), "" if one["of"] is None else str(one["of"])) for one in counts
    ]
    return text.simple_table(("what saturated", "where", "count", "of"), rows, numbers="llrr")


def _drift_table(name: str, one: Mapping[str, Any]) -> RenderableType:
    rows = [(cause, f"{size:.3g}", one["meanings"][cause]) for cause, size in one["causes"].items()]
    return text.simple_table((f"drift of {name} from", "adds", "what the chip does"), rows, numbers="lrl")


def _drift_lines(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    by = f", measured on {one['by']}" if one["by"] else ""
    off = f"{one['error']:.3g} off the float rule on average, {one['worst']:.3g} at most"
    yield f"{name}: after {one['steps']} steps on the first samples, integers are {off}{by}"
    if one["error"]:
        yield f"{name}: mean error from the first to the last step: |{_bars(one['over_time']['error'])}|"
    if one["stalled"]:
        yield f"{name}: {percent(one['stalled'])} of the synapses that should move never did (stalled)"


def _bars(counts: Sequence[float]) -> str:
    marks, most = " .:-=+*#%@", max(counts, default=0) or 1
    return "".join(marks[round((len(marks) - 1) * count / most)] for count in counts)
