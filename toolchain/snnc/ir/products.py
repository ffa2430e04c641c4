"""Sums of products: the language of Loihi's learning engine, as Lava writes it, read strictly.

    sum     = [+|-] product { (+|-) product }
    product = item { * item }
    item    = number | x0 | y0 | uK | variable | ( group ) | sgn( w|d|t group )
    group   = [+|-] number | [+|-] variable [ (+|-) number ] | number (+|-) variable
    number  = integer | 2^integer | integer*2^integer

Variables are the synaptic traces x1 x2 (pre) and y1 y2 y3 (post), the weight w, the delay d and the tag t. The first
of x0, y0 and uK in a product is its dependency: the event at which the product counts. Lava's own reader accepts and
misreads what lies outside the grammar (``u10`` becomes u1 times 0); here everything outside is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, get_args

from snnc.errors import InputError, Violation

Dependency = Literal["x0", "y0", "u"]
Variable = Literal["x0", "y0", "x1", "x2", "y1", "y2", "y3", "w", "d", "t"]

TRACES = ("x1", "x2", "y1", "y2", "y3")
SYNAPTIC = ("w", "d", "t")
WIDTHS = {"x0": 1, "y0": 1, **dict.fromkeys(TRACES, 7), **dict.fromkeys(SYNAPTIC, 9)}
MANTISSA_BITS = 4
PRODUCT_BITS = 15
MANTISSA = (-8, 7)
EXPONENT = (-7, 8)


@dataclass(frozen=True)
class Factor:
    """One factor of a product: ``variable + constant``, or the sign of that.

    Attributes:
        variable: what is read at the time of the product's dependency.
        constant: added before clipping: -128 to 127, and even from -256 to 254 beside w and t (the chip holds half).
        sign: true for ``sgn(variable + constant)``; synaptic variables only.

    Raises:
        InputError: on construction, if the chip has no such factor.
    """

    variable: Variable
    constant: int = 0
    sign: bool = False

    def __post_init__(self) -> None:
        if self.variable not in get_args(Variable):
            refuse("factor", "variable", repr(self.variable), "one of " + " ".join(get_args(Variable)))
        if self.sign and self.variable not in SYNAPTIC:
            refuse("factor", "argument of sgn", self.variable, "w, d or t", "Traces are never negative")
        unit = 2 if self.variable in ("w", "t") else 1
        if self.constant % unit or not -128 <= self.constant // unit <= 127:
            kind = "an even number from -256 to 254" if unit == 2 else "an integer from -128 to 127"
            refuse("factor", f"constant beside {self.variable}", str(self.constant), kind)

    @property
    def width(self) -> int:
        """Bits without sign to which the factor is clipped: -2**width to 2**width - 1."""
        return WIDTHS[self.variable]

    def __str__(self) -> str:
        if not self.constant:
            return f"sgn({self.variable})" if self.sign else self.variable
        return f"{'sgn' if self.sign else ''}({self.variable}{self.constant:+d})"


@dataclass(frozen=True)
class Product:
    """``mantissa * 2**exponent * dependency * factors``; counts only where its dependency happened.

    Attributes:
        dependency: ``x0``: at each pre-synaptic spike; ``y0``: at each post-synaptic one; ``u``: at epoch ends.
        factors: what is multiplied.
        mantissa: -8 to 7, not 0.
        exponent: -7 to 8.
        period: K of ``uK``: the product counts in every 2**K-th epoch, 0 to 9; None with x0 and y0.

    Raises:
        InputError: on construction, if a number does not fit the chip's fields.
    """

    dependency: Dependency
    factors: tuple[Factor, ...] = ()
    mantissa: int = 1
    exponent: int = 0
    period: int | None = None

    def __post_init__(self) -> None:
        where = f"product {self}"
        if self.dependency not in get_args(Dependency):
            refuse(where, "dependency", repr(self.dependency), "x0, y0 or u")
        if (self.period is None) == (self.dependency == "u"):
            refuse(where, "period", repr(self.period), "0 to 9 with the dependency u, none with x0 and y0")
        if self.period is not None and not 0 <= self.period <= 9:
            refuse(where, "period", str(self.period), "0 to 9")
        if self.mantissa == 0:
            refuse(where, "constant", "0", "a number other than 0", "This product never changes anything: leave it out")
        low, high = MANTISSA
        if not low <= self.mantissa <= high or not EXPONENT[0] <= self.exponent <= EXPONENT[1]:
            sane = abs(self.mantissa) < 1 << 53 and abs(self.exponent) < 100
            fix = f"The nearest is {written(*nearest_scale(self.scale))}" if sane else ""
            allowed = f"m*2^e with m from {low} to {high} and e from {EXPONENT[0]} to {EXPONENT[1]}"
            refuse(where, "constant", f"{self.mantissa}*2^{self.exponent}", allowed, fix)

    @property
    def scale(self) -> float:
        """The constant as a number."""
        return float(self.mantissa) * 2.0**self.exponent

    @property
    def shift(self) -> int:
        """Bits that the chip shifts the product down without saying so: its value is 2**-shift of what is written.

        ``max(0, 4 + sum of factor widths - 15)``: 0 for one trace, 3 for two, 5 for a trace and w.
        """
        return max(0, MANTISSA_BITS + sum(factor.width for factor in self.factors) - PRODUCT_BITS)

    def __str__(self) -> str:
        first = self.dependency if self.period is None else f"u{self.period}"
        return "*".join([written(self.mantissa, self.exponent), first, *map(str, self.factors)])


def write_products(products: Sequence[Product]) -> str:
    """The sum as text, which the strict reader and Lava's read alike."""
    parts = [str(product) for product in products]
    return "".join([parts[0], *(f" - {part[1:]}" if part[0] == "-" else f" + {part}" for part in parts[1:])])


def written(mantissa: int, exponent: int) -> str:
    """A constant as the grammar writes it."""
    return f"{mantissa}*2^{exponent}" if exponent else str(mantissa)


def nearest_scale(value: float) -> tuple[int, int]:
    """Mantissa and exponent of the constant nearest to a number; never 0, and the smaller mantissa if two are."""
    low, high = MANTISSA
    choices = [(m, e) for e in range(EXPONENT[0], EXPONENT[1] + 1) for m in range(low, high + 1) if m]
    return min(choices, key=lambda c: (abs(c[0] * 2.0 ** c[1] - value), abs(c[0])))


def normal_scale(mantissa: int, exponent: int) -> tuple[int, int]:
    """Lava's normal form: halves an even mantissa until it fits (so that -8 becomes -4 * 2)."""
    while abs(mantissa) > MANTISSA[1] and mantissa % 2 == 0 and exponent < EXPONENT[1]:
        mantissa, exponent = mantissa // 2, exponent + 1
    return mantissa, exponent


def refuse(where: str, quantity: str, found: str, allowed: str, fix: str = "") -> NoReturn:
    """Raises what is wrong with a rule.

    Raises:
        InputError: always.
    """
    raise InputError.of(Violation(where, quantity, found, allowed, fix))
