"""Plain texts of the command line become what typer makes of them; the rest is left to typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from snnc.cli_values import PlainCommand, plain


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (str, "a", "a"), (str, "", ""), (int, "12", 12), (int, "-3", -3), (int, 7, 7), (int, "007", 7),
        (int, "1.5", None), (int, "x", None), (int, "", None), (int, " 4", None), (int, "1_000", None),
        (int, "9" * 30, None), (int, "0", None), (int, "300", None), (Path, "some/where", Path("some/where")),
        (Path, Path("a"), Path("a")), (float, "1", None), (bool, "yes", None), (str, 4, None),
    ],
)  # fmt: skip
def test_what_is_plain(kind: type, value: Any, found: Any) -> None:
    low, high = (1, 256) if value in ("0", "300") else (None, None)
    assert plain(kind, value, low, high) == found


def apps() -> tuple[typer.Typer, typer.Typer]:
    """The same verb, read by us and by typer alone."""
    made = []
    for cls in (PlainCommand, None):
        app = typer.Typer(rich_markup_mode=None, add_completion=False)

        @app.command(cls=cls)
        def verb(
            where: Path,
            number: Annotated[int, typer.Option(min=-3, max=40)] = 3,
            word: str = "w",
            maybe: Annotated[int | None, typer.Option()] = None,
            many: Annotated[list[str] | None, typer.Option()] = None,
            flag: Annotated[bool, typer.Option("--flag")] = False,
            ratio: float = 0.5,
        ) -> None:
            typer.echo(repr((where, number, word, maybe, many, flag, ratio)))

        made.append(app)
    return made[0], made[1]


OURS, TYPERS = apps()
WORDS = st.sampled_from(
    ["--number", "--word", "--maybe", "--many", "--flag", "--ratio", "-1", "0", "41", "7", "1.5", "x", "", "--", "/tmp",
     "9" * 12, "1_0", " 5", "٣", "--help", "--number=-3", "--maybe=é"]
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, max_size=5))
@example(["x", "--number", "41"])
@example(["x", "--number", "40", "--many", "a", "--many", "b"])
@example([])
def test_both_read_the_same(words: list[str]) -> None:
    ours, typers = (CliRunner().invoke(app, words) for app in (OURS, TYPERS))
    assert (ours.exit_code, ours.stdout, ours.stderr) == (typers.exit_code, typers.stdout, typers.stderr)
