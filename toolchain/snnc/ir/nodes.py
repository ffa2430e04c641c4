"""The node types of a graph. Frozen; each docstring holds the equation that an executor must compute.

A node's parameters are float64 arrays in a :class:`~snnc.ir.graph.Graph` and :class:`~snnc.ir.fixed.Fixed` in a
:class:`~snnc.ir.graph.FixedGraph`; the graphs check it. Several edges into one node are summed.
Shapes are per sample and per step, without batch and time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from snnc.errors import GraphError
from snnc.ir.fixed import Fixed, FloatArray

Param = FloatArray | Fixed
Encoding = Literal["spikes", "direct", "constant"]
PoolKind = Literal["sum", "avg", "max"]
ResetV = Literal["zero", "value", "subtract", "none"]
Output = Literal["binary", "graded", "ternary", "multi"]
ReadoutKind = Literal["count", "sum"]


def frozen_param(value: Any) -> Param:
    """A parameter as it is stored: a Fixed, or a read-only float64 array."""
    if isinstance(value, Fixed):
        return value
    array = np.array(value, dtype=np.float64, copy=True)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Node:
    """A named node. Subclasses list their parameter fields in ``PARAMS``."""

    name: str

    PARAMS = ()  # type: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name or any(c.isspace() or c == "/" for c in self.name):
            raise GraphError(f"a node name has no space and no slash: {self.name!r}")
        for key in self.PARAMS:
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, frozen_param(value))
        for f in fields(self):
            if isinstance(getattr(self, f.name), list):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))

    @property
    def kind(self) -> str:
        """Lower-case type name, as shown to people."""
        return type(self).__name__.lower()

    def params(self) -> dict[str, Param]:
        """The parameters that are present, by field name."""
        found = {key: getattr(self, key) for key in self.PARAMS}
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Source of spikes. ``y[t] = spikes[t]``.

    Attributes:
        shape: shape of one step.
        encoding: ``spikes``: 0 or 1 given by the user; ``direct``: analog values; ``constant``: every element is 1
            in every step from the population's first step on (carries a bias through a synapse).
        unit: one step of analog values in a fixed graph (raw 1 in a format), by which they become integers:
            ``y = clip(round(value / unit))``; None takes the values as the integers that they are.
    """

    shape: tuple[int, ...] = ()
    encoding: Encoding = "spikes"
    unit: Param | None = None
    PARAMS = ("unit",)


@dataclass(frozen=True, eq=False)
class Identity(Node):
    """``y = x``. What dropout and identity layers are at inference; removed by a pass.

    Attributes:
        origin: what it was in the source, for reports.
    """

    origin: str = "identity"


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """Dense weights: ``y[o] = sum_i weight[o, i] * x[i] + bias[o]``; x has shape (i,).

    Attributes:
        weight: shape (out, in).
        bias: shape (out,) or None.
        host: of a fixed graph, raw 1 in a format: the host computes y, rounds it to that format (ties to even, then
            clipped), and the population behind it adds it like its bias, to v, from its first step on. None: y is
            summed into u like any other current.
    """

    weight: Param = field(default_factory=lambda: np.zeros((0, 0)))
    bias: Param | None = None
    host: Param | None = None
    PARAMS = ("weight", "bias", "host")


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Cross-correlation as in torch (kernel not flipped), one or two spatial axes; x has shape (channels, *space).

    ``y[o, p] = bias[o] + sum_{c, k} weight[o, c, k] * x[g(o)*c_per_group + c, p*stride + k*dilation - padding]``.

    Attributes:
        weight: shape (out, in/groups, *kernel).
        bias: shape (out,) or None.
        host: as in :class:`Affine`.
    """

    weight: Param = field(default_factory=lambda: np.zeros((0, 0, 0)))
    bias: Param | None = None
    stride: tuple[int, ...] = (1,)
    padding: tuple[int, ...] = (0,)
    dilation: tuple[int, ...] = (1,)
    groups: int = 1
    host: Param | None = None
    PARAMS = ("weight", "bias", "host")


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """Pooling over the spatial axes of (channels, *space); output size is floored as in torch.

    ``sum`` adds, ``avg`` divides the sum by the kernel's size (padding counts), ``max`` takes the largest.
    """

    pooling: PoolKind = "sum"
    kernel: tuple[int, ...] = (2, 2)
    stride: tuple[int, ...] = (2, 2)
    padding: tuple[int, ...] = (0, 0)


@dataclass(frozen=True, eq=False)
class Add(Node):
    """``y = sum of all incoming edges``; all have one shape."""


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Joins its inputs along ``axis`` in the order of the edges."""

    axis: int = 0


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """Row-major reshape of x to one axis."""


@dataclass(frozen=True, eq=False)
class Scale(Node):
    """Per-channel affine map, what batch normalisation is at inference: ``y = gain * x + shift``.

    Attributes:
        gain, shift: broadcast against x.
    """

    gain: Param = field(default_factory=lambda: np.ones(()))
    shift: Param = field(default_factory=lambda: np.zeros(()))
    PARAMS = ("gain", "shift")


@dataclass(frozen=True, eq=False)
class TimeScale(Node):
    """One gain per time step: ``y[t] = gain[t] * x[t]`` (TEBN, BNTT). ``gain`` has shape (T, ...)."""

    gain: Param = field(default_factory=lambda: np.ones((1,)))
    PARAMS = ("gain",)


@dataclass(frozen=True, eq=False)
class SynFilter(Node):
    """First-order synaptic filter: ``y[t] = decay * y[t-1] + x[t]``."""

    decay: Param = field(default_factory=lambda: np.zeros(()))
    PARAMS = ("decay",)


@dataclass(frozen=True, eq=False)
class Delay(Node):
    """``y[t] = x[t - steps]``, zeros before."""

    steps: int = 1


@dataclass(frozen=True)
class Adaptation:
    """One adaptation trace: ``a[t] = decay*a[t-1] + step*s[t-1]``; the threshold rises by ``weight * a``."""

    decay: float
    step: float
    weight: float


@dataclass(frozen=True, eq=False)
class Neuron(Node):
    """A population of spiking neurons. Decay always means the fraction kept per step.

    One step under the ``euler`` convention (x is the sum of the incoming edges)::

        u[t] = decay_u * u[t-1] + gain_u * x[t]
        v    = decay_v * (v[t-1] - v_rest) + v_rest + gain * u[t] + bias
        (reset_delay = 1: the reset below is applied here, with s[t-1])
        s[t] = v > threshold  |  v >= threshold
        reset where s: zero: v = 0; value: v = v_reset; subtract: v = v - threshold; none
        reset_u: u = 0 where s

    and under ``closed_form``: ``a = gain * (u + bias) + v_rest; v = a - decay_v * (a - v[t-1])``.
    ``ternary`` output adds ``s[t] = -1 where v < threshold_low`` (``<=`` under ``ge``); such a spike resets like the
    other one, but ``subtract`` takes threshold_low away, and is followed by as many refractory steps.
    ``multi`` output sends ``s[t] = trunc(v / threshold)`` where v > 0, and ``subtract`` takes ``threshold * s`` away.
    ``graded`` output sends v itself, never spikes and has reset_v ``none``; it executes in float64 only.
    Where ``v_min`` is given, ``v = max(v, v_min)`` comes last, after the reset.
    With reset_delay = 1, ``subtract`` takes ``threshold * s[t-1]`` away after the update and ``zero``/``value``
    replace the updated v (the input of that step is lost), before the comparison.
    Parameters are scalar, per channel (C, 1, 1) or per neuron: they broadcast to the population's shape.

    Attributes:
        shape: shape of the population.
        fires: ``gt`` (v > threshold) or ``ge``.
        fire_from: the comparison sees the ``updated`` or the ``previous`` v.
        refractory: steps after a spike in which v is held at its reset value (0: none).
        leak: ``exp``: the factor above; ``linear``: v moves towards 0 by decay_v; ``none``: v is kept.
        adaptation: traces that raise the threshold.
        output: what is sent: 0/1, the membrane, -1/0/1, or several spikes a step.
        threshold_low: of the -1 of a ternary output, read by no other; None stands for ``-threshold``.
        one_shot: at most one spike per sample.
        schedule: names of parameters that carry a leading time axis.
        v_min: lower bound of v; no integer step has one yet.
    """

    shape: tuple[int, ...] = ()
    decay_u: Param = field(default_factory=lambda: np.zeros(()))
    decay_v: Param = field(default_factory=lambda: np.zeros(()))
    gain_u: Param = field(default_factory=lambda: np.ones(()))
    gain: Param = field(default_factory=lambda: np.ones(()))
    bias: Param = field(default_factory=lambda: np.zeros(()))
    threshold: Param = field(default_factory=lambda: np.ones(()))
    v_rest: Param = field(default_factory=lambda: np.zeros(()))
    v_reset: Param = field(default_factory=lambda: np.zeros(()))
    v_init: Param = field(default_factory=lambda: np.zeros(()))
    fires: Literal["gt", "ge"] = "ge"
    fire_from: Literal["updated", "previous"] = "updated"
    reset_v: ResetV = "zero"
    reset_delay: int = 0
    reset_u: bool = False
    refractory: int = 0
    leak: Literal["exp", "linear", "none"] = "exp"
    adaptation: tuple[Adaptation, ...] = ()
    output: Output = "binary"
    one_shot: bool = False
    schedule: tuple[str, ...] = ()
    threshold_low: Param | None = None
    v_min: Param | None = None
    PARAMS = (
        "decay_u", "decay_v", "gain_u", "gain", "bias", "threshold", "v_rest", "v_reset", "v_init", "threshold_low",
        "v_min",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        low = self.threshold_low
        if self.output == "ternary" and isinstance(low, np.ndarray) and np.any(low >= 0):
            fix = "a neuron at rest would fire in every step"
            raise GraphError(f"{self.name}: threshold_low is {float(np.max(low)):g}, allowed is less than 0: {fix}")


@dataclass(frozen=True, eq=False)
class Inhibit(Node):
    """Winner-take-all over groups of neurons: of each group at most ``winners`` spikes pass.

    Attributes:
        groups: size of each group, in order.
        winners: spikes that pass per group and step.
    """

    groups: tuple[int, ...] = ()
    winners: int = 1


@dataclass(frozen=True, eq=False)
class Readout(Node):
    """The network's answer: ``count``: spikes summed over time; ``sum``: currents summed over time."""

    readout: ReadoutKind = "count"
