"""The benchmark's result as tables."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

YES, NO, OPEN = "[green]met[/green]", "[red]not met[/red]", "[yellow]not measured[/yellow]"


def show(result: dict[str, Any]) -> None:
    """Prints every table."""
    console = Console(width=None if Console().is_terminal else 140)
    machine = result["machine"]
    load = f"load {machine['load']:.1f} when it began" if machine["load"] is not None else "load unknown"
    console.print(f"{machine['processor']}, {machine['cores']} cores, {load}; rounds: {result['rounds']}")
    console.print(_limit(result["limit"]))
    console.print(_speed(result["speed"]))
    console.print(_bars(result["bars"]))
    console.print(_extras(result))


def _verdict(met: bool | None) -> str:
    return OPEN if met is None else YES if met else NO


def _number(value: float | None, form: str = ".4g") -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


def _limit(limit: dict[str, Any]) -> str:
    if "reason" in limit:
        return f"limit of this machine: not measured ({limit['reason']})"
    return (
        f"limit of one core: {limit['l1'] / 1e9:.0f} Gsynop/s with weights in L1, {limit['l2'] / 1e9:.0f} in L2; "
        f"{limit['neuron_ns']:.2f} ns per neuron step"
    )


def _speed(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="speed, one thread, medians of interleaved rounds (x: against the plain torch loop)")
    for name in ("", "batch", "executor"):
        table.add_column(name)
    for name in ("ms/sample", "x torch", "Msynop/s", "of limit"):
        table.add_column(name, justify="right")
    place = ("", 0)
    for row in rows:
        here = (row["workload"], row["batch"])
        if here != place:
            table.add_section()
        head = (row["workload"], str(row["batch"])) if here != place else ("", "")
        place = here
        if "reason" in row:
            table.add_row(*head, f"[dim]{row['row']}[/dim]", f"[dim]{row['reason']}[/dim]", "", "", "")
            continue
        fraction = row.get("fraction")
        rate = row.get("synops_per_s")
        table.add_row(
            *head, f"[bold]{row['row']}[/bold]" if row["engine"] else row["row"], _number(row["ms"]),
            _number(row["ratio"], ".3g"), _number(None if rate is None else rate / 1e6, ",.0f"),
            _number(fraction, ".0%"),
        )  # fmt: skip
    return table


def _bars(bars: list[dict[str, Any]]) -> Table:
    table = Table(title="what is asked")
    for name in ("", "batch", "executor", "against"):
        table.add_column(name)
    for name in ("ratio", "asked"):
        table.add_column(name, justify="right")
    table.add_column("")
    for bar in bars:
        table.add_row(
            bar["workload"], str(bar["batch"]), bar["row"], bar["against"], _number(bar["ratio"], ".3g"),
            f">= {bar['bar']:g}", _verdict(bar["met"]),
        )  # fmt: skip
    return table


def _extras(result: dict[str, Any]) -> Table:
    table = Table(title="beside speed")
    for name in ("what", "found", "asked", ""):
        table.add_column(name)
    for one in result["threads"]:
        given = "" if one["machine"] is None else f"; adds alone {one['machine']:.2f} x"
        what = f"{one['workload']}, batch {one['batch']}: two threads against one (wall{given})"
        table.add_row(what, f"{one['ratio']:.2f} x", f">= {one['bar']:g} x", _verdict(one["met"]))
    for one in result["recording"]:
        what = f"{one['workload']}, batch {one['batch']}: everything recorded against the output alone"
        table.add_row(what, f"{one['ratio']:.2f} x", f"<= {one['bar']:g} x", _verdict(one["met"]))
    for name in ("stream", "start_up"):
        if "reason" in result[name]:
            table.add_row(name, result[name]["reason"], "", OPEN)
    if "samples" in (one := result["stream"]):
        what = f"{one['samples']} samples streamed: memory after two chunks, growth until the end"
        found = f"{one['first_mib']:.0f} MiB, {one['growth_mib']:.1f} MiB"
        table.add_row(what, found, f"<= {one['bar']:g} MiB", _verdict(one["met"]))
    if "extra" in (one := result["start_up"]):
        for name, seconds in one["extra"].items():
            what = f"first result by {name} beyond a bare interpreter ({one['bare']:.3f} s)"
            table.add_row(what, f"{seconds:.3f} s", f"<= {one['bar']:g} s", _verdict(seconds <= one["bar"]))
        table.add_row("imported on the way by the Python API", one["imported"], "nothing", _verdict(one["light"]))
    return table
