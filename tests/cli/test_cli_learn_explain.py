"""snnc learn explain and rules: what they show, what they refuse, and the files they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snnc.learning import NAMES, build, lower_rule

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "digits_mlp.py"
Snnc = Callable[..., Any]


def test_rules_are_listed(snnc: Snnc) -> None:
    shown = snnc("learn", "rules")
    assert shown.code == 0
    listed = json.loads(snnc("learn", "rules", "--json").out)["rules"]
    assert set(listed) == set(NAMES)
    for name in NAMES:
        assert name in shown.out
    assert listed["pair-stdp"]["parameters"]["tau_plus"] == {"default": 20.0, "unit": "steps or ms"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"products"}))
def test_every_rule_is_explained(snnc: Snnc, name: str) -> None:
    ran = snnc("learn", "explain", "--rule", name)
    assert ran.code == 0, ran.err
    assert name in ran.out
    assert "on loihi1, loihi2, generic" in ran.out or "on generic, loihi1, loihi2" in ran.out or "refused" in ran.out
    assert "spinnaker1" in ran.out


def test_json_holds_the_numbers(snnc: Snnc) -> None:
    ran = snnc(
        "learn", "explain", "--rule", "pair-stdp", "-p", "A_plus=0.02", "-t", "loihi1", "-t", "spinnaker1", "--json"
    )
    (one,) = json.loads(ran.out)["learning"]
    account = lower_rule(build("pair-stdp", A_plus=0.02))
    assert [rate["got"] for rate in one["targets"]["loihi1"]["rates"]] == [rate.got for rate in account.rates]
    assert one["targets"]["loihi1"]["phases"]["train"]["dw"] == "3*2^-4*y0*x1 - 7*2^-7*x0*y1"
    assert one["targets"]["spinnaker1"]["settings"]["words"]["a_plus"] == 655
    steps = one["window"]["steps"]
    assert one["window"]["float"][steps.index(0)] == pytest.approx(0.02 - 0.0105)
    assert one["window"]["spinnaker1"][steps.index(0)] == pytest.approx(-0.0105, abs=1e-5)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_plots_are_written_and_the_same_each_time(snnc: Snnc, tmp_path: Path, suffix: str, magic: bytes) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        assert snnc("learn", "explain", "--rule", "pair-stdp", "-t", "loihi1", "--plot", path).code == 0
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--rule", "pair-sdtp"), 2, "the nearest is 'pair-stdp'"),
        (("--rule", "pair-stdp", "-p", "A_pluss=1"), 2, "the nearest is 'A_plus'"),
        (("--rule", "pair-stdp", "-p", "A_plus"), 2, "write KEY=VALUE"),
        (("-p", "A_plus=1"), 2, "--param belongs to --rule"),
        (("--rule", "pair-stdp", "-t", "loihi3"), 2, "the nearest is 'loihi"),
        (("--rule", "pair-stdp", "--plot", "window.gif"), 2, "written as .png or .svg"),
        (("--rule", "weight-decay", "--plot", "window.png"), 2, "nothing to plot"),
        (("--rule", "pair-stdp", "-p", "A_plus=0.01", "-p", "w_max=0.005"), 2, "amplitudes = 'relative'"),
        ((), 2, "nothing to explain: give --rule NAME"),
    ],
)
def test_mistakes(
    snnc: Snnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = snnc("learn", "explain", *arguments)
    shown = ran.out + ran.err
    assert says in " ".join(shown.split())
    assert ran.code == code
    assert not list(tmp_path.iterdir())


def test_a_named_targets_refusal_is_the_exit_code(snnc: Snnc) -> None:
    assert snnc("learn", "explain", "--rule", "triplet-stdp").code == 0
    refused = snnc("learn", "explain", "--rule", "triplet-stdp", "-t", "loihi1")
    assert refused.code == 2
    assert "rate nu_pre is 0.0001" in refused.out


def test_configuration_and_model(snnc: Snnc, tmp_path: Path) -> None:
    config = tmp_path / "snnc.toml"
    config.write_text(
        '[learning.1]\nrule = "pair-stdp"\nA_plus = 0.0015\nrounding = "nearest"\n'
        '[learning.1.phases.sleep]\nrule = "weight-decay"\nrate = 0.01\n'
    )
    ran = snnc("learn", "explain", "--config", config, "-t", "loihi1")
    assert ran.code == 0, ran.err
    assert "never learns" in ran.out
    assert "sleep: dw =" in ran.out
    wrong = snnc("learn", "explain", MODEL, "--config", config)
    assert wrong.code == 2
    assert "[learning.1]: no projection that learns is called '1'; the nearest is" in wrong.err
    compiled = snnc("compile", MODEL, "--config", config, "-o", tmp_path / "out")
    assert compiled.code == 2
    assert "[learning.1]: no projection that learns" in compiled.err
    assert not (tmp_path / "out").exists()
    name = wrong.err.split("the nearest is '")[1].split("'")[0]
    config.write_text(f'[learning."{name}"]\nrule = "pair-stdp"\n')
    assert snnc("learn", "explain", MODEL, "--config", config, "-t", "loihi1").code == 0


@pytest.mark.parametrize("name", ["digits_stdp", "digits_s2stdp"])
def test_the_models_rules_are_explained_for_both_chips(snnc: Snnc, name: str) -> None:
    """Rates as quantised, hidden factors, where traces end, what the host does: all there, on each chip or refused."""
    command = ("learn", "explain", "--config", ROOT / "models" / f"{name}.toml", "-t", "spinnaker1", "-t", "loihi1")
    ran = snnc(*command)
    assert ran.code == 0, ran.err
    (one,) = json.loads(snnc(*command, "--json").out)["learning"]
    said = " ".join(ran.out.split())
    loihi, board = one["targets"]["loihi1"], one["targets"]["spinnaker1"]
    assert board["native"] == (name != "digits_s2stdp")
    for made in (loihi, board) if board["native"] else (loihi,):
        assert len(made["rates"]) >= 2
        assert all(abs(rate["error"]) < 0.05 for rate in made["rates"])
        assert all(rate["written"] in said for rate in made["rates"])
        assert made["registers"]
    assert "full above, spikes per step" in said
    hidden = [rate for rate in loihi["rates"] if rate["shift"]]
    assert bool(hidden) == ("without saying so; made up for in the constant" in said)
    assert hidden, "two traces multiplied are divided by 2^5 somewhere in each of these"
    assert "traces 0 to 127; both are rounded stochastically" in said
    for operation in (*loihi["host"], *board["host"]):
        assert f"host, each {operation['when']}: {operation['kind']}: {' '.join(operation['text'].split())}" in said
    if name == "digits_s2stdp":
        assert "left to the host" in said
        assert {"error", "normalise", "threshold", "anneal"} <= {operation["kind"] for operation in loihi["host"]}
    else:
        assert "not clipped but wrap to negative numbers" in said
        assert "neurons need a synaptic filter" in said
