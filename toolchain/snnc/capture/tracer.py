"""Records one real run of a module as a ``torch.fx`` graph whose leaves are layers and neurons.

The symbolic tracer of torch.fx cannot follow a time loop: ``range(x.shape[1])`` and ``for x_t in x`` need values. So
the module runs on numbers, Python unrolls its loops, and every torch function that touches data which depends on
the input becomes an fx node. What Python itself computes from data (``if spikes.sum() > 3``) is refused.
Neurons return random numbers while they are recorded, so that nothing that depends on them looks constant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from snnc.capture import adapters
from snnc.capture.double import Layout, as_double, forward, is_user_file, running
from snnc.errors import SnncError, UnsupportedError

TAG = "_snnc_node"
CONCRETE = frozenset(
    ("__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "__array__", "item", "tolist",
     "numpy", "equal", "allclose", "is_nonzero")
)  # fmt: skip
SHAPE_ONLY = frozenset(("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"))


class Record:
    """What one run did.

    Attributes:
        graph: fx nodes; ``meta`` holds ``name`` (of the function), ``shape``, ``where`` (file and line), ``inside``
            (path of the enclosing module) and, for constants, ``value``.
        output: what forward returned, tensors replaced by fx nodes.
        error: what stopped the run, or None.
    """

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.output: Any = None
        self.error: SnncError | None = None


class Recorder(TorchFunctionMode):
    """Fills a :class:`Record` while it is entered; use :func:`record`."""

    def __init__(self, module: nn.Module, seed: int) -> None:
        super().__init__()
        self.module = module
        self.record = Record()
        self.quiet = False
        self.inside: list[str] = []
        self.constants: dict[int, tuple[torch.Tensor, fx.Node]] = {}
        self.random = torch.Generator().manual_seed(seed)
        self.after: dict[str, dict[str, torch.Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one torch function and records it if it touches data that depends on the input."""
        func, args, kwargs = as_double(func, args, dict(kwargs or {}))
        if self.quiet or not self._depends(args, kwargs):
            return func(*args, **kwargs)
        name = operation_name(func)
        if name in CONCRETE:
            raise self._refuse_value(name)
        if name in SHAPE_ONLY:
            return func(*args, **kwargs)
        given = self._nodes((args, kwargs))
        out = func(*args, **kwargs)
        if name == "__setitem__":
            self._tag(args[0], self._node("call_function", name, given, args[0]))
            return out
        if isinstance(out, torch.Tensor):
            self._tag(out, self._node("call_function", name, given, out))
        elif isinstance(out, (tuple, list)) and any(isinstance(o, torch.Tensor) for o in out):
            self._spread(out, self._node("call_function", name, given, None))
        return out

    def wrap(self) -> None:
        """Makes leaves record their calls and other modules tell where we are."""
        for path, part in self.module.named_modules():
            wrapper = self._leaf if adapters.is_leaf(part) else self._scope
            part.__dict__["forward"] = wrapper(path, part, part.forward)

    def source(self, x: torch.Tensor) -> torch.Tensor:
        """Marks x as the input."""
        node = self.record.graph.placeholder("x")
        node.meta.update(name="x", shape=tuple(x.shape), where="", inside="")
        self._tag(x, node)
        return x

    def finish(self, output: Any) -> None:
        """Stores what forward returned."""
        self.record.output = self._nodes(output)

    def _scope(self, path: str, part: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            self.inside.append(f"{path or 'the model'} ({type(part).__name__})")
            try:
                return original(*args, **kwargs)
            finally:
                self.inside.pop()

        return forward

    def _leaf(self, path: str, part: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        adapter = adapters.adapter_for(part)

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.quiet:
                return original(*args, **kwargs)
            given = self._nodes((args, kwargs))
            self.quiet = True
            try:
                out = self._call(path, part, adapter, lambda: original(*args, **kwargs))
            finally:
                self.quiet = False
            node = self._node("call_module", path or "root", given, out if isinstance(out, torch.Tensor) else None)
            node.meta["path"] = path
            if isinstance(out, (tuple, list)):
                self._spread(out, node)
            elif isinstance(out, torch.Tensor):
                self._tag(out, node)
            return out

        return forward

    def _call(self, path: str, part: nn.Module, adapter: adapters.Adapter | None, run: Callable[[], Any]) -> Any:
        if not isinstance(adapter, adapters.Cell):
            out = run() if adapter is not None else self._foreign(path, part, run)
            return out.view_as(out) if isinstance(out, torch.Tensor) else out
        before, after = adapter.memory(part), self.after.get(path)
        if after is not None and any(k not in before or not torch.equal(v, before[k]) for k, v in after.items()):
            raise UnsupportedError(
                f"{path or 'the neuron'}: its state was changed between two steps (reset or overwritten). Reset states "
                "once, before the first step. If forward starts them anew in every call (init_leaky, utils.reset, "
                "reset_net), put the loop over time inside forward, after that"
            )
        out = run()
        self.after[path] = {k: v.clone() for k, v in adapter.memory(part).items()}
        if isinstance(out, tuple):
            return map_aggregate(out, self._noise)
        return self._noise(out)

    def _foreign(self, path: str, part: nn.Module, run: Callable[[], Any]) -> Any:
        """A module that nobody knows may take data of another layout: what is wrong with it is not its input."""
        try:
            return run()
        except Exception as error:
            raise adapters.unknown(path, part) from error

    def _noise(self, like: Any) -> Any:
        if not isinstance(like, torch.Tensor):
            return like
        return torch.rand(like.shape, generator=self.random, dtype=torch.float64)

    def _depends(self, args: Any, kwargs: Any) -> bool:
        found = False

        def look(value: Any) -> Any:
            nonlocal found
            found = found or (isinstance(value, torch.Tensor) and self._known(value) is not None)
            return value

        map_aggregate((args, kwargs), look)
        return found

    def _known(self, value: torch.Tensor) -> fx.Node | None:
        owner, node = value.__dict__.get(TAG, (None, None))
        return node if owner is self else None

    def _tag(self, value: torch.Tensor, node: fx.Node) -> None:
        value.__dict__[TAG] = (self, node)

    def _nodes(self, values: Any) -> Any:
        def swap(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            return self._known(value) or self._constant(value)

        return map_aggregate(values, swap)

    def _constant(self, value: torch.Tensor) -> fx.Node:
        """A node with a copy of the value, because the user may write into the tensor later."""
        kept = self.constants.get(id(value))
        if kept is not None and torch.equal(kept[0], kept[1].meta["value"]):
            return kept[1]
        node = self.record.graph.create_node("get_attr", "constant")
        node.meta.update(name="constant", shape=tuple(value.shape), value=value.clone(), where=where(), inside="")
        self.constants[id(value)] = (value, node)
        return node

    def _node(self, op: str, target: str, given: Any, out: Any) -> fx.Node:
        args, kwargs = given
        node = self.record.graph.create_node(op, target if op == "call_module" else _named(target), args, kwargs)
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else None
        node.meta.update(name=target, shape=shape, where=where(), inside=self.inside[-1] if self.inside else "")
        return node

    def _spread(self, values: Any, node: fx.Node) -> None:
        for index, value in enumerate(leaves(values)):
            if isinstance(value, torch.Tensor):
                self._tag(value, self._node("call_function", "item_of", ((node, index), {}), value))

    def _refuse_value(self, name: str) -> UnsupportedError:
        inside = f" in {self.inside[-1]}" if self.inside else ""
        return UnsupportedError(
            f"{where()}{inside}: Python asks for the value of data that depends on the input ({name}). Control flow "
            "that depends on data has no place in a graph; branch on shapes and constants only"
        )


def leaves(values: Any) -> Iterator[Any]:
    """What is in a tuple or list, and in those inside it, in order: states are often handed over as named tuples."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from leaves(value)
        else:
            yield value


@cache
def _named(name: str) -> Callable[..., Any]:
    """A stand-in with the function's name; fx wants something callable, we only read the name."""

    def function(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    function.__name__ = function.__qualname__ = name
    return function


def operation_name(func: Callable[..., Any]) -> str:
    """The name of a torch function; a property's name for its getter."""
    name = str(getattr(func, "__name__", func))
    return str(func.__self__.__name__) if name == "__get__" and hasattr(func, "__self__") else name


def where() -> str:
    """``file.py:12`` of the user's line that is running."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def record(module: nn.Module, x: torch.Tensor, layout: Layout, seed: int) -> Record:
    """Runs a private copy on x [B, T, *shape] and records it; an error is kept with what was recorded before it.

    Args:
        module: from :func:`~snnc.capture.double.private_copy`; it is used up.
        x: numbers; only their shape matters.
        layout: how the module takes time.
        seed: of the noise that neurons return.
    """
    recorder = Recorder(module, seed)
    recorder.wrap()
    try:
        with running(module), recorder:
            torch.default_generator.manual_seed(seed)
            recorder.finish(forward(module, recorder.source(x), layout))
    except SnncError as error:
        recorder.record.error = error
    return recorder.record
