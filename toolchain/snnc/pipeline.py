"""The corridor, one page: module -> Graph -> passes -> FixedGraph -> Program, with a witness at every door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from snnc.backend import Backend, Forecaster, Program, Registry
from snnc.config import Config
from snnc.errors import InputError, UnsupportedError, Violation, unknown
from snnc.evidence import Rung
from snnc.folder import GENERIC
from snnc.ir import FloatArray, Graph
from snnc.ladder import PassWitness
from snnc.learnfolder import Taught, bound, demand_unchanged, quantized_for
from snnc.learning import check_projections
from snnc.passes import DEFAULT, parse_passes
from snnc.passes.base import Applied, Pass, run_passes
from snnc.quantize.base import Quantized, QuantizeOptions
from snnc.quantize.calibrate import calibrate, rates
from snnc.sources import Source
from snnc.target import Target, check
from snnc.validation import Progress, quiet


@dataclass(frozen=True, eq=False)
class Build:
    """The network made for one target.

    Attributes:
        target, backend: for what and by whom.
        graph: float graph after the target's own passes; what the integers are compared with.
        quantized: the integers and their notes.
        program: lowered.
        history: passes that ran.
        taught: what the target makes of the rules by which projections learn.
    """

    target: Target
    backend: Backend
    graph: Graph
    quantized: Quantized
    program: Program
    history: tuple[Applied, ...]
    taught: Taught


@dataclass(frozen=True, eq=False)
class Compilation:
    """Everything that ``snnc compile`` makes."""

    source: Source
    config: Config
    graph: Graph
    history: tuple[Applied, ...]
    builds: tuple[Build, ...]
    rungs: tuple[Rung, ...]


def compile_source(source: Source, config: Config, registry: Registry, progress: Progress = quiet) -> Compilation:
    """Runs the corridor for every target.

    Raises:
        InputError: [learning] names a projection that the model does not have.
        UnsupportedError: with every violation of every target.
        NotEquivalentError: a pass did not keep its promise.
    """
    check_projections(config.learning, source.graph)
    reference = registry.reference
    witness = PassWitness(reference, source.samples.head(config.verify.samples).spikes)
    graph, history = run_passes(source.graph, common_passes(config), witness)
    chosen = dict.fromkeys((GENERIC, *config.compile.targets))
    asked = config.compile.targets or (GENERIC,)
    served = {name: registry.target(name) for name in chosen}
    prepared = {
        name: run_passes(graph, preparation(target, config.compile.allow), witness)
        for name, (_, target) in served.items()
    }
    demand_all(prepared, {name: target for name, (_, target) in served.items()})
    builds: list[Build] = []
    for index, (name, (backend, target)) in enumerate(served.items()):
        progress("quantize and lower", index, len(served))
        ready, own = prepared[name]
        demand_unchanged(source.graph, ready, config.learning, name)
        options = QuantizeOptions(config.compile.weight_bits or None, config.compile.per_channel)
        quantized = source.integers(target) if source.integers else None
        measured: Mapping[str, FloatArray] = {}
        if quantized is None:
            calibration = calibrate(ready, source.samples.spikes, reference.execute)
            quantized, measured = (
                quantized_for(target, ready, calibration, options, config.learning),
                rates(calibration),
            )
        quantized = overflowing(quantized, target, config.compile.overflow)
        program = lowered(quantized, target, backend, measured)
        taught = bound(target, quantized, config.learning, asked=name in asked)
        builds.append(Build(target, backend, ready, quantized, program, own, taught))
    progress("quantize and lower", len(served), len(served))
    return Compilation(source, config, graph, history, tuple(builds), (*source.rungs, *witness.rungs))


def lowered(quantized: Quantized, target: Target, backend: Backend, measured: Mapping[str, FloatArray]) -> Program:
    """The program, with a forecast from the measured rates where there are any and the back end makes one."""
    program = backend.lower(quantized.graph, target)
    return backend.forecast(program, measured) if measured and isinstance(backend, Forecaster) else program


def common_passes(config: Config) -> tuple[Pass, ...]:
    """Passes that every target gets: those of the configuration, or the default ones."""
    return parse_passes(config.compile.passes) if config.compile.passes else DEFAULT


def preparation(target: Target, allow: tuple[str, ...]) -> tuple[Pass, ...]:
    """Passes before the target's own: approximations that the user allowed and the target knows, then its own."""
    return (*(target.allowances[name] for name in allow if name in target.allowances), *target.prepare)


def overflowing(quantized: Quantized, target: Target, word: str) -> Quantized:
    """The integers under the conventions that the user chose, where the target has them."""
    if word not in target.variants:
        return quantized
    return replace(quantized, graph=replace(quantized.graph, conventions=target.variants[word]))


def check_overflow(config: Config, registry: Registry) -> None:
    """Refuses a reading of the registers that no target has, or none of those that are compiled for.

    Raises:
        InputError: names the nearest, or the targets that have it.
    """
    word = config.compile.overflow
    offered = {name: target.variants for name, (_, target) in registry.targets.items() if target.variants}
    known = {key: None for variants in offered.values() for key in variants}
    if word and word not in known:
        raise InputError(unknown("overflow", word, known))
    if word and not any(word in offered.get(name, ()) for name in config.compile.targets):
        able = ", ".join(name for name, variants in offered.items() if word in variants)
        raise InputError(f"overflow is {word!r}, but no target that is compiled for has it (those that do: {able})")


def check_allowed(allow: tuple[str, ...], registry: Registry) -> None:
    """Refuses an allowance that no target knows.

    Raises:
        InputError: names the nearest.
    """
    known = {name: None for _, target in registry.targets.values() for name in target.allowances}
    for name in allow:
        if name not in known:
            raise InputError(unknown("allowance", name, known))


def demand_all(prepared: dict[str, tuple[Graph, tuple[Applied, ...]]], targets: dict[str, Target]) -> None:
    """Raises one error with every violation of every target."""
    found: list[Violation] = []
    for name, (graph, _) in prepared.items():
        found += [replace(v, node=f"{name}: {v.node}") for v in check(graph, targets[name])]
    if found:
        blamed = ", ".join(dict.fromkeys(v.node.partition(":")[0] for v in found))
        raise UnsupportedError(f"this network does not run natively on {blamed}", violations=tuple(found))
