"""``[learning.<projection>]`` of snnc.toml as values, and the same from Python.

[learning.hidden]
rule = "pair-stdp"
A_plus = 0.01            # in the unit of the weights
tau_plus = 20.0          # steps, or ms with time_unit = "ms" and dt
t_epoch = 1

[learning.hidden.phases.sleep]
rule = "weight-decay"
rate = 0.01
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from snnc.errors import ConfigError, InputError, UnsupportedError, unknown
from snnc.ir import Affine, Conv
from snnc.ir.graph import Network
from snnc.learning.account import LearningOptions
from snnc.learning.library import NAMES, build, combine, parameters_of
from snnc.learning.rule import Rule

OPTIONS = {one.name: one.default for one in fields(LearningOptions)}


@dataclass(frozen=True)
class LearningConfig:
    """How one projection learns.

    Attributes:
        projection: name of the node that holds the weights.
        rule: what happens to them.
        options: how it is brought to a chip.
        table: as it was written.
    """

    projection: str
    rule: Rule
    options: LearningOptions = field(default_factory=LearningOptions)
    table: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """The table as it was written, JSON-ready; :func:`parse_learning` reads it again."""
        return _copied(self.table)


def configure(projection: str, **keys: Any) -> LearningConfig:
    """The Python form of ``[learning.<projection>]``: the same keys, the same checks.

    Raises:
        ConfigError: as :func:`parse_learning`.
    """
    return _one(f"[learning.{projection}]", projection, keys)


def parse_learning(data: Mapping[str, Any], where: str = "snnc.toml") -> tuple[LearningConfig, ...]:
    """All projections that learn.

    Args:
        data: projection -> its table.
        where: file, for messages.

    Raises:
        ConfigError: unknown rule or key (names the nearest), wrong type, or a rule that cannot exist.
    """
    found = []
    for name, table in data.items():
        if not isinstance(table, Mapping):
            example = f"write [learning.PROJECTION] and {name} = {table!r} below it"
            raise ConfigError(f"{where}: [learning] holds one table for each projection that learns; {example}")
        found.append(_one(f"{where}: [learning.{name}]", name, table))
    return tuple(found)


def check_projections(learning: Iterable[LearningConfig], network: Network) -> None:
    """Refuses rules on what is not there or cannot learn.

    Raises:
        InputError: the network has no such projection; names the nearest.
        UnsupportedError: its weights are shared by many synapses (convolutions).
    """
    nodes = {node.name: node for node in network.nodes}
    dense = [name for name, node in nodes.items() if isinstance(node, Affine)]
    for one in learning:
        node = nodes.get(one.projection)
        if isinstance(node, Conv):
            raise UnsupportedError(
                f"[learning.{one.projection}]: a convolution's weight is shared by many synapses, and no chip here "
                f"learns shared weights; projections that can learn: {', '.join(dense) or 'none'}"
            )
        if node is None or one.projection not in dense:
            what = "projection that learns" if node is None else f"projection (it is a {type(node).__name__})"
            raise InputError(f"[learning.{one.projection}]: {unknown(what, one.projection, dense)}")


def _one(where: str, projection: str, table: Mapping[str, Any]) -> LearningConfig:
    try:
        rule, options = _rule(where, table, phase="")
        for phase, inner in _phases(where, table).items():
            bounds = {"w_min": rule.w_min, "w_max": rule.w_max}
            second, _ = _rule(f"{where}.phases.{phase}", {**bounds, **inner}, phase=phase)
            rule = combine(rule, second, phase)
        return LearningConfig(projection, rule, options, _copied(table))
    except ConfigError:
        raise
    except InputError as error:
        raise ConfigError(f"{where}: {error.message}", violations=error.violations) from None


def _phases(where: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    found = table.get("phases", {})
    if not isinstance(found, Mapping) or not all(isinstance(inner, Mapping) for inner in found.values()):
        raise ConfigError(f"{where}: phases is one table for each phase, such as phases.sleep, not {found!r}")
    return found


def _rule(where: str, table: Mapping[str, Any], phase: str) -> tuple[Rule, LearningOptions]:
    name = table.get("rule")
    if not isinstance(name, str):
        listed = ", ".join(NAMES)
        found = "is missing" if name is None else f"is a name, not {name!r}"
        raise ConfigError(f"{where}: rule {found} ({listed})")
    if name not in NAMES:
        raise ConfigError(f"{where}: {unknown('learning rule', name, NAMES)}")
    own = parameters_of(name)
    options = {} if phase else OPTIONS
    known = ["rule", *own, *(key for key in options if key not in own), *([] if phase else ["phases"])]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: unknown key {key!r}; the nearest is {near!r} ({', '.join(known)})")
    rule = build(name, **{key: table[key] for key in own if key in table})
    chosen = {key: _typed(where, key, table[key], default) for key, default in options.items() if key in table}
    return rule, LearningOptions(**chosen)


def _typed(where: str, key: str, value: Any, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if default is MISSING or type(value) is not type(default):
        raise ConfigError(f"{where}: {key} is {type(default).__name__}, not {value!r}")
    return value


def _copied(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in table.items()}
