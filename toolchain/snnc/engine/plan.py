"""A plan: a fixed graph worked out for fast execution. Plain numbers, made once at compile time, stored in the folder.

Time is device time: steps 0 to ``T + depth - 1`` for an input of T steps. A population is executed on a window of
them; outside its window it sends nothing. Neurons stand in *engine order*, which may differ from row-major order of
the population's shape (feature maps are channel-last); everything in a plan that runs over neurons is in engine order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snnc.ir import Conventions, IntArray

if TYPE_CHECKING:
    from snnc.ir import Node

Kind = Literal["input", "constant", "neuron", "atrlif", "sigma", "delta", "sigmadelta", "relay"]
Option = str | int | bool
SINGLES = ("decay_u", "decay_v", "bias", "threshold", "v_init", "v_reset")
"""Parameters of a neuron whose membrane is float32."""


def narrowest(low: int, high: int) -> type[np.signedinteger[Any]]:
    """The smallest signed integer type that holds both."""
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return next(fits, np.int64)


@dataclass(frozen=True, eq=False)
class Dense:
    """``acc[o] += sum_i weight[o, i] * sent[i]``.

    Attributes:
        weight: [neurons of the target, neurons of the source], in the smallest integer dtype that holds it.
    """

    weight: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        return self.weight.shape


@dataclass(frozen=True, eq=False)
class Convolution:
    """A cross-correlation of two spatial axes (one axis counts as a height of 1), as in :class:`snnc.ir.Conv`.

    The target's engine order is channel-last: neuron ``(y * width + x) * channels + c``.

    Attributes:
        weight: [out channels, in channels / groups, kernel height, kernel width], smallest integer dtype.
        place: source neuron -> flat index into (channels, height, width) of the convolution's input, or -1 where it
            goes nowhere. Several neurons may share one place (sum pooling before the convolution).
        given: (channels, height, width) of the input.
        made: (channels, height, width) of the output, which is the whole target population.
        stride, padding, dilation: (vertical, horizontal).
        groups: as in torch.
    """

    weight: IntArray
    place: IntArray
    given: tuple[int, int, int]
    made: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Sparse:
    """``acc[index[k]] += value[k] * sent[i]`` for ``start[i] <= k < start[i + 1]``.

    Attributes:
        start: [neurons of the source + 1].
        index: target neurons.
        value: weights.
    """

    start: IntArray
    index: IntArray
    value: IntArray


@dataclass(frozen=True, eq=False)
class Way:
    """One linear way from a population to the accumulators of another.

    Attributes:
        source: index of the population that sends.
        delay: device steps between sending and accumulating; at least 1 inside a loop.
        receptor: 0: the only accumulator, or the excitatory one of a split synapse; 1: the inhibitory one, whose
            weights are magnitudes here.
        operator: the weights, in units of the target's accumulator.
    """

    source: int
    delay: int
    receptor: int
    operator: Dense | Convolution | Sparse


@dataclass(frozen=True, eq=False)
class Chain:
    """What no :class:`Way` can say (maximum pooling, sums that are shifted right, sums of the host): nodes in order.

    The nodes are run over all steps at once with the definitions in :mod:`snnc.ir.nodes`; before device step 0 every
    signal is zero. The sum over the edges whose target is the fed population goes to it: to x, or to the bias if it
    is a host's (``drive``).

    Attributes:
        nodes: in topological order; edges back carry delays.
        edges: (source, target, delay) from populations, between the nodes and to the fed population, by name.
        drive: true if the result is added to v like a bias, from the target's first logical step on.
        receptors: 2 if the chain's result has an excitatory and an inhibitory part, as a leading axis.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str, int], ...]
    drive: bool = False
    receptors: int = 1

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the populations that it reads."""
        inside = {node.name for node in self.nodes}
        return tuple(dict.fromkeys(source for source, _, _ in self.edges if source not in inside))


@dataclass(frozen=True)
class Bound:
    """What the weights prove about one accumulator, in its own unit (before ``shift``).

    Attributes:
        low, high: smallest and largest sum of one step for any input.
        peak: largest sum of magnitudes of one step: no partial sum in any order is beyond it.
    """

    low: int
    high: int
    peak: int


@dataclass(frozen=True, eq=False)
class Population:
    """One population, ready to be stepped.

    Attributes:
        name: of the node. A name that starts with ``/`` is none of the graph's and is never recorded: ``/one`` is a
            constant that carries the biases of weights, ``/max/<node>`` passes on what a maximum pooling made.
        kind: of the node; ``relay`` has no state and sends what its chain makes, so that weights behind it are ways;
            ``input`` is given, ``constant`` sends 1 from device step ``latency`` on, for ever.
        shape: as in the graph.
        order: engine position -> row-major index, or None if they are the same.
        latency: device step of logical step 0.
        first: first device step of the window.
        extra: the window has ``T + extra`` steps; 0 or more.
        restart: device step right before which the state is set to its start again (``aligned_start``), or None. The
            state is at its start at the beginning of the window in any case.
        numbers: sends numbers instead of -1, 0 and 1.
        params: name -> int64 in engine order, shape () or (neurons,): decays raw (their fractional bits are in
            ``options``), everything else in state units. A neuron has decay_u, decay_v, bias, threshold, v_init,
            v_reset (0 for a reset to zero under ``euler``), threshold_low if it is ternary; under ``closed_form``
            v_rest, gain, gain_u, too.
        options: the node's choices (fires, reset_v, reset_delay, reset_u, refractory, output, activation, cum_error,
            shift), and ``decay_u_frac`` etc.: fractional bits of each decay and of ``gain_u``. An input of analog
            values has its unit here (``unit_bits``, ``unit_frac``, ``unit_signed``, ...).
        ways: linear input.
        chains: all other input.
        shift: left shift from the accumulator's unit to state units (under ``closed_form``: from ring to state units).
        bounds: one per receptor, for ways alone; empty if a chain feeds it or numbers have no bound.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    order: IntArray | None
    latency: int
    first: int
    extra: int
    restart: int | None
    numbers: bool = False
    params: Mapping[str, IntArray] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()
    chains: tuple[Chain, ...] = ()
    shift: int = 0
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    @property
    def size(self) -> int:
        """Number of neurons."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@dataclass(frozen=True, eq=False)
class Group:
    """Populations that wait for each other (a loop), or a single one.

    Attributes:
        members: indices of populations, in the order of one step.
        loop: true if they must be stepped together; false: one population, all of its steps at once.
    """

    members: tuple[int, ...]
    loop: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that executing a fixed graph takes.

    Attributes:
        target: whose conventions.
        conventions: of the graph.
        digest: of the graph.
        depth: device steps beyond T.
        populations: in the order in which groups run.
        groups: in the order of execution.
    """

    target: str
    conventions: Conventions
    digest: str
    depth: int
    populations: tuple[Population, ...]
    groups: tuple[Group, ...]
