"""The reader of sums of products: what it reads, and what it refuses by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.errors import InputError
from snnc.ir import Factor, Product, nearest_scale, parse_products, write_products
from snnc.ir.products import TRACES, normal_scale


def constants(variable: str) -> st.SearchStrategy[int]:
    small = st.integers(-128, 127)
    return small.map(lambda c: 2 * c) if variable in ("w", "t") else small


def factors() -> st.SearchStrategy[Factor]:
    traces = st.sampled_from(TRACES).flatmap(lambda v: st.builds(Factor, st.just(v), constants(v)))
    synaptic = st.sampled_from(["w", "d", "t"]).flatmap(
        lambda v: st.builds(Factor, st.just(v), constants(v), st.booleans())
    )
    events = st.sampled_from(["x0", "y0"]).map(Factor)
    return st.one_of(traces, synaptic, events)


@st.composite
def products(draw: st.DrawFn) -> Product:
    event = draw(st.sampled_from(["x0", "y0", "u"]))
    period = draw(st.integers(0, 9)) if event == "u" else None
    scale = normal_scale(draw(st.integers(-8, 7).filter(bool)), draw(st.integers(-7, 8)))
    return Product(event, tuple(draw(st.lists(factors(), max_size=4))), *scale, period)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(st.lists(products(), min_size=1, max_size=4), st.booleans())
def test_what_is_written_is_what_is_read(some: list[Product], spaced: bool) -> None:
    text = write_products(some)
    assert parse_products(text if spaced else text.replace(" ", "")) == tuple(some)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xyuwdt0123(+-*^ )sgn./", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Never another error, and what is read is inside the chip's fields."""
    try:
        found = parse_products(text)
    except InputError as error:
        assert "dw = " in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert parse_products(write_products(found)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x0*y1", (Product("x0", (Factor("y1"),)),)),
        ("-2^-3*u0*w", (Product("u", (Factor("w"),), -1, -3, 0),)),
        ("(1) * 2 ^ -3 * (-2) * x0 * y1", (Product("x0", (Factor("y1"),), -2, -3),)),
        ("8*2^-7*x0", (Product("x0", (), 4, -6),)),
        ("y0*x0*x1", (Product("y0", (Factor("x0"), Factor("x1"))),)),
        ("y0*(100-w)", (Product("y0", (Factor("w", -100),), -1),)),
        ("y0*(-w+100)", (Product("y0", (Factor("w", -100),), -1),)),
        ("y0*(x1-3*2^2)", (Product("y0", (Factor("x1", -12),)),)),
        ("4*y0*sgn(w+2)", (Product("y0", (Factor("w", 2, True),), 4),)),
        ("x0*(-x1)", (Product("x0", (Factor("x1"),), -1),)),
        ("x0-y0", (Product("x0"), Product("y0", (), -1))),
    ],
)
def test_reads(text: str, expected: tuple[Product, ...]) -> None:
    assert parse_products(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.5*y0*x1", "decimal is 0.5, allowed is m*2^e. The nearest is 1*2^-1, which is 0.5"),
        ("0.3*y0*x1", "The nearest is 5*2^-4, which is 0.3125"),
        (".*y0", "token is '.'"),
        ("u10*x1", "event is u10, allowed is u0 to u9. Lava would read u1 times 0"),
        ("x1*y1", "dependency of a product is none, allowed is x0, y0 or uK"),
        ("x0*u0*x1", "uK comes first and once"),
        ("y0*z1", "token is 'z1', allowed is x0 y0 u0..u9"),
        ("y0*x3", "token is 'x3'"),
        ("y0/2", "operator is /"),
        ("y0**2", "operator is **"),
        ("3^2*y0", "Only powers of 2"),
        ("2^x*y0", "exponent is 'x'"),
        ("x0*-2*y1", "sign is - inside a product, allowed is one sign in front of a product"),
        ("2x0*y1", "Factors are joined by *"),
        ("x0 y1", "Factors are joined by *"),
        ("x0*", "token is the end"),
        ("", "allowed is a sum of products"),
        ("y0*(x1", "parentheses is not closed"),
        ("y0*(x1+y1)", "an integer"),
        ("y0*((x1))", "token is '('"),
        ("x1*(y0)", "An event stands without parentheses"),
        ("y0*sgn(x1)", "argument of sgn is x1, allowed is w, d or t"),
        ("y0*sgn(-w)", "Put the sign in front"),
        ("y0*sgn(2)", "argument of sgn is no variable"),
        ("y0*sgn w", "sgn is no parenthesis"),
        ("y0*(w-101)", "constant beside w is -101, allowed is an even number from -256 to 254"),
        ("y0*(x1+128)", "constant beside x1 is 128, allowed is an integer from -128 to 127"),
        ("y0*(w+2^-1)", "constant beside a variable is 1*2^-1, allowed is an integer"),
        ("0*y0*x1", "This product never changes anything"),
        ("100*y0", "constant is 25*2^2, allowed is m*2^e with m from -8 to 7 and e from -7 to 8. The nearest is 3*2^5"),
        ("2^-9*y0", "constant is 1*2^-9"),
        ("2^9*y0", "The nearest is 2*2^8"),
        ("2^999*y0", "at most 2 digits"),
        ("9999999*y0", "at most 6 digits"),
        ("+".join(["x0"] * 600), "length is 1799 characters"),
    ],
)
def test_refuses_by_name(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_products(text, "dt")
    assert says in str(caught.value)
    assert str(caught.value).startswith("dt = ")


@pytest.mark.parametrize(
    "fields",
    [
        {"dependency": "x1"},
        {"dependency": "u"},
        {"dependency": "x0", "period": 1},
        {"dependency": "u", "period": 10},
        {"dependency": "x0", "mantissa": 8},
        {"dependency": "x0", "mantissa": 1 << 60, "exponent": 4000},
        {"dependency": "x0", "factors": ()} | {"exponent": 9},
    ],
)
def test_a_product_outside_the_fields_cannot_exist(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Product(**fields)  # type: ignore[arg-type]


def test_unknown_factor() -> None:
    with pytest.raises(InputError, match="variable is 'z', allowed is one of"):
        Factor("z")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shift"),
    [("x0*y1", 0), ("x0*y1*y2", 3), ("y0*x1*w", 5), ("y0*x1*x2*w", 12), ("y0*x0*x1", 0), ("y0*sgn(w)", 0), ("u0*w", 0)],
)
def test_hidden_shift(text: str, shift: int) -> None:
    """The figures of the specification: two traces 2**-3, trace and w 2**-5, two traces and w 2**-12."""
    assert parse_products(text)[0].shift == shift


@given(st.floats(0.01, 1500))
def test_nearest_scale_is_within_a_sixth(value: float) -> None:
    """Between neighbouring constants 4, 5, 6, 7 times a power of 2 no rate is further than 1/9 away."""
    mantissa, exponent = nearest_scale(value)
    assert abs(mantissa * 2.0**exponent - value) <= value / 9 or value < 2**-7 * 4.5


def test_nearest_scale_keeps_small_mantissas() -> None:
    assert nearest_scale(0.25) == (1, -2)
    assert nearest_scale(-3) == (-3, 0)
    assert nearest_scale(1e-9) == (1, -7)
