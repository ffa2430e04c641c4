"""The tables that the kernels read: names of their 64-bit fields in the order of ``kernels/types.h``."""

from __future__ import annotations

from typing import Final

POPULATION: Final = (
    "kind", "n", "first", "extra", "latency", "restart", "ternary", "numbers", "way", "ways", "tile", "tiles", "tiled",
    "acc", "receptors", "shift", "fused", "mode", "rounding", "reset", "each", "frac_u", "frac_v", "frac_g", "ku32",
    "kv32", "bias32", "fire32", "high32", "to32", "init32", "register_bits", "state_bits", "acc_bits", "acc_policy",
    "u_policy", "v_policy", "drive_policy", "minimum", "maximum", "ge", "reset_delay", "reset_u", "refractory",
    "state_frac", "ku", "kv", "bias", "high", "low", "to", "init", "gain_u", "gain", "rest", "step_ku", "step_kv",
    "step_bias", "step_high", "step_low", "step_to", "step_init", "step_gain_u", "step_gain", "step_rest",
)  # fmt: skip
WAY: Final = (
    "kind", "source", "delay", "receptor", "n_in", "numbers", "offset", "limit", "data", "index", "start", "from",
    "table", "delta", "frame", "chunk", "bits", "made_h", "made_w", "made_c", "padded_c", "stride", "origin", "fan",
    "channels",
)  # fmt: skip
PORT: Final = (
    "run", "given", "given_sample", "given_step", "forced", "forced_sample", "forced_step", "out", "state0", "state1",
    "state2", "state_bits", "extra_x", "extra_drive", "range", "consumed", "binary", "stream",
)  # fmt: skip
CALL: Final = (
    "populations", "ways", "pops_at", "ways_at", "groups", "members", "ports", "group", "group_end", "begin", "end",
    "steps", "chunk", "scratch", "counts",
)  # fmt: skip
LEARN: Final = (
    "what", "pre", "post", "epoch", "room", "w", "t", "d", "x", "y", "last_pre", "last_post", "given", "heard", "sent",
    "payload", "ports", "waits", "reads", "uses", "place", "early", "ends", "wide", "counted", "threshold", "face0",
    "face1", "face2", "face3", "floors", "limits", "whole0", "whole1", "whole2", "whole3", "whole4", "part0", "part1",
    "part2", "part3", "part4", "kick0", "kick1", "products", "factors", "first0", "first1", "first2", "count0",
    "count1", "count2", "low0", "low1", "low2", "high0", "high1", "high2", "low_part0", "low_part1", "low_part2",
    "high_part0", "high_part1", "high_part2", "x_past", "y_past", "own", "gathered", "columns", "out", "spiked_mask",
    "fired_mask", "fired",
)  # fmt: skip
PRODUCT: Final = ("dependency", "mantissa", "shift", "left", "factor", "factors")
FACTOR: Final = ("variable", "constant", "sign", "low", "high")
FEED: Final = ("source", "delay", "n_in", "where", "weights")
UNIT: Final = (
    "n", "inputs", "fixed", "shift", "feed", "feeds", "sent", "room", "spare", "learning", "learns", "rolls", "up",
    "bias", "third", "post", "full", "counted", "population", "u", "v", "hold", "last", "state0", "state1",
)  # fmt: skip
LESSON: Final = ("units", "units_at", "feeds", "steps", "late")
TABLES: Final = (POPULATION, WAY, PORT, CALL, LEARN, PRODUCT, FACTOR, FEED, UNIT, LESSON)
POPULATION_ARRAYS: Final = (
    "ku32", "kv32", "bias32", "fire32", "high32", "to32", "init32", "ku", "kv", "bias", "high", "low", "to", "init",
    "gain_u", "gain", "rest",
)  # fmt: skip
"""Fields that are addresses: a prepared plan keeps the number of an array there, 0 for none."""
WAY_ARRAYS: Final = ("data", "index", "start", "table", "delta", "fan")

GIVEN, EULER, CLOSED, CONSTANT, SINGLE = range(5)
DENSE8, DENSE16, DENSE32, CONV16, SPARSE32, VECTOR, CONV8, TABLE16 = range(8)
OVERFLOWS: Final = {
    "saturate": 0, "saturate_symmetric": 1, "wrap": 2, "wrap_once": 3, "refuse": 4, None: 5,
}  # fmt: skip
ROUNDINGS: Final = {"toward_zero": 0, "floor": 1, "nearest_even": 2}
RESETS: Final = {"zero": 0, "value": 0, "subtract": 1, "none": 2}
FREE, LAVA, CLIPPED = range(3)
LEFT_WIDTH, NOT_SPIKES = 1, 2
EVER: Final = 1 << 62
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
