"""Reads sums of products (see :mod:`snnc.ir.products`) and refuses by name what the chip or Lava would misread."""

from __future__ import annotations

import re
from typing import NoReturn, cast

from snnc.errors import InputError, Violation
from snnc.ir.products import (
    SYNAPTIC,
    TRACES,
    Dependency,
    Factor,
    Product,
    Variable,
    nearest_scale,
    normal_scale,
    written,
)

_TOKEN = re.compile(r"\d*\.\d*|[A-Za-z_]\w*|\d+|\*\*|\S")
_NUMBER = re.compile(r"\d+")
_PERIOD = re.compile(r"u\d+")
LONGEST = 1000
DIGITS = 6


def parse_products(text: str, target: str = "dw") -> tuple[Product, ...]:
    """The products of a rule such as ``2^-2*x1*y0 - x0*y1``.

    Args:
        text: the sum.
        target: what it changes, for messages: dw, dt or dd.

    Raises:
        InputError: the text is outside the grammar, or a number does not fit the chip; says what to write instead.
    """
    return _Reader(text, target).read()


class _Reader:
    """A recursive-descent reader with one token of look-ahead."""

    def __init__(self, text: str, target: str) -> None:
        self.where = f"{target} = {text.strip()[:80]!r}"
        if len(text) > LONGEST:
            self._refuse("length", f"{len(text)} characters", f"at most {LONGEST}")
        self.tokens: list[str] = [*_TOKEN.findall(text), ""]
        for word in self.tokens:
            if "." in word:
                self._refuse_decimal(word)
            if word in ("/", "**"):
                self._refuse("operator", word, "+ - * and powers of 2 written 2^k", "Divide by 8 with 2^-3")

    def read(self) -> tuple[Product, ...]:
        if not self.tokens[0]:
            self._refuse("text", "nothing", "a sum of products", "Leave the rule out instead")
        products = [self._product(self._sign())]
        while self.tokens[0]:
            products.append(self._product(self._sign()))
        return tuple(products)

    def _sign(self) -> int:
        if self.tokens[0] in ("+", "-"):
            return -1 if self._take() == "-" else 1
        return 1

    def _take(self) -> str:
        return self.tokens.pop(0)

    def _product(self, sign: int) -> Product:
        scale = (sign, 0)
        dependency: Dependency | None = None
        period: int | None = None
        factors: list[Factor] = []
        while True:
            word = self.tokens[0]
            if _PERIOD.fullmatch(word):
                if dependency is not None:
                    self._refuse("second event", word, "x0 or y0 after the first", "uK comes first and once")
                dependency, period = "u", self._period()
            elif word in ("x0", "y0") and dependency is None:
                dependency = cast(Dependency, self._take())
            else:
                times, factor = self._item()
                scale = (scale[0] * times[0], scale[1] + times[1])
                factors += [] if factor is None else [factor]
            if self.tokens[0] not in ("*", "+", "-", ""):
                self._refuse("token", repr(self.tokens[0]), "+, - or *", "Factors are joined by *")
            if self.tokens[0] != "*":
                break
            self._take()
        if dependency is None:
            fix = "Multiply it by x0 (pre-synaptic spikes), y0 (post-synaptic spikes) or u0 (every epoch)"
            self._refuse("dependency of a product", "none", "x0, y0 or uK", fix)
        return self._made(dependency, tuple(factors), scale, period)

    def _made(
        self, dependency: Dependency, factors: tuple[Factor, ...], scale: tuple[int, int], period: int | None
    ) -> Product:
        try:
            return Product(dependency, factors, *normal_scale(*scale), period)
        except InputError as error:
            raise InputError(f"{self.where}: {error.message}") from None

    def _period(self) -> int:
        word = self._take()
        if len(word) != 2:
            fix = "Lava would read u1 times 0. Longer periods need a longer t_epoch"
            self._refuse("event", word, "u0 to u9", fix)
        return int(word[1])

    def _item(self) -> tuple[tuple[int, int], Factor | None]:
        """A number (mantissa, exponent), or a factor with the sign that belongs in front of it."""
        word = self.tokens[0]
        if _NUMBER.fullmatch(word):
            return self._number(), None
        if word in ("+", "-"):
            self._refuse("sign", f"{word} inside a product", "one sign in front of a product", "Write (-2)*x0 or -2*x0")
        if word == "sgn":
            self._take()
            return self._group(sign=True)
        if word == "(":
            return self._group(sign=False)
        return (1, 0), self._factor(self._variable())

    def _variable(self) -> str:
        word = self._take()
        if word not in ("x0", "y0", *TRACES, *SYNAPTIC):
            known = "x0 y0 u0..u9 x1 x2 y1 y2 y3 w d t sgn( ) and integers"
            self._refuse("token", repr(word) if word else "the end", known)
        return word

    def _number(self) -> tuple[int, int]:
        word = self._take()
        if not _NUMBER.fullmatch(word):
            self._refuse("token", repr(word) if word else "the end", "an integer")
        if len(word) > DIGITS:
            self._refuse("number", word[:20], f"at most {DIGITS} digits")
        if self.tokens[0] != "^":
            return int(word), 0
        if word != "2":
            self._refuse("power", f"{word}^", "2^k", "Only powers of 2 exist on the chip")
        self._take()
        sign, power = self._sign(), self._take()
        if not _NUMBER.fullmatch(power) or len(power) > 2:
            self._refuse("exponent", repr(power[:20]) if power else "nothing", "an integer of at most 2 digits")
        return 1, sign * int(power)

    def _group(self, *, sign: bool) -> tuple[tuple[int, int], Factor | None]:
        if self._take() != "(":
            self._refuse("sgn", "no parenthesis", "sgn(w), sgn(w+10)")
        front = self._sign()
        number = variable = None
        if _NUMBER.match(self.tokens[0]):
            number = self._literal(front)
            if self.tokens[0] in ("+", "-"):
                front, variable = self._sign(), self._variable()
        else:
            variable = self._variable()
            if self.tokens[0] in ("+", "-"):
                number = self._literal(self._sign())
        if self._take() != ")":
            self._refuse("parentheses", "not closed or holding more", "(variable), (variable+number) or (number)")
        if variable is None:
            if sign or number is None:
                self._refuse("argument of sgn", "no variable", "w, d or t")
            return number, None
        if sign and front < 0:
            self._refuse("argument of sgn", f"-{variable}", variable, "Put the sign in front of the product")
        if variable in ("x0", "y0") and number is None:
            self._refuse("event", f"({variable})", variable, "An event stands without parentheses")
        return (front, 0), self._factor(variable, self._whole(number or (0, 0)) * front, sign=sign)

    def _literal(self, sign: int) -> tuple[int, int]:
        """A number inside parentheses, where m*2^k is one number."""
        mantissa, exponent = self._number()
        if self.tokens[0] == "*":
            self._take()
            times, power = self._number()
            mantissa, exponent = mantissa * times, exponent + power
        return sign * mantissa, exponent

    def _whole(self, number: tuple[int, int]) -> int:
        mantissa, exponent = number
        if exponent < 0 and mantissa % (1 << -exponent):
            self._refuse("constant beside a variable", f"{mantissa}*2^{exponent}", "an integer")
        return mantissa << exponent if exponent >= 0 else mantissa >> -exponent

    def _factor(self, variable: str, constant: int = 0, *, sign: bool = False) -> Factor:
        try:
            return Factor(cast(Variable, variable), constant, sign)
        except InputError as error:
            raise InputError(f"{self.where}: {error.message}") from None

    def _refuse_decimal(self, word: str) -> NoReturn:
        try:
            mantissa, exponent = nearest_scale(float(word))
        except ValueError:
            self._refuse("token", repr(word), "a number or a variable")
        value = mantissa * 2.0**exponent
        self._refuse("decimal", word, "m*2^e", f"The nearest is {written(mantissa, exponent)}, which is {value:g}")

    def _refuse(self, quantity: str, found: str, allowed: str, fix: str = "") -> NoReturn:
        raise InputError.of(Violation(self.where, quantity, found, allowed, fix))
