"""The registry: module type -> adapter. One file per framework; anybody may register more.

Types are looked up by their qualified name, so that no framework is imported which the model does not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from snnc.capture.adapters import norse, sinabs, slayer, snnc, snntorch, spikingjelly, spikingjelly_layers, torch
from snnc.capture.adapters.base import Adapter, Cell, Layer, Site, States
from snnc.errors import UnsupportedError, Violation

_REGISTERED: dict[str, Adapter] = {
    **torch.ADAPTERS,
    **snntorch.ADAPTERS,
    **spikingjelly.ADAPTERS,
    **spikingjelly_layers.ADAPTERS,
    **norse.ADAPTERS,
    **sinabs.ADAPTERS,
}
_ADVICE: dict[str, dict[str, str]] = {
    "lava": slayer.ADVICE,
    "norse": norse.ADVICE,
    "sinabs": sinabs.ADVICE,
    "snntorch": snntorch.ADVICE,
    "spikingjelly": {**spikingjelly.ADVICE, **spikingjelly_layers.ADVICE},
}
_LEAVES = ("torch.nn.", "snntorch.", norse.MODULES, sinabs.MODULES, slayer.MODULES, *spikingjelly_layers.LIBRARY)
_STATEFUL = ("reset", "reset_mem", "reset_state", "reset_states", "initial_state", "state_fallback", "init_hidden")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def qualified_name(cls: type) -> str:
    """``package.module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(name: str, adapter: Adapter) -> None:
    """Adds (or replaces) the adapter of a module type.

    Args:
        name: qualified name of the type, ``package.module.Class``.
        adapter: a :class:`Layer` or a :class:`Cell`.
    """
    _REGISTERED[name] = adapter


def unregister(name: str) -> None:
    """Forgets an adapter that :func:`register` added."""
    _REGISTERED.pop(name, None)


def adapter_for(module: nn.Module) -> Adapter | None:
    """The adapter of the module's type or of the base class whose methods it inherits unchanged."""
    kind = type(module)
    for cls in kind.__mro__:
        adapter = _REGISTERED.get(qualified_name(cls))
        if adapter is not None and all(getattr(kind, m, None) is getattr(cls, m, None) for m in adapter.inherits):
            return adapter
    return snnc.adapter_for(module)


def _changed(module: nn.Module) -> tuple[str, list[str]]:
    """The neuron class that the module's class derives from without being it, and the methods in which it differs."""
    kind = type(module)
    for cls in kind.__mro__:
        adapter = _REGISTERED.get(qualified_name(cls))
        if isinstance(adapter, Cell):
            return cls.__name__, [m for m in adapter.inherits if getattr(kind, m, None) is not getattr(cls, m, None)]
    return "", []


def is_leaf(module: nn.Module) -> bool:
    """True if capture does not look inside: it has an adapter, or it belongs to a framework and has none."""
    if adapter_for(module) is not None or _changed(module)[1]:
        return True
    if qualified_name(type(module)) in (*spikingjelly_layers.CONTAINERS, *norse.OPEN, *sinabs.OPEN):
        return False
    return type(module).__module__.startswith(_LEAVES) and not isinstance(module, _CONTAINERS)


def unknown(path: str, module: nn.Module) -> UnsupportedError:
    """The error for a module that has no adapter: what to use instead, and which adapter to write."""
    name, kind = qualified_name(type(module)), type(module).__name__
    framework = name.partition(".")[0]
    advice = _ADVICE.get(framework, {}).get(kind) or torch.ADVICE.get(kind) or ""
    base, methods = _changed(module)
    if methods and not advice:
        advice = f"It changes {', '.join(methods)} of {base}, so that what is known of {base} does not hold."
    fix = f"{advice} {_to_write(name, module)}".strip()
    violation = Violation(path or "the model", "module type", name, "a type with an adapter", fix)
    return UnsupportedError(str(violation))


def _to_write(name: str, module: nn.Module) -> str:
    """The functions that an adapter of this module consists of, and the file that shows how."""
    framework = name.partition(".")[0]
    if any(hasattr(module, mark) for mark in _STATEFUL):
        like = framework if framework in _ADVICE and framework != "lava" else "snntorch"
        return (
            "Or add an adapter: write node(module, name, shape) -> snnc.ir.Neuron, reset(module), memory(module) and "
            f"states(module, input, spikes) as in snnc/capture/adapters/{like}.py, and call "
            f"snnc.capture.adapters.register({name!r}, Cell(node, reset, memory, states))"
        )
    return (
        "Or add an adapter: write node(module, site) -> snnc.ir.Node as in snnc/capture/adapters/torch.py, and call "
        f"snnc.capture.adapters.register({name!r}, Layer(node))"
    )


@contextmanager
def session(module: nn.Module) -> Iterator[None]:
    """What frameworks need around a run of a private copy, so that the originals stay untouched."""
    with snntorch.own_instances(module):
        yield


__all__ = ["Adapter", "Cell", "Layer", "Site", "States", "adapter_for", "is_leaf", "qualified_name", "register",
           "session", "unknown", "unregister"]  # fmt: skip
