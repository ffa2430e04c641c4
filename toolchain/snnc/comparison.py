"""What a comparison of traces finds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Tally:
    """How many values were compared, how many differ, and the first step at which one does (None: equal)."""

    compared: int
    differing: int
    first_step: int | None


@dataclass(frozen=True)
class FirstDifference:
    """The earliest place where two traces disagree.

    Attributes:
        sample, step, population: where; step is logical time, counted from 0.
        neuron: index into the population's shape.
        quantity: ``spike`` or the name of a state (``v``, ``u``, ...).
        left, right: both values; integers where the traces hold integers.
        left_name, right_name: whose they are.
    """

    sample: int
    step: int
    population: str
    neuron: tuple[int, ...]
    quantity: str
    left: int | float
    right: int | float
    left_name: str
    right_name: str

    @property
    def text(self) -> str:
        """One line: where, and what both sides hold."""
        index = str(self.neuron[0]) if len(self.neuron) == 1 else str(self.neuron)
        values = f"{_number(self.left)} in {self.left_name}, {_number(self.right)} in {self.right_name}"
        return (
            f"sample {self.sample}, step {self.step}, population {self.population}, neuron {index}: "
            f"{self.quantity} is {values}"
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class LayerComparison:
    """One population: its spikes, and each state that was compared, by name."""

    population: str
    spikes: Tally
    states: Mapping[str, Tally]

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", MappingProxyType(dict(self.states)))

    @property
    def compared(self) -> int:
        """Values compared, spikes and states."""
        return self.spikes.compared + sum(t.compared for t in self.states.values())

    @property
    def differing(self) -> int:
        """Values that differ, spikes and states."""
        return self.spikes.differing + sum(t.differing for t in self.states.values())

    @property
    def first_step(self) -> int | None:
        """First step at which anything differs, or None."""
        steps = [t.first_step for t in (self.spikes, *self.states.values()) if t.first_step is not None]
        return min(steps, default=None)


@dataclass(frozen=True)
class Comparison:
    """Two traces side by side.

    Attributes:
        left, right: names of the traces.
        first_difference: the earliest disagreement, or None.
        layers: one per population, in order.
    """

    left: str
    right: str
    first_difference: FirstDifference | None
    layers: tuple[LayerComparison, ...]

    @property
    def compared(self) -> int:
        """Values compared over all layers."""
        return sum(layer.compared for layer in self.layers)

    @property
    def differing(self) -> int:
        """Values that differ over all layers."""
        return sum(layer.differing for layer in self.layers)

    @property
    def spikes_compared(self) -> int:
        """Spike bins compared over all layers."""
        return sum(layer.spikes.compared for layer in self.layers)

    @property
    def spikes_differing(self) -> int:
        """Spike bins that differ over all layers."""
        return sum(layer.spikes.differing for layer in self.layers)

    @property
    def equal(self) -> bool:
        """True if something was compared and nothing differs."""
        return self.compared > 0 and self.differing == 0

    @property
    def text(self) -> str:
        """The first difference as one line, or that there is none."""
        if self.first_difference is not None:
            return self.first_difference.text
        return f"{self.compared} values of {self.left} and {self.right} are equal"


@dataclass(frozen=True)
class LayerError:
    """How far one layer of integers is from the float network.

    Attributes:
        population: its name.
        compared: spike bins (samples x steps x neurons).
        spikes_float: spikes of the float network in them.
        spikes_cascaded, spikes_forced: spikes of the integers, every layer fed by the integer layer before it, or by
            the float network's true spikes.
        cascaded_differing, forced_differing: bins that differ from the float network.
        v_rms_cascaded, v_rms_forced: root mean square of ``v / scale - v_float`` in the float network's units; None
            where the membrane was not recorded.
    """

    population: str
    compared: int
    spikes_float: int
    spikes_cascaded: int
    spikes_forced: int
    cascaded_differing: int
    forced_differing: int
    v_rms_cascaded: float | None
    v_rms_forced: float | None

    @property
    def cascaded_fraction(self) -> float:
        """Fraction of bins that differ, cascaded."""
        return self.cascaded_differing / self.compared if self.compared else 0.0

    @property
    def forced_fraction(self) -> float:
        """Fraction of bins that differ, teacher-forced."""
        return self.forced_differing / self.compared if self.compared else 0.0

    @property
    def rate_difference(self) -> float:
        """Spikes per neuron and step, integers (cascaded) minus float."""
        return (self.spikes_cascaded - self.spikes_float) / self.compared if self.compared else 0.0


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.17g}"
