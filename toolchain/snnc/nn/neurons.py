"""LIF and current-based LIF whose forward is the float step of :class:`snnc.ir.Neuron`, number for number."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from snnc.errors import ModelError, Violation
from snnc.ir import FloatArray, Neuron
from snnc.nn.base import SpikingModule
from snnc.nn.parameters import Bounded, Value
from snnc.nn.surrogate import chosen, spike

Reset = Literal["zero", "subtract", "none", "value"]
Fires = Literal["ge", "gt"]
Surrogate = Literal["atan", "fast_sigmoid", "triangle"]


class EulerNeuron(SpikingModule):
    """A population that computes one step per call, x [B, *shape] -> spikes [B, *shape] (0 or 1, in x's dtype).

    The step::

        u[t] = decay_u * u[t-1] + x[t]
        v    = decay_v * v[t-1] + u[t]
        s[t] = v >= threshold | v > threshold                       fires: ge | gt
        v[t] = 0 where s | v_reset where s | v - threshold * s | v  reset: zero | value | subtract | none

    Decay is the fraction kept per step. A decay, threshold or v_reset is a number or a tensor that broadcasts to the
    shape: per channel (C, 1, 1) or per neuron. After a step ``u`` and ``v`` hold u[t] and v[t]; before the first one
    they are None and count as 0. An input of another shape or dtype than the state starts from rest again.
    Backward, the spike's derivative is the surrogate's at v - threshold.

    Attributes:
        shape: per sample, or None if any input is taken.
        u, v: state after the last step, [B, *shape].
    """

    STATES = ("u", "v")
    u: torch.Tensor | None
    v: torch.Tensor | None

    def __init__(
        self,
        shape: tuple[int, ...] | int | None,
        decay_u: Bounded | None,
        decay_v: Bounded,
        *,
        threshold: Value,
        reset: Reset,
        v_reset: Value | None,
        fires: Fires,
        learn_threshold: bool,
        surrogate: Surrogate,
        slope: float | None,
        reset_detach: bool,
    ) -> None:
        super().__init__()
        if reset not in ("zero", "subtract", "none", "value"):
            raise ModelError(f"reset is {reset!r}, allowed are zero, subtract, none, value")
        if fires not in ("ge", "gt"):
            raise ModelError(f"fires is {fires!r}, allowed are ge, gt")
        if (reset == "value") != (v_reset is not None):
            raise ModelError("v_reset is given exactly when reset is 'value'")
        self.shape = (shape,) if isinstance(shape, int) else None if shape is None else tuple(shape)
        self.reset_v, self.fires, self.reset_detach = reset, fires, reset_detach
        self.surrogate = surrogate
        self.derivative, self.slope = chosen(surrogate, slope)
        self.decays_u, self.decays_v = decay_u, decay_v
        self.thresholds = Bounded("threshold", threshold, learn=learn_threshold)
        self.resets = None if v_reset is None else Bounded("v_reset", v_reset)

    @property
    def decay_u(self) -> torch.Tensor:
        """Effective fraction of u kept per step; 0 for a neuron without synaptic current."""
        return torch.zeros((), dtype=torch.float64) if self.decays_u is None else self._value(self.decays_u)

    @property
    def decay_v(self) -> torch.Tensor:
        """Effective fraction of v kept per step."""
        return self._value(self.decays_v)

    @property
    def threshold(self) -> torch.Tensor:
        """Effective threshold, > 0."""
        return self._value(self.thresholds)

    @property
    def v_reset(self) -> torch.Tensor:
        """Value that v takes after a spike when reset is ``value``; else 0."""
        return torch.zeros((), dtype=torch.float64) if self.resets is None else self._value(self.resets)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step; see the class.

        Raises:
            ModelError: x is not floating point or has another shape than the module.
        """
        self._check(x)
        if self.v is not None and (self.v.shape, self.v.dtype, self.v.device) != (x.shape, x.dtype, x.device):
            self.reset()
        u = x
        if self.decays_u is not None:
            u = x if self.u is None else self.decays_u(x.dtype) * self.u + x
        v = u if self.v is None else self.decays_v(x.dtype) * self.v + u
        threshold = self.thresholds(x.dtype)
        fired = v >= threshold if self.fires == "ge" else v > threshold
        s = spike(v - threshold, fired, self.derivative, self.slope)
        self.u, self.v = u, self._after_spike(v, threshold, s.detach() if self.reset_detach else s)
        return s

    def node(self, name: str, shape: tuple[int, ...] | None = None) -> Neuron:
        """The population in a graph: the values that this module in float64 computes with.

        Raises:
            ModelError: the shape is neither given nor known, or differs from the module's.
        """
        shape = self.shape if shape is None else tuple(shape)
        if shape is None:
            raise ModelError(f"{name}: the neuron module has no shape; give node() the shape of one sample")
        if self.shape is not None and shape != self.shape:
            raise ModelError(str(Violation(name, "shape", str(shape), f"the module's shape {self.shape}")))
        return Neuron(
            name,
            shape=shape,
            decay_u=_exact(self.decays_u),
            decay_v=_exact(self.decays_v),
            threshold=_exact(self.thresholds),
            v_reset=_exact(self.resets),
            fires=self.fires,
            reset_v=self.reset_v,
        )

    def extra_repr(self) -> str:
        """Options, for printing."""
        return f"shape={self.shape}, reset={self.reset_v}, fires={self.fires}, surrogate={self.surrogate}"

    @staticmethod
    def _value(bounded: Bounded) -> torch.Tensor:
        value = bounded()
        assert isinstance(value, torch.Tensor)
        return value

    def _check(self, x: torch.Tensor) -> None:
        if not torch.is_floating_point(x):
            raise ModelError(f"the input of {type(self).__name__} is {x.dtype}, allowed is floating point")
        if self.shape is not None and tuple(x.shape[1:]) != self.shape:
            raise ModelError(f"the input of {type(self).__name__} is {tuple(x.shape)}, allowed is [B, *{self.shape}]")

    def _after_spike(self, v: torch.Tensor, threshold: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Products instead of a selection: same numbers, and the reset passes gradients."""
        if self.reset_v == "none":
            return v
        if self.reset_v == "subtract":
            return v - threshold * s
        kept = v * (1 - s)
        return kept if self.resets is None else kept + self.resets(v.dtype) * s


def _exact(bounded: Bounded | None) -> FloatArray:
    return np.zeros(()) if bounded is None else np.asarray(bounded.exact().numpy(), dtype=np.float64)


class LIF(EulerNeuron):
    """Leaky integrate-and-fire: ``v = decay * v + x``; the rest as in :class:`EulerNeuron` with u = x.

    Args:
        shape: per sample; None takes any input.
        decay: fraction of v kept per step, 0 to 1 (1: no leak); number or tensor.
        threshold: > 0; number or tensor.
        reset: ``zero``, ``subtract``, ``none`` or ``value`` (then ``v_reset`` is needed).
        fires: ``ge`` or ``gt``.
        v_reset: for reset ``value``.
        learn_decay: the decay is ``sigmoid(raw)`` of a parameter.
        learn_threshold: the threshold is ``1e-6 + softplus(raw)`` of a parameter.
        surrogate: derivative of the spike; see :mod:`snnc.nn.surrogate`.
        slope: its steepness; None takes the surrogate's usual one.
        reset_detach: no gradient passes through the reset.

    Raises:
        ModelError: an option or a value is outside what is allowed.
    """

    def __init__(
        self,
        shape: tuple[int, ...] | int | None = None,
        *,
        decay: Value = 0.9,
        threshold: Value = 1.0,
        reset: Reset = "zero",
        fires: Fires = "ge",
        v_reset: Value | None = None,
        learn_decay: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate = "atan",
        slope: float | None = None,
        reset_detach: bool = False,
    ) -> None:
        super().__init__(
            shape,
            None,
            Bounded("decay_v", decay, learn=learn_decay),
            threshold=threshold,
            reset=reset,
            v_reset=v_reset,
            fires=fires,
            learn_threshold=learn_threshold,
            surrogate=surrogate,
            slope=slope,
            reset_detach=reset_detach,
        )


class CubaLIF(EulerNeuron):
    """Current-based LIF: ``u = decay_u * u + x; v = decay_v * v + u``; the rest as in :class:`EulerNeuron`.

    Args:
        shape: per sample; None takes any input.
        decay_u: fraction of the synaptic current kept per step, 0 to 1.
        decay_v: fraction of v kept per step, 0 to 1.
        threshold: > 0; number or tensor.
        reset: as in :class:`LIF`; the current is never reset.
        fires: ``ge`` or ``gt``.
        v_reset: for reset ``value``.
        learn_decay: both decays are ``sigmoid(raw)`` of a parameter.
        learn_threshold: the threshold is ``1e-6 + softplus(raw)`` of a parameter.
        surrogate: derivative of the spike; see :mod:`snnc.nn.surrogate`.
        slope: its steepness; None takes the surrogate's usual one.
        reset_detach: no gradient passes through the reset.

    Raises:
        ModelError: an option or a value is outside what is allowed.
    """

    def __init__(
        self,
        shape: tuple[int, ...] | int | None = None,
        *,
        decay_u: Value = 0.5,
        decay_v: Value = 0.9,
        threshold: Value = 1.0,
        reset: Reset = "zero",
        fires: Fires = "ge",
        v_reset: Value | None = None,
        learn_decay: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate = "atan",
        slope: float | None = None,
        reset_detach: bool = False,
    ) -> None:
        super().__init__(
            shape,
            Bounded("decay_u", decay_u, learn=learn_decay),
            Bounded("decay_v", decay_v, learn=learn_decay),
            threshold=threshold,
            reset=reset,
            v_reset=v_reset,
            fires=fires,
            learn_threshold=learn_threshold,
            surrogate=surrogate,
            slope=slope,
            reset_detach=reset_detach,
        )
