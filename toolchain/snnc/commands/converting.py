"""The verb convert: a ReLU network becomes a spiking one, with its accuracy over the number of steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnc import anns
from snnc.backend import discover
from snnc.commands.making import Choices
from snnc.commands.screen import Screen, save
from snnc.conversion import Converted, measure
from snnc.formats import onnx_file
from snnc.report import curve_plot, text
from snnc.trace import Samples, npz_bytes, write_atomic

STEPS = 32
KEPT = 1000


@dataclass(frozen=True)
class Written:
    """Where results go.

    Attributes:
        output: folder; None writes ``out/NAME``.
        samples: how many of the data make the curve; None takes all.
    """

    output: Path | None = None
    samples: int | None = None


def convert(screen: Screen, model: str, choices: Choices, where: Written, as_json: bool) -> int:
    """Converts, shows the accuracy over T, and writes the spiking network with samples to compile it with.

    Activations are measured on the file's own example() where it has one, so that --data may be held out.
    """
    registry = discover()
    config = choices.resolve(screen, registry)
    if not config.convert.steps:
        config = replace(config, convert=replace(config.convert, steps=STEPS))
    opened = anns.opened(model, choices.data)
    execute = registry.reference.execute
    measured = opened.example or opened.samples
    made = anns.transform(replace(opened, samples=measured), config, execute)
    shown = opened.samples.head(where.samples)
    curve = None if shown.labels is None else measure(made.converted, shown, execute)
    account = anns.account(made.converted, curve)
    folder = where.output or Path("out") / opened.name
    files = replace(made, curve=curve, account=account).files() | network(made.converted, measured, shown)
    save(folder, lambda path: _write(path, files))
    if as_json:
        screen.json({**account, "model": opened.name, "folder": str(folder)})
        return 0
    if curve is not None:
        screen.show(curve_plot.curve_table(curve))
        screen.line(curve_plot.verdict(curve))
    else:
        screen.note("the data has no labels: no accuracy to show")
    rows = [(name, _span(scale)) for name, scale in made.converted.scales.items()]
    screen.show(text.simple_table(("population", "one spike stands for"), rows))
    screen.line(f"wrote {folder}")
    screen.line(f"next: snnc compile {folder}/model.float.onnx --data {folder}/calibration.npz --target loihi2")
    return 0


def network(converted: Converted, measured: Samples, shown: Samples) -> dict[str, bytes]:
    """The spiking network, and samples as it takes them: those of calibration, and those of the curve."""
    found = {"model.float.onnx": onnx_file.write(converted.graph), "calibration.npz": _encoded(converted, measured)}
    return found if shown is measured else {**found, "data.npz": _encoded(converted, shown)}


def _encoded(converted: Converted, samples: Samples) -> bytes:
    steps = converted.encode(samples.head(KEPT))
    key = "values" if converted.graph.inputs[0].encoding == "direct" else "spikes"
    return npz_bytes({key: steps.spikes} | ({} if steps.labels is None else {"labels": steps.labels}))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(files.items()):
        write_atomic(folder / name, content)


def _span(scale: Any) -> str:
    low, high = float(scale.min()), float(scale.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
