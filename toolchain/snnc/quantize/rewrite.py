"""Makes the integers, one parameter at a time, each with its note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from snnc.errors import UnsupportedError, Violation
from snnc.ir import Affine, Conv, Fixed, FloatArray, Format, IntArray, Neuron, to_fixed
from snnc.quantize.base import Note, note
from snnc.quantize.profile import ShiftProfile
from snnc.quantize.scales import Scale

ONE = Fixed(np.ones((), dtype=np.int64), Format(2, 0, signed=False))


@dataclass
class Writer:
    """Collects notes and violations while nodes are rewritten.

    Attributes:
        profile: the target's arithmetic.
        bits: weight width.
    """

    profile: ShiftProfile
    bits: int
    notes: list[Note] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def weights(self, node: Affine | Conv, scale: Scale) -> Affine | Conv:
        """The node with integer weights (and bias)."""
        value = scale.unit * self._to_value
        fmt = self.profile.weight_format(self.bits, scale.exponents[node.name], signed=scale.signed[node.name])
        ndim = np.asarray(node.weight).ndim
        weight = self._fixed(node.name, "weight", node.weight, fmt, _column(value, ndim))
        bias = None if node.bias is None else self._fixed(node.name, "bias", node.bias, self.profile.bias, value)
        return replace(node, weight=weight, bias=bias)

    def neuron(self, node: Neuron, unit: FloatArray, *, lattice: int) -> Neuron:
        """The population in integers.

        Args:
            node: float population.
            unit: state units per 1.0, () or broadcastable to the population.
            lattice: state units of which every arriving sum is a multiple.
        """
        c = self.profile.conventions
        value = unit * self._to_value
        state = Format(c.state_bits, c.state_frac)
        made = replace(
            node,
            decay_u=self._decay(node, "decay_u", self.profile.decay_u_raw),
            decay_v=self._decay(node, "decay_v", self.profile.decay_v_raw),
            bias=self._bias(node, value),
            v_reset=_small(self._fixed(node.name, "v_reset", node.v_reset, state, value)),
            v_init=_small(self._fixed(node.name, "v_init", node.v_init, state, value)),
            gain=ONE, gain_u=ONE, v_rest=Fixed(np.zeros((), dtype=np.int64), state),
        )  # fmt: skip
        return self._compared(node, made, value, lattice)

    @property
    def _to_value(self) -> float:
        return float(2.0**-self.profile.conventions.state_frac)

    def _fixed(self, name: str, key: str, given: object, fmt: Format, value: FloatArray) -> Fixed:
        want = np.asarray(given, dtype=np.float64)
        want = np.broadcast_to(want, np.broadcast_shapes(want.shape, value.shape))
        made = to_fixed(want * value, fmt)
        self.notes.append(note(name, key, want, made, value))
        return made

    def _decay(self, node: Neuron, key: str, legal: tuple[int, int]) -> Fixed:
        """Nearest raw decay; one that rounds just outside the legal range goes to its end, one that lies there not."""
        fmt = self.profile.decay
        given = np.asarray(getattr(node, key), dtype=np.float64)
        exact = np.ldexp(given, fmt.frac)
        low, high = legal
        bad = (exact <= low - 1) | (exact >= high + 1) | (given < 0) | (given > 1)
        if np.any(bad):
            found = float(given[bad].flat[0]) if given.ndim else float(given)
            allowed = f"{low / (1 << fmt.frac):g} to {high / (1 << fmt.frac):g} on {self.profile.target}"
            fix = "Train with a decay inside the range, or choose another target."
            self.violations.append(Violation(node.name, key, f"{found:g}", allowed, fix))
        made = Fixed(np.clip(np.rint(exact), low, high).astype(np.int64), fmt)
        self.notes.append(note(node.name, key, given, made, 1.0))
        return _small(made)

    def _bias(self, node: Neuron, value: FloatArray) -> Fixed:
        """The bias with the smallest exponent that holds every value of the population."""
        fmt = self.profile.bias
        low, high = self.profile.bias_exponents
        top = min(fmt.maximum, -fmt.minimum or fmt.maximum)
        raw = np.abs(np.ldexp(np.asarray(node.bias) * value, fmt.frac))
        fits = (e for e in range(low, high) if np.rint(raw.max(initial=0.0) / 2.0**e) <= top)
        exponent = next(fits, high)
        return _small(self._fixed(node.name, "bias", node.bias, replace(fmt, frac=fmt.frac - exponent), value))

    def _compared(self, node: Neuron, made: Neuron, value: FloatArray, lattice: int) -> Neuron:
        """Threshold and comparison.

        If v can only ever be a multiple of the threshold's step (no rounding decays; weights, bias and start values
        are multiples) and the reset does not use the threshold, the threshold is rounded to the side that decides as
        the unrounded one would, and a comparison that the target lacks is replaced exactly by moving the threshold
        one step. Otherwise the threshold is rounded to the nearest, and a missing comparison changes what happens
        when v equals the threshold; that is noted as ``fires``.
        """
        fmt = self.profile.threshold
        frac = self.profile.conventions.state_frac
        exact = node.reset_v != "subtract" and _lattice(made, lattice, frac) % (1 << max(frac - fmt.frac, 0)) == 0
        given = np.asarray(node.threshold, dtype=np.float64)
        given = np.broadcast_to(given, np.broadcast_shapes(given.shape, value.shape))
        scaled = np.ldexp(given * value, fmt.frac)
        if np.allclose(scaled, scaled.flat[0], rtol=1e-12, atol=0.0):
            scaled = np.full(scaled.shape, scaled.flat[0])
        near = np.rint(scaled)
        if exact:
            side = np.ceil(scaled) if node.fires == "ge" else np.floor(scaled)
            near = np.where(np.abs(scaled - near) <= 1e-9 * np.abs(scaled), near, side)
        move = 0
        fires = node.fires
        if fires not in self.profile.fires:
            fires = self.profile.fires[0]
            move = (-1 if fires == "gt" else 1) if exact else 0
            if not exact:
                self._noted_comparison(node, fires, value)
        effective = Fixed(np.clip(near, fmt.minimum, fmt.maximum).astype(np.int64), fmt)
        self.notes.append(note(node.name, "threshold", given, effective, value))
        raw = np.clip(effective.raw + move, fmt.minimum, fmt.maximum)
        if np.any(effective.raw <= 0):
            fix = "Use more weight bits, or smaller weights beside this threshold."
            self.violations.append(Violation(node.name, "threshold", "less than one step", "one step or more", fix))
        return replace(made, threshold=_small(Fixed(raw, fmt)), fires=fires)

    def _noted_comparison(self, node: Neuron, fires: Literal["gt", "ge"], value: FloatArray) -> None:
        """A note of what one state unit of threshold means in the float network."""
        shift = float(np.max(self._to_value / value)) * (1 if fires == "gt" else -1)
        given = float(np.asarray(node.threshold, dtype=np.float64).flat[0])
        self.notes.append(
            Note(node.name, "fires", fires, 1, (), (), (0,), abs(shift), 0, {0: given}, {0: given + shift})
        )


def _column(value: FloatArray, ndim: int) -> FloatArray:
    return value.reshape(-1, *(1,) * (ndim - 1)) if value.ndim else value


def _small(fixed: Fixed) -> Fixed:
    """The same number once, if all are equal."""
    raw = fixed.raw
    if raw.ndim and raw.size and np.all(raw == raw.flat[0]):
        return Fixed(raw.reshape(-1)[0], fixed.format)
    return fixed


def _lattice(node: Neuron, weights: int, frac: int) -> int:
    """State units of which v is always a multiple (until it saturates): 1 if a decay rounds."""
    parts = [node.bias, node.v_init, *([node.v_reset] if node.reset_v == "value" else [])]
    for decay in (node.decay_u, node.decay_v):
        assert isinstance(decay, Fixed)
        if not np.all((decay.raw == 0) | (decay.raw == 1 << decay.format.frac)):
            return 1
    return _lowest([np.asarray([weights]), *(_raw(part, frac) for part in parts)])


def lattice_of(weights: Mapping[str, Affine | Conv], names: tuple[str, ...], frac: int) -> int:
    """Largest power of two of state units that divides every sum of the named weights (and their biases)."""
    found = (node.params() for node in (weights[name] for name in names))
    # What the host rounds counts in steps of its format, whatever its weights are.
    steps = ([each["host"]] if "host" in each else each.values() for each in found)
    return _lowest([_raw(value, frac) for values in steps for value in values])


def _raw(value: object, frac: int) -> IntArray:
    assert isinstance(value, Fixed)
    return value.aligned(frac).reshape(-1)


def _lowest(arrays: list[IntArray]) -> int:
    """Largest power of two that divides every number; 2**40 if all are 0."""
    joined = int(np.bitwise_or.reduce(np.concatenate(arrays))) if arrays else 0
    return joined & -joined if joined else 1 << 40


def refuse(violations: list[Violation], target: str) -> None:
    """Raises if anything was found.

    Raises:
        UnsupportedError: with every violation.
    """
    if violations:
        raise UnsupportedError(f"{target} has no integers for this network", violations=tuple(violations))
