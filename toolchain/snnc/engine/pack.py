"""A plan prepared for the kernels: two tables of integers and the arrays that they point at. Storable as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnc.engine import packed_tables as tables
from snnc.engine import packed_weights as weights
from snnc.engine import tiled
from snnc.engine.layout import (
    CLOSED,
    CONSTANT,
    DENSE16,
    DENSE32,
    EULER,
    GIVEN,
    HIGHEST,
    LOWEST,
    OVERFLOWS,
    POPULATION,
    RESETS,
    ROUNDINGS,
    SINGLE,
    VECTOR,
    WAY,
)  # fmt: skip
from snnc.engine.plan import Convolution, Dense, Plan, Population, Way
from snnc.engine.proofs import proof
from snnc.errors import UnsupportedError
from snnc.ir import Conventions

Array = npt.NDArray[Any]
PIECE = 64
"""Arrays over neurons are filled up to a multiple of this."""


@dataclass(frozen=True, eq=False)
class Pack:
    """What the kernels execute.

    Attributes:
        arrays: name -> array: the tables ``populations`` and ``ways`` [entries, fields], ``groups`` [groups, 3],
            ``members``, and numbered arrays, which the tables name by number (0: none).
    """

    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", MappingProxyType(dict(self.arrays)))


def pack(plan: Plan) -> Pack:
    """Prepares a plan.

    Raises:
        UnsupportedError: a weight has more than 32 bits.
    """
    return Packer(plan).pack()


class Packer:
    """Collects tables and arrays."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.c = plan, plan.conventions
        self.data: list[Array] = []
        self.populations: list[list[int]] = []
        self.ways: list[list[int]] = []
        self.looped = {k for group in plan.groups if group.loop for k in group.members}

    def pack(self) -> Pack:
        """All of it."""
        for index, population in enumerate(self.plan.populations):
            self.populations.append(_row(POPULATION, self.population(index, population)))
        members = [k for group in self.plan.groups for k in group.members]
        groups, at = [], 0
        for group in self.plan.groups:
            groups.append((at, len(group.members), int(group.loop)))
            at += len(group.members)
        tables = {
            "populations": np.array(self.populations, dtype=np.int64).reshape(-1, len(POPULATION)),
            "ways": np.array(self.ways, dtype=np.int64).reshape(-1, len(WAY)),
            "groups": np.array(groups, dtype=np.int64).reshape(-1, 3),
            "members": np.array(members, dtype=np.int64),
        }
        return Pack(tables | {str(k + 1): array for k, array in enumerate(self.data)})

    def keep(self, array: Array) -> int:
        """Number of an array in the pack."""
        self.data.append(np.ascontiguousarray(array))
        return len(self.data)

    def population(self, index: int, p: Population) -> dict[str, int]:
        """Fields of one population."""
        kind = _kind(p, self.c)
        found = {
            "kind": kind, "n": p.size, "first": p.first, "extra": p.extra, "latency": p.latency,
            "restart": -1 if p.restart is None else p.restart, "numbers": int(p.numbers), "receptors": 1,
            "ternary": int(kind == GIVEN or p.options.get("output") == "ternary"), "way": len(self.ways),
        }  # fmt: skip
        if kind in (GIVEN, CONSTANT):
            return found
        found |= {"receptors": 1 if kind == EULER else 2, "ways": len(p.ways), "shift": p.shift}
        kinds = [tiled.kind_of(self.plan, way) for way in p.ways]
        numbers = any(self.plan.populations[way.source].numbers for way in p.ways)
        found["acc"] = 64 if numbers else _accumulator(p, kinds)
        dense = [kind for kind in kinds if kind in tiled.BITS]
        if tile := tiled.tile_of(self.plan, p, kinds):
            found |= {"tile": tile, "tiles": -(-p.size // tile)}
        found["tiled"] = int(
            index not in self.looped and len(dense) + kinds.count(VECTOR) == len(kinds) and bool(dense)
        )
        for way, chosen in zip(p.ways, kinds, strict=True):
            self.ways.append(_row(WAY, self.way(way, chosen, p, found)))
        steps = {CLOSED: self.closed, SINGLE: self.single}.get(kind)
        return found | (self.euler(p, found["acc"]) if steps is None else steps(p))

    def way(self, way: Way, kind: int, p: Population, found: dict[str, int]) -> dict[str, int]:
        """Fields of one way."""
        source, op = self.plan.populations[way.source], way.operator
        if kind == VECTOR:
            scalars, arrays = weights.vector(op, p.size)
        elif isinstance(op, Dense):
            scalars, arrays = dense(op, kind, found.get("tile", 0))
        elif isinstance(op, Convolution) and not source.numbers and (bits := _frame_bits(op, p)):
            found16 = tables.table(op, weights.fan_out(op)) if bits == found["acc"] == 16 else None
            scalars, arrays = found16 or weights.conv(op, bits)
        else:
            scalars, arrays = weights.sparse(weights.expanded(op) if isinstance(op, Convolution) else op)
        return scalars | {key: self.keep(array) for key, array in arrays.items()} | {
            "source": way.source, "delay": way.delay, "receptor": way.receptor, "n_in": source.size,
            "numbers": int(source.numbers), "from": source.latency + way.delay,
        }  # fmt: skip

    def wide(self, p: Population, names: Mapping[str, str]) -> dict[str, int]:
        """Parameters as 64-bit arrays, or as one number that all neurons share."""
        found = {}
        for key, name in names.items():
            value = np.asarray(p.params.get(name, 0), dtype=np.int64)
            found[key] = self.keep(value.reshape(-1) if value.ndim == 0 else _filled(value, p.size, np.int64))
            found[f"step_{key}"] = int(value.ndim > 0)
        return found

    def closed(self, p: Population) -> dict[str, int]:
        """Fields of the closed-form step."""
        names = {
            "ku": "decay_u", "kv": "decay_v", "bias": "bias", "high": "threshold", "to": "v_reset", "init": "v_init",
            "gain_u": "gain_u", "gain": "gain", "rest": "v_rest",
        }  # fmt: skip
        o, c = p.options, self.c
        return self.wide(p, names) | {
            "fused": -1, "frac_u": int(o["decay_u_frac"]), "frac_g": int(o["gain_u_frac"]), "state_frac": c.state_frac,
            "state_bits": c.state_bits, "acc_bits": c.accumulator_bits, "ge": int(o["fires"] == "ge"),
            "refractory": int(o["refractory"]),
        }  # fmt: skip

    def single(self, p: Population) -> dict[str, int]:
        """Fields of the step in single precision: a number for each neuron."""
        names = {
            "ku": "decay_u", "kv": "decay_v", "bias": "bias", "high": "threshold", "to": "v_reset", "init": "v_init",
        }  # fmt: skip
        o, found = p.options, {}
        for key, name in names.items():
            value = np.ldexp(p.params[name].astype(np.float32), -int(o[f"{name}_frac"]))
            if key == "to" and o["reset_v"] != "value":
                value = np.zeros((), dtype=np.float32)
            found[key] = self.keep(_filled(value, p.size, np.float32))
        return found | {"fused": -1, "reset": RESETS[str(o["reset_v"])], "ge": int(o["fires"] == "ge")}

    def euler(self, p: Population, acc: int) -> dict[str, int]:
        """Fields of the euler step."""
        names = {
            "ku": "decay_u", "kv": "decay_v", "bias": "bias", "high": "threshold", "low": "threshold_low",
            "to": "v_reset", "init": "v_init",
        }  # fmt: skip
        o, c = p.options, self.c
        if o["reset_v"] != "value":
            p = replace(p, params=dict(p.params) | {"v_reset": np.zeros((), dtype=np.int64)})
        found = self.wide(p, names) | {
            "fused": -1, "rounding": ROUNDINGS[c.decay_rounding], "reset": RESETS[str(o["reset_v"])],
            "frac_u": int(o["decay_u_frac"]), "frac_v": int(o["decay_v_frac"]), "ge": int(o["fires"] == "ge"),
            "register_bits": c.register_bits, "state_bits": c.state_bits, "acc_bits": c.accumulator_bits,
            "acc_policy": OVERFLOWS[c.accumulator_overflow], "u_policy": OVERFLOWS[c.current_overflow],
            "v_policy": OVERFLOWS[c.membrane_overflow], "drive_policy": OVERFLOWS[c.drive_overflow],
            "minimum": LOWEST if c.membrane_minimum is None else c.membrane_minimum,
            "maximum": HIGHEST if c.membrane_maximum is None else c.membrane_maximum,
            "reset_delay": int(o["reset_delay"]), "reset_u": int(o["reset_u"]), "refractory": int(o["refractory"]),
        }  # fmt: skip
        known = proof(p, c)
        if known.steps < 0 or acc == 64:
            return found
        return found | {"fused": known.steps, "mode": known.mode} | self.narrow(p)

    def narrow(self, p: Population) -> dict[str, int]:
        """Parameters of the 32-bit step; all of them arrays if one of them differs between neurons."""
        low = int(p.options["fires"] == "ge")
        named = {
            "ku32": p.params["decay_u"], "kv32": p.params["decay_v"], "fire32": p.params["threshold"] - low,
            "high32": p.params["threshold"], "to32": p.params["v_reset"], "init32": p.params["v_init"],
        }  # fmt: skip
        each = any(np.ndim(value) for value in named.values())
        found = {
            key: self.keep(_filled(value, p.size, np.int32) if each else np.asarray(value, np.int32).reshape(-1))
            for key, value in named.items()
        }
        return found | {"bias32": self.keep(_filled(p.params["bias"], p.size, np.int32)), "each": int(each)}


def dense(op: Dense, kind: int, tile: int) -> weights.Packed:
    """A dense operator for the kernels; what was stored is taken as it is."""
    if kind not in tiled.BITS:
        return weights.wide(op)
    bits, span = tiled.BITS[kind], tiled.span(op)
    if isinstance(op, tiled.Tiled) and (op.bits, op.tile) == (bits, tile):
        data: Array = op.data
    else:
        data = weights.rows_of(op.weight, bits, tile)
    scalars = {"kind": kind, "offset": weights.offset_of(*span, bits), "limit": weights.limit_of(*span, bits)}
    return scalars, {"data": data}


def _row(fields: tuple[str, ...], values: Mapping[str, int]) -> list[int]:
    return [values.get(field, 0) for field in fields]


def _filled(value: Array, size: int, dtype: type[Any]) -> Array:
    """One number for each neuron, and zeros behind them: kernels work on whole vectors and whole tiles."""
    full = np.zeros((size // PIECE + 1) * PIECE + weights.WIDEST, dtype=dtype)
    full[:size] = value
    return full


def _kind(p: Population, c: Conventions) -> int:
    if p.kind == "constant":
        return CONSTANT
    if p.kind != "neuron":
        return GIVEN
    if p.shift < 0:
        raise UnsupportedError(f"{p.name}: the accumulator is shifted by {p.shift}, allowed is 0 or more")
    return {"closed_form": CLOSED, "float32": SINGLE}.get(c.membrane, EULER)


def _accumulator(p: Population, kinds: list[int]) -> int:
    """Bits of the accumulators: no partial sum in any order is beyond the peak."""
    if len(p.bounds) == 0:
        return 64
    peak = max(bound.peak for bound in p.bounds)
    if peak <= weights.INT16 and DENSE16 not in kinds and DENSE32 not in kinds:
        return 16
    return 32 if peak <= weights.INT32 else 64


def _frame_bits(op: Convolution, p: Population) -> int:
    """Bits of a frame in which a convolution is summed; 0: none of the kernels' widths holds it."""
    low, high = weights.span(op.weight)
    if low < -weights.INT16 - 1 or high > weights.INT16:
        return 0
    if p.bounds:
        peak = max(bound.peak for bound in p.bounds)
    else:
        share = int(np.bincount(op.place[op.place >= 0]).max(initial=0))
        peak = int(np.abs(op.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0)) * share
    if peak <= weights.INT16:
        return 16
    return 32 if peak <= weights.INT32 else 0
