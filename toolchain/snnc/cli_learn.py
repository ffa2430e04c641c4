"""The command line of ``snnc learn``. No logic: every verb is one call into snnc.commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from snnc import commands
from snnc.commands import Screen
from snnc.commands.screen import perform

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
    _do(lambda screen: commands.explain(screen, what, json))


@learn_app.command()
def rules(json: JsonOption = False) -> None:
    """List the library of rules with their parameters."""
    _do(lambda screen: commands.rules(screen, json))


def _do(verb: Callable[[Screen], int]) -> None:
    code = perform(verb)
    if code:
        raise typer.Exit(code)
