"""The command line of ``snnc learn``. No logic: every verb is one call into snnc.commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnc import commands

if TYPE_CHECKING:
    from snnc.commands import Screen

learn_app = typer.Typer(
    help="Plasticity: rules by name, what targets make of them.", no_args_is_help=True, rich_markup_mode=None
)

JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object")]


@learn_app.command()
def explain(
    model: Annotated[
        str | None, typer.Argument(help="model whose projections [learning] names; none to look at rules alone")
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="rule of the library (`snnc learn rules`)")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="KEY=VALUE for --rule; may be repeated")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="snnc.toml with [learning.PROJECTION] (default: this folder's)")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="target name; may be repeated (default: all that learn)")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help=".npz with spikes, where the model has no example")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="write the STDP windows to this .png or .svg")] = None,
    json: JsonOption = False,
) -> None:
    """Show a rule's equation, its STDP window and what each target makes of it."""
    what = commands.ExplainChoices(model, rule, tuple(param or ()), tuple(target or ()), config, data, plot)
    do(lambda screen: commands.explain(screen, what, json))


@learn_app.command()
def rules(json: JsonOption = False) -> None:
    """List the library of rules with their parameters."""
    do(lambda screen: commands.rules(screen, json))


@learn_app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="compiled folder that something learns in")],
    data: Annotated[Path, typer.Option("--data", help=".npz with spikes [B, T, ...] and labels")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".npz for the trained weights")],
    backend: Annotated[
        str, typer.Option("--backend", help="reference, loihi (Lava itself), spinnaker, or float for the float network")
    ] = "reference",
    target: Annotated[str | None, typer.Option("--target", "-t", help="compiled target whose integers learn")] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="emulator, or another that the back end has (spinnaker: binary)")
    ] = "emulator",
    engine: Annotated[
        str,
        typer.Option("--engine", help="who executes the integers: auto, event (kernels), dense (NumPy), or reference"),
    ] = "auto",
    epochs: Annotated[int, typer.Option("--epochs", help="passes over the data")] = 1,
    samples: Annotated[int | None, typer.Option("--samples", help="use only the first N samples")] = None,
    phase: Annotated[str | None, typer.Option("--phase", help="phase of the rules (default: their first)")] = None,
    test: Annotated[Path | None, typer.Option("--test", help=".npz to judge by (default: --data)")] = None,
    shuffle: Annotated[int | None, typer.Option("--shuffle", help="seed of another order in each epoch")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="of all rounding (default: the rules' own)")] = None,
    rounding: Annotated[
        str | None, typer.Option("--rounding", help="stochastic (what chips do), nearest or floor, to compare")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="file to go on from after a kill")] = None,
    every: Annotated[int, typer.Option("--every", help="samples between two checkpoints")] = 100,
    resume: Annotated[bool, typer.Option("--resume", help="go on from --checkpoint if it is there")] = False,
    json: JsonOption = False,
) -> None:
    """Let a compiled folder learn from data and write the weights."""
    do(
        lambda screen: commands.teach(
            screen,
            folder,
            commands.LearnChoices(
                data, output, backend, target, epochs, samples, phase, test, shuffle, seed, rounding, checkpoint,
                every, resume, executor, engine,
            ),
            json,
        )
    )  # fmt: skip


@learn_app.command()
def apply(
    folder: Annotated[Path, typer.Argument(help="compiled folder that learned")],
    weights: Annotated[Path, typer.Argument(help=".npz that `snnc learn run` wrote")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write")],
    data: Annotated[Path | None, typer.Option("--data", help=".npz to validate on (default: random spikes)")] = None,
    json: JsonOption = False,
) -> None:
    """Put trained weights back into a compiled folder: a new one, validated again."""
    do(lambda screen: commands.apply_weights(screen, folder, weights, output, data, json))


def do(verb: Callable[[Screen], int]) -> None:
    """Runs a verb; a SnncError becomes its message and exit code."""
    code = commands.perform(verb)
    if code:
        raise typer.Exit(code)
