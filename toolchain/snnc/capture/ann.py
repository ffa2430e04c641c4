"""ReLU networks in torch: found, traced and captured as layers and rectifiers, without time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from snnc.capture import adapters
from snnc.capture.convert import capture
from snnc.capture.double import check_numbers, private_copy, running
from snnc.conversion import Ann, rectifiers
from snnc.errors import ModelError, UnsupportedError, Violation
from snnc.ir import Add, Graph
from snnc.nn import LIF

FUNCTIONS = frozenset({torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_})
METHODS = frozenset({"relu", "relu_"})
STEPS = 4
LAST = "answer"
_SOFTMAX = "Leave it out of the module that is converted: the largest answer stays the same."
_RATE = "A firing rate is max(x, 0): train with ReLU."
ADVICE = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmax2d"), _SOFTMAX),
    **dict.fromkeys(
        ("ReLU6", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardtanh", "Softplus", "Mish",
         "SELU", "CELU", "Hardswish", "Hardsigmoid", "RReLU"), _RATE),
}  # fmt: skip


class Relu(LIF):
    """Holds the place of a rectifier while capture runs; what it computes is not looked at."""


def is_ann(module: nn.Module) -> bool:
    """True for a module with rectifiers and without spiking neurons."""
    for part in module.modules():
        known = adapters.adapter_for(part)
        if isinstance(known, adapters.Cell) or not _of_torch(part, known):
            return False
    if any(isinstance(part, nn.ReLU) for part in module.modules()):
        return True
    try:
        return any(_is_relu(node, None) for node in fx.Tracer().trace(module).nodes)
    except Exception:  # whatever a user's forward does with a tracer's stand-ins: it is no plain network then
        return False


def _of_torch(part: nn.Module, known: object) -> bool:
    """False for a leaf of a spiking framework that has no adapter."""
    return known is not None or not adapters.is_leaf(part) or type(part).__module__.startswith("torch.nn.")


def capture_ann(module: nn.Module, shape: tuple[int, ...]) -> Ann:
    """Turns a trained ReLU network into layers and rectifiers.

    The module is traced symbolically on a private float64 copy in eval mode. Rectifiers may be modules, functions or
    methods, and one module may be used in several places.

    Args:
        module: takes [B, *shape] and returns one tensor.
        shape: of one sample.

    Raises:
        ModelError: forward fails, or returns something else than one tensor.
        UnsupportedError: a layer or an operation that has no node, or control flow that depends on data.
    """
    check_numbers(module, "the model")
    _check_activations(module)
    twin = private_copy(module)
    traced = _traced(twin)
    shapes = _shapes(traced, shape)
    found = [node for node in traced.graph.nodes if _is_relu(node, traced)]
    names = {_replaced(traced, node, shapes[node]) for node in found}
    answer = _answered(traced, shapes)
    traced.graph.lint()
    traced.recompile()
    noise = np.random.default_rng(0).random((2, STEPS, *shape))
    captured = capture(traced, noise)
    paths = {path: name for name, path in captured.populations.items()}
    graph = _without(captured.graph, paths[answer]) if answer not in names else captured.graph
    return Ann(rectifiers(graph, frozenset(paths[path] for path in names if path in paths)))


def ann_answers(module: nn.Module, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """What the module itself answers to [B, *shape], in float64."""
    twin = private_copy(module)
    with running(twin):
        return np.array(twin(torch.from_numpy(np.asarray(values, dtype=np.float64))).numpy(), dtype=np.float64)


def _check_activations(module: nn.Module) -> None:
    found = tuple(
        Violation(path or "the model", "activation", type(part).__name__, "ReLU", ADVICE[type(part).__name__])
        for path, part in module.named_modules()
        if type(part).__name__ in ADVICE and type(part).__module__.startswith("torch.nn.")
    )
    if found:
        raise UnsupportedError.of(*found, message="" if len(found) == 1 else "this network cannot be converted")


def _traced(module: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(module)
    except Exception as error:
        raise UnsupportedError(
            f"the ReLU network cannot be traced: {type(error).__name__}: {error}. Branches and loops must not depend "
            "on data; build the network from layers, or export it with torch.onnx and compile the .onnx file"
        ) from error


def _shapes(traced: fx.GraphModule, shape: tuple[int, ...]) -> dict[fx.Node, tuple[int, ...]]:
    """Shape per sample of every tensor."""
    found: dict[fx.Node, tuple[int, ...]] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            out = super().run_node(n)
            if isinstance(out, torch.Tensor):
                found[n] = tuple(out.shape[1:])
            return out

    try:
        with torch.no_grad():
            Watch(traced).run(torch.zeros((2, *shape), dtype=torch.float64))
    except Exception as error:
        given = f"it was given shape {(2, *shape)}: a batch of samples without time"
        raise ModelError(f"the model's forward raised {type(error).__name__}: {error} ({given})") from error
    return found


def _is_relu(node: fx.Node, traced: fx.GraphModule | None) -> bool:
    if node.op == "call_module":
        return traced is not None and isinstance(traced.get_submodule(str(node.target)), nn.ReLU)
    return (node.op == "call_function" and node.target in FUNCTIONS) or (
        node.op == "call_method" and node.target in METHODS
    )


def _replaced(traced: fx.GraphModule, node: fx.Node, shape: tuple[int, ...]) -> str:
    """Puts a population where a rectifier is, so that capture knows the place; returns its path."""
    path = str(node.target)
    if node.op != "call_module" or not isinstance(traced.get_submodule(path), nn.ReLU):
        path = _free(traced, node.name)
    traced.add_submodule(path, Relu(shape, decay=1.0))
    node.op, node.target, node.args, node.kwargs = "call_module", path, node.args[:1], {}
    return path


def _free(traced: fx.GraphModule, name: str) -> str:
    taken = {path for path, _ in traced.named_modules()} | {
        path.partition(".")[0] for path, _ in traced.named_modules()
    }
    found, count = name, 1
    while found in taken or hasattr(traced, found):
        count += 1
        found = f"{name}_{count}"
    return found


def _answered(traced: fx.GraphModule, shapes: dict[fx.Node, tuple[int, ...]]) -> str:
    """Path of the population behind the answer; one is put there if the answer is no rectifier's."""
    end = next(node for node in traced.graph.nodes if node.op == "output")
    last = end.args[0]
    if not isinstance(last, fx.Node) or last not in shapes:
        raise ModelError("the model returns something else than one tensor; return the answers alone")
    if last.op == "call_module" and isinstance(traced.get_submodule(str(last.target)), Relu):
        return str(last.target)
    path = _free(traced, LAST)
    traced.add_submodule(path, Relu(shapes[last], decay=1.0))
    with traced.graph.inserting_before(end):
        end.args = (traced.graph.call_module(path, (last,)),)
    return path


def _without(graph: Graph, name: str) -> Graph:
    return graph.replace_node(Add(name)) if len(graph.incoming(name)) > 1 else graph.without(name)
