"""[learning.<projection>] from TOML and Python: what it builds, and the sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.config import Config, load_config, parse_config
from snnc.errors import ConfigError, InputError, UnsupportedError
from snnc.ir import Affine, Conv, Edge, Flatten, Graph, Input
from snnc.learning import NAMES, build, lower_rule
from snnc.learning.library import meaning, parameters_of
from snnc.learning.settings import check_projections, configure, parse_learning

TOML = """
[learning.hidden]
rule = "pair-stdp"
A_plus = 0.02
tau_plus = 10
time_unit = "ms"
dt = 0.5
t_epoch = 2
parity = "lava"
[learning.hidden.phases.sleep]
rule = "weight-decay"
rate = 0.05
baseline = 0.25
[learning.out]
rule = "products"
dw = "2^-2*x1*y0 - 2^-2*x0*y1"
x1_impulse = 16
x1_tau = 10
y1_impulse = 16
y1_tau = 10.0
"""


def test_toml_becomes_rules(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"
    path.write_text(TOML)
    hidden, out = load_config(path).learning
    assert (hidden.projection, out.projection) == ("hidden", "out")
    assert hidden.rule.trace("x").tau == 20.0
    assert hidden.rule["A_plus"] == 0.02
    assert hidden.rule["sleep.rate"] == 0.05
    assert hidden.rule.phases == ("train", "test", "sleep")
    assert [t.name for t in hidden.rule.active("sleep")] == ["sleep.rate"]
    assert [t.name for t in hidden.rule.active("train")] == ["A_plus", "A_minus"]
    assert (hidden.options.t_epoch, hidden.options.seeds.weights) == (2, 2)
    assert out.rule.written is not None
    assert str(out.rule.written.dw[0]) == "1*2^-2*y0*x1"


def test_python_form_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"
    path.write_text(TOML)
    hidden, _ = load_config(path).learning
    sleep = {"rule": "weight-decay", "rate": 0.05, "baseline": 0.25}
    keys: dict[str, Any] = {"A_plus": 0.02, "tau_plus": 10, "time_unit": "ms", "dt": 0.5, "t_epoch": 2}
    assert hidden == configure("hidden", rule="pair-stdp", **keys, parity="lava", phases={"sleep": sleep})
    assert hidden != configure("hidden", rule="pair-stdp", **keys, parity="lava")


def test_configuration_is_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "snnc.toml"
    path.write_text(TOML)
    config = load_config(path)
    assert parse_config(json.loads(json.dumps(config.as_dict()))) == config
    assert Config().as_dict()["learning"] == {}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "rule is missing"),
        ({"rule": 3}, "rule is a name, not 3"),
        ({"rule": "pair-sdtp"}, "the nearest is 'pair-stdp'"),
        ({"rule": "pair-stdp", "A_pluss": 1}, "unknown key 'A_pluss'; the nearest is 'A_plus'"),
        ({"rule": "pair-stdp", "roundin": "nearest"}, "the nearest is 'rounding'"),
        ({"rule": "pair-stdp", "tau_plus": 0}, "tau_plus is 0 steps, allowed is more than 0"),
        ({"rule": "pair-stdp", "tau_plus": "20"}, "tau_plus is '20', allowed is a number"),
        ({"rule": "pair-stdp", "A_minus": -0.1}, "Give the magnitude: the rule holds the sign"),
        ({"rule": "pair-stdp", "time_unit": "ms"}, "dt is 0 ms, allowed is more than 0"),
        ({"rule": "pair-stdp", "w_min": 2.0}, "w_min < w_max"),
        ({"rule": "pair-stdp", "t_epoch": 64}, "t_epoch is 64, allowed is 1 to 63 steps (6 bits)"),
        ({"rule": "pair-stdp", "t_epoch": 1.5}, "t_epoch is int, not 1.5"),
        ({"rule": "pair-stdp", "rounding": "up"}, "rounding is 'up', allowed is 'stochastic' or 'nearest' or 'floor'"),
        ({"rule": "pair-stdp", "phases": 3}, "phases is one table for each phase"),
        ({"rule": "pair-stdp", "phases": {"sleep": {"rule": "weight-decay", "t_epoch": 3}}}, "unknown key 't_epoch'"),
        ({"rule": "products", "dw": "0.5*x1*y0"}, "decimal is 0.5, allowed is m*2^e. The nearest is 1*2^-1"),
        ({"rule": "products", "dw": "u10*x1"}, "Lava would read u1 times 0"),
        ({"rule": "products", "dw": "x1*y0", "x1_impulse": 128}, "impulse is 128, allowed is 0 to 127"),
        ({"rule": "products", "dw": "x1*y0", "x1_impulse": 1, "t_epoch": 64}, "t_epoch is 64"),
    ],
)
def test_mistakes_are_named(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        configure("hidden", **keys)
    assert says in str(error.value)
    assert "[learning.hidden" in str(error.value)


def test_a_table_without_projection_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"write \[learning.PROJECTION\] and rule = 'pair-stdp' below it"):
        parse_learning({"rule": "pair-stdp"})
    with pytest.raises(ConfigError, match=r"\[learning\] is a table"):
        parse_config({"learning": 3})


def test_relative_amplitudes_are_explained_with_numbers() -> None:
    with pytest.raises(InputError) as error:
        build("pair-stdp", A_plus=0.01, A_minus=0.001, w_max=0.005)
    assert "A_plus is 0.01 (absolute), 2 times the range of the weights in one pair" in str(error.value)
    assert "write amplitudes = 'relative': 0.01 of w_max 0.005 is 5e-05" in str(error.value)
    rule = build("pair-stdp", A_plus=0.01, A_minus=0.01, w_max=0.005, amplitudes="relative")
    assert [term.rate for term in rule.terms] == pytest.approx([5e-5, -5e-5])


def test_projections_must_exist_and_learn() -> None:
    nodes = (
        Input("in", (1, 4, 4)),
        Conv("conv", np.ones((1, 1, 3, 3)), np.zeros(1), (1, 1), (0, 0), (1, 1)),
        Flatten("flat"),
        Affine("hidden", np.ones((2, 4)), np.zeros(2)),
    )
    graph = Graph(nodes, (Edge("in", "conv"), Edge("conv", "flat"), Edge("flat", "hidden")))
    check_projections([configure("hidden", rule="pair-stdp")], graph)
    with pytest.raises(InputError, match="no projection that learns is called 'hiden'; the nearest is 'hidden'"):
        check_projections([configure("hiden", rule="pair-stdp")], graph)
    with pytest.raises(InputError, match="it is a Flatten"):
        check_projections([configure("flat", rule="pair-stdp")], graph)
    with pytest.raises(UnsupportedError, match="shared by many synapses"):
        check_projections([configure("conv", rule="pair-stdp")], graph)


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_says_what_it_is(name: str) -> None:
    assert len(meaning(name)) > 20
    assert parameters_of(name)
    if name != "products":
        rule = build(name)
        assert rule.source
        assert len(list(rule.equation())) >= 2
        assert [key for key, _, _ in rule.parameters] == list(parameters_of(name))


def test_signed_rule_on_unsigned_weights() -> None:
    with pytest.raises(InputError, match="sign is w_min -1 to w_max 1, allowed is excitatory weights"):
        lower_rule(build("s2-stdp"), configure("o", rule="s2-stdp", sign="excitatory").options)
