"""The verbs of ``snnc learn`` that need no run: explain and rules."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnc.backend import Registry, discover
from snnc.commands.making import Choices
from snnc.commands.screen import Screen, save
from snnc.errors import InputError, SnncError, UnsupportedError
from snnc.ir import FloatArray, IntArray
from snnc.learning.account import LearningAccount
from snnc.learning.library import NAMES, meaning, parameters_of
from snnc.learning.rule import Rule, Value
from snnc.learning.settings import LearningConfig, check_projections, configure
from snnc.learning.window import window
from snnc.plain import plain
from snnc.report import learning, text
from snnc.sources import open_source
from snnc.trace import write_atomic

ANY = "any"
PICTURES = (".png", ".svg")
LONGEST, SHORTEST = 60, 20


@dataclass(frozen=True)
class ExplainChoices:
    """What to explain.

    Attributes:
        model: whose projections must exist; None to look at the rules alone.
        rule: of the library; None takes [learning] of snnc.toml.
        parameters: ``KEY=VALUE`` for that rule.
        targets: names; empty takes every target whose synapses learn.
        config: snnc.toml; None takes the one in this folder.
        data: calibration data for the model.
        plot: .png or .svg to write the windows to.
    """

    model: str | None = None
    rule: str | None = None
    parameters: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    config: Path | None = None
    data: Path | None = None
    plot: Path | None = None


def explain(screen: Screen, choices: ExplainChoices, as_json: bool) -> int:
    """Shows equation, window and what targets make of each rule; the exit code of a named target's refusal."""
    if choices.plot is not None and choices.plot.suffix not in PICTURES:
        raise InputError(f"{choices.plot}: a plot is written as {' or '.join(PICTURES)}")
    registry = discover()
    subjects = _subjects(screen, choices, registry)
    names = choices.targets or tuple(n for n, (_, t) in registry.targets.items() if t.learning is not None)
    explained, code = [], 0
    for one in subjects:
        accounts: dict[str, LearningAccount | str] = {}
        for name in names:
            try:
                accounts[name] = account_of(one, name, registry)
            except SnncError as error:
                accounts[name] = str(error)
                code = max(code, error.exit_code) if choices.targets else code
        explained.append(_explained(one, accounts))
    if choices.plot is not None:
        picture = learning.plot(explained, choices.plot.suffix[1:])
        save(choices.plot, lambda path: write_atomic(path, picture))
    if as_json:
        screen.json({"learning": [learning.to_json(one) for one in explained]})
    else:
        for item in explained:
            screen.show(*learning.parts(item))
    if choices.plot is not None:
        screen.note(f"wrote {choices.plot}")
    return code


def account_of(one: LearningConfig, target: str, registry: Registry) -> LearningAccount:
    """What a target makes of a projection's rule.

    Raises:
        InputError: no such target, or numbers that it does not have.
        UnsupportedError: its synapses do not learn.
    """
    found = registry.target(target)[1]
    if found.learning is None:
        raise UnsupportedError(f"{target}: its synapses do not learn")
    return found.learning(one.rule, one.options)


def rules(screen: Screen, as_json: bool) -> int:
    """Lists the library."""
    if as_json:
        listed = {
            name: {
                "meaning": meaning(name),
                "parameters": {key: {"default": plain(v), "unit": u} for key, (v, u) in parameters_of(name).items()},
            }
            for name in NAMES
        }
        screen.json({"rules": listed})
    else:
        rows = [(name, meaning(name), _listed(parameters_of(name))) for name in NAMES]
        screen.show(text.simple_table(("rule", "what it does", "parameters"), rows))
    return 0


def _listed(parameters: dict[str, tuple[Value, str]]) -> str:
    return ", ".join(key for key in parameters if key not in ("time_unit", "dt"))


def _subjects(screen: Screen, choices: ExplainChoices, registry: Registry) -> Sequence[LearningConfig]:
    """What is explained: one rule by name, or every projection of the configuration that learns."""
    if choices.rule is not None:
        given = dict(_assigned(item) for item in choices.parameters)
        return [configure(ANY, **{**given, "rule": choices.rule})]
    if choices.parameters:
        raise InputError("--param belongs to --rule NAME; rules of snnc.toml hold their own")
    config = Choices(config=choices.config, data=choices.data).resolve(screen, registry)
    if not config.learning:
        raise InputError(
            f"nothing to explain: give --rule NAME ({', '.join(NAMES)}), or a snnc.toml with [learning.PROJECTION]"
        )
    if choices.model is not None:
        check_projections(config.learning, open_source(choices.model, choices.data, config, registry.reference).graph)
    return config.learning


def _assigned(item: str) -> tuple[str, Value]:
    key, equals, value = item.partition("=")
    if not equals:
        raise InputError(f"--param {item}: write KEY=VALUE, such as A_plus=0.01")
    try:
        found = json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value.strip()
    return key.strip(), found if isinstance(found, (bool, int, float, str)) else value


def _explained(one: LearningConfig, accounts: dict[str, LearningAccount | str]) -> learning.Explained:
    rule = one.rule
    distances = _distances(rule)
    windows: dict[str, FloatArray] = {}
    if len(distances):
        windows["float"] = window(rule, distances, earlier=1.0)
        for name, account in accounts.items():
            if isinstance(account, LearningAccount) and account.device is not None:
                windows[name] = window(account.device, distances, _middle(rule), earlier=1.0)
    title = rule.name if one.projection == ANY else one.projection
    return learning.Explained(title, rule, accounts, distances, windows)


def _middle(rule: Rule) -> float:
    return 0.5 * (rule.w_min + rule.w_max) if math.isfinite(rule.w_max - rule.w_min) else 0.0


def _distances(rule: Rule) -> IntArray:
    """Three time constants to both sides; nothing for rules that no pair of spikes moves."""
    if not any(t.event in ("pre", "post") for t in rule.active(rule.phases[0])):
        return np.zeros(0, dtype=np.int64)
    taus = [trace.tau for trace in rule.traces if math.isfinite(trace.tau)]
    span = min(LONGEST, max(SHORTEST, math.ceil(3 * max(taus, default=0.0))))
    return np.arange(-span, span + 1, dtype=np.int64)
