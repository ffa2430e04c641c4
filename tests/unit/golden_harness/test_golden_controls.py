"""Negative controls of rung 6: plausible wrong readings of the specification, each caught by some vector.

Every control breaks one thing in the executor or in the way it is driven, and demands that a vector notices. The
names in the first column say what was broken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_kinds
import kinds_loihi
import kinds_nengo
import numpy as np
import pytest
import replay
from golden_base import read

from snnc.errors import InputError
from snnc.ir import Conv, Fixed, IntArray, Neuron
from snnc.ir.fixed import saturate, shift_right
from snnc_loihi.encoding import encode
from snnc_reference import execute, neuron_euler

VECTORS = Path(__file__).resolve().parents[2] / "golden" / "vectors"
LOIHI = replay.LOIHI


def differing(vector: str) -> int:
    """How many quantities of the vector differ."""
    tally = golden_kinds.replay(vector, read(VECTORS / f"{vector}.npz"))
    assert tally.compared > 0
    return len(tally.mismatches)


def other_neuron(**change: Any) -> Any:
    """Lava's LIF with one thing different."""

    def build(*given: Any, **params: Any) -> Neuron:
        return replace(replay.lava_lif(*given, **params), **change)

    return build


def du_without_offset(name: str, shape: tuple[int, ...], du: int, *rest: Any, **more: Any) -> Neuron:
    return replay.lava_lif(name, shape, int(du) - 1, *rest, **more)


def input_before_decay(node: Neuron, c: Any, state: Any, x: IntArray, drive: Any = 0) -> Any:
    moved = neuron_euler.IntState(state.u + x, state.v, state.s, state.hold)
    return ORIGINAL_STEP(node, c, moved, np.zeros_like(x), drive)


def shift_first(y: IntArray, frac: int, unit: int) -> IntArray:
    up = unit - frac
    return y << up if up >= 0 else -((-y) >> -up)


def toward_zero(weights: Any, *form: Any, **more: Any) -> Fixed:
    got = encode(weights, *form, **more)
    step = 256 >> (got.format.bits - 1)
    return (
        Fixed(np.trunc(np.clip(weights, -256, 255) / step).astype(np.int64), got.format) if got.format.signed else got
    )


ORIGINAL_STEP = neuron_euler.step

CONVENTIONS = {
    "decay rounds to minus infinity": ("lava_lif_random", {"decay_rounding": "floor"}),
    "decay rounds to nearest": ("lava_lif_random", {"decay_rounding": "nearest_even"}),
    "current wraps as two's complement": ("lava_lif_cases", {"current_overflow": "wrap"}),
    "current saturates": ("lava_lif_cases", {"current_overflow": "saturate"}),
    "membrane wraps": ("lava_lif_cases", {"membrane_overflow": "wrap"}),
    "membrane saturates to the most negative number": ("lava_lif_cases", {"membrane_overflow": "saturate"}),
    "accumulator saturates": ("lava_lif_cases", {"accumulator_overflow": "saturate"}),
    "states are one bit narrower": ("lava_lif_cases", {"state_bits": 23}),
    "states run before the sample starts": ("lava_lif_random", {"aligned_start": False}),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_wrong_convention_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector, change = CONVENTIONS[name]
    assert differing(vector) == 0
    monkeypatch.setattr(kinds_loihi, "LOIHI", replace(LOIHI, **change))
    assert differing(vector) > 0


def unflipped(name: str, kernel: Any, p: dict[str, Any]) -> Conv:
    return ORIGINAL_CONV(name, kernel[:, ::-1, ::-1, :], p)


def one_step_late(weight: Fixed, delays: Any) -> Any:
    return [(node, delay + 1) for node, delay in ORIGINAL_SLOTS(weight, delays)]


def register_as_period(*given: Any) -> Neuron:
    cell = ORIGINAL_COMPARTMENTS(*given)
    return replace(cell, refractory=cell.refractory + 1)


ORIGINAL_CONV, ORIGINAL_SLOTS = kinds_loihi._conv, kinds_loihi._slots
ORIGINAL_COMPARTMENTS = kinds_nengo._compartments
CODE: dict[str, tuple[str, Any, str, Any]] = {
    "du has no offset of one": ("lava_lif_random", kinds_loihi, "lava_lif", du_without_offset),
    "fires at the threshold": ("lava_lif_cases", kinds_loihi, "lava_lif", other_neuron(fires="ge")),
    "reset subtracts": ("lava_lif_random", kinds_loihi, "lava_lif", other_neuron(reset_v="subtract")),
    "reset comes a step later": ("lava_lif_random", kinds_loihi, "lava_lif", other_neuron(reset_delay=1)),
    "reset takes the current too": ("lava_lif_random", kinds_loihi, "lava_lif", other_neuron(reset_u=True)),
    "refractory of one step": ("lava_lif_random", kinds_loihi, "lava_lif", other_neuron(refractory=1)),
    "refractory register is the period": ("nl_recurrent", kinds_nengo, "_compartments", register_as_period),
    "executor floors": ("lava_mlp_784_64_10", neuron_euler, "shift_right", lambda x, b, _: shift_right(x, b, "floor")),
    "executor adds input before the decay": ("lava_lif_random", neuron_euler, "step", input_before_decay),
    "registers have no 32 bits": ("lava_lif_cases", neuron_euler, "wrap", lambda x, _: x),
    "sum is shifted toward zero": ("lava_dense_random", execute, "_to_unit", shift_first),
    "sums saturate": ("lava_conv", neuron_euler, "overflowed", lambda x, b, _: saturate(x, b)),
    "weights truncate toward zero": ("lava_dense_random", kinds_loihi, "encode", toward_zero),
    "kernel is not flipped": ("lava_conv", kinds_loihi, "_conv", unflipped),
    "delays are one longer": ("lava_delay_dense", kinds_loihi, "_slots", one_step_late),
    "hops take two steps": ("lava_mlp_784_64_10", kinds_loihi, "LOIHI", replace(LOIHI, hop_delay=2)),
}


@pytest.mark.parametrize("name", CODE)
def test_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector, module, attribute, wrong = CODE[name]
    assert differing(vector) == 0
    monkeypatch.setattr(module, attribute, wrong)
    assert differing(vector) > 0


@pytest.mark.parametrize("engine", ["lava", "brian2"])
def test_encoding_keeps_weights_on_the_grid(engine: Any) -> None:
    for bits in (2, 5, 8):
        grid = np.arange(-256, 256, 1 << (9 - bits))
        assert encode(grid, "mixed", bits, 1, engine).aligned(0).tolist() == (grid << 7).tolist()


def test_encoding_differs_between_engines_off_the_grid() -> None:
    assert encode([-3, 3], "mixed").aligned(-6).tolist() == [-4, 2]
    assert encode([-3, 3], "mixed", engine="brian2").aligned(-6).tolist() == [-2, 2]


@pytest.mark.parametrize(
    "form", [{"num_weight_bits": 9}, {"num_weight_bits": 0}, {"weight_exp": 8}, {"weight_exp": -9}]
)
def test_encoding_refuses_forms_that_do_not_exist(form: dict[str, int]) -> None:
    with pytest.raises(InputError, match="1 to 8 bits"):
        encode([1], **form)


def test_encoding_refuses_floats() -> None:
    with pytest.raises(InputError, match="integers"):
        encode([0.5])
