"""Populations that are no leaky integrators: adaptive thresholds and neurons that send numbers instead of spikes.

They exist in integers: every parameter is aligned to the state's unit, x is the summed input in state units, and sums
wrap in registers of ``conventions.register_bits``. Their equations are those of lava-nc 0.10.0's fixed-point models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snnc.errors import GraphError
from snnc.ir.nodes import Node, Param

Activation = Literal["unit", "relu"]


@dataclass(frozen=True, eq=False)
class Atrlif(Node):
    """Spiking neurons with an adaptive threshold and a refractory trace (Lava's ATRLIF).

    One step::

        u[t]  = decay_u * u[t-1] + x[t]
        v[t]  = decay_v * v[t-1] + u[t] + bias
        theta = decay_threshold * (theta[t-1] - threshold) + threshold
        r     = decay_refractory * r[t-1]
        s[t]  = v - r >= theta
        r[t]  = r + 2 * theta  where s;  theta[t] = theta + threshold_step  where s

    v is never reset: r stands between it and the threshold. theta starts at ``threshold``, r at 0. u and v obey the
    conventions as in :class:`~snnc.ir.nodes.Neuron`; theta and r have no width but the register's.

    Attributes:
        shape: shape of the population.
        decay_u, decay_v, decay_threshold, decay_refractory: fraction kept per step.
        bias: added to v in every step.
        threshold: where theta starts and returns to.
        threshold_step: what a spike adds to theta.
    """

    shape: tuple[int, ...] = ()
    decay_u: Param = field(default_factory=lambda: np.zeros(()))
    decay_v: Param = field(default_factory=lambda: np.zeros(()))
    decay_threshold: Param = field(default_factory=lambda: np.zeros(()))
    decay_refractory: Param = field(default_factory=lambda: np.zeros(()))
    bias: Param = field(default_factory=lambda: np.zeros(()))
    threshold: Param = field(default_factory=lambda: np.ones(()))
    threshold_step: Param = field(default_factory=lambda: np.zeros(()))
    PARAMS = (
        "decay_u", "decay_v", "decay_threshold", "decay_refractory", "bias", "threshold", "threshold_step",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sigma(Node):
    """Adds up messages: ``y[t] = y[t-1] + x[t]``.

    Attributes:
        shape: shape of the population.
    """

    shape: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Delta(Node):
    """Sends the change of its input once it is large enough.

    One step, with ``act[t] = x[t]``::

        d          = act[t] - act[t-1] + residue[t-1]
        fires      = |d| >= threshold               (cum_error: |error| >= threshold, where error grows by d)
        m          = d where it fires, else 0;      error = 0 where m is not 0
        residue[t] = d - m
        y[t]       = floor(m / 2**shift)

    The bits that the shift cuts off are not kept in the residue: a receiver that adds the messages up drifts.

    Attributes:
        shape: shape of the population.
        threshold: smallest change that is sent.
        cum_error: compare the error accumulated since the last message instead of the change.
        shift: low bits that a message lacks.
    """

    shape: tuple[int, ...] = ()
    threshold: Param = field(default_factory=lambda: np.ones(()))
    cum_error: bool = False
    shift: int = 0
    PARAMS = ("threshold",)  # type: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.shift < 64:
            raise GraphError(f"{self.name}: shift is {self.shift}, allowed is 0 to 63")


@dataclass(frozen=True, eq=False)
class SigmaDelta(Delta):
    """Adds up messages, applies an activation and sends its changes.

    A :class:`Delta` with ``sigma[t] = sigma[t-1] + x[t]; act[t] = f(sigma[t] + bias)``, where f is the identity
    (``unit``) or ``max(., 0)`` (``relu``).

    Attributes:
        bias: added before the activation.
        activation: f.
    """

    bias: Param = field(default_factory=lambda: np.zeros(()))
    activation: Activation = "relu"
    PARAMS = ("threshold", "bias")
