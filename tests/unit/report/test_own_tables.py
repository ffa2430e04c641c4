"""Tables and files that a back end brings along: how they are shown, and which names are refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnc.accounts import tables_json
from snnc.artifacts import build_files
from snnc.backend import Exporter, Program
from snnc.errors import SnncError
from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, Format, Input
from snnc.learnfolder import Taught
from snnc.quantize.base import Quantized
from snnc.report import html, text, words
from snnc.report.html import PageData

COLUMNS = ["core", "who <b>", "kind", "words", "axons"]
ROWS: list[list[Any]] = [
    [0, "a", "x", (1200, 4096), (5, 10)],
    [1, "b", "x", (7, 4096), (5, 20)],
    [2, "a <i>", "x", [8, 4096], 3],
]


def test_maxima_and_what_rows_share_are_said_once() -> None:
    caption, headers, lines = words.own_rows("cores", COLUMNS, ROWS)
    assert caption == "cores; kind x"
    assert headers == ["core", "who <b>", "words", "axons"]
    assert lines == [
        ["0", "a", "1,200", "5 / 10"], ["1", "b", "7", "5 / 20"], ["2", "a <i>", "8", "3"], ["of", "", "4,096", ""],
    ]  # fmt: skip


def test_one_row_keeps_its_columns_and_equal_rows_keep_one() -> None:
    assert words.own_rows("t", COLUMNS, ROWS[:1])[2] == [["0", "a", "x", "1,200", "5"], ["of", "", "", "4,096", "10"]]
    assert words.own_rows("t", ["n", "m"], [[1, 2], [1, 2]]) == ("t; m 2", ["n"], [["1"], ["1"]])


def test_terminal_shows_so_many_rows_and_says_how_many_more() -> None:
    shown = text.render(text.own_table("cores", COLUMNS, ROWS, most=1), width=80)
    lines = [line.split() for line in shown.splitlines()]
    assert ["0", "a", "1,200", "5", "/", "10"] in lines
    assert ["and", "2", "more"] in lines
    assert ["of", "4,096"] in lines
    assert "5 / 20" not in shown
    assert "more" not in text.render(text.own_table("cores", COLUMNS, ROWS), width=80)


def test_page_shows_the_table_escaped(data: PageData) -> None:
    page = html.page(replace(data, tables={"loihi1": {"cores": {"columns": COLUMNS, "rows": ROWS}}})).decode()
    assert "loihi1: cores; kind x" in page
    assert "who &lt;b&gt;" in page
    assert "a &lt;i&gt;" in page
    assert "5 / 20" in page
    assert "5 / 20" not in html.page(data).decode()


def a_build(added: dict[str, bytes] | None, **fields: Any) -> Any:
    weight = Fixed(np.ones((2, 2), dtype=np.int64), Format(4))
    edges = (Edge("in", "f"),)
    graph = FixedGraph((Input("in", (2,)), Affine("f", weight)), edges, "chip", Conventions(), {"in": 0})
    program = Program("own", "chip", graph, {}, {}, **fields)
    backend = SimpleNamespace(name="own", targets=(), lower=len, run=len)
    if added is not None:
        backend.export = lambda found: added if found is program else {}
        assert isinstance(backend, Exporter)
    target = SimpleNamespace(name="chip", variants={})
    return SimpleNamespace(
        target=target, backend=backend, quantized=Quantized(graph, {}, ()), program=program, history=(),
        taught=Taught("chip"),
    )  # fmt: skip


def test_files_of_a_back_end_lie_beside_ours() -> None:
    found = build_files(a_build({"run.py": b"code", "data.npz": b"numbers"}))
    assert found["chip/run.py"] == b"code"
    assert set(found) - set(build_files(a_build(None))) == {"chip/run.py", "chip/data.npz"}


@pytest.mark.parametrize("name", ["program.npz", "../x", "a/b", ".hidden", "", "/etc/x", "a b"])
def test_names_that_are_taken_or_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(SnncError, match="may not write a file"):
        build_files(a_build({name: b""}))


def test_tables_keep_the_order_of_their_columns() -> None:
    rows = ({"z": 1, "a": (2, 3)}, {"z": 4, "a": (5, 6)})
    build = a_build(None, tables={"cores": rows, "none": ()})
    assert tables_json(build.program) == {"cores": {"columns": ["z", "a"], "rows": [[1, (2, 3)], [4, (5, 6)]]}}
    content = build_files(build)["chip/quantization.json"].decode()
    assert content.index('"z"') < content.index('"a"')
