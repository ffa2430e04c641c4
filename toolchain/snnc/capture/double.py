"""Runs a user's module in float64 without touching it: a private copy, at rest, in eval mode."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from snnc.capture import adapters
from snnc.errors import ModelError, SnncError

Layout = Literal["batch_time", "time_batch", "step", "still"]
FRAMEWORKS = ("snntorch", "spikingjelly", "norse", "sinabs")
STATEFUL = "sinabs.layers.stateful_layer.StatefulLayer"
_LOW = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)


def as_double(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The same call with every lower floating-point type replaced by float64."""
    if func in _CASTS:
        func = torch.Tensor.double
    args = tuple(torch.float64 if isinstance(a, torch.dtype) and a in _LOW else a for a in args)
    if isinstance(kwargs.get("dtype"), torch.dtype) and kwargs["dtype"] in _LOW:
        kwargs = {**kwargs, "dtype": torch.float64}
    return func, args, kwargs


class Double(TorchFunctionMode):
    """Keeps a forward that says ``.float()`` or ``dtype=torch.float32`` in float64."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one torch function."""
        func, args, kwargs = as_double(func, args, dict(kwargs or {}))
        return func(*args, **kwargs)


@contextmanager
def running(module: nn.Module) -> Iterator[None]:
    """Surroundings of a run of a private copy: no gradients, float64 by default, nothing global changed after it."""
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, before)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.no_grad())
        stack.enter_context(adapters.session(module))
        torch.set_default_dtype(torch.float64)
        yield


def private_copy(module: nn.Module) -> nn.Module:
    """A float64 copy on the CPU in eval mode, all neuron states at rest; the module itself is not touched.

    Raises:
        ModelError: the module cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in (*_tensors(vars(part)), *_tensors(part._buffers)):
            if value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    try:
        _copy_plainly(module, memo)
        twin = copy.deepcopy(module, memo).cpu().double().eval().requires_grad_(False)
    except Exception as error:
        raise ModelError(f"the module {type(module).__name__} cannot be copied: {type(error).__name__}: {error}. "
                         "Build it anew, or detach the tensors that it keeps as attributes.") from error  # fmt: skip
    with running(twin):
        reset(twin)
    return twin


def _copy_plainly(module: nn.Module, memo: dict[int, Any]) -> None:
    """Copies of sinabs layers as of any other module: their own ``__deepcopy__`` shares or loses ``rec_connect``."""
    for part in reversed(list(module.modules())):
        if any(adapters.qualified_name(cls) == STATEFUL for cls in type(part).__mro__):
            memo[id(part)] = twin = type(part).__new__(type(part))
            twin.__dict__.update(copy.deepcopy(part.__dict__, memo))


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    """Tensors among the values of a dictionary, list or tuple, and of those inside it."""
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (dict, list, tuple)):
            yield from _tensors(value)


def check_numbers(module: nn.Module, where: str) -> None:
    """Refuses NaN and infinity in any parameter or buffer that is saved with the module.

    Raises:
        ModelError: names the tensor.
    """
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ModelError(f"{where}: {name} is NaN or infinite in {count} of {tensor.numel()} places")


def reset(module: nn.Module) -> None:
    """Puts every neuron at rest, and calls ``reset()`` of every module that has one without arguments."""
    for part in module.modules():
        adapter = adapters.adapter_for(part)
        if isinstance(adapter, adapters.Cell):
            adapter.reset(part)
            continue
        method = getattr(part, "reset", None)
        if callable(method) and not _needs_arguments(method):
            method()


def _needs_arguments(method: Callable[..., Any]) -> bool:
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(method).parameters.values()
    return any(p.default is inspect.Parameter.empty and p.kind not in free for p in parameters)


def forward(module: nn.Module, x: torch.Tensor, layout: Layout) -> Any:
    """Runs all steps of x [B, T, *shape]: at once if the module loops over time, else step by step into a list.

    A module that repeats its input itself (``still``) is given the first step.

    Raises:
        ModelError: the user's forward raised; says what and where.
    """
    try:
        if layout == "step":
            return [module(x[:, t]) for t in range(x.shape[1])]
        if layout == "still":
            return module(x[:, 0])
        return module(x.transpose(0, 1) if layout == "time_batch" else x)
    except SnncError:
        raise
    except Exception as error:
        shape = tuple(x.shape)
        one = (shape[0], *shape[2:])
        given = {"batch_time": shape, "time_batch": (shape[1], shape[0], *shape[2:]), "step": one, "still": one}
        raise ModelError(
            f"the model's forward raised {type(error).__name__} {user_line(error)}: {error} "
            f"(it was given {'one step of ' if layout in ('step', 'still') else ''}shape {given[layout]})"
        ) from error


def user_line(error: BaseException) -> str:
    """``at file.py:12`` of the innermost frame outside torch and snnc."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_user_file(f.filename)]
    return f"at {frames[-1].filename}:{frames[-1].lineno}" if frames else "inside torch"


@cache
def is_user_file(filename: str) -> bool:
    """True for code that is neither torch's nor a framework's nor ours."""
    return not filename.startswith(_library_folders()) and not filename.startswith("<")


def _library_folders() -> tuple[str, ...]:
    """Found without importing them: frameworks need not be installed."""
    specs = (importlib.util.find_spec(name) for name in ("torch", *FRAMEWORKS, "snnc.nn", "snnc.capture"))
    return tuple(str(Path(spec.origin).parent) + os.sep for spec in specs if spec is not None and spec.origin)
