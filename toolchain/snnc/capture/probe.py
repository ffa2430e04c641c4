"""Rung 1: module and graph run on the same drives; every spike must be equal, every state to 1e-9."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from snnc.capture import adapters
from snnc.capture.convert import Captured, as_example
from snnc.capture.double import Double, forward, private_copy, running
from snnc.capture.explain import TOLERANCE, Difference, Execute, difference, explain
from snnc.errors import ModelError
from snnc.ir import Affine, Conv, Flatten, Graph, Identity, Input
from snnc.trace import Probes, Trace

DRIVES = 4


@dataclass(frozen=True)
class ProbeResult:
    """What rung 1 found.

    Attributes:
        compared: spikes compared, over drives, populations, samples, steps and neurons.
        differing: spikes that differ.
        first_difference: drive, population, step, sample and neuron of the earliest one; empty if none differs.
        worst_state_error: largest difference of a state, relative to its size or to the threshold if that is larger.
        search: finds the explanation, which takes many runs.
    """

    compared: int
    differing: int
    first_difference: str
    worst_state_error: float
    search: Callable[[], str] = field(default=str, repr=False, compare=False)

    @property
    def equal(self) -> bool:
        """True if rung 1 holds."""
        return self.compared > 0 and self.differing == 0 and self.worst_state_error <= TOLERANCE

    @cached_property
    def explanation(self) -> str:
        """What the graph would have to do to be equal, such as "matches with reset one step late"; empty if it is.

        See :func:`~snnc.capture.explain.explain`.
        """
        return "" if self.equal else self.search()

    @property
    def text(self) -> str:
        """What differs and the explanation, as a message."""
        states = f"states differ by {self.worst_state_error:.2e} at most"
        return "; ".join(part for part in (self.first_difference or states, self.explanation) if part)


def torch_trace(module: nn.Module, captured: Captured, spikes: Any) -> Trace:
    """Runs the module itself, a float64 copy from rest, and records every population in logical time.

    Args:
        module: what was captured.
        captured: names the populations and how the module takes time.
        spikes: input [B, T, *shape].

    Returns:
        Spikes of every population, its states ``v`` (after the reset) and ``u``; of one that never spikes ``v`` is
        what it sends.

    Raises:
        ModelError: forward raises, or a population is not called once per step or sends other values than 0 and 1.
    """
    values = as_example(spikes)
    twin = private_copy(module)
    taps = {name: _Tap(name, twin.get_submodule(path)) for name, path in captured.populations.items()}
    with running(twin), Double():
        forward(twin, torch.from_numpy(values.astype(np.float64)), captured.layout)
    steps = values.shape[1]
    states = {(name, key): value for name, tap in taps.items() for key, value in tap.stacked_states(steps).items()}
    sent = {name: tap.stacked_spikes() for name, tap in taps.items() if not tap.graded}
    return Trace("torch", "float", sent, states)


class _Tap:
    """Listens to one neuron module."""

    def __init__(self, name: str, part: nn.Module) -> None:
        adapter = adapters.adapter_for(part)
        if not isinstance(adapter, adapters.Cell):
            raise ModelError(f"{name}: {type(part).__name__} is no neuron module; capture the module that is probed")
        self.name, self.part, self.cell = name, part, adapter
        self.spikes: list[npt.NDArray[Any]] = []
        self.states: list[dict[str, npt.NDArray[np.float64]]] = []
        self.graded = adapter.graded(part)
        self.original = part.forward
        part.__dict__["forward"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else next(iter(kwargs.values()))
        before = given.clone()
        out = self.original(*args, **kwargs)
        spikes = out[0] if isinstance(out, tuple) else out
        axis = self.cell.time_axis(self.part)
        if axis is None:
            self._keep(spikes, self.cell.states(self.part, before, spikes))
            return out
        states = self.cell.sequence(self.part, before, spikes) if self.cell.sequence is not None else {}
        for step in range(spikes.shape[axis]):
            self._keep(spikes.select(axis, step), {key: value.select(axis, step) for key, value in states.items()})
        return out

    def _keep(self, spikes: torch.Tensor, states: adapters.States) -> None:
        self.spikes.append(_numpy(spikes))
        if self.graded:
            states = {**states, "v": spikes}
        self.states.append({key: _numpy(torch.broadcast_to(v, spikes.shape)) for key, v in states.items()})

    def stacked_spikes(self) -> npt.NDArray[np.int8]:
        """[B, T, *shape]."""
        found = np.stack(self.spikes, axis=1)
        counts = self.cell.several(self.part) and np.all((found >= -1) & (found <= 127) & (found == np.floor(found)))
        if not counts and not np.all((found == 0) | (found == 1)):
            raise ModelError(f"{self.name}: it sends other values than 0 and 1 ({found.min():g} to {found.max():g})")
        return found.astype(np.int8)

    def stacked_states(self, steps: int) -> dict[str, npt.NDArray[np.float64]]:
        """Name -> [B, T, *shape]."""
        if len(self.spikes) != steps:
            raise ModelError(f"{self.name}: the module calls it {len(self.spikes)} times for {steps} steps of input; "
                             "the graph runs as many steps as the input has")  # fmt: skip
        return {key: np.stack([state[key] for state in self.states], axis=1) for key in self.states[0]}


def _numpy(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    return np.array(tensor.detach().to(torch.float64).numpy(), copy=True)


def drives(
    samples: npt.NDArray[Any], *, analog: bool, inhibiting: npt.NDArray[np.bool_] | None = None
) -> Mapping[str, npt.NDArray[np.float64]]:
    """Inputs that show what ordinary samples may not: silence, strong, random and negative drive.

    Args:
        samples: recorded input [B, T, *shape].
        analog: the input is numbers, not spikes.
        inhibiting: inputs [*shape] whose spikes push membranes down; spikes have no other way to be negative.
    """
    shape = (DRIVES, *samples.shape[1:])
    rng = np.random.default_rng(0)
    found = {"samples": samples.astype(np.float64), "silent": np.zeros(shape)}
    if analog:
        size = float(np.abs(samples).max()) or 1.0
        found |= {"random": size * rng.standard_normal(shape), "strong": np.full(shape, 4 * size)}
        return found | {"negative": -size * rng.random(shape)}
    rates = np.array([0.05, 0.2, 0.5, 0.8]).reshape(DRIVES, *(1,) * (samples.ndim - 1))
    found |= {"random": (rng.random(shape) < rates).astype(np.float64), "strong": np.ones(shape)}
    if inhibiting is not None and inhibiting.any():
        found["negative"] = np.broadcast_to(inhibiting, shape) * (rng.random(shape) < np.sqrt(rates))
    return found


def inhibiting_inputs(graph: Graph) -> npt.NDArray[np.bool_] | None:
    """Inputs whose weights into the first layer sum to less than 0; None if the first layer has no weights."""
    source = graph.inputs[0]
    name = source.name
    while isinstance(graph[name], (Input, Flatten, Identity)):
        targets = [edge.target for edge in graph.outgoing(name)]
        if len(targets) != 1:
            return None
        name = targets[0]
    node = graph[name]
    if not isinstance(node, (Affine, Conv)):
        return None
    weight = np.asarray(node.weight)
    if isinstance(node, Affine):
        return np.asarray(weight.sum(axis=0).reshape(source.shape) < 0)
    if node.groups != 1 or len(source.shape) != weight.ndim - 1:
        return None
    sums = weight.sum(axis=(0, *range(2, weight.ndim))).reshape(-1, *(1,) * (len(source.shape) - 1))
    return np.asarray(np.broadcast_to(sums < 0, source.shape))


def probe(module: nn.Module, captured: Captured, samples: Any, reference_execute: Execute) -> ProbeResult:
    """Compares module and graph, population by population, on the samples and on drives of our own.

    Args:
        module: what was captured.
        captured: its graph.
        samples: input [B, T, *shape].
        reference_execute: runs a float graph; from the back end ``reference``.

    Returns:
        The result; a caller refuses the model unless ``equal``.

    Raises:
        ModelError: as :func:`torch_trace`.
    """
    values = as_example(samples)
    source = captured.graph.inputs[0]
    if values.shape[2:] != source.shape:
        raise ModelError(f"the samples are {values.shape}, allowed is [B, T, *{source.shape}]")
    graph, first = captured.graph, ""
    inputs = drives(values, analog=source.encoding == "direct", inhibiting=inhibiting_inputs(graph))
    if captured.layout == "still":
        if np.any(values != values[:, :1]):
            raise ModelError("the model takes one value and repeats it over time; the samples change from step to step")
        inputs = {drive: np.repeat(given[:, :1], values.shape[1], axis=1) for drive, given in inputs.items()}
    recorded = {drive: torch_trace(module, captured, spikes) for drive, spikes in inputs.items()}
    found: dict[str, Difference] = {}
    for drive, left in recorded.items():
        right = reference_execute(graph, inputs[drive], Probes(states="all"))
        found[drive] = difference(graph, left, right)
        first = first or _first(drive, left, right, tuple(captured.populations))
    compared = sum(_sent(trace, name).size for trace in recorded.values() for name in captured.populations)
    worst = max(one.state for one in found.values())
    search = partial(explain, graph, recorded, inputs, reference_execute)
    return ProbeResult(compared, sum(one.spikes for one in found.values()), first, worst, search)


def _sent(trace: Trace, name: str) -> npt.NDArray[Any]:
    """Spikes of a population, or the membrane of one that never spikes."""
    return trace.spikes[name] if name in trace.spikes else trace.states[name, "v"]


def _first(drive: str, left: Trace, right: Trace, names: tuple[str, ...]) -> str:
    """The earliest difference; of equally early ones the population that is first in the graph."""
    best: tuple[int, str] | None = None
    for name in names:
        ours, theirs = _sent(right, name), _sent(left, name)
        spiking = name in left.spikes
        places = np.argwhere(ours != theirs if spiking else np.abs(ours - theirs) > TOLERANCE * np.abs(theirs).max())
        if not len(places):
            continue
        at = places[np.argmin(places[:, 1])]
        sample, step, neuron = int(at[0]), int(at[1]), tuple(int(i) for i in at[2:])
        where = (sample, step, *neuron)
        states = [
            f"{key} {side} {float(trace.states[name, key][where]):.12g}"
            for side, trace in (("torch", left), ("graph", right))
            for key in ("v",)
            if (name, key) in trace.states
        ]
        text = (f"drive {drive!r}, step {step}, population {name}, sample {sample}, neuron {neuron}: torch "
                f"{theirs[where]:.12g}, graph {ours[where]:.12g} ({', '.join(states)})")  # fmt: skip
        if best is None or step < best[0]:
            best = (step, text)
    return best[1] if best is not None else ""
