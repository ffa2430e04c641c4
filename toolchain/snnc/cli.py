"""The command line. No logic: every verb is one call into snnc.commands."""

from __future__ import annotations

import atexit
import gc
import sys
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from snnc import __version__, commands
from snnc.cli_learn import do, learn_app
from snnc.cli_values import PlainCommand, PlainGroup

app = typer.Typer(
    name="snnc",
    cls=PlainGroup,
    help="Deploys trained spiking networks to Loihi and SpiNNaker with bit-exact evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
targets_app = typer.Typer(help="List targets, or show one with its limits and rules.", rich_markup_mode=None)
app.add_typer(targets_app, name="targets")
app.add_typer(learn_app, name="learn")

Model = Annotated[str, typer.Argument(help="file.py[:function] (default: build), .onnx, .nir or .net")]
Folder = Annotated[Path, typer.Argument(help="folder that `snnc compile` wrote")]
TargetOption = Annotated[list[str] | None, typer.Option("--target", "-t", help="target name; may be repeated")]
DataOption = Annotated[Path | None, typer.Option("--data", help=".npz with spikes [B, T, ...] and optional labels")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="snnc.toml (default: the one in this folder)")]
AllowOption = Annotated[list[str] | None, typer.Option("--allow", help="approximation that a target may use")]
DtOption = Annotated[float | None, typer.Option("--dt", help="seconds per step, where a file leaves it open")]
ResetOption = Annotated[
    str | None, typer.Option("--reset", help="subtract or zero (with -delayed: one step late), where a file is open")
]
DecayOption = Annotated[str | None, typer.Option("--decay", help="euler or exact, where a file leaves it open")]
FiresOption = Annotated[str | None, typer.Option("--fires", help="gt (v > threshold) or ge, for .nir and .net files")]
OverflowOption = Annotated[
    str | None, typer.Option("--overflow", help="lava or loihi: whose registers, beyond their width (loihi1)")
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="auto, event (kernels), dense (NumPy), or reference (the definition)")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=256, help="samples run side by side")]
StepsOption = Annotated[int | None, typer.Option("--steps", min=1, help="steps T, for ReLU networks without time")]
VInitOption = Annotated[str | None, typer.Option("--v-init", help="ReLU networks: half (of the threshold) or zero")]
SourceOption = Annotated[str | None, typer.Option("--input", help="ReLU networks: direct, rate or poisson")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"snnc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    _ = version


@app.command("compile")
def compile_(
    model: Model,
    target: TargetOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="folder to write (default out/NAME)")] = None,
    weight_bits: Annotated[int | None, typer.Option(help="width of weights, 2 to 16")] = None,
    per_channel: Annotated[bool | None, typer.Option(help="one gain per channel where allowed")] = None,
    allow: AllowOption = None,
    dt: DtOption = None,
    reset: ResetOption = None,
    decay: DecayOption = None,
    fires: FiresOption = None,
    overflow: OverflowOption = None,
    steps: StepsOption = None,
    v_init: VInitOption = None,
    source: SourceOption = None,
    json: JsonOption = False,
) -> None:
    """Make integers for the generic target and every --target, with evidence."""
    choices = commands.Choices(
        tuple(target or ()),
        config,
        data,
        weight_bits,
        per_channel,
        tuple(allow or ()),
        dt,
        reset,
        decay,
        fires,
        overflow,
        commands.ConvertChoices(steps, v_init=v_init, input=source),
    )
    do(lambda screen: commands.compile_(screen, model, choices, output, json))


@app.command()
def check(
    model: Model,
    target: TargetOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    allow: AllowOption = None,
    dt: DtOption = None,
    reset: ResetOption = None,
    decay: DecayOption = None,
    fires: FiresOption = None,
    json: JsonOption = False,
) -> None:
    """Hold every node against every target and list all violations. Exit code 3 if there is one."""
    choices = commands.Choices(
        tuple(target or ()), config, data, allow=tuple(allow or ()), dt=dt, reset=reset, decay=decay, fires=fires
    )
    do(lambda screen: commands.check(screen, model, choices, json))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="a model as `snnc compile` takes it, or a folder that it wrote")],
    nir: Annotated[Path, typer.Option("--nir", help="NIR file to write")],
    step: Annotated[float | None, typer.Option("--step", help="seconds per step in the file; 1 counts steps")] = None,
    lossy: Annotated[bool, typer.Option("--lossy", help="leave out what NIR cannot say")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    dt: DtOption = None,
    reset: ResetOption = None,
    decay: DecayOption = None,
    fires: FiresOption = None,
    json: JsonOption = False,
) -> None:
    """Write the float network as a NIR file, and say what the file does not hold."""
    choices = commands.Choices(config=config, data=data, dt=dt, reset=reset, decay=decay, fires=fires)
    do(lambda screen: commands.export(screen, model, choices, commands.ExportChoices(nir, step, lossy), json))


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="a ReLU network: file.py[:function] or an .onnx from torch.onnx")],
    data: Annotated[Path | None, typer.Option("--data", help=".npz with values [B, ...] and labels [B]")] = None,
    steps: StepsOption = None,
    norm: Annotated[str | None, typer.Option(help="data, percentile, balance or none: what a spike stands for")] = None,
    percentile: Annotated[float | None, typer.Option(help="of the activations, for --norm percentile")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="the same as --norm balance")] = False,
    per_channel: Annotated[bool | None, typer.Option(help="one scale per channel")] = None,
    v_init: VInitOption = None,
    source: SourceOption = None,
    seed: Annotated[int | None, typer.Option(help="of --input poisson")] = None,
    keep: Annotated[
        float | None, typer.Option(help="fraction of the membrane kept per step, where it must leak")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="first samples only, for the curve")] = None,
    config: ConfigOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="folder to write (default out/NAME)")] = None,
    json: JsonOption = False,
) -> None:
    """Make a spiking network of a ReLU network and show its accuracy over the number of steps."""
    chosen = commands.ConvertChoices(
        steps, "balance" if balance else norm, percentile, per_channel, v_init, source, seed, keep
    )
    choices = commands.Choices(config=config, data=data, convert=chosen)
    do(lambda screen: commands.convert(screen, model, choices, commands.Written(output, samples), json))


@app.command(cls=PlainCommand)
def run(
    folder: Folder,
    data: Annotated[Path, typer.Option("--input", "-i", help=".npz with spikes [B, T, ...] or [T, ...]")],
    backend: Annotated[
        str, typer.Option("--backend", "-b", help="engine, reference, loihi, spinnaker or onnxruntime")
    ] = "engine",
    target: Annotated[str | None, typer.Option("--target", "-t", help="which compiled target")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="trace file to write")] = None,
    states: Annotated[bool, typer.Option(help="record membranes and currents too")] = False,
    samples: Annotated[int | None, typer.Option(min=1, help="first samples only")] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="emulator, or another that the back end has (spinnaker: binary)")
    ] = "emulator",
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
    accumulators: Annotated[bool, typer.Option("--accumulators", help="show the largest sum of every layer")] = False,
    json: JsonOption = False,
) -> None:
    """Run a compiled folder in the engine, or on a back end."""
    do(
        lambda screen: commands.run(
            screen,
            folder,
            commands.RunChoices(
                data, backend, target, output, states, samples, executor, engine, threads, accumulators
            ),
            json,
        )
    )


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="trace file")],
    right: Annotated[Path, typer.Argument(help="trace file")],
    budget: Annotated[float, typer.Option(min=0, max=1, help="fraction of spike bins that may differ")] = 0.0,
    spikes_only: Annotated[bool, typer.Option("--spikes-only", help="ignore states")] = False,
    json: JsonOption = False,
) -> None:
    """Compare two traces: first difference and counts per layer. Exit code 1 if they differ beyond the budget."""
    do(lambda screen: commands.compare_(screen, left, right, budget, spikes_only, json))


@app.command()
def validate(
    folder: Folder,
    data: Annotated[Path, typer.Option("--data", "-d", help=".npz with spikes [B, T, ...] and optional labels")],
    samples: Annotated[int | None, typer.Option(min=1, help="first samples only")] = None,
    accuracy_points: Annotated[float | None, typer.Option(min=0, help="budget: loss of accuracy in points")] = None,
    spike_mismatch: Annotated[float | None, typer.Option(min=0, max=1, help="budget: differing spike bins")] = None,
    json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(help="JUnit XML file to write")] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write")] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Climb the ladder of equivalence checks with data. Exit code 1 if a rung or the budget fails."""
    what = commands.ValidateChoices(data, samples, accuracy_points, spike_mismatch, junit, html, engine, threads)
    do(lambda screen: commands.validate(screen, folder, what, json))


@app.command()
def inspect(folder: Folder, json: JsonOption = False) -> None:
    """Show what a compiled folder holds: layers, formats, resources, and what quantization changed."""
    do(lambda screen: commands.inspect(screen, folder, json))


@targets_app.callback(invoke_without_command=True)
def targets(
    context: typer.Context,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print all of them as a page")] = False,
) -> None:
    """List every target."""
    if context.invoked_subcommand is None:
        do(lambda screen: commands.targets(screen, json, markdown))


@targets_app.command("show")
def targets_show(name: Annotated[str, typer.Argument(help="target name")], json: JsonOption = False) -> None:
    """Show one target: formats, conventions, limits and rules."""
    do(lambda screen: commands.target(screen, name, json))


@app.command()
def passes(json: JsonOption = False) -> None:
    """List passes in their default order with what each preserves."""
    do(lambda screen: commands.passes(screen, json))


@app.command()
def init(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="file to write")] = Path("snnc.toml"),
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Write a commented snnc.toml for this model."""
    do(lambda screen: commands.init(screen, model, output, force))


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Say what is installed, what works, and what to do about the rest."""
    do(lambda screen: commands.doctor(screen, json))


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the command ``snnc``."""
    atexit.register(gc.freeze)  # the process ends: looking once more for cycles among all that it imported takes long
    return asked_for(sys.argv[1:] if arguments is None else arguments)(args=arguments)


def asked_for(words: list[str]) -> typer.Typer:
    """The whole command line, or one with nothing but the verb that is asked for: typer takes long to build all."""
    verb = words[0] if words else ""
    commands_ = [one for one in app.registered_commands if one.callback and (one.name or one.callback.__name__) == verb]
    groups = [one for one in app.registered_groups if one.name == verb]
    if not commands_ and not groups:
        return app
    small = copy(app)
    small.registered_commands, small.registered_groups = commands_, groups
    return small
