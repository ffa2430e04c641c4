"""Rung 6 against small slips in the code: each changes one place of the product, and a vector must notice.

A mutant is the module's source with one piece of text replaced. A text that is no longer there fails the test, so that
the list cannot outlive the code.
"""

from __future__ import annotations

import inspect
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_kinds
import kinds_graded
import kinds_nengo
import pytest
from golden_base import read

from snnc_loihi import conventions, nengo, nengo_block, weight_bits
from snnc_reference import execute, neuron_atrlif, neuron_euler, neuron_graded

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
VARIANTS, SIGMA_DELTA, WIDTHS = "lava_lif_variants", "lava_sigma_delta", "lava_netx_weight_opt"
REGISTERS, FUNCTIONS, BLOCKS, NOISE = "nl_compartments", "nl_functions", "nl_discretize", "nl_noise"

MUTANTS: dict[str, tuple[str, types.ModuleType, str, str]] = {
    "ternary: lower threshold mirrors the upper": (VARIANTS, neuron_euler, "if node.threshold_low is None", "if True"),
    "ternary: no reset below": (VARIANTS, neuron_euler, "np.where(s != 0, to, v)", "np.where(s > 0, to, v)"),
    "ternary: no spike below": (VARIANTS, neuron_euler, "- down.astype(np.int64)", ""),
    "ternary: down counts up": (VARIANTS, neuron_euler, "- down.astype(np.int64)", "+ down.astype(np.int64)"),
    "adaptive: v alone is compared": (VARIANTS, neuron_atrlif, "wrap(v - r, bits) >=", "v >="),
    "adaptive: r takes theta once": (VARIANTS, neuron_atrlif, "2 * theta * s", "theta * s"),
    "adaptive: r takes the raised theta": (VARIANTS, neuron_atrlif, "r + 2 * theta * s", "r + 2 * (theta + up) * s"),
    "adaptive: theta decays to 0": (
        VARIANTS,
        neuron_atrlif,
        "wrap(state.theta - rest, bits)",
        "state.theta - 0 * rest",
    ),
    "adaptive: theta starts at 0": (
        VARIANTS,
        neuron_atrlif,
        "zeros + aligned(node.threshold",
        "zeros * aligned(node.threshold",
    ),
    "adaptive: theta keeps its value": (VARIANTS, neuron_atrlif, "theta + up * s", "theta + 0 * up"),
    "adaptive: v is reset": (VARIANTS, neuron_atrlif, "AdaptiveState(u, v, wrap", "AdaptiveState(u, v * (1 - s), wrap"),
    "delta: fires beyond only": (SIGMA_DELTA, neuron_graded, "judged >=", "judged >"),
    "delta: only rises are sent": (
        SIGMA_DELTA,
        neuron_graded,
        "judged = np.abs(error if node.cum_error else change)",
        "judged = change",
    ),
    "delta: error is never cleared": (
        SIGMA_DELTA,
        neuron_graded,
        "np.where(message != 0, 0, error)",
        "np.where(message != 0, error, error)",
    ),
    "delta: the error is sent": (SIGMA_DELTA, neuron_graded, "change, 0)", "error if node.cum_error else change, 0)"),
    "delta: no residue": (SIGMA_DELTA, neuron_graded, "state.act + state.residue", "state.act + 0 * state.residue"),
    "delta: residue keeps the cut bits": (
        SIGMA_DELTA,
        neuron_graded,
        "change - message",
        "change - (message >> node.shift << node.shift)",
    ),
    "delta: shift toward zero": (
        SIGMA_DELTA,
        neuron_graded,
        "message >> node.shift",
        "np.sign(message) * (np.abs(message) >> node.shift)",
    ),
    "sigma-delta: no activation": (SIGMA_DELTA, neuron_graded, 'node.activation == "relu"', "False"),
    "sigma-delta: bias is summed": (
        SIGMA_DELTA,
        neuron_graded,
        "_delta(node, c, replace(state, sigma=sigma), act)",
        "_delta(node, c, replace(state, sigma=act), act)",
    ),
    "sigma: sends what it got": (SIGMA_DELTA, neuron_graded, "sigma=sigma, s=sigma)", "sigma=sigma, s=x)"),
    "widths: one sign fits 127": (WIDTHS, weight_bits, "max(-low, high) <= 255", "max(-low, high) <= 127"),
    "widths: mixed fits 255": (WIDTHS, weight_bits, "high <= 254 if mixed", "high <= 127 if mixed"),
    "widths: zero bits up to 4": (WIDTHS, weight_bits, "LARGEST_DIVISOR = 8", "LARGEST_DIVISOR = 2"),
    "widths: no bit for the sign": (WIDTHS, weight_bits, "(_zero_bits(w) - mixed)", "_zero_bits(w)"),
    "widths: loihi2 floors": (WIDTHS, weight_bits, "(8 - bits + mixed)", "(8 - bits)"),
    "registers: u + bias does not wrap": (
        REGISTERS,
        neuron_euler,
        "overflowed(u + bias, c.state_bits, c.drive_overflow)",
        "u + bias",
    ),
    "registers: limits after the reset only": (
        REGISTERS,
        neuron_euler,
        "return limited(c, overflowed(v, c.state",
        "return (overflowed(v, c.state",
    ),
    "registers: no lower limit": (REGISTERS, neuron_euler, "if c.membrane_minimum is not None", "if False"),
    "registers: no upper limit": (REGISTERS, neuron_euler, "c.membrane_maximum is None", "True"),
    "decay: no offset": (FUNCTIONS, nengo, "kept = DECAY_ONE - offset", "kept = DECAY_ONE - 0 * offset"),
    "decay: floor": (FUNCTIONS, nengo, '"toward_zero"', '"floor"'),
    "decay: loss of one half": (FUNCTIONS, nengo, "LOSS = 0.494", "LOSS = 0.5"),
    "overflow: sign counts": (FUNCTIONS, nengo, "wrap(given, bits + 1)", "wrap(given, bits)"),
    "bias: exponent from 4096": (
        FUNCTIONS,
        nengo,
        "BIAS_MANTISSA, BIAS_EXPONENT = 4095",
        "BIAS_MANTISSA, BIAS_EXPONENT = 4096",
    ),
    "bias: mantissa floors": (FUNCTIONS, nengo, "np.rint(given / 2.0**exponent)", "np.floor(given / 2.0**exponent)"),
    "weights: one rounding": (FUNCTIONS, nengo, "if up < 0:", "if False:"),
    "weights: floor": (FUNCTIONS, nengo, "np.rint(given / 2)", "np.floor(given / 2)"),
    "weights: 128 is allowed": (FUNCTIONS, nengo, "top, up = 127", "top, up = 120"),
    "noise: one value more": (NOISE, nengo, "randint(-127, 128", "randint(-128, 128"),
    "noise: offset is not scaled": (NOISE, nengo, "+ 64 * offset) * 2.0", "+ offset) * 2.0"),
    "noise: exponent": (NOISE, nengo, "offset) * 2.0 ** (exponent - 7)", "offset) * 2.0 ** (exponent - 6)"),
    "blocks: decays in float64": (
        BLOCKS,
        nengo_block,
        "block.decay_u * np.float32(4095) - np.float32(1)",
        "block.decay_u * 4096.0 - 1",
    ),
    "blocks: decay_u has no offset": (BLOCKS, nengo_block, "- np.float32(1), 0, 4095)", ", 0, 4095)"),
    "blocks: threshold off the grid": (
        BLOCKS,
        nengo_block,
        "mantissa << 6",
        "np.rint(block.threshold * scales.membrane).astype(np.int64)",
    ),
    "blocks: filters are not scaled": (BLOCKS, nengo_block, "if block.scale_u else", "if not block.scale_u else"),
    "blocks: both decays alike": (
        BLOCKS,
        nengo_block,
        "decay_magnitude(decay_u, offset=1)",
        "decay_magnitude(decay_u, offset=0)",
    ),
    "blocks: weights up to 256": (BLOCKS, nengo_block, "255.0 / largest", "256.0 / largest"),
    "blocks: bias may overflow": (BLOCKS, nengo_block, "<= BIAS_MAX):", "<= 2 * BIAS_MAX):"),
    "blocks: smaller synapses keep the exponent": (
        BLOCKS,
        nengo_block,
        "down = int(np.floor(np.log2(scales.largest_weight / own)))",
        "down = 0",
    ),
    "blocks: limits are floored": (
        BLOCKS,
        nengo_block,
        "np.rint(np.log2(1 - minimum * scale))",
        "np.floor(np.log2(1 - minimum * scale))",
    ),
}
CONSUMERS = (execute, kinds_graded, kinds_nengo, nengo_block, neuron_atrlif, neuron_graded)


def differing(vector: str) -> int:
    """How many quantities of the vector differ; a replay that breaks counts too."""
    try:
        tally = golden_kinds.replay(vector, read(VECTORS / f"{vector}.npz"))
    except AssertionError:
        return 1
    assert tally.compared > 0
    return len(tally.mismatches)


def infect(module: types.ModuleType, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the functions of a changed source wherever those of the module are used."""
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{module.__name__} holds {old!r} {source.count(old)} times"
    changed: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(old, new), module.__name__, "exec"), changed)
    for name, value in changed.items():
        if not inspect.isfunction(value) or value.__module__ != module.__name__:
            continue
        original = getattr(module, name)
        for user in (module, *CONSUMERS):
            if getattr(user, name, None) is original:
                monkeypatch.setattr(user, name, value)


@pytest.mark.parametrize("vector", [VARIANTS, SIGMA_DELTA, WIDTHS, REGISTERS, FUNCTIONS, BLOCKS, NOISE])
def test_what_is_not_changed_differs_nowhere(vector: str) -> None:
    assert differing(vector) == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector, module, old, new = MUTANTS[name]
    infect(module, old, new, monkeypatch)
    assert differing(vector) > 0


CHIP: dict[str, dict[str, Any]] = {
    "sum of weights has a bit more": {"accumulator_bits": 23},
    "sum of weights saturates": {"accumulator_overflow": "saturate"},
    "current wraps once": {"current_overflow": "wrap_once", "accumulator_bits": 32},
    "current saturates": {"current_overflow": "saturate"},
    "drive saturates": {"drive_overflow": "saturate"},
    "drive is Lava's": {"drive_overflow": None},
    "membrane wraps": {"membrane_overflow": "wrap"},
    "decays floor": {"decay_rounding": "floor"},
}


@pytest.mark.parametrize("name", CHIP)
def test_wrong_register_of_the_chip_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds_nengo, "CHIP", replace(conventions.CHIP, **CHIP[name]))
    assert differing(REGISTERS) > 0


def test_noise_on_the_other_port_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    original = kinds_nengo.run

    def swapped(graph: Any, x: Any, added: Any = None) -> Any:
        other = {"x": "drive", "drive": "x"}
        return original(graph, x, added and {(node, other[port]): noise for (node, port), noise in added.items()})

    monkeypatch.setattr(kinds_nengo, "run", swapped)
    assert differing(NOISE) > 0
