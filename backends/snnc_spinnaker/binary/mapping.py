"""Maps a machine with sPyNNaker on a virtual board, in a child process whose HOME is a scratch folder."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snnc.errors import SnncError
from snnc_spinnaker.network import Machine, Population
from snnc_spinnaker.words import DELTA_FIELDS, EXP_FIELDS, NEURON_FIELDS

INSTALL = "Install both with `pip install 'snnc[spinnaker]'`."
SECONDS = 1200
Place = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class CoreSpec:
    """What one core is loaded with.

    Attributes:
        place: chip x, chip y, core p.
        kind: class of its machine vertex in the tools.
        name: of the population, empty if the tools added the core.
        first, size: which neurons of the population.
        key: of neuron 0, None if it sends nothing.
        colour_bits: lowest bits of a key, which hold the time.
        binary: program, None if it has none.
        expanders: programs to run before it, with the region each reads.
        recording: region that describes its recordings, None without.
        regions: region -> (size in bytes, content).
    """

    place: Place
    kind: str
    name: str
    first: int
    size: int
    key: int | None
    colour_bits: int
    binary: Path | None
    expanders: tuple[tuple[Path, int], ...]
    recording: int | None
    regions: Mapping[int, tuple[int, bytes]]


@dataclass(frozen=True)
class Route:
    """One entry of a chip's routing table: links and cores of packets with ``packet & mask == key``."""

    key: int
    mask: int
    links: tuple[int, ...]
    cores: tuple[int, ...]


@dataclass(frozen=True)
class Plasticity:
    """Pair STDP on one projection of a machine; amplitudes are written as they are, times are in steps of 1 ms.

    Attributes:
        projection: its number in the machine.
        kind: how a weight moves.
        tau_plus, tau_minus: time constants in ms.
        a_plus, a_minus: amplitudes; nA for ``additive``, fractions for ``multiplicative``.
        w_max, w_min: largest and smallest weight in nA.
    """

    projection: int
    kind: Literal["additive", "multiplicative"]
    tau_plus: float
    tau_minus: float
    a_plus: float
    a_minus: float
    w_max: float
    w_min: float = 0.0


@dataclass(frozen=True, eq=False)
class BoardSpec:
    """A mapped network.

    Attributes:
        steps: for how many it was mapped.
        cores: every core that runs for the network.
        routes: chip -> its routing table, first match wins.
        links: (x, y, link) -> chip at the other end.
    """

    steps: int
    cores: tuple[CoreSpec, ...]
    routes: Mapping[tuple[int, int], tuple[Route, ...]]
    links: Mapping[tuple[int, int, int], tuple[int, int]]


def demand_tools() -> None:
    """Checks that the optional packages are here.

    Raises:
        SnncError: one is missing.
    """
    missing = [name for name in ("spynnaker", "unicorn") if find_spec(name) is None]
    if missing:
        raise SnncError(f"the executor 'binary' needs the Python package {' and '.join(missing)}. {INSTALL}")


@lru_cache(maxsize=4)
def mapped(machine: Machine, steps: int, plastic: tuple[Plasticity, ...] = ()) -> BoardSpec:
    """Maps a machine; the last few are remembered.

    Args:
        machine: as lowered.
        steps: device steps it will run.
        plastic: projections that learn.

    Raises:
        SnncError: the tools are missing or refuse the network.
    """
    demand_tools()
    with tempfile.TemporaryDirectory(prefix="snnc-spinnaker-") as name:
        folder = Path(name)
        write_network(folder, machine, steps, plastic)
        _run_mapper(folder)
        return read_board(folder, steps)


def write_network(folder: Path, machine: Machine, steps: int, plastic: tuple[Plasticity, ...] = ()) -> None:
    """Writes what the mapper reads: ``network.json`` (structure) and ``network.npz`` (words and connections)."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    populations = []
    for number, population in enumerate(machine.populations):
        words = _words(population)
        arrays |= {f"n{number}.{key}": value for key, value in words.items()}
        populations.append({
            "id": f"n{number}", "name": population.name, "kind": population.words.kind, "size": population.words.size,
            "shift": population.ring_shift, "per_core": 1 << population.layout.neuron_bits, "words": list(words),
        })  # fmt: skip
    shifts = {population.name: population.ring_shift for population in machine.populations}
    rules = {rule.projection: asdict(rule) for rule in plastic}
    projections = []
    for number, projection in enumerate(machine.projections):
        links = projection.links
        arrays |= {f"p{number}.{key}": getattr(links, key) for key in ("pre", "post", "weight")}
        projections.append({
            "id": f"p{number}", "source": projection.source, "target": projection.target,
            "receptor": projection.receptor, "delay": projection.delay, "shift": shifts[projection.target],
            "rule": rules.get(number),
        })  # fmt: skip
    sources = [{"name": s.name, "size": s.size, "per_core": s.per_core} for s in machine.sources]
    plain = {"steps": steps, "sources": sources, "populations": populations, "projections": projections}
    (folder / "network.json").write_text(json.dumps(plain), encoding="utf-8")
    np.savez(folder / "network.npz", **arrays)  # type: ignore[arg-type]


def _words(population: Population) -> dict[str, npt.NDArray[Any]]:
    words = population.words
    synapse = EXP_FIELDS if words.kind == "exp" else DELTA_FIELDS
    columns = {key: words.neuron[:, column] for column, key in enumerate(NEURON_FIELDS)}
    columns |= {key: words.synapse[:, column] for column, key in enumerate(synapse) if key != "time_step"}
    return columns | {"threshold": words.threshold}


def _run_mapper(folder: Path) -> None:
    # Everything that could make the tools read or write the user's own settings points into the folder.
    scratch = dict.fromkeys(("HOME", "USERPROFILE"), str(folder))
    scratch |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"), str(folder / ".more"))
    command = [sys.executable, "-m", "snnc_spinnaker.binary.mapper", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, a module of ours and a folder of ours
            command, cwd=folder, env={**os.environ, **scratch, "MPLBACKEND": "agg"}, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SnncError(f"sPyNNaker did not map the network within {SECONDS} s") from error
    if done.returncode:
        note = folder / "error.txt"
        text = note.read_text(encoding="utf-8") if note.exists() else done.stderr
        reason = " ".join(text.split())[-1000:] or f"it ended with code {done.returncode}"
        raise SnncError(f"sPyNNaker cannot map the network on a virtual board: {reason}")


def read_board(folder: Path, steps: int) -> BoardSpec:
    """Reads what the mapper wrote, data specification included."""
    found = json.loads((folder / "board.json").read_text(encoding="utf-8"))
    written = next(iter(sorted(folder.glob("reports/*/run_1/ds.sqlite3"))), None)
    if written is None:
        raise SnncError("sPyNNaker wrote no data specification (reports/*/run_1/ds.sqlite3)")
    with closing(sqlite3.connect(written)) as database:
        regions: dict[Place, dict[int, tuple[int, bytes]]] = {}
        query = "select x, y, p, region_num, size, content from region"
        for x, y, p, number, size, content in database.execute(query):
            regions.setdefault((x, y, p), {})[number] = (size, content or b"")
    cores = tuple(_core(entry, regions) for entry in found["cores"])
    routes: dict[tuple[int, int], list[Route]] = {}
    for entry in found["routes"]:
        route = Route(entry["key"], entry["mask"], tuple(entry["links"]), tuple(entry["cores"]))
        routes.setdefault((entry["x"], entry["y"]), []).append(route)
    links = {(x, y, link): (to_x, to_y) for x, y, link, to_x, to_y in found["links"]}
    return BoardSpec(steps, cores, {chip: tuple(table) for chip, table in routes.items()}, links)


def _core(entry: Mapping[str, Any], regions: Mapping[Place, Mapping[int, tuple[int, bytes]]]) -> CoreSpec:
    place = (entry["x"], entry["y"], entry["p"])
    return CoreSpec(
        place=place,
        kind=entry["kind"],
        name=entry["name"],
        first=entry["first"],
        size=entry["size"],
        key=entry["key"],
        colour_bits=entry["colour_bits"],
        binary=None if entry["binary"] is None else Path(entry["binary"]),
        expanders=tuple((Path(path), region) for path, region in entry["expanders"]),
        recording=entry["recording"],
        regions=regions.get(place, {}),
    )
