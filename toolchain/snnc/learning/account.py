"""What a target makes of a rule: rates after quantisation, traces, what is only reported, what stays on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from snnc.errors import InputError, Violation
from snnc.ir import PlasticityRule, RoundingSeeds
from snnc.learning.rule import HostOperation, Rule

Rounding = Literal["stochastic", "nearest", "floor"]
Sign = Literal["", "mixed", "excitatory", "inhibitory"]
EPOCH_MAX = 63


@dataclass(frozen=True)
class LearningOptions:
    """How a rule is brought to a chip.

    Attributes:
        t_epoch: steps between two updates of the chip, 1 to 63; 0 lets the target choose.
        rounding: of integer weights where the target lets one choose; chips have their own.
        parity: ``lava`` for the weight rounding of Lava, whose seed is always 2; empty for seeds of one's own.
        seed: of trace rounding (and the three generators after it).
        weight_seed: of weight rounding; with parity ``lava`` it is 2.
        unit: float weight of one device step; 0 lets the target choose from the bounds.
        gain: what a weight of 1 is in the target's physical unit (SpiNNaker: nA).
        max_rate: largest firing rate for which no trace saturates, in spikes per step.
        sign: which weights the projection stores; empty follows the bounds.
        compensate: undoes the chip's hidden scaling factors where the rates leave room.

    Raises:
        InputError: on construction, with what is allowed.
    """

    t_epoch: int = 0
    rounding: Rounding = "stochastic"
    parity: Literal["", "lava"] = ""
    seed: int = 1
    weight_seed: int = 1
    unit: float = 0.0
    gain: float = 1.0
    max_rate: float = 0.1
    sign: Sign = ""
    compensate: bool = True

    def __post_init__(self) -> None:
        broken = []
        if not 0 <= self.t_epoch <= EPOCH_MAX:
            allowed = f"1 to {EPOCH_MAX} steps (6 bits), or 0 for the target's choice"
            fix = "Rules that count in every 2**K-th epoch reach 512 times as far"
            broken.append(Violation("learning", "t_epoch", str(self.t_epoch), allowed, fix))
        if not 0 < self.max_rate <= 1:
            broken.append(Violation("learning", "max_rate", f"{self.max_rate:g}", "more than 0 to 1 spike per step"))
        if not (0 <= self.unit < math.inf and 0 < self.gain < math.inf):
            found = f"{self.unit:g} and {self.gain:g}"
            broken.append(Violation("learning", "unit and gain", found, "more than 0 (unit 0: the target's choice)"))
        if self.seed < 0 or self.weight_seed < 0:
            broken.append(Violation("learning", "seed", f"{self.seed}, {self.weight_seed}", "0 or more"))
        words = {"rounding": ("stochastic", "nearest", "floor"), "parity": ("", "lava")}
        words["sign"] = ("", "mixed", "excitatory", "inhibitory")
        for key, allowed_words in words.items():
            if getattr(self, key) not in allowed_words:
                allowed = " or ".join(repr(word) for word in allowed_words)
                broken.append(Violation("learning", key, repr(getattr(self, key)), allowed))
        if broken:
            raise InputError.of(*broken)

    @property
    def seeds(self) -> RoundingSeeds:
        """Seeds of the stochastic rounding; parity with Lava keeps its 2."""
        return RoundingSeeds(self.seed) if self.parity == "lava" else RoundingSeeds(self.seed, self.weight_seed)


@dataclass(frozen=True)
class Rate:
    """One rate of a rule on a target.

    Attributes:
        term: its name in the rule.
        asked: what the rule wants each time the target applies it, in the rule's units.
        got: what the target does, hidden factors included.
        written: as the target's program has it.
        shift: the target divides the product by 2**shift without saying so.
        compensated: whether ``written`` makes up for it.
        step: largest change of one event in device steps of what it changes, before rounding.
    """

    term: str
    asked: float
    got: float
    written: str
    shift: int = 0
    compensated: bool = False
    step: float = math.nan

    @property
    def error(self) -> float:
        """Relative error of the rate."""
        return self.got / self.asked - 1.0


@dataclass(frozen=True)
class Register:
    """Where a trace or third factor lives on a target.

    Attributes:
        name: register, such as x1.
        holds: trace or third factor, with + or - for the parts of a signed one.
        impulse: added at a spike, in device steps; of a third factor: what its largest value becomes.
        tau: steps; infinity for third factors.
        full: largest number that it holds.
        rate: largest regular firing rate in spikes per step before it is clipped; nan where clipping is the purpose.
        port: written from outside in each step (third factors, and traces that must be a step late).
        late: read as it was before this step's spikes.
    """

    name: str
    holds: str
    impulse: float
    tau: float
    full: float
    rate: float
    port: bool = False
    late: bool = False


@dataclass(frozen=True)
class LearningAccount:
    """A rule on a target.

    Attributes:
        target: name.
        native: false if the target's synapses cannot do it (``notes`` says why, ``host`` what remains).
        device: the float rule that the target follows: rates after quantisation, its own reading of coincidences.
        unit: float weight of one device step.
        t_epoch: steps between two updates.
        rates: as quantised.
        registers: traces and third factors.
        engine: phase -> the rule for Loihi's engine, None where nothing learns; empty for other targets.
        settings: the target's own numbers (SpiNNaker: PyNN's parameters).
        host: what the host does.
        notes: what to know.
        warnings: what will hurt.
    """

    target: str
    native: bool
    device: Rule | None
    unit: float
    t_epoch: int = 1
    rates: tuple[Rate, ...] = ()
    registers: tuple[Register, ...] = ()
    engine: Mapping[str, PlasticityRule | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    host: tuple[HostOperation, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", MappingProxyType(dict(self.engine)))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def worst(self) -> float:
        """Largest relative error of a rate; 0 without rates."""
        return max((abs(rate.error) for rate in self.rates), default=0.0)
