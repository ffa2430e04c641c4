"""snnc.toml -> frozen dataclasses. An unknown key names the nearest one."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from snnc.errors import ConfigError
from snnc.learning.settings import LearningConfig, parse_learning

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 16
# A dotted key of n parts takes memory with the square of n while it is parsed.
MAX_LINE = 4096
NAME = "snnc.toml"
WORDS = {
    ("model", "reset"): ("", "subtract", "zero", "subtract-delayed", "zero-delayed"),
    ("model", "decay"): ("", "euler", "exact"),
    ("model", "fires"): ("", "gt", "ge"),
    ("convert", "norm"): ("data", "percentile", "balance", "none"),
    ("convert", "v_init"): ("half", "zero"),
    ("convert", "input"): ("direct", "rate", "poisson"),
}


@dataclass(frozen=True)
class CompileConfig:
    """``[compile]``: what to make.

    Attributes:
        targets: target names beside ``generic``, which is always made.
        weight_bits: 2 to 16; 0 takes each target's default.
        per_channel: one gain per output channel where a target allows it.
        passes: passes in order, with options as ``name{key=value}``; empty means the default order.
        allow: approximations that targets may use where they would refuse (see ``snnc targets show``).
        overflow: what registers do beyond their width, where a target has several readings (loihi1: ``lava`` or
            ``loihi``); empty takes each target's own.
    """

    targets: tuple[str, ...] = ()
    weight_bits: int = 0
    per_channel: bool = False
    passes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    overflow: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """``[model]``: what a file of another tool leaves open.

    Attributes:
        dt: seconds per step; 0 means that the file says it or needs none.
        reset: ``subtract`` or ``zero``, with ``-delayed`` one step late; empty means that the file says it.
        decay: ``euler`` (1 - dt/tau) or ``exact`` (exp(-dt/tau)); empty takes the file's custom.
        fires: ``gt`` (v > threshold) or ``ge`` (v >= threshold), for .nir and .net files; empty takes ``gt``.
    """

    dt: float = 0.0
    reset: str = ""
    decay: str = ""
    fires: str = ""


@dataclass(frozen=True)
class ConvertConfig:
    """``[convert]``: how a ReLU network without time becomes a spiking one.

    Attributes:
        steps: steps T that the spiking network runs; 0 means that nothing is converted.
        norm: what one spike of a layer stands for: ``data``: the largest activation on the samples; ``percentile``:
            the activation that this percentage does not exceed; ``balance``: the largest weighted input that the
            spiking layer itself sees, layer by layer; ``none``: 1.
        percentile: for ``percentile``.
        per_channel: one value per channel instead of one per layer (not for ``balance``).
        v_init: membranes start at ``half`` of the threshold, or at ``zero``.
        input: values are held as analog input (``direct``), or sent as spikes that are evenly spaced (``rate``) or
            random (``poisson``).
        seed: of ``poisson``.
        keep: fraction of the membrane kept per step; below 1 only for chips whose neurons must leak.
    """

    steps: int = 0
    norm: str = "percentile"
    percentile: float = 99.9
    per_channel: bool = False
    v_init: str = "half"
    input: str = "direct"
    seed: int = 0
    keep: float = 1.0


@dataclass(frozen=True)
class CalibrationConfig:
    """``[calibration]``: which samples choose the gains.

    Attributes:
        samples: at most this many of the model's example() or of --data.
    """

    samples: int = 256


@dataclass(frozen=True)
class VerifyConfig:
    """``[verify]``: how many samples climb the ladder while compiling.

    Attributes:
        samples: samples for rungs 1 to 5 at compile time.
    """

    samples: int = 16


@dataclass(frozen=True)
class BudgetConfig:
    """``[budget]``: what may be lost between float and integers before ``validate`` fails.

    Attributes:
        accuracy_points: largest loss of accuracy in percentage points.
        spike_mismatch: largest fraction of spike bins of one layer that differ when each layer gets the float
            network's true input spikes (teacher-forced); 1.0 accepts any.
    """

    accuracy_points: float = 1.0
    spike_mismatch: float = 1.0


@dataclass(frozen=True)
class Config:
    """The whole file."""

    compile: CompileConfig = field(default_factory=CompileConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    convert: ConvertConfig = field(default_factory=ConvertConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    learning: tuple[LearningConfig, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, as :func:`parse_config` reads it again."""
        plain = asdict(replace(self, learning=()))
        return plain | {"learning": {one.projection: one.as_dict() for one in self.learning}}

    def override(self, section: str, **values: Any) -> Config:
        """The same configuration with the values that are not None."""
        given = {key: value for key, value in values.items() if value is not None}
        return replace(self, **{section: _checked(section, replace(getattr(self, section), **given))})


def load_config(path: Path | None) -> Config:
    """Reads a configuration file; None gives the defaults.

    Raises:
        ConfigError: unreadable, not TOML, unknown key, wrong type or value out of range.
    """
    if path is None:
        return Config()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        if max(map(len, text.splitlines()), default=0) > MAX_LINE:
            raise ConfigError(f"{path} has a line of more than {MAX_LINE} characters")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return parse_config(data, str(path))


def parse_config(data: Mapping[str, Any], where: str = NAME) -> Config:
    """Builds the configuration from parsed TOML."""
    _known(where, "section", data, [f.name for f in fields(Config)])
    sections: dict[str, Any] = {}
    for name, cls in (
        ("compile", CompileConfig), ("model", ModelConfig), ("convert", ConvertConfig),
        ("calibration", CalibrationConfig), ("verify", VerifyConfig), ("budget", BudgetConfig),
    ):  # fmt: skip
        table = data.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: [{name}] is a table, not {type(table).__name__}")
        sections[name] = _section(f"{where}: [{name}]", name, cls, table)
    learning = data.get("learning", {})
    if not isinstance(learning, dict):
        raise ConfigError(f"{where}: [learning] is a table, not {type(learning).__name__}")
    return Config(**sections, learning=parse_learning(learning, where))


def _section(where: str, name: str, cls: type[Any], table: Mapping[str, Any]) -> Any:
    default = cls()
    _known(where, "key", table, [f.name for f in fields(cls)])
    values: dict[str, Any] = {}
    for key, value in table.items():
        want = getattr(default, key)
        if isinstance(want, tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where}: {key} is a list of strings, not {value!r}")
            values[key] = tuple(value)
        elif isinstance(want, bool) or isinstance(value, bool):
            if not (isinstance(want, bool) and isinstance(value, bool)):
                raise ConfigError(f"{where}: {key} is {type(want).__name__}, not {value!r}")
            values[key] = value
        elif isinstance(want, float) and isinstance(value, (int, float)):
            values[key] = float(value)
        elif isinstance(want, (int, str)) and isinstance(value, type(want)):
            values[key] = value
        else:
            raise ConfigError(f"{where}: {key} is {type(want).__name__}, not {value!r}")
    return _checked(name, cls(**values))


def _known(where: str, what: str, found: Mapping[str, Any], known: list[str]) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: unknown {what} {key!r}; the nearest is {near!r} ({', '.join(known)})")


def _checked(name: str, section: Any) -> Any:
    limits: dict[tuple[str, str], tuple[float, float]] = {
        ("calibration", "samples"): (1, 1_000_000),
        ("verify", "samples"): (1, 1_000_000),
        ("budget", "accuracy_points"): (0, 100),
        ("budget", "spike_mismatch"): (0, 1),
        ("model", "dt"): (0, 3600),
        ("convert", "steps"): (0, 4096),
        ("convert", "percentile"): (50, 100),
        ("convert", "seed"): (0, 2**31 - 1),
        ("convert", "keep"): (0.5, 1),
    }
    for (where, key), (low, high) in limits.items():
        if where == name and not low <= getattr(section, key) <= high:
            raise ConfigError(f"[{name}] {key} is {getattr(section, key)}, allowed is {low:g} to {high:g}")
    for (where, key), words in WORDS.items():
        if where == name and getattr(section, key) not in words:
            allowed = " or ".join(word for word in words if word)
            raise ConfigError(f"[{name}] {key} is {getattr(section, key)!r}, allowed is {allowed}")
    if name == "compile" and section.weight_bits not in (0, *range(2, 17)):
        raise ConfigError(
            f"[compile] weight_bits is {section.weight_bits}, allowed is 2 to 16 (0: the target's default)"
        )
    return section


def template(model: str, targets: tuple[str, ...]) -> str:
    """A commented snnc.toml with the defaults, for ``snnc init``."""
    c = Config()
    listed = ", ".join(f'"{name}"' for name in targets)
    return f"""# How `snnc compile {model}` makes integers of this network.

[compile]
# Chips to compile for, beside the generic integer target that is always made.
targets = [{listed}]
# Width of weights, 2 to 16; 0 takes each target's default.
weight_bits = {c.compile.weight_bits}
# One gain per output channel instead of one per layer, where a target allows it.
per_channel = {str(c.compile.per_channel).lower()}
# Approximations that a target may use where it would refuse; `snnc targets show NAME` lists what each knows.
allow = []
# What registers do beyond their width, where a target has several readings: "lava" or "loihi" (loihi1); "" is its own.
overflow = ""

[convert]
# ReLU networks without time: steps T that the spiking network runs; 0 converts nothing (see `snnc convert`).
steps = {c.convert.steps}

[calibration]
# Samples of the model's example() (or of --data) that choose the gains.
samples = {c.calibration.samples}

[verify]
# Samples that climb the ladder of equivalence checks while compiling.
samples = {c.verify.samples}

[budget]
# `snnc validate` fails (exit code 1) beyond these losses between float and integers.
# Percentage points of accuracy:
accuracy_points = {c.budget.accuracy_points}
# Fraction of spike bins of any layer that differ when the layer gets the float network's true input spikes:
spike_mismatch = {c.budget.spike_mismatch}

# Plasticity: one table for each projection that learns (see `snnc learn rules` and `snnc learn explain`).
# [learning.PROJECTION]
# rule = "pair-stdp"
# A_plus = 0.01
"""
