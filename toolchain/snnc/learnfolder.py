"""Rules of a compiled network: room in its integers, what each target makes of them, and learning.json.

Rules ride in the configuration that the manifest holds; learning.json is the account of them. Who runs the folder binds
the rules to its integers again, with the same result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnc.config import parse_config
from snnc.errors import SnncError, UnsupportedError, Violation
from snnc.folder import Folder, json_bytes
from snnc.ir import Affine, FloatArray, Graph
from snnc.learning import LearningConfig, check_projections
from snnc.learning.account import LearningAccount
from snnc.learning.plastic import Plastic, bind_fixed, bind_float, reach, reserved, returned
from snnc.plain import plain
from snnc.quantize.base import Calibration, Quantized, QuantizeOptions
from snnc.report.learning import Explained, to_json
from snnc.target import Target

FILE = "learning.json"
Learned = tuple[LearningConfig, ...]


def quantized_for(
    target: Target, graph: Graph, calibration: Calibration, options: QuantizeOptions, learning: Learned
) -> Quantized:
    """Integers that leave room for what weights may become by learning; the same as ever where nothing learns."""
    if not learning:
        return target.quantize(graph, calibration, options)
    grows = tuple((one.projection, reach(one, _weights(graph, one.projection))) for one in learning)
    options = replace(options, grows=grows)
    if target.conventions.membrane != "euler":
        return target.quantize(graph, calibration, options)
    wide = target.quantize(reserved(graph, learning), calibration, options)
    return replace(wide, graph=returned(wide.graph, graph, learning, wide.scales))


def demand_unchanged(before: Graph, after: Graph, learning: Learned, target: str) -> None:
    """Refuses rules on weights that passes changed: their rates and bounds would be in another unit.

    Raises:
        InputError: a pass removed the projection.
        UnsupportedError: a pass scaled its weights.
    """
    check_projections(learning, after)
    for one in learning:
        was, now = _weights(before, one.projection), _weights(after, one.projection)
        if was.shape != now.shape or not np.array_equal(was, now):
            scaled = float(np.abs(now).max(initial=0.0)) / max(float(np.abs(was).max(initial=0.0)), 1e-300)
            fix = (
                "The rule's rates and bounds would be in another unit: give the neurons behind it gain 1 and no batch "
                "normalisation, or choose passes without that step"
            )
            found = f"changed by a pass (largest times {scaled:.4g})"
            where = f"{one.projection} on {target}"
            raise UnsupportedError.of(Violation(where, "weights", found, "those of the model", fix))


@dataclass(frozen=True, eq=False)
class Taught:
    """What a target makes of the rules.

    Attributes:
        target: name.
        plastic: the rules on its integers; empty if it refuses them.
        refused: why, if nobody asked for this target.
    """

    target: str
    plastic: tuple[Plastic, ...] = ()
    refused: str = ""


def bound(target: Target, quantized: Quantized, learning: Learned, *, asked: bool) -> Taught:
    """The rules on a target's integers.

    Raises:
        InputError: numbers that the target does not have, if it was asked for.
        UnsupportedError: a rule that is not native on it, if it was asked for.
    """
    measured = tuple(_measured(one, quantized) for one in learning)
    try:
        plastic = bind_fixed(quantized.graph, quantized.scales, measured, target.learning)
    except SnncError as error:
        if asked:
            raise
        return Taught(target.name, (), str(error))
    return Taught(target.name, plastic)


def _measured(one: LearningConfig, quantized: Quantized) -> LearningConfig:
    """The rule with the unit that its weights were given, where the quantizer says it."""
    if one.projection not in quantized.units:
        return one
    unit, gain = quantized.units[one.projection]
    return replace(one, options=replace(one.options, unit=unit, gain=gain))


def learning_json(learning: Learned, graph: Graph, taught: Iterable[Taught]) -> dict[str, Any]:
    """The content of learning.json: for each projection its rule, options, and the account of every target."""
    found: dict[str, Any] = {}
    every = tuple(taught)
    for floats in bind_float(graph, learning):
        config = next(one for one in learning if one.projection == floats.projection)
        accounts: dict[str, LearningAccount | str] = {}
        units: dict[str, Any] = {}
        for one in every:
            own = next((p for p in one.plastic if p.projection == floats.projection), None)
            accounts[one.target] = one.refused if own is None or own.account is None else own.account
            if own is not None:
                units[one.target] = {"step": own.step, "up": own.up, "widen": own.widen}
        nothing = np.zeros(0, dtype=np.int64)
        entry = to_json(Explained(floats.projection, floats.rule, accounts, nothing, {}))
        del entry["window"]
        for name, unit in units.items():
            entry["targets"][name]["weights"] = unit
        entry["options"] = plain(floats.options)
        entry["population"] = floats.population
        entry["table"] = config.as_dict()
        found[floats.projection] = entry
    return {"learning": found}


def files(learning: Learned, graph: Graph, taught: Iterable[Taught]) -> dict[str, bytes]:
    """learning.json, where something learns."""
    return {FILE: json_bytes(learning_json(learning, graph, taught))} if learning else {}


def summary(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The entry of report.json: what learning.json says, where something learns."""
    found: dict[str, Any] = json.loads(files[FILE]) if FILE in files else {}
    return found


def sentences(taught: Iterable[Taught]) -> Iterator[str]:
    """What to know of the rules on each target, a line each."""
    for one in taught:
        if one.refused:
            yield f"{one.target}: the rules do not run here. {one.refused}"
        for each in one.plastic:
            head = f"{one.target}: {each.projection}"
            yield f"{head} learns by {each.rule.name}; a step of its weights is {each.step:.4g}"
            for warning in each.account.warnings if each.account else ():
                yield f"{head}: {warning}"


def tables(taught: Taught) -> dict[str, dict[str, Any]]:
    """Rates and remarks as tables of the target, as :func:`snnc.accounts.tables_json` gives them."""
    found: dict[str, dict[str, Any]] = {}
    for one in taught.plastic:
        if one.account is None:
            continue
        title = f"Learning of {one.projection}: {one.rule.name}"
        rates = [
            [r.term, f"{r.asked:.4g}", f"{r.got:.4g}", f"{100 * r.error:+.2f} %", r.written] for r in one.account.rates
        ]
        if rates:
            found[title] = {"columns": ["rate", "asked", "got", "error", "written"], "rows": rates}
        remarks = [["note", text] for text in one.account.notes]
        remarks += [["warning", text] for text in one.account.warnings]
        remarks += [["host", f"{each.kind}, each {each.when}: {each.text}"] for each in one.account.host]
        if remarks:
            found[f"{title}, to know"] = {"columns": ["kind", "text"], "rows": remarks}
    return found


def learning_of(folder: Folder) -> Learned:
    """The rules that a compiled folder travels with.

    Raises:
        InputError: it has none.
    """
    return parse_config(folder.manifest["config"], "manifest.json").learning


def _weights(graph: Graph, projection: str) -> FloatArray:
    node = graph[projection]
    assert isinstance(node, Affine)
    return np.asarray(node.weight, dtype=np.float64)
