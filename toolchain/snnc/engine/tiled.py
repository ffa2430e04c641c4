"""Dense weights that are kept as the kernels read them; the plain matrix is made again when somebody asks for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from snnc.engine import packed_weights as weights
from snnc.engine.layout import DENSE8, DENSE16, DENSE32, VECTOR
from snnc.engine.plan import Dense, Plan, Population, Way, narrowest
from snnc.ir import IntArray

BITS = {DENSE8: 8, DENSE16: 16}
KIND = {bits: kind for kind, bits in BITS.items()}
WORDS: dict[int, type[np.signedinteger]] = {8: np.int16, 16: np.int32}
NOT_DENSE = -1


class Tiled(Dense):
    """A dense operator in tiles of interleaved rows, see ``kernels/rows.h``.

    Args:
        data: [tiles, neurons of the source, tile / 2] words of two weights.
        neurons: of the target.
        bits: of a weight: 8 or 16.
        tile: neurons of a tile.
        low, high: smallest and largest weight, 0 included.
    """

    data: npt.NDArray[np.signedinteger]
    neurons: int
    bits: int
    tile: int
    low: int
    high: int

    def __init__(
        self, data: npt.NDArray[np.signedinteger], neurons: int, bits: int, tile: int, low: int, high: int
    ) -> None:
        given = {"data": data, "neurons": neurons, "bits": bits, "tile": tile, "low": low, "high": high}
        vars(self).update(given)

    @property
    def shape(self) -> tuple[int, int]:
        """(neurons of the target, neurons of the source)."""
        return self.neurons, self.data.shape[1]

    @property
    def whole(self) -> bool:
        """Whether the numbers belong together; the kernels ask nothing."""
        tiles = -(-self.neurons // self.tile) if self.tile > 0 else -1
        shaped = self.bits in WORDS and self.data.dtype == WORDS[self.bits] and self.tile % 16 == 0
        spanned = self.low <= 0 <= self.high and self.high - self.low < 1 << self.bits
        return shaped and spanned and self.data.ndim == 3 and self.data.shape[::2] == (tiles, self.tile // 2)

    @cached_property
    def weight(self) -> IntArray:
        """[neurons of the target, neurons of the source], in the smallest integer type that holds it."""
        rows = weights.taken_apart(self.data, self.bits) + weights.offset_of(self.low, self.high, self.bits)
        matrix = rows.transpose(0, 2, 1).reshape(-1, self.data.shape[1])[: self.neurons]
        return np.ascontiguousarray(matrix, dtype=narrowest(self.low, self.high))


def span(op: Dense) -> tuple[int, int]:
    """Smallest and largest weight, 0 included."""
    return (op.low, op.high) if isinstance(op, Tiled) else weights.span(op.weight)


def kind_of(plan: Plan, way: Way) -> int:
    """How the kernels keep the weights of a way; ``NOT_DENSE`` for what is not dense."""
    source, op = plan.populations[way.source], way.operator
    if source.kind == "constant":
        return VECTOR
    if not isinstance(op, Dense):
        return NOT_DENSE
    return DENSE32 if source.numbers else weights.dense_kind(*span(op))


def tile_of(plan: Plan, p: Population, kinds: list[int]) -> int:
    """Neurons of a tile of the dense ways into a population; 0 if there are none."""
    dense = [kind for kind in kinds if kind in BITS]
    if not dense:
        return 0
    sources = max(plan.populations[way.source].size for way in p.ways)
    return weights.tile_width(p.size, sources * (2 if DENSE16 in dense else 1))


def tiled(plan: Plan) -> Plan:
    """The plan with its dense weights as the kernels will read them."""
    return replace(plan, populations=tuple(_tiled(plan, p) for p in plan.populations))


def _tiled(plan: Plan, p: Population) -> Population:
    kinds = [kind_of(plan, way) for way in p.ways]
    tile = tile_of(plan, p, kinds)
    return replace(p, ways=tuple(_way(way, kind, tile) for way, kind in zip(p.ways, kinds, strict=True)))


def _way(way: Way, kind: int, tile: int) -> Way:
    op = way.operator
    if kind not in BITS or isinstance(op, Tiled) or not isinstance(op, Dense):
        return way
    made = Tiled(weights.rows_of(op.weight, BITS[kind], tile), len(op.weight), BITS[kind], tile, *span(op))
    return replace(way, operator=made)
