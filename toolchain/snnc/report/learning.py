"""What ``snnc learn explain`` shows: a rule's equation, its STDP window, and what each target makes of it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from snnc.errors import InputError
from snnc.ir import FloatArray, IntArray, PlasticityRule, write_products
from snnc.learning.account import LearningAccount, Rate, Register
from snnc.learning.rule import Rule
from snnc.plain import plain
from snnc.report.figures import MISSING
from snnc.report.text import simple_table

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito: colours that colour-blind people tell apart."""
HEIGHT, WIDTH = 11, 61
SHOWN = (-20, -10, -5, -1, 0, 1, 5, 10, 20)


@dataclass(frozen=True)
class Explained:
    """A rule and what targets make of it.

    Attributes:
        title: projection, or the rule's name.
        rule: in float units.
        accounts: target -> account, or the sentence with which it refuses.
        distances: of the window, in steps; empty for rules without one.
        windows: ``float`` and targets -> change at each distance.
    """

    title: str
    rule: Rule
    accounts: Mapping[str, LearningAccount | str]
    distances: IntArray
    windows: Mapping[str, FloatArray]


def parts(one: Explained) -> Iterator[RenderableType]:
    """The explanation for a terminal."""
    rule = one.rule
    yield Text(f"{one.title}: {rule.name}" if one.title != rule.name else rule.name, style="bold")
    yield Text(f"  after {rule.source}", style="dim")
    yield from (Text(f"  {line}") for line in rule.equation())
    if rule.parameters:
        shown = [given for given in rule.parameters if not (given[0].endswith("dt") and not given[1])]
        rows = [(name, _number(value), unit) for name, value, unit in shown]
        yield simple_table(("parameter", "value", "unit"), rows, numbers="lrl")
    if len(one.distances):
        what = "e" if rule.tagged else "w"
        yield Text(f"change of {what} by one pair, against the steps from the pre to the post spike", style="bold")
        yield Text(sketch(one.distances, one.windows["float"]))
        yield _window_table(one)
    for name, account in _grouped(one.accounts).items():
        yield Text(f"{one.title} on {name}", style="bold")
        if isinstance(account, str):
            yield Text(f"  refused: {account}", style="red")
        else:
            yield from _account_parts(account)


def sketch(distances: Sequence[int] | IntArray, values: Sequence[float] | FloatArray) -> str:
    """A window as text: bars from zero, ``HEIGHT`` rows, at most ``WIDTH`` columns."""
    step = max(1, math.ceil(len(distances) / WIDTH))
    picked = [(int(d), float(v)) for d, v in zip(distances, values, strict=True) if int(d) % step == 0]
    most = max((abs(v) for _, v in picked), default=0.0) or 1.0
    half = HEIGHT // 2
    heights = [round(half * v / most) for _, v in picked]
    rows = []
    for level in range(half, -half - 1, -1):
        label = {half: f"{most:+.3g}", 0: "0", -half: f"{-most:+.3g}"}.get(level, "")
        marks = "".join(
            _mark(height, level, distance == 0) for height, (distance, _) in zip(heights, picked, strict=True)
        )
        rows.append(f"{label:>9} {marks}".rstrip())
    first, last = f"{picked[0][0]:+d}", f"{picked[-1][0]:+d}"
    return "\n".join([*rows, " " * 10 + first + " " * max(1, len(picked) - len(first) - len(last)) + last])


def _mark(height: int, level: int, middle: bool) -> str:
    if level == 0:
        return "+" if middle else "-"
    if 0 < level <= height or height <= level < 0:
        return "#"
    return "|" if middle else " "


def _window_table(one: Explained) -> RenderableType:
    at = {int(d): n for n, d in enumerate(one.distances)}
    groups = _grouped(one.accounts)
    columns = {"float": one.windows["float"]}
    columns |= {names: one.windows[names.split(", ")[0]] for names in groups if names.split(", ")[0] in one.windows}
    rows = [(f"{d:+d}", *(f"{values[at[d]]:+.3g}" for values in columns.values())) for d in SHOWN if d in at]
    return simple_table(("steps", *columns), rows, numbers="r" * (1 + len(columns)))


def _grouped(accounts: Mapping[str, LearningAccount | str]) -> dict[str, LearningAccount | str]:
    """Targets that make the same of a rule under one heading."""
    groups: list[tuple[list[str], LearningAccount | str]] = []
    for name, account in accounts.items():
        same = account if isinstance(account, str) else replace(account, target="")
        for names, other in groups:
            if plain(other) == plain(same):
                names.append(name)
                break
        else:
            groups.append(([name], same))
    return {", ".join(names): account for names, account in groups}


def _account_parts(account: LearningAccount) -> Iterator[RenderableType]:
    if account.native:
        epoch = f", t_epoch {account.t_epoch}" if account.engine else ""
        yield Text(f"  a step of the weights is {account.unit:.4g}{epoch}")
    else:
        yield Text("  not on this target: left to the host", style="yellow")
    if account.rates:
        headers = ("rate", "asked", "got", "error", "written", "one pair, steps")
        yield simple_table(headers, [_rate_row(rate) for rate in account.rates], numbers="lrrrlr")
    if account.registers:
        columns = ("register", "holds", "impulse", "tau", "full above, spikes per step")
        yield simple_table(columns, [_register_row(one) for one in account.registers], numbers="llrrr")
    for phase, made in account.engine.items():
        for key, sentence in _sums(made).items():
            yield Text(f"  {phase}: {key} = {sentence}")
    yield from (Text(f"  note: {text}") for text in account.notes)
    yield from (Text(f"  warning: {text}", style="yellow") for text in account.warnings)
    yield from (Text(f"  host, each {one.when}: {one.kind}: {one.text}") for one in account.host)


def _rate_row(rate: Rate) -> tuple[str, ...]:
    step = "" if math.isnan(rate.step) else f"{rate.step:.3g}"
    return rate.term, f"{rate.asked:.4g}", f"{rate.got:.4g}", f"{100 * rate.error:+.2f} %", rate.written, step


def _register_row(one: Register) -> tuple[str, ...]:
    tau = "" if math.isinf(one.tau) else "never decays" if one.tau >= 1 << 24 else f"{one.tau:g}"
    rate = "" if math.isnan(one.rate) else f"{one.rate:.3g}"
    port = " (port)" if one.port else ""
    return f"{one.name}{port}", one.holds + (", a step late" if one.late else ""), f"{one.impulse:g}", tau, rate


def _sums(made: PlasticityRule | None) -> dict[str, str]:
    if made is None:
        return {}
    return {key: write_products(products) for key, products in made.sums.items() if products}


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def to_json(one: Explained) -> dict[str, Any]:
    """The explanation as JSON-ready data."""
    rule = one.rule
    return {
        "title": one.title,
        "rule": rule.name,
        "source": rule.source,
        "equation": list(rule.equation()),
        "parameters": [{"name": n, "value": plain(v), "unit": u} for n, v, u in rule.parameters],
        "phases": list(rule.phases),
        "host": plain(rule.host),
        "window": {"steps": plain(one.distances), **{name: plain(values) for name, values in one.windows.items()}},
        "targets": {name: _account_json(account) for name, account in one.accounts.items()},
    }


def _account_json(account: LearningAccount | str) -> dict[str, Any]:
    if isinstance(account, str):
        return {"refused": account}
    return {
        "native": account.native,
        "unit": plain(account.unit),
        "t_epoch": account.t_epoch,
        "rates": [{**plain(rate), "error": plain(rate.error)} for rate in account.rates],
        "registers": plain(account.registers),
        "phases": {phase: _sums(made) for phase, made in account.engine.items()},
        "settings": plain(account.settings),
        "host": plain(account.host),
        "notes": list(account.notes),
        "warnings": list(account.warnings),
    }


def plot(explained: Sequence[Explained], kind: str) -> bytes:
    """The windows as a picture.

    Args:
        explained: one plot each, side by side; those without a window are left out.
        kind: ``png`` or ``svg``.

    Raises:
        InputError: matplotlib is not installed, or no rule has a window.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(MISSING) from error
    drawn = [one for one in explained if len(one.distances)]
    if not drawn:
        raise InputError("nothing to plot: no rule here changes a weight by a pair of spikes")
    with matplotlib.rc_context({"svg.hashsalt": "snnc", "font.family": ["DejaVu Sans"], "text.parse_math": False}):
        figure = Figure(figsize=(6.4 * len(drawn), 4.2), layout="constrained")
        for one, axes in zip(drawn, figure.subplots(1, len(drawn), squeeze=False)[0], strict=True):
            for number, (name, values) in enumerate(one.windows.items()):
                color, style = COLORS[number % len(COLORS)], "-" if name == "float" else "none"
                marker, size = ("", 3.0) if name == "float" else ("osv^D"[number % 5], 3.0)
                axes.plot(one.distances, values, linestyle=style, marker=marker, ms=size, color=color, label=name)
            axes.axhline(0, color="#888888", linewidth=0.6)
            axes.axvline(0, color="#888888", linewidth=0.6)
            axes.set_xlabel("steps from the pre to the post spike")
            axes.set_ylabel(f"change of {'e' if one.rule.tagged else 'w'} by one pair")
            axes.set_title(one.title, loc="left")
            axes.legend(frameon=False)
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=120, metadata=metadata)
    return buffer.getvalue()
