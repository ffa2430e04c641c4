"""The registry: module type -> adapter. One file per framework; anybody may register more.

Types are looked up by their qualified name, so that no framework is imported which the model does not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from snnc.capture.adapters import snnc, snntorch, torch
from snnc.capture.adapters.base import Adapter, Cell, Layer, Site, States
from snnc.errors import UnsupportedError, Violation

_REGISTERED: dict[str, Adapter] = {**torch.ADAPTERS, **snntorch.ADAPTERS}
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


def is_leaf(module: nn.Module) -> bool:
    """True if capture does not look inside: it has an adapter, or it belongs to a framework and has none."""
    if adapter_for(module) is not None:
        return True
    foreign = type(module).__module__.startswith(("torch.nn.", "snntorch."))
    return foreign and not isinstance(module, _CONTAINERS)


def unknown(path: str, module: nn.Module) -> UnsupportedError:
    """The error for a module that has no adapter."""
    name = qualified_name(type(module))
    advice = torch.ADVICE.get(type(module).__name__) or snntorch.ADVICE.get(type(module).__name__) or ""
    fix = f"{advice} Or add an adapter: snnc.capture.adapters.register({name!r}, ...)".strip()
    violation = Violation(path or "the model", "module type", name, "a type with an adapter", fix)
    return UnsupportedError(str(violation))


@contextmanager
def session(module: nn.Module) -> Iterator[None]:
    """What frameworks need around a run of a private copy, so that the originals stay untouched."""
    with snntorch.own_instances(module):
        yield


__all__ = ["Adapter", "Cell", "Layer", "Site", "States", "adapter_for", "is_leaf", "qualified_name", "register",
           "session", "unknown", "unregister"]  # fmt: skip
