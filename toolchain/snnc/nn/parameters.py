"""Decays and thresholds of a neuron module: fixed numbers or learnable, always inside their range.

Fixed numbers are float64 buffers in whatever precision the module is, so that 0.9 stays 0.9 in the graph.
Learnable numbers are kept as an unbounded ``raw`` parameter::

    decay     = sigmoid(raw)                in (0, 1)
    threshold = FLOOR + softplus(raw)       > 0
"""

from __future__ import annotations

import numpy as np
import torch

from snnc.errors import ModelError, Violation

Value = float | torch.Tensor | np.ndarray
FLOOR = 1e-6


def checked(quantity: str, value: Value, low: float, high: float, *, open_ends: bool) -> torch.Tensor:
    """A float64 tensor of ``value``, every entry inside the range.

    Raises:
        ModelError: an entry is not finite or outside.
    """
    given = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, dtype=np.float64))
    tensor = given.detach().to(torch.float64).clone()
    inside = (tensor > low) & (tensor < high) if open_ends else (tensor >= low) & (tensor <= high)
    if not bool((inside & torch.isfinite(tensor)).all()):
        allowed = f"{low:g} < x < {high:g}" if open_ends else f"{low:g} <= x <= {high:g}"
        wrong = tensor[~(inside & torch.isfinite(tensor))].flatten()[0].item()
        raise ModelError(str(Violation("neuron module", quantity, f"{wrong:g}", allowed)))
    return tensor


class Bounded(torch.nn.Module):
    """One quantity of a neuron module, fixed or learnable; see the module's docstring.

    Args:
        quantity: ``decay_u``, ``decay_v``, ``threshold`` or ``v_reset``; gives the range.
        value: scalar, per channel (C, 1, 1) or per neuron.
        learn: whether training changes it.
    """

    def __init__(self, quantity: str, value: Value, *, learn: bool = False) -> None:
        super().__init__()
        self.quantity = quantity
        self.learn = learn
        if quantity == "threshold":
            given = checked(quantity, value, FLOOR if learn else 0.0, float("inf"), open_ends=True)
            raw = (given - FLOOR) + torch.log(-torch.expm1(-(given - FLOOR)))
        elif quantity == "v_reset":
            given = raw = checked(quantity, value, -float("inf"), float("inf"), open_ends=True)
        else:
            given = checked(quantity, value, 0.0, 1.0, open_ends=learn)
            raw = torch.logit(given)
        if learn:
            self.raw = torch.nn.Parameter(raw.to(torch.get_default_dtype()))
        else:
            self.register_buffer("value", given)

    def forward(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The effective value, in ``dtype`` or as it is kept; learnable values are mapped before the cast."""
        if not self.learn:
            value = self.get_buffer("value")
        elif self.quantity == "threshold":
            value = FLOOR + torch.nn.functional.softplus(self.raw)
        else:
            value = torch.sigmoid(self.raw)
        return value if dtype is None else value.to(dtype)

    def exact(self) -> torch.Tensor:
        """The effective value in float64: what the module in float64 computes with."""
        if not self.learn:
            return self.get_buffer("value").detach().double().cpu()
        raw = self.raw.detach().double().cpu()
        return FLOOR + torch.nn.functional.softplus(raw) if self.quantity == "threshold" else torch.sigmoid(raw)

    def extra_repr(self) -> str:
        """Quantity and value, for printing."""
        exact = self.exact()
        shown = f"{exact.item():.6g}" if exact.numel() == 1 else f"shape {tuple(exact.shape)}"
        return f"{self.quantity}={shown}, learn={self.learn}"

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """Moves the buffer to another device, never to another precision."""
        before = self._buffers.get("value")
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        after = self._buffers.get("value")
        if before is not None and after is not None:
            self._buffers["value"] = before.to(device=after.device)
        return self
