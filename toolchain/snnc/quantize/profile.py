"""ShiftProfile: the arithmetic of a target whose integers are `euler` steps on shifted weights (generic, Loihi)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from snnc.errors import InputError, Violation
from snnc.ir import Conventions, Format

WeightGrid = Literal["plain", "mantissa"]


@dataclass(frozen=True)
class ShiftProfile:
    """What :func:`snnc.quantize.shift.quantize_shift` must know about a target.

    One *state unit* is one raw unit of u and v (``2**-conventions.state_frac``). A weight of n bits counts in steps
    of ``2**step_bits`` state units, where ``step_bits`` depends on the grid, on n, and on an exponent e that is
    chosen per weight node inside ``exponents``:

    - ``plain``: ``step_bits = sub_bits + e``; raw is signed, ``-2**(n-1) .. 2**(n-1) - 1``.
    - ``mantissa`` (Loihi): a node with a negative weight has ``step_bits = sub_bits + (9 - n) + e`` and is signed;
      a node without one has ``step_bits = sub_bits + (8 - n) + e`` and is unsigned, ``0 .. 2**n - 1``.

    The weight's format is ``Format(n, state_frac - step_bits, signed)``, so the exponent can be read back from it.

    Attributes:
        target: name that the fixed graph carries.
        conventions: how the integers execute; ``membrane`` must be ``euler``.
        weight_bits: smallest and largest width that a user may ask for.
        default_weight_bits: width when the user asks for none.
        sub_bits: state units below one weight step, as a power of two.
        weight_grid: see above.
        exponents: smallest and largest e.
        decay_frac: fractional bits of both decays; their format is ``Format(decay_frac + 1, decay_frac, unsigned)``.
        decay_u_raw, decay_v_raw: smallest and largest raw decay. A decay that is legal in itself but rounds to just
            outside goes to the nearest legal raw and is noted; one that equals an illegal end is refused.
        threshold: format of the threshold; a negative frac means a coarse step (Loihi: 64 state units).
        bias: format of Neuron.bias (and of Affine/Conv bias) at bias exponent 0; the fixed bias has
            ``frac = bias.frac - exponent``.
        bias_exponents: smallest and largest exponent of Neuron.bias, one per population; the smallest that holds
            every bias of the population is taken.
        per_channel: neurons of one population may have different thresholds and gains. If False, per-neuron
            thresholds are divided into the weights (exact), and what cannot be is refused.
        fires: comparisons that the integers have, the others are rewritten (see shift.py).
        linear_bias: True if an Affine or Conv may keep a bias in integers.
        accumulator_peak: largest sum of weights of one step, in state units, that calibration times ``safety`` may
            reach; None takes the convention's accumulator width.
        direct_bits: width of analog input values as integers; None refuses them.
        host: True if analog values stay with the host: it computes the first layer once per sample and programs the
            sums as biases (see host.py). They are held by ``bias`` and ``bias_exponents``.
        safety: factor between what calibration saw and what must fit the registers, unless the weights prove less.
    """

    target: str
    conventions: Conventions
    weight_bits: tuple[int, int] = (2, 16)
    default_weight_bits: int = 8
    sub_bits: int = 6
    weight_grid: WeightGrid = "plain"
    exponents: tuple[int, int] = (0, 0)
    decay_frac: int = 12
    decay_u_raw: tuple[int, int] = (0, 4096)
    decay_v_raw: tuple[int, int] = (0, 4096)
    threshold: Format = field(default_factory=lambda: Format(32, 0))
    bias: Format = field(default_factory=lambda: Format(32, 0))
    bias_exponents: tuple[int, int] = (0, 0)
    per_channel: bool = True
    fires: tuple[Literal["gt", "ge"], ...] = ("gt", "ge")
    linear_bias: bool = True
    accumulator_peak: int | None = None
    direct_bits: int | None = None
    host: bool = False
    safety: float = 2.0

    def width(self, asked: int | None) -> int:
        """The weight width to use.

        Raises:
            InputError: the width asked for is outside ``weight_bits``.
        """
        low, high = self.weight_bits
        bits = self.default_weight_bits if asked is None else asked
        if not low <= bits <= high:
            raise InputError(str(Violation(self.target, "weight_bits", str(bits), f"{low} to {high}")))
        return bits

    def step_bits(self, bits: int, exponent: int, *, signed: bool) -> int:
        """log2 of the state units in one weight step."""
        if self.weight_grid == "plain":
            return self.sub_bits + exponent
        return self.sub_bits + (9 if signed else 8) - bits + exponent

    def weight_format(self, bits: int, exponent: int, *, signed: bool) -> Format:
        """Format of a weight node."""
        frac = self.conventions.state_frac - self.step_bits(bits, exponent, signed=signed)
        return Format(bits, frac, signed=signed or self.weight_grid == "plain")

    @property
    def decay(self) -> Format:
        """Format of both decays."""
        return Format(self.decay_frac + 1, self.decay_frac, signed=False)
