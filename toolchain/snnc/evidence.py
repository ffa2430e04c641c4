"""Evidence: what validation found, as values. The pipeline fills it, reports show it.

A rung that compared nothing does not pass, and evidence without a rung does not pass. A budget that nothing could be
measured for (no labels) is reported as not measured; one that was measured for some networks only is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from snnc.comparison import Comparison, LayerError
from snnc.errors import Violation
from snnc.plain import known, percent, plain

When = Literal["compile", "validate"]


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder, climbed once.

    Attributes:
        rung: its number.
        left, right: what was compared.
        compared, differing: values.
        passed: whether the rung's demand holds; false if nothing was compared.
        detail: the first difference, or why the rung passes in spite of differences.
        when: ``compile`` or ``validate``.
        target: the target that it is about; empty if all.
        skipped: nothing was compared, for the reason in ``detail``; such a rung neither passes nor fails.
    """

    rung: int
    left: str
    right: str
    compared: int
    differing: int
    passed: bool
    detail: str = ""
    when: When = "validate"
    target: str = ""
    skipped: bool = False

    def __post_init__(self) -> None:
        if self.compared <= 0:
            object.__setattr__(self, "passed", False)
            object.__setattr__(self, "detail", self.detail or "nothing was compared")

    @classmethod
    def exact(cls, rung: int, comparison: Comparison, *, when: When = "validate", target: str = "") -> Rung:
        """A rung that demands equality: it passes if nothing differs; the first difference is its detail."""
        detail = str(comparison.first_difference or "")
        left, right = comparison.left, comparison.right
        counts = (comparison.compared, comparison.differing)
        return cls(rung, left, right, *counts, comparison.equal, detail, when, target)

    @property
    def title(self) -> str:
        """``rung 5: reference / loihi``."""
        return f"rung {self.rung}: {self.sides}"

    @property
    def sides(self) -> str:
        """``reference / loihi``."""
        return f"{self.left} / {self.right}"

    @property
    def count(self) -> str:
        """``3 of 4,096 values unequal``."""
        return f"{self.differing:,} of {self.compared:,} values unequal"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready fields; ``passed`` is called ``pass``."""
        entry = asdict(self)
        entry["pass"] = entry.pop("passed")
        return entry


@dataclass(frozen=True)
class LayerRow:
    """One population under one target against the float network.

    Attributes:
        target, population: which.
        spikes_float: spikes of the float network.
        teacher_forced_differing: bins that differ when the layer is driven by the float network's spikes.
        cascaded_differing: bins that differ in the whole integer network.
        compared: bins.
        v_rms_forced, v_rms_cascaded: membrane error in the float network's units, or None.
    """

    target: str
    population: str
    spikes_float: int
    teacher_forced_differing: int
    cascaded_differing: int
    compared: int
    v_rms_forced: float | None = None
    v_rms_cascaded: float | None = None

    @classmethod
    def of(cls, target: str, error: LayerError) -> LayerRow:
        """The row of a measured layer."""
        differing = (error.forced_differing, error.cascaded_differing)
        rms = (error.v_rms_forced, error.v_rms_cascaded)
        return cls(target, error.population, error.spikes_float, *differing, error.compared, *rms)

    @property
    def cascaded_fraction(self) -> float:
        """Fraction of bins that differ, cascaded."""
        return self.cascaded_differing / self.compared if self.compared else 0.0

    @property
    def teacher_forced_fraction(self) -> float:
        """Fraction of bins that differ, teacher-forced."""
        return self.teacher_forced_differing / self.compared if self.compared else 0.0


@dataclass(frozen=True)
class BudgetResult:
    """One entry of the budget for one target.

    Attributes:
        quantity: ``accuracy_points`` or ``spike_mismatch``.
        target: which column of the accuracy table, or which target's layers.
        found: the measured number, None if it was not measured.
        allowed: the most that is allowed.
        detail: in words.
        applies: false if nothing could be measured, for any network.
    """

    quantity: str
    target: str
    found: float | None
    allowed: float
    detail: str
    applies: bool = True

    @property
    def passed(self) -> bool:
        """True if the number is within the budget, or the budget does not apply."""
        return not self.applies or (self.found is not None and self.found <= self.allowed + 1e-9)

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL`` or ``not measured``."""
        return "not measured" if not self.applies else "pass" if self.passed else "FAIL"

    @property
    def violation(self) -> Violation:
        """The entry as a broken rule."""
        found = "not measured" if self.found is None else f"{self.found:.4g}"
        return Violation(self.target, self.quantity, found, f"at most {self.allowed:g}", self.detail)


@dataclass(frozen=True)
class Budget:
    """What the user accepts; None means no demand.

    Attributes:
        accuracy_points: percentage points by which any integer accuracy may lie below the float accuracy.
        spike_mismatch: fraction of spike bins of any layer that may differ from the float network when the layer is
            driven by the float network's spikes (teacher-forced).
    """

    accuracy_points: float | None = None
    spike_mismatch: float | None = None

    def check(self, accuracy: Mapping[str, float | None], layers: tuple[LayerRow, ...]) -> tuple[BudgetResult, ...]:
        """Every demand against every target, kept or broken.

        Args:
            accuracy: fraction right by network; the key ``float`` is what the others are measured against.
            layers: every population of every target.
        """
        return (*self._accuracy(accuracy), *self._mismatch(layers))

    def violations(self, accuracy: Mapping[str, float | None], layers: tuple[LayerRow, ...]) -> tuple[Violation, ...]:
        """The demands that are broken."""
        return tuple(result.violation for result in self.check(accuracy, layers) if not result.passed)

    def _accuracy(self, accuracy: Mapping[str, float | None]) -> list[BudgetResult]:
        limit = self.accuracy_points
        if limit is None:
            return []
        base = known(accuracy.get("float"))
        rest = {key: known(value) for key, value in accuracy.items() if key != "float"}
        if not rest or all(value is None for value in (base, *rest.values())):
            detail = "No integer accuracy was measured."
            return [BudgetResult("accuracy_points", "all", None, limit, detail, applies=False)]
        results = []
        for key, value in rest.items():
            loss = None if base is None or value is None else 100 * (base - value)
            detail = f"float {percent(base)}, {key} {percent(value)}"
            results.append(BudgetResult("accuracy_points", key, loss, limit, detail))
        return results

    def _mismatch(self, layers: tuple[LayerRow, ...]) -> list[BudgetResult]:
        limit = self.spike_mismatch
        if limit is None:
            return []
        results = []
        for target in dict.fromkeys(row.target for row in layers):
            worst = max((r for r in layers if r.target == target), key=lambda r: r.teacher_forced_fraction)
            count = f"{worst.teacher_forced_differing} of {worst.compared} bins"
            detail = f"worst layer {worst.population}, teacher-forced: {count}"
            results.append(BudgetResult("spike_mismatch", target, worst.teacher_forced_fraction, limit, detail))
        if not results:
            results.append(BudgetResult("spike_mismatch", "all", None, limit, "No layer was measured.", applies=False))
        return results


@dataclass(frozen=True)
class Evidence:
    """Everything that validation found.

    Attributes:
        rungs: in the order in which they were climbed.
        accuracy: fraction right by network: ``float``, ``fixed``, then target names; None if there are no labels.
        layers: every population of every target against the float network.
        samples, steps: size of the data.
        budget: what the user accepts.
        first_differences: target -> where its integers first differ from the float network, in words.
    """

    rungs: tuple[Rung, ...]
    accuracy: Mapping[str, float | None] = field(default_factory=dict)
    layers: tuple[LayerRow, ...] = ()
    samples: int = 0
    steps: int = 0
    budget: Budget = field(default_factory=Budget)
    first_differences: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("rungs", "layers"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        for key in ("accuracy", "first_differences"):
            object.__setattr__(self, key, MappingProxyType(dict(getattr(self, key))))

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that have layers, in order."""
        return tuple(dict.fromkeys(row.target for row in self.layers))

    @property
    def worst(self) -> LayerRow | None:
        """The layer with the largest fraction of differing bins, cascaded; the first of equals."""
        return max(self.layers, key=lambda row: row.cascaded_fraction, default=None)

    @property
    def budget_results(self) -> tuple[BudgetResult, ...]:
        """Every demand of the budget, kept or broken."""
        return self.budget.check(self.accuracy, self.layers)

    @property
    def passed(self) -> bool:
        """True if there is at least one rung, every rung that was not skipped passed and the budget is kept."""
        climbed = [rung.passed for rung in self.rungs if not rung.skipped]
        rungs = bool(climbed) and all(climbed)
        return rungs and all(result.passed for result in self.budget_results)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Failed rungs and broken budget entries, for an error message."""
        rungs = (
            Violation(f"rung {r.rung}", r.sides, r.count, "equal" if r.rung != 3 else "within the budget", r.detail)
            for r in self.rungs
            if not (r.passed or r.skipped)
        )
        return (*rungs, *(result.violation for result in self.budget_results if not result.passed))

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN and infinity become null."""
        worst = self.worst
        budget = asdict(self.budget)
        budget["results"] = [{**asdict(result), "pass": result.passed} for result in self.budget_results]
        data: dict[str, Any] = plain(
            {
                "rungs": [rung.to_json() for rung in self.rungs],
                "accuracy": self.accuracy,
                "layers": [_layer(row) for row in self.layers],
                "worst": worst and {**_layer(worst), "first_difference": self.first_differences.get(worst.target)},
                "samples": self.samples,
                "steps": self.steps,
                "budget": budget,
                "pass": self.passed,
            }
        )
        return data


def _layer(row: LayerRow) -> dict[str, Any]:
    fractions = {"teacher_forced_fraction": row.teacher_forced_fraction, "cascaded_fraction": row.cascaded_fraction}
    return {**asdict(row), **fractions}
