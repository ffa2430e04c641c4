"""The verb that writes a network for other tools: export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnc.artifacts import open_folder
from snnc.backend import Registry, discover
from snnc.commands.making import Choices
from snnc.commands.screen import Screen, save
from snnc.errors import Violation
from snnc.formats import nir_write
from snnc.ir import Graph
from snnc.passes import DropIdentity, FuseBatchNorm
from snnc.passes.base import run_passes
from snnc.report import text
from snnc.sources import open_source
from snnc.trace import write_atomic

HEADERS = ("node", "quantity", "found", "NIR", "what to do")


@dataclass(frozen=True)
class ExportChoices:
    """Options of export.

    Attributes:
        nir: file to write.
        step: seconds per step in the file; None takes the network's.
        lossy: leave out what NIR cannot say.
    """

    nir: Path
    step: float | None = None
    lossy: bool = False


def export(screen: Screen, model: str, choices: Choices, what: ExportChoices, as_json: bool) -> int:
    """Writes a model, or the float network of a compiled folder, as a NIR file with a report."""
    registry = discover()
    graph, beside = _network(screen, model, choices, registry)
    graph, _ = run_passes(graph, (DropIdentity(), FuseBatchNorm()))
    content, report = nir_write.write(graph, what.step or 0.0, lossy=what.lossy)
    report = replace(report, outside=(*report.outside, *beside))
    save(what.nir, lambda path: write_atomic(path, content))
    if as_json:
        screen.json({"file": str(what.nir), "bytes": len(content), **report.as_dict()})
        return 0
    for title, found in (("NIR does not say", report.outside), ("left out: the file is another network", report.lost)):
        if found:
            screen.show(text.simple_table(HEADERS, [_row(v) for v in found], title))
    if report.rounded:
        rows = [(name, f"{error:.3g}") for name, error in report.rounded.items()]
        screen.show(text.simple_table(("parameter", "differs by"), rows, "rounded"))
    screen.line(f"wrote {what.nir}{_reading(report)}")
    return 0


def _network(screen: Screen, model: str, choices: Choices, registry: Registry) -> tuple[Graph, tuple[Violation, ...]]:
    """The float network, and what a compiled folder holds beside it."""
    if not Path(model).is_dir():
        config = choices.resolve(screen, registry)
        return open_source(model, choices.data, config, registry.reference, needs_data=False).graph, ()
    opened = open_folder(Path(model), registry)
    fix = "NIR has no formats: the file holds the float network. Compile it again from there."
    targets = ", ".join(opened.targets)
    return opened.float_graph(), (Violation("network", "quantization", f"integers for {targets}", "floats", fix),)


def _row(violation: Violation) -> tuple[str, ...]:
    plain: dict[str, Any] = dict(vars(violation))
    return tuple(str(plain[key]) for key in ("node", "quantity", "found", "allowed", "fix"))


def _reading(report: nir_write.Report) -> str:
    """The options with which snnc reads the file back."""
    given = {key: value for key, value in vars(report.meaning).items() if value and (key, value) != ("fires", "gt")}
    options = " ".join(f"--{key} {value}" for key, value in given.items())
    return f"; read it with {options}" if options else ""
