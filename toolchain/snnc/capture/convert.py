"""capture: a trained module and an example of its input become a float graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from snnc.capture import adapters
from snnc.capture.double import Layout, check_numbers, private_copy
from snnc.capture.functions import FUNCTIONS
from snnc.capture.lower import Lowering
from snnc.capture.output import by_element, find_output
from snnc.capture.reroll import Builder, Roller, sources
from snnc.capture.tracer import Record, record
from snnc.errors import ModelError, SnncError, UnsupportedError
from snnc.ir import Graph

LEAST_STEPS = 4


@dataclass(frozen=True, eq=False)
class Captured:
    """A module as a graph.

    Attributes:
        graph: float64; its input is called ``input``, its read-out ``output``.
        populations: name of each neuron population -> path of its module.
        layout: how the module takes time: all steps as [B, T, ...] (``batch_time``) or [T, B, ...]
            (``time_batch``), one step per call (``step``), or one value that it repeats itself (``still``).
    """

    graph: Graph
    populations: Mapping[str, str]
    layout: Layout

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", MappingProxyType(dict(self.populations)))


def capture(module: nn.Module, example: Any) -> Captured:
    """Turns a trained module into the graph that computes the same spikes.

    The module runs on private float64 copies in eval mode from rest; it is left as it was. The module may take one step
    per call, loop over time in ``forward``, or take one value and repeat it over time in ``forward``: its example then
    holds the value repeated, as many steps as the module makes of it. What it does is recorded on noise of the
    example's shape; run :func:`~snnc.capture.probe.probe` to prove that graph and module agree.

    Args:
        module: layers and neurons that have adapters, and Python around them.
        example: input [B, T, *shape]; 0/1 only means that the network takes spikes, else analog values.

    Raises:
        ModelError: the module cannot run on the example, or holds NaN.
        UnsupportedError: something in it has no node; says what, where and what to do.
        GraphError: a parameter is impossible, such as a threshold <= 0.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"capture takes a torch.nn.Module, not {type(module).__name__}")
    values = as_example(example)
    check_numbers(module, "the model")
    shape, steps = values.shape[2:], values.shape[1]
    binary = bool(np.all((values == 0) | (values == 1)))
    if steps >= LEAST_STEPS:
        return _Capture(module, shape, steps, binary).run()
    try:
        return _Capture(module, shape, LEAST_STEPS, binary).run()
    except SnncError as error:
        if steps < 2:
            raise
        try:
            return _Capture(module, shape, steps, binary).run()
        except SnncError:
            raise error from None


def as_example(example: Any) -> np.ndarray:
    """Input as an array [B, T, *shape].

    Raises:
        ModelError: it has another form or holds NaN.
    """
    values = example.detach().cpu().numpy() if isinstance(example, torch.Tensor) else np.asarray(example)
    if values.ndim < 3 or values.size == 0 or values.dtype.kind not in "biuf":
        raise ModelError(f"the example is {values.dtype} {values.shape}, allowed are numbers [B, T, *shape], not empty")
    if not np.all(np.isfinite(values)):
        raise ModelError("the example holds NaN or infinity")
    return values


class _Capture:
    """One attempt with a certain number of steps."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], steps: int, binary: bool) -> None:
        self.module, self.shape, self.steps, self.binary = module, shape, steps, binary
        self.structure = private_copy(module)

    def run(self) -> Captured:
        layout, first = self._layout()
        taken = first if layout == "batch_time" else self._record(layout, 0)
        if taken.error is not None:
            raise self._unknown_leaf(taken) or taken.error
        low = self._lower(taken, still=layout == "still")
        _same_twice(taken, self._record(layout, 1))
        returned = low.output()
        roller = Roller(low)

        def depends(path: str) -> set[str]:
            return set(roller.templates(path))

        if not low.calls:
            raise self._no_neuron(low, returned)
        try:
            output = find_output(low, by_element(returned) if layout == "step" else returned, depends)
        except UnsupportedError:
            roller.check_counts()
            raise
        templates = roller.templates(output)
        if not any("input" in sources(term) for term in templates.values()):
            raise UnsupportedError("the output does not depend on the input")
        rolled = Builder(self.structure, low).build(templates, output, self.shape)
        return Captured(rolled.graph, rolled.populations, layout)

    def _layout(self) -> tuple[Layout, Record]:
        """Runs [B, T, ...] and sees which axis the module takes apart."""
        first = self._record("batch_time", 0)
        low = self._lower(first)
        if low.used_time:
            return "batch_time", first
        if low.used_batch or (first.error is not None and self._takes_time_first()):
            return "time_batch", first
        if self._stands_still():
            return "still", first
        single = self._check_single_step()
        if single.error is not None and first.error is None:
            return "batch_time", first
        return "step", first

    def _takes_time_first(self) -> bool:
        """A parameter per step, as in temporal batch normalisation, fits only one order of the axes."""
        second = self._record("time_batch", 0)
        return second.error is None and self._lower(second).used_time

    def _stands_still(self) -> bool:
        """One call with one step calls every neuron for all steps: the model repeats its input itself."""
        taken = self._record("still", 0)
        if taken.error is not None:
            return False
        low = self._lower(taken, still=True)
        made = {len(calls) for calls in low.calls.values()}
        if len(made) == 1 and low.used_time and made.isdisjoint((1, self.steps)) and _sequences(low):
            steps = made.pop()
            raise UnsupportedError(
                f"the model repeats its input itself, {steps} times, and the example has {self.steps} steps: give it "
                f"{steps} steps, the values repeated"
            )
        return made == {self.steps}

    def _check_single_step(self) -> Record:
        """One call of a model without a time loop calls every neuron once."""
        single = self._record("step", 0, steps=1)
        leaves = [node.meta["path"] for node in single.graph.nodes if node.op == "call_module"]
        for path in dict.fromkeys(leaves):
            cell = isinstance(adapters.adapter_for(self.structure.get_submodule(path)), adapters.Cell)
            if cell and leaves.count(path) > 1:
                raise UnsupportedError(
                    f"{path or 'the neuron'}: one call of the model calls it {leaves.count(path)} times without taking "
                    "a step out of x. If it feeds the same x in every step, the example should have as many steps, "
                    "the values repeated; a neuron that is used twice in a step needs a second module"
                )
        return single

    def _lower(self, taken: Record, *, still: bool = False) -> Lowering:
        return Lowering(self.structure, taken, FUNCTIONS, self.steps, self.binary, still=still).run()

    def _record(self, layout: Layout, seed: int, steps: int | None = None) -> Record:
        batch = 3 if self.steps == 2 else 2
        noise = torch.Generator().manual_seed(seed)
        x = torch.rand((batch, self.steps, *self.shape), generator=noise, dtype=torch.float64)
        return record(private_copy(self.module), x[:, :steps], layout, seed)

    def _unknown_leaf(self, taken: Record) -> UnsupportedError | None:
        """The reason why a run failed if it called a module that nobody knows."""
        for node in taken.graph.nodes:
            if node.op == "call_module":
                part = self.structure.get_submodule(node.meta["path"])
                if adapters.adapter_for(part) is None:
                    return adapters.unknown(node.meta["path"], part)
        return None

    def _no_neuron(self, low: Lowering, returned: Any) -> SnncError:
        for path, part in self.structure.named_modules():
            if adapters.is_leaf(part) and adapters.adapter_for(part) is None:
                return adapters.unknown(path, part)
        try:
            find_output(low, returned, lambda path: {path})
        except SnncError as error:
            return error
        return UnsupportedError("the model has no neuron that capture knows; use snnc.nn or snnTorch neurons")


def _sequences(low: Lowering) -> bool:
    """True if every neuron takes all steps in one call."""
    parts = ((cell, low.module.get_submodule(path)) for path, cell in low.cells.items())
    return all(cell.time_axis(part) is not None for cell, part in parts)


def _same_twice(a: Record, b: Record) -> None:
    """Two runs on other numbers must do the same with the same constants: else something depends on data unseen.

    Raises:
        UnsupportedError: they differ.
    """
    pairs = list(zip(a.graph.nodes, b.graph.nodes, strict=False))
    same = b.error is None and len(a.graph.nodes) == len(b.graph.nodes)
    for left, right in pairs:
        if not same or not _same_node(left, right):
            raise UnsupportedError(
                f"{left.meta['where'] or 'the model'}: two runs on different data do different things here "
                f"({left.meta['name']}). Something is random, or computed from data where torch functions are not "
                "seen (NumPy, a custom autograd function, lists of numbers)"
            )


def _same_node(left: fx.Node, right: fx.Node) -> bool:
    if (left.op, left.meta["name"], str(left.args)) != (right.op, right.meta["name"], str(right.args)):
        return False
    return left.op != "get_attr" or torch.equal(left.meta["value"], right.meta["value"])
