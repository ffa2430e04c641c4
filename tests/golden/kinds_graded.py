"""Vectors of lava-nc 0.10.0 that hold numbers instead of spikes: sigma-delta neurons, and the weight bits they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from golden_base import Data, Kind, Tally, meta
from replay import LOIHI, fixed, given

from snnc.ir import Delta, Format, Sigma, SigmaDelta
from snnc_loihi.encoding import SignMode
from snnc_loihi.weight_bits import optimize_weight_bits

MODES: dict[int, SignMode] = {1: "mixed", 2: "excitatory", 3: "inhibitory"}


def sigma_delta(data: Data, tally: Tally) -> None:
    """Delta shifts its input up, SigmaDelta adds up what it is given as it is; both shift messages down."""
    for name, p in meta(data)["jobs"].items():
        up = p["spike_exp"] + p["state_exp"]
        unit = Format(40, -up)
        shape = data["a_in"].shape[:1]
        own: dict[str, Any] = {
            "shape": shape, "threshold": fixed(p["vth"], unit), "cum_error": p["cum_error"], "shift": p["state_exp"],
        }  # fmt: skip
        out = given(Delta("n", **own), data["a_in"], LOIHI, up)
        for key in ("s", "act", "residue", "error"):
            tally.same(f"{name}_delta_{key}", out[key], data[f"{name}_delta_{key}"])
        relu = SigmaDelta("n", **own, bias=fixed(p["sd_bias"], unit), activation="relu")
        out = given(relu, data["da_in"], LOIHI, 0)
        for key in ("s", "sigma", "act", "residue"):
            tally.same(f"{name}_sd_{key}", out[key], data[f"{name}_sd_{key}"])
        same = SigmaDelta("n", **own, bias=fixed(p["sdu_bias"], unit), activation="unit")
        tally.same(f"{name}_sdu_s", given(same, data["da_in"], LOIHI, 0)["s"], data[f"{name}_sdu_s"])
    total = given(Sigma("n", shape=data["da_in"].shape[:1]), data["da_in"], LOIHI, 0)
    tally.same("j0_sigma_s", total["s"], data["j0_sigma_s"])


def weight_bits(data: Data, tally: Tally) -> None:
    """Exponents and widths of whole matrices, for both chips."""
    for k, (mode, bits, exponent) in enumerate(data["params"].tolist()):
        got = optimize_weight_bits(data["w_in"][k], MODES[mode])
        tally.same(f"params[{k}]", [mode, got.num_weight_bits, got.weight_exp], [mode, bits, exponent])
        tally.same(f"w_out[{k}]", got.weights, data["w_out"][k])
        second = optimize_weight_bits(data["w_in"][k], MODES[mode], loihi2=True)
        tally.same(f"w_out_loihi2[{k}]", second.weights, data["w_out_loihi2"][k])


def _kind(name: str, check: Callable[[Data, Tally], None], needs: str) -> Kind:
    return Kind(name, frozenset(["meta", *needs.split()]), check)


KINDS = (
    _kind("lava_sigma_delta", sigma_delta, "a_in da_in j0_delta_s j0_sd_s j0_sdu_s j0_sigma_s"),
    _kind("lava_netx_weight_opt", weight_bits, "params w_in w_out w_out_loihi2"),
)
