"""A plan as a file: an .npz without compression whose header is JSON. The same plan gives the same bytes.

Reading checks names, shapes and ranges of what it finds, but walks over no weights: whoever stores the file hashes it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from snnc.engine.checks import check_steps, check_ways
from snnc.engine.plan import (
    Bound,
    Chain,
    Convolution,
    Dense,
    Group,
    Kind,
    Plan,
    Population,
    Sparse,
    Way,
)
from snnc.engine.tiled import Tiled, tiled
from snnc.errors import IntegrityError, SnncError
from snnc.ir import Conventions
from snnc.trace import DAMAGE, MAX_BYTES

Array = npt.NDArray[Any]
VERSION = 2
OPERATORS: dict[str, type[Any]] = {"dense": Dense, "tiled": Tiled, "convolution": Convolution, "sparse": Sparse}
ARRAYS = {
    "dense": ("weight",), "tiled": ("data",), "convolution": ("weight", "place"), "sparse": ("start", "index", "value"),
}  # fmt: skip
TILE = ("neurons", "bits", "tile", "low", "high")
NUMBERS = ("given", "made", "stride", "padding", "dilation")
WRONG = (*DAMAGE, KeyError, TypeError, AttributeError, IndexError, UnicodeDecodeError, RecursionError, SnncError)


def write(plan: Plan) -> bytes:
    """The plan as the content of a file; dense weights lie in it as the kernels read them."""
    plan = tiled(plan)
    arrays: dict[str, Array] = {}
    head = {
        "version": VERSION, "target": plan.target, "conventions": asdict(plan.conventions), "digest": plan.digest,
        "depth": plan.depth, "populations": [_write(i, p, arrays) for i, p in enumerate(plan.populations)],
        "groups": [[list(group.members), group.loop] for group in plan.groups],
    }  # fmt: skip
    text = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    arrays["head"] = np.frombuffer(text, dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **{key: arrays[key] for key in sorted(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()


def read(content: bytes, digest: str | None = None) -> Plan:
    """The plan in a file.

    Args:
        content: of the file.
        digest: of the graph that the plan has to be of; None: any.

    Raises:
        IntegrityError: the file is damaged, is no plan, or is the plan of another graph.
    """
    try:
        found = _read(_unpacked(content))
    except WRONG as error:
        raise IntegrityError(f"the plan is damaged: {type(error).__name__}: {error}") from error
    if digest is not None and found.digest != digest:
        raise IntegrityError(f"the plan is of the graph {found.digest[:12]}, the folder's is {digest[:12]}")
    return found


def _write(number: int, p: Population, arrays: dict[str, Array]) -> dict[str, Any]:
    def keep(key: str, array: Array) -> str:
        name = f"{number}/{key}"
        arrays[name] = array
        return name

    return {
        "name": p.name, "kind": p.kind, "shape": list(p.shape), "latency": p.latency, "first": p.first,
        "extra": p.extra, "restart": p.restart, "numbers": p.numbers, "shift": p.shift, "options": dict(p.options),
        "order": None if p.order is None else keep("order", p.order),
        "params": {key: keep(f"params/{key}", value) for key, value in sorted(p.params.items())},
        "ways": [_write_way(way, f"{number}/ways/{i}", arrays) for i, way in enumerate(p.ways)],
        "chains": [_write_chain(chain, f"{number}/chains/{i}", arrays) for i, chain in enumerate(p.chains)],
        "bounds": [[bound.low, bound.high, bound.peak] for bound in p.bounds],
    }  # fmt: skip


def _write_way(way: Way, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    kind = next(name for name, cls in OPERATORS.items() if type(way.operator) is cls)
    entry: dict[str, Any] = {"source": way.source, "delay": way.delay, "receptor": way.receptor, "kind": kind}
    for key in ARRAYS[kind]:
        arrays[f"{prefix}/{key}"] = getattr(way.operator, key)
        entry[key] = f"{prefix}/{key}"
    if isinstance(way.operator, Tiled):
        entry |= {key: getattr(way.operator, key) for key in TILE}
    if isinstance(way.operator, Convolution):
        entry |= {key: getattr(way.operator, key) for key in (*NUMBERS, "groups")}
    return entry


def _write_chain(chain: Chain, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    from snnc.ir.serial import describe_node  # most plans have no chain, and start sooner without nodes

    own: dict[str, Array] = {}
    nodes = [describe_node(node, own) for node in chain.nodes]
    arrays.update({f"{prefix}/{key}": value for key, value in own.items()})
    edges = [list(edge) for edge in chain.edges]
    return {"nodes": nodes, "edges": edges, "drive": chain.drive, "receptors": chain.receptors, "prefix": prefix}


def _unpacked(content: bytes) -> dict[str, Array]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_BYTES:
        raise IntegrityError(f"{size} bytes unpacked, at most {MAX_BYTES} are read")
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    for array in arrays.values():
        if array.dtype.kind not in "iuf":
            raise IntegrityError(f"an array of {array.dtype}, allowed are numbers")
        array.setflags(write=False)
    return arrays


def _read(arrays: Mapping[str, Array]) -> Plan:
    head = json.loads(arrays["head"].tobytes().decode())
    if head["version"] != VERSION:
        raise IntegrityError(f"the plan's version is {head['version']}, this snnc reads {VERSION}; compile again")
    populations = tuple(_population(entry, arrays) for entry in head["populations"])
    groups = tuple(Group(tuple(map(int, members)), bool(loop)) for members, loop in head["groups"])
    if sorted(i for group in groups for i in group.members) != list(range(len(populations))):
        raise IntegrityError("the groups do not hold every population once")
    conventions = Conventions(**head["conventions"])
    check_ways(populations)
    check_steps(populations, conventions.membrane)
    return Plan(str(head["target"]), conventions, str(head["digest"]), int(head["depth"]), populations, groups)


def _population(entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> Population:
    if entry["kind"] not in get_args(Kind):
        raise IntegrityError(f"a population of the kind {entry['kind']!r}")
    order = None if entry["order"] is None else arrays[entry["order"]]
    found = Population(
        str(entry["name"]), entry["kind"], tuple(map(int, entry["shape"])), order, int(entry["latency"]),
        int(entry["first"]), int(entry["extra"]), None if entry["restart"] is None else int(entry["restart"]),
        bool(entry["numbers"]), {key: arrays[name] for key, name in entry["params"].items()}, entry["options"],
        tuple(_way(way, arrays) for way in entry["ways"]), tuple(_chain(chain, arrays) for chain in entry["chains"]),
        int(entry["shift"]), tuple(Bound(*map(int, bound)) for bound in entry["bounds"]),
    )  # fmt: skip
    for key, value in found.params.items():
        if value.dtype != np.int64 or value.shape not in ((), (found.size,)):
            raise IntegrityError(f"{found.name}.{key} is {value.dtype} {value.shape}")
    if order is not None and not np.array_equal(np.sort(order), np.arange(found.size)):
        raise IntegrityError(f"{found.name}: the engine order is no permutation")
    return found


def _way(entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> Way:
    kind = entry["kind"]
    parts = [arrays[entry[key]] for key in ARRAYS[kind]]
    if any(part.dtype.kind != "i" for part in parts):
        raise IntegrityError(f"weights of {[str(part.dtype) for part in parts]}, allowed are signed integers")
    more: dict[str, Any] = {}
    if kind == "tiled":
        more = {key: int(entry[key]) for key in TILE}
    elif kind == "convolution":
        more = {key: tuple(map(int, entry[key])) for key in NUMBERS} | {"groups": int(entry["groups"])}
    return Way(*_ends(entry), OPERATORS[kind](*parts, **more))


def _ends(entry: Mapping[str, Any]) -> tuple[int, int, int]:
    return int(entry["source"]), int(entry["delay"]), int(entry["receptor"])


def _chain(entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> Chain:
    from snnc.ir.restore import rebuild_node

    prefix = f"{entry['prefix']}/"
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    nodes = tuple(rebuild_node(node, own) for node in entry["nodes"])
    edges = tuple((str(a), str(b), int(d)) for a, b, d in entry["edges"])
    return Chain(nodes, edges, bool(entry["drive"]), int(entry["receptors"]))
