"""The verbs that show: inspect, targets, passes, doctor."""

from __future__ import annotations

import inspect as introspect
import platform
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snnc.artifacts import PACKAGES, installed, open_folder
from snnc.backend import discover
from snnc.commands.screen import Screen
from snnc.engine import library
from snnc.ir import Fixed
from snnc.passes import DEFAULT
from snnc.report import targets_page, text
from snnc.target import Target, rule


def inspect(screen: Screen, folder: Path, as_json: bool) -> int:
    """Shows layers, formats, resources and notes of a compiled folder."""
    opened = open_folder(folder, discover())
    report: dict[str, Any] = {
        "model": dict(opened.folder.manifest["model"]),
        "config": opened.folder.manifest["config"],
        "versions": opened.folder.manifest["versions"],
        "files": dict(opened.folder.manifest["files"]),
        "targets": {},
    }
    for name in opened.targets:
        graph, account = opened.fixed_graph(name), opened.account(name)
        nodes = []
        for node in (graph[n] for n in graph.order):
            formats = {k: str(v.format) for k, v in node.params().items() if isinstance(v, Fixed)}
            nodes.append(
                {"name": node.name, "type": node.kind, "shape": list(graph.shapes[node.name]), "formats": formats,
                 "latency": graph.latency.get(node.name)}
            )  # fmt: skip
        report["targets"][name] = {
            "backend": opened.targets[name],
            "digest": graph.digest,
            "steps_behind": graph.depth,
            "nodes": nodes,
            "registers": account.get("registers", []),
            "overflows": account.get("overflows", {}),
            "accumulators": account.get("accumulators", []),
            "utilization": account["utilization"],
            "tables": account.get("tables", {}),
            "notes": account["notes"],
        }
    if as_json:
        screen.json(report)
    else:
        screen.show(*text.inspect_parts(report))
    return 0


def targets(screen: Screen, as_json: bool, as_markdown: bool) -> int:
    """Lists every target."""
    if as_markdown:
        every = sorted(discover().targets.items())
        screen.line(targets_page.page(describe_target(target, backend.name) for _, (backend, target) in every).rstrip())
        return 0
    rows = [
        {"name": name, "backend": backend.name, "summary": target.summary}
        for name, (backend, target) in discover().targets.items()
    ]
    if as_json:
        screen.json({"targets": rows})
    else:
        screen.show(text.simple_table(("target", "back end", "what it is"), [tuple(r.values()) for r in rows]))
    return 0


def target(screen: Screen, name: str, as_json: bool) -> int:
    """Shows one target as data."""
    backend, found = discover().target(name)
    report = describe_target(found, backend.name)
    if as_json:
        screen.json(report)
    else:
        screen.show(*text.target_parts(report))
    return 0


def describe_target(found: Target, backend: str) -> dict[str, Any]:
    """A target as plain data; rules come from the constraints' docstrings."""
    return {
        "name": found.name,
        "backend": backend,
        "summary": found.summary,
        "weight_bits": list(found.weight_bits),
        "per_channel": found.per_channel,
        "conventions": asdict(found.conventions),
        "formats": {key: str(fmt) for key, fmt in found.formats.items()},
        "limits": {key: asdict(limit) for key, limit in found.limits.items()},
        "allowances": {key: type(step).__doc__ or "" for key, step in found.allowances.items()},
        "overflows": {
            word: {k: v for k, v in asdict(c).items() if v != getattr(found.conventions, k)}
            for word, c in found.variants.items()
        },
        "rules": [{"rule": rule(c), "manual": introspect.getdoc(c) or ""} for c in found.constraints],
    }


def passes(screen: Screen, as_json: bool) -> int:
    """Lists passes with what each preserves."""
    rows = [{"name": step.name, "preserves": step.preserves, "when": "default"} for step in DEFAULT]
    for name, (_, data) in discover().targets.items():
        rows += [{"name": step.name, "preserves": step.preserves, "when": name} for step in data.prepare]
    if as_json:
        screen.json({"passes": rows})
    else:
        screen.show(text.simple_table(("pass", "preserves", "runs for"), [tuple(r.values()) for r in rows]))
    return 0


def doctor(screen: Screen, as_json: bool) -> int:
    """Says what is installed and what each missing piece would give; 1 if a back end does not load."""
    registry = discover()
    needed = {
        "torch": "captures models: pip install 'snnc[torch]'",
        "snntorch": "captures snnTorch neurons: pip install 'snnc[snntorch]'",
        "spikingjelly": "captures SpikingJelly neurons: pip install 'snnc[spikingjelly]'",
        "norse": "captures Norse neurons: pip install 'snnc[norse]'",
        "sinabs": "captures sinabs neurons: pip install 'snnc[sinabs]'",
        "onnxruntime": "rung 4 and `snnc run --backend onnxruntime`: pip install 'snnc[onnxruntime]'",
        "h5py": "reads .nir and .net files: pip install 'snnc[nir,slayer]'",
        "sPyNNaker": "`snnc run --executor binary`: pip install 'snnc[spinnaker]'",
        "unicorn": "`snnc run --executor binary`: pip install 'snnc[spinnaker]'",
        "matplotlib": "plots in HTML pages: pip install 'snnc[report]'",
        "lava-nc": "runs the Loihi back end: make setup, or pip install 'snnc[lava]' and then "
        "pip install --no-deps --ignore-requires-python lava-nc==0.10.0",
    }
    rows = [("python", platform.python_version(), "ok" if sys.version_info < (3, 14) else "newer than tested")]
    for name in PACKAGES:
        found = installed(name)
        rows.append((name, found or "missing", "ok" if found else needed.get(name, "required")))
    rows += [(f"back end {name}", "loads", "ok") for name in registry.backends]
    rows += [(f"back end {name}", "broken", reason) for name, reason in registry.broken.items()]
    for backend in registry.backends.values():
        # Optional: a back end may say how its own run time is (what, found, say).
        rows += getattr(backend, "health", tuple)()
    rows.append(_kernels())
    rows.append(("disk", f"{shutil.disk_usage(Path.cwd()).free >> 20} MiB free", "ok"))
    bad = bool(registry.broken) or any(row[1] == "broken" for row in rows)
    if as_json:
        screen.json({"checks": [dict(zip(("what", "found", "say"), row, strict=True)) for row in rows], "ok": not bad})
    else:
        screen.show(text.simple_table(("what", "found", "say"), rows))
    return 1 if bad else 0


def _kernels() -> tuple[str, str, str]:
    """What the engine runs on; without kernels it is slower and gives the same bits."""
    found = library.state()
    if isinstance(found, library.Kernels):
        return "engine", f"kernels for {found.best}", "ok"
    return "engine", "NumPy", f"slower, the same bits: {found.reason}"
