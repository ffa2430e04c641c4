"""The page: well-formed, self-contained, the same bytes twice, and showing what is in the evidence."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from snnc.evidence import Evidence
from snnc.report.html import PageData, page
from snnc.trace import Trace

VOID = {"meta", "br", "img", "link", "input", "hr"}
SVG_EMPTY = {"path", "use", "rect", "circle", "line", "polyline", "polygon", "image", "ellipse", "stop"}


class Reader(HTMLParser):
    """Checks nesting, gathers ids, text and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(content: bytes) -> Reader:
    reader = Reader()
    reader.feed(content.decode())
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def content(data: PageData) -> bytes:
    return page(data)


@pytest.fixture(scope="module")
def reader(content: bytes) -> Reader:
    return read(content)


def test_same_input_same_bytes(data: PageData, content: bytes) -> None:
    assert page(data) == content


def test_bytes_do_not_depend_on_the_users_matplotlib(data: PageData, content: bytes) -> None:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": None, "axes.grid": True, "font.size": 22.0, "lines.linewidth": 9.0}):
        assert page(data) == content


def test_a_different_spike_gives_a_different_page(data: PageData, content: bytes) -> None:
    """Negative control of the two tests above: the pictures do show the traces."""
    old = data.traces["loihi1"]
    spikes = {name: array.copy() for name, array in old.spikes.items()}
    spikes["lif1"][0, 3, 2] ^= 1
    other = replace(data, traces={**data.traces, "loihi1": Trace(old.backend, old.target, spikes, old.states)})
    assert page(other) != content
    weights = {"fc1": {**data.weights["fc1"], "fixed": data.weights["fc1"]["fixed"] * 1.5}}
    assert page(replace(data, weights=weights)) != content


def test_nothing_comes_from_elsewhere(content: bytes, reader: Reader) -> None:
    source = content.decode()
    assert set(re.findall(r"\w+://[^\"'\s>]*", source)) == {"http://www.w3.org/2000/svg"}
    assert not {tag for tag, _ in reader.tags} & {"script", "iframe", "link", "object", "embed", "img"}
    assert "@import" not in source
    for _, attrs in reader.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("href", "src", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#")
    assert all("#" in found for found in re.findall(r"url\(([^)]*)\)", source))


def test_ids_are_unique_and_every_reference_has_one(content: bytes, reader: Reader) -> None:
    assert len(reader.ids) == len(set(reader.ids)) > 0
    wanted = {attrs["href"] for _, attrs in reader.tags if attrs.get("href")}
    wanted |= {f"#{name}" for name in re.findall(r"url\(#([^)]*)\)", content.decode())}
    assert {str(name)[1:] for name in wanted} <= set(reader.ids)


def test_title_is_escaped(content: bytes) -> None:
    source = content.decode()
    assert "<b>" not in source
    assert source.count("digits &lt;b&gt;&amp;&quot;&#x27; net") == 2


def test_user_names_cannot_break_out(data: PageData) -> None:
    evil = "<script>alert(1)</script>$x_1\"'"
    old = data.evidence
    rows = tuple(replace(row, target=evil, population=evil) for row in old.layers[:1])
    rungs = (replace(old.rungs[0], left=evil, right=evil, detail=evil, target=evil),)
    hostile = Evidence(rungs, {"float": 1.0, evil: 0.5}, rows, 1, 1, first_differences={evil: evil})
    spikes = {evil: np.ones((1, 4, 2), dtype=np.int8)}
    states = {(evil, "v"): np.ones((1, 4, 2))}
    content = page(
        PageData(
            evil, hostile, {evil: {evil: (1, 2)}}, {},
            {"float": Trace("a", "float", spikes, states), evil: Trace("b", "x", spikes, states)},
            {evil: {evil: 1.0}}, {evil: {"float": np.ones(3), evil: np.ones(3)}}, {evil: 1.0}, {evil: evil},
            {evil: evil},
        )
    )  # fmt: skip
    found = read(content)
    assert "script" not in {tag for tag, _ in found.tags}
    assert any(evil in words for words in found.words)


def test_accessible(reader: Reader) -> None:
    tags = reader.tags
    assert next(attrs for tag, attrs in tags if tag == "html") == {"lang": "en"}
    assert sum(tag == "title" for tag, _ in tags) == sum(tag == "h1" for tag, _ in tags) == 1
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert all(b - a <= 1 for a, b in zip([0, *levels], levels, strict=False))
    heads = [attrs for tag, attrs in tags if tag == "th"]
    assert heads
    assert all(attrs.get("scope") in ("col", "row") for attrs in heads)
    drawings = [attrs for tag, attrs in tags if tag == "svg"]
    assert len(drawings) == 5
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in drawings)
    tables = sum(tag == "table" for tag, _ in tags)
    assert tables == sum(tag == "caption" for tag, _ in tags) == 8


def test_light_and_dark(content: bytes) -> None:
    source = content.decode()
    assert "prefers-color-scheme: dark" in source
    drawings = "".join(re.findall(r"<svg.*?</svg>", source, flags=re.DOTALL))
    bare = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", drawings)
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{3,6}", bare), "a colour that dark mode cannot change"
    used = set(re.findall(r"var\(--(\w+)", source))
    light, dark = source.split("prefers-color-scheme: dark")[:2]
    assert all(f"--{name}:" in light and f"--{name}:" in dark for name in used)


def test_the_text_of_the_page(reader: Reader, data: PageData) -> None:
    words = " ".join(reader.words)
    for expected in (
        "PASS",
        "97.50 %",
        "-0.60",
        "lif2",
        "neuro cores",
        "2.34 %",
        "compile.weight_bits",
        "not installed",
    ):
        assert expected in words
    worst = data.evidence.worst
    assert worst is not None
    assert f"{worst.cascaded_differing} of {worst.compared} bins differ" in words
    assert "missing (o)" in words
    assert "FAIL" not in words


def test_a_failure_is_shown_with_its_first_difference(failing: Evidence) -> None:
    words = " ".join(read(page(PageData("x", failing))).words)
    assert "FAIL" in words
    assert "PASS" not in words
    assert "neuron 12: v is 4032 in reference, 4096 in loihi" in words


def test_only_evidence_makes_a_page(evidence: Evidence) -> None:
    small = Evidence(evidence.rungs)
    tags = [tag for tag, _ in read(page(PageData("x", small))).tags]
    assert "svg" not in tags
    empty = " ".join(read(page(PageData("x", Evidence(())))).words)
    assert "no rung was climbed" in empty


def test_traces_without_states_or_with_other_populations(data: PageData) -> None:
    bare = {k: Trace(t.backend, t.target, t.spikes) for k, t in data.traces.items()}
    source = page(replace(data, traces=bare)).decode()
    assert 'id="rasters"' in source
    assert 'id="membranes"' not in source
    other = {**bare, "loihi1": Trace("x", "y", {"lif1": bare["float"].spikes["lif1"]})}
    words = page(replace(data, traces=other)).decode()
    assert "<h3>lif1</h3>" in words
    assert "<h3>lif2</h3>" not in words


def test_without_matplotlib_the_page_says_so(data: PageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = read(page(data))
    assert "svg" not in {tag for tag, _ in found.tags}
    assert any("pip install 'snnc[report]'" in words for words in found.words)
