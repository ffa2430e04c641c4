"""Reads a recorded run as expressions over the spikes of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.node import map_aggregate

from snnc.capture import adapters
from snnc.capture.names import node_name
from snnc.capture.tracer import Record, leaves
from snnc.capture.values import INPUT, MAX_DEPTH, Const, Many, Op, Opaque, Seq, Shape, State, Term, Terms, Value
from snnc.errors import SnncError, UnsupportedError
from snnc.ir import Affine, Node

Handler = Callable[..., Value]
_ON_FOLDED = frozenset(
    ("detach", "clone", "contiguous", "double", "to", "type", "type_as", "add", "add_", "__add__", "__radd__",
     "__iadd__", "sub", "__sub__", "__rsub__", "mul", "mul_", "__mul__", "__rmul__", "div", "__truediv__", "neg",
     "__neg__", "flatten", "unflatten", "reshape", "view", "dropout", "dropout1d", "dropout2d", "linear")
)  # fmt: skip
_HAND_WRITTEN = frozenset(("gt", "ge", "lt", "le", "__gt__", "__ge__", "heaviside", "sign", "where", "greater"))


class Lowering:
    """One pass over a record.

    Attributes:
        still: the model is given one step and repeats it itself.
        calls: path of each neuron module -> the input of each of its calls.
        cells: the neuron modules' adapters.
        used_time: a step was cut out of a sequence.
        used_batch: a sample was cut out of a sequence, which means that the model takes [T, B, ...].
    """

    def __init__(
        self, module: nn.Module, record: Record, functions: Mapping[str, Handler], steps: int, binary: bool,
        *, still: bool = False,
    ) -> None:  # fmt: skip
        self.module, self.record, self.functions, self.steps, self.binary = module, record, functions, steps, binary
        self.still = still
        self.terms = Terms()
        self.calls: dict[str, list[Term]] = {}
        self.cells: dict[str, adapters.Cell] = {}
        self.used_time = self.used_batch = False
        self._ops: dict[tuple[object, ...], Op] = {}
        self._chains: dict[tuple[object, ...], tuple[Node, ...]] = {}
        self._values: dict[fx.Node, Value] = {}
        self.node: fx.Node | None = None

    def run(self) -> Lowering:
        """Gives every fx node its meaning."""
        for node in self.record.graph.nodes:
            self.node = node
            try:
                self._values[node] = self._visit(node)
            except SnncError as error:
                self._values[node] = Opaque(error)
        return self

    def output(self) -> Any:
        """What forward returned, as values in tuples and lists."""
        return self._resolve(self.record.output)

    @property
    def made(self) -> tuple[int, ...]:
        """Shape of the tensor that the current node returned, batch included."""
        assert self.node is not None
        shape = self.node.meta["shape"]
        return tuple(shape) if shape is not None else ()

    def rank(self, position: int = 0) -> int:
        """Number of axes of an argument of the current node."""
        return len(self.shape_of(position))

    def shape_of(self, position: int = 0) -> tuple[int, ...]:
        """Shape of an argument of the current node, batch included."""
        assert self.node is not None
        given = (*self.node.args, *self.node.kwargs.values())
        argument = given[position]
        assert isinstance(argument, fx.Node)
        return tuple(argument.meta["shape"] or ())

    def place(self) -> str:
        """Where the current node stands in the user's code."""
        assert self.node is not None
        meta = self.node.meta
        return f"{meta['where']}{' in ' + meta['inside'] if meta['inside'] else ''}" or "the model"

    def refuse(self, text: str) -> UnsupportedError:
        """An error at the current place."""
        return UnsupportedError(f"{self.place()}: {text}")

    def apply(self, op_key: tuple[object, ...], label: str, make: Callable[[], Node], inputs: list[Term],
              shape: Shape) -> Term:  # fmt: skip
        """An operation whose node is made once per key."""
        if op_key not in self._ops:
            self._ops[op_key] = Op(repr(op_key), label, make())
        term = self.terms.apply(self._ops[op_key], inputs, shape)
        if term.depth > MAX_DEPTH:
            raise self.refuse(f"{MAX_DEPTH} operations follow each other without a neuron between")
        return term

    def site(self, path: str, given: Term, made: Shape) -> adapters.Site:
        """Where a layer stands."""
        return adapters.Site(path, given.shape, made, given.binary)

    def term(self, value: Any, what: str) -> Term:
        """The value as an expression of one step.

        Raises:
            UnsupportedError: it is none.
        """
        if isinstance(value, Term):
            return value
        if isinstance(value, Const) and value.zero and value.value.ndim > 1:
            return self.terms.zero(tuple(value.value.shape[1:]))
        if isinstance(value, Opaque):
            raise value.error
        if isinstance(value, Const):
            raise self.refuse(f"{what} is driven by a constant that is not zero; add it to a bias instead")
        if isinstance(value, State):
            fix = "only spikes travel between layers"
            raise self.refuse(f"{what} is driven by the state {value.name!r} of {value.source or 'the neuron'}; {fix}")
        if isinstance(value, Seq):
            raise self.refuse(f"{what} is given a whole sequence; it takes one step [B, ...] per call")
        raise self.refuse(f"{what} is given something that is no tensor of one step")

    def _visit(self, node: fx.Node) -> Value:
        if node.op == "placeholder":
            shape = tuple(node.meta["shape"][2:])
            made = (self.terms.spikes(INPUT, t, shape, self.binary) for t in range(self.steps))
            return Seq(tuple(made), time_first=False)
        if node.op == "get_attr":
            return Const(node.meta["value"])
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        broken = _first_opaque((args, kwargs))
        if broken is not None:
            return broken
        if node.op == "call_module":
            return self._leaf(node.meta["path"], args, kwargs)
        handler = self.functions.get(node.meta["name"])
        if handler is None:
            raise self._unknown(node.meta["name"])
        if node.meta["name"] not in _ON_FOLDED and any(isinstance(a, Seq) and a.folded for a in args):
            raise self.refuse("time and batch are one axis here (flatten(0, 1)); take them apart first (unflatten)")
        return handler(self, *args, **kwargs)

    def _unknown(self, name: str) -> UnsupportedError:
        if name in _HAND_WRITTEN:
            fix = (
                "it looks like a hand-written neuron: use snnc.nn.LIF or CubaLIF, or register an adapter for its module"
            )
            return self.refuse(f"the operation {name!r} has no node; {fix}")
        if name.endswith("_") and not name.endswith("__"):
            return self.refuse(f"the in-place operation {name!r} has no node; state belongs into neuron modules")
        return self.refuse(f"the operation {name!r} has no node; use layers, or register an adapter for its module")

    def _leaf(self, path: str, args: Any, kwargs: Any) -> Value:
        module = self.module.get_submodule(path)
        adapter = adapters.adapter_for(module)
        if adapter is None:
            raise adapters.unknown(path, module)
        given = args[0] if args else next(iter(kwargs.values()), None)
        axis = adapter.time_axis(module)
        if axis is not None:
            given = self._sequence(path, given, axis)
        if isinstance(adapter, adapters.Cell):
            self.cells[path] = adapter
            passed = leaves((*args[1:], kwargs.get("state", ())))
            states = {**dict(zip(adapter.state_args, passed, strict=False)), **kwargs}
            return self._cell(path, adapter, given, {k: states[k] for k in adapter.state_args if k in states})
        if isinstance(given, Seq) and (adapter.over_time or given.folded or axis is not None):
            return self.lift(lambda term: self._layer(path, module, adapter, term), given)
        return self._layer(path, module, adapter, self.term(given, path or "the model"))

    def _sequence(self, path: str, given: Any, axis: int) -> Seq:
        """What a module is given that takes all steps in one call."""
        name, layout = path or "the model", "[T, B, ...]" if axis == 0 else "[B, T, ...]"
        if not isinstance(given, Seq) or given.folded:
            raise self.refuse(f"{name} takes all steps in one call, {layout}, and is given something else")
        if given.axis != axis:
            self.used_batch = self.used_batch or axis == 0
            raise self.refuse(f"{name} takes {layout} and is given the other order of time and batch")
        self.used_time = True
        return given

    def _layer(self, path: str, module: nn.Module, adapter: adapters.Layer, given: Term) -> Term:
        made = self.made[len(self.made) - self._own_axes(given) :]
        site = self.site(path or type(module).__name__.lower(), given, made)
        label = node_name(self.module, path) or site.path
        key = ("module", path, given.shape, given.binary and adapter.needs_binary)
        lead = self.rank() - len(given.shape)
        if self.made[:lead] != self.shape_of()[:lead]:
            raise self.refuse(f"{path} changes the batch axis from {self.shape_of()} to {self.made}")
        return self._chain(key, label, lambda: adapter.node(module, site), given, made)

    def _chain(self, key: tuple[object, ...], label: str, make: Callable[[], Node | tuple[Node, ...]], given: Term,
               made: Shape) -> Term:  # fmt: skip
        """One node, or several of one module that follow each other and change the shape in the first."""
        if key not in self._chains:
            nodes = make()
            self._chains[key] = nodes if isinstance(nodes, tuple) else (nodes,)
        term = given
        for index, node in enumerate(self._chains[key]):
            own = node.name if index else label
            term = self.apply((*key, index), own, lambda node=node: node, [term], made)  # type: ignore[misc]
        return term

    def _own_axes(self, given: Term) -> int:
        lead = self.rank() - len(given.shape)
        return len(self.made) - lead

    def _cell(self, path: str, adapter: adapters.Cell, given: Any, states: Mapping[str, Any]) -> Value:
        calls = self.calls.setdefault(path, [])
        if calls and adapter.restarts and all(value is None for value in states.values()):
            fix = f"pass the state that step {len(calls) - 1} returned"
            raise self.refuse(f"{path}: step {len(calls)} is given no state and starts anew; {fix}")
        for state_name, value in states.items():
            self._check_state(path, len(calls), state_name, value, adapter.spikes_arg)
        spikes: Value
        if isinstance(given, Seq) and adapter.time_axis(self.module.get_submodule(path)) is not None:
            spikes = self.lift(lambda term: self._step(path, adapter, term), given)
        else:
            spikes = self._step(path, adapter, self.term(given, path or "the neuron"))
        more = (State(path, len(calls) - 1, state_name) for state_name in adapter.returned_states)
        return spikes if self.node is not None and self.node.meta["shape"] is not None else Many((spikes, *more))

    def _step(self, path: str, adapter: adapters.Cell, term: Term) -> Term:
        """Spikes of one step; what the module does to its input itself becomes nodes before the population."""
        module, calls = self.module.get_submodule(path), self.calls[path]
        label = node_name(self.module, path) or type(module).__name__.lower()
        site = self.site(path or label, term, term.shape)
        extra = {key: make(module, site) for key, make in (("before", adapter.before), ("recurrent", adapter.recurrent))
                 if make is not None}  # fmt: skip
        if extra.get("before") is not None:
            term = self._own(("before", path), f"{label}_input", extra["before"], term)
        if extra.get("recurrent") is not None:
            last = self.terms.spikes(path, len(calls) - 1, term.shape) if calls else self.terms.zero(term.shape)
            back = self._own(("recurrent", path), f"{label}_recurrent", extra["recurrent"], last)
            term = self.terms.add([term, back])
        calls.append(self.terms.at(term, len(calls)) if self.still else term)
        binary = not adapter.several(module) and not adapter.graded(module)
        return self.terms.spikes(path, len(calls) - 1, term.shape, binary)

    def _own(self, key: tuple[object, ...], label: str, node: Node | None, given: Term) -> Term:
        assert node is not None
        made = (len(np.asarray(node.weight)),) if isinstance(node, Affine) else given.shape
        return self.apply(key, label, lambda: node, [given], made)

    def _check_state(self, path: str, call: int, name: str, value: Any, spikes_arg: str) -> None:
        if value is None or (call == 0 and isinstance(value, Const) and value.zero):
            return
        if isinstance(value, State) and (value.source, value.step, value.name) == (path, call - 1, name):
            return
        own = call and name == spikes_arg and isinstance(value, Term)
        if own and value is self.terms.spikes(path, call - 1, value.shape):
            return
        found = "a constant that is not zero" if isinstance(value, Const) else "another tensor"
        if call and isinstance(value, Const):
            found = "a constant, so that the state starts anew"
        fix = f"pass the {name!r} that step {call - 1} returned" if call else "start from zero"
        raise self.refuse(f"{path}: in step {call} its state {name!r} is {found}; {fix}")

    def lift(self, function: Callable[[Term], Term], given: Seq) -> Seq:
        """Applies a function to every step."""
        return replace(given, items=tuple(function(self.term(item, "an operation")) for item in given.items))

    def _resolve(self, values: Any) -> Any:
        def meaning(value: Any) -> Any:
            return self._values[value] if isinstance(value, fx.Node) else value

        return map_aggregate(values, meaning)


def _first_opaque(values: Any) -> Opaque | None:
    found: list[Opaque] = []

    def look(value: Any) -> Any:
        if isinstance(value, Opaque):
            found.append(value)
        return value

    map_aggregate(values, look)
    return found[0] if found else None


def constant(value: Any) -> Any:
    """A Python number as a value; anything else unchanged."""
    if isinstance(value, (bool, int, float)):
        return Const(torch.tensor(float(value), dtype=torch.float64))
    return value
