"""Targets as a Markdown page: rules, reasons and limits, straight from the data and the constraints' docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

HEAD = """# Targets

Written by `snnc targets --markdown`; a test checks that it is fresh. Each rule is the docstring of the function that
checks it (`snnc check MODEL` runs them all).
"""


def page(targets: Iterable[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        targets: as ``snnc targets show NAME --json`` prints them.
    """
    return "\n".join([HEAD, *(part for target in targets for part in _target(target))])


def _target(target: Mapping[str, Any]) -> list[str]:
    low, high = target["weight_bits"]
    parts = [
        f"## {target['name']}\n",
        f"{target['summary']}. Back end `{target['backend']}`; weights of {low} to {high} bits.\n",
        _table(("convention", "value"), target["conventions"].items()),
    ]
    if target["limits"]:
        rows = [(key, f"{v['value']:,}", v["unit"], v["source"]) for key, v in target["limits"].items()]
        parts.append(_table(("limit", "value", "unit", "source"), rows))
    if target["allowances"]:
        parts += [
            "### May be allowed\n",
            *(f"- `--allow {key}`: {_flat(text)}" for key, text in target["allowances"].items()),
            "",
        ]
    if target["overflows"]:
        parts += ["### Readings of its registers\n", *map(_reading, target["overflows"].items()), ""]
    return [*parts, "### Rules\n", *(_rule(entry["manual"]) for entry in target["rules"]), ""]


def _reading(entry: tuple[str, Mapping[str, Any]]) -> str:
    changes = ", ".join(f"{key} {value}" for key, value in entry[1].items())
    return f"- `--overflow {entry[0]}`: {changes or 'as above'}"


def _rule(manual: str) -> str:
    first, _, rest = manual.partition("\n")
    return f"- **{first.strip()}** {_flat(rest)}".rstrip()


def _flat(text: str) -> str:
    return " ".join(text.split())


def _table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
