"""The ledger: where executors are known to disagree, each with a run of both sides that shows it now.

``python tests/equivalence/ledger.py`` prints backends/LEDGER.md.
"""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnc.ir import Affine, Conventions, Edge, Fixed, FixedGraph, Format, Input, IntArray, Neuron
from snnc.trace import Probes
from snnc_loihi import compat
from snnc_loihi.conventions import CHIP, LAVA
from snnc_loihi.encoding import encode
from snnc_reference.execute import execute

Sides = tuple[IntArray, IntArray]
WIDE, DECAY, UNIT = Format(40), Format(16, 12), Format(40, -6)
HEAD = """# Ledger

Where executors are known to disagree. Written by `python tests/equivalence/ledger.py`; a test checks that it is fresh.
Another test runs both sides of every entry: one whose sides agree is stale and fails. Lava and onnxruntime are run as
they are; for nengo-loihi and brian2-loihi runs the reference, which their golden vectors hold to them.
"""


@dataclass(frozen=True)
class Entry:
    """A known disagreement.

    Attributes:
        name: what it is called.
        left, right: who disagrees; the left one runs what its authors wrote.
        reason: what each does.
        upstream: issue or source.
        here: what snnc does about it.
        show: runs both sides beyond the agreement.
        agree: runs both sides where they agree, if there is such a place.
        applies: false on a machine without the disagreement; there the sides have to agree.
    """

    name: str
    left: str
    right: str
    reason: str
    upstream: str
    here: str
    show: Callable[[], Sides]
    agree: Callable[[], Sides] | None = None
    applies: bool = True


class Port:
    """What a model of Lava receives and sends."""

    def __init__(self, values: Any = None) -> None:
        self.values, self.sent = values, []  # type: ignore[var-annotated]

    def recv(self) -> Any:
        return np.array(self.values)

    def send(self, values: Any) -> None:
        self.sent.append(np.array(values, dtype=np.int64))


def _drive(model: Any, a: list[int], key: str, params: dict[str, Any], states: dict[str, Any]) -> IntArray:
    for name, value in (params | states).items():
        setattr(model, name, value)
    model.s_out = Port()
    kept = []
    for x in a:
        model.a_in = Port(np.array([x], dtype=np.int32))
        model.run_spk()
        kept.append(int(np.asarray(getattr(model, key))[0]) if key != "s" else int(model.s_out.sent[-1][0]))
    return np.array(kept, dtype=np.int64)


def lava_lif(
    a: list[int], key: str, *, du: int = 4095, dv: int = 0, vth: int = 1 << 20, bias: int = 0, exponent: int = 0
) -> IntArray:
    """A state (u, v) or the spikes (s) of Lava's bit-accurate LIF under inputs a, one per step."""
    compat.activate()
    from lava.proc.lif.models import PyLifModelBitAcc

    params = {"du": du, "dv": dv, "vth": vth, "bias_mant": np.int16(bias), "bias_exp": np.int16(exponent)}
    states = {"u": np.zeros(1, dtype=np.int32), "v": np.zeros(1, dtype=np.int32)}
    return _drive(PyLifModelBitAcc({}), a, key, params, states)


def lava_atrlif(a: list[int], key: str, delta_v: float = 0.0, theta: int = 1 << 20) -> IntArray:
    """The same of Lava's adaptive LIF, without any adaptation."""
    compat.activate()
    from lava.proc.atrlif.models import PyATRLIFModelFixed

    params: dict[str, Any] = {"delta_i": 4095 / 4096, "delta_v": delta_v, "delta_theta": 0.0, "delta_r": 0.0}
    params |= {"theta_0": theta, "theta_step": 0, "s": np.zeros(1, dtype=bool)}
    params |= {key: np.zeros(1, dtype=np.int16) for key in ("bias_mant", "bias_exp")}
    model = PyATRLIFModelFixed({})
    post = model.post_spike
    model.post_spike = lambda spike_vector: post(spike_vector=np.asarray(spike_vector, dtype=bool))
    states = {name: np.zeros(1, dtype=np.int32) for name in ("i", "v", "theta", "r")}
    return _drive(model, a, key, params, states)


def ours(
    a: list[int],
    key: str,
    rules: Conventions,
    *,
    keep_u: int = 0,
    keep_v: int = 4096,
    vth: int = 1 << 20,
    bias: int = 0,
) -> IntArray:
    """The reference under given conventions: u and v keep ``keep_u`` and ``keep_v`` of 4096."""
    one, zero = Fixed(np.array(1), WIDE), Fixed(np.array(0), WIDE)
    cell = Neuron(
        "n", shape=(1,), decay_u=Fixed(np.array(keep_u), DECAY), decay_v=Fixed(np.array(keep_v), DECAY), gain=one,
        gain_u=one, bias=Fixed(np.array(bias), WIDE), threshold=Fixed(np.array(vth), UNIT), v_rest=zero, v_reset=zero,
        v_init=zero, fires="gt",
    )  # fmt: skip
    nodes = (Input("in", shape=(1,), encoding="direct"), Affine("w", Fixed(np.array([[1]]), Format(3, -6))), cell)
    graph = FixedGraph(nodes, (Edge("in", "w", 1), Edge("w", "n")), "ledger", rules, {"n": 1})
    trace = execute(graph, np.array(a).reshape(1, -1, 1), Probes(states="all"))
    found = trace.spikes["n"] if key == "s" else trace.states["n", key]
    return np.asarray(found[0, :, 0].astype(np.int64))


def lava_dense(weights: list[int], exponent: int) -> IntArray:
    """What Lava's Dense sends when every input spikes, mixed signs, 8 bits, in units of u."""
    compat.activate()
    from lava.proc.dense.models import PyDenseModelBitAcc
    from lava.utils.weightutils import SignMode

    model = PyDenseModelBitAcc({"sign_mode": SignMode.MIXED, "weight_exp": exponent, "num_weight_bits": 8})
    model.weights = np.array([weights], dtype=np.int32)
    model.num_message_bits, model.a_buff = np.array([0]), np.zeros(1, dtype=np.int32)
    model.s_in, model.a_out = Port(np.ones(len(weights), dtype=bool)), Port()
    for _ in range(2):
        model.run_spk()
    return np.asarray(model.a_out.sent[1] << 6)


def one_by_one(weights: list[int], exponent: int) -> IntArray:
    """The sum of weights that are encoded one by one, as brian2-loihi does and the chip is said to."""
    return np.array([int(encode(weights, "mixed", 8, exponent, "brian2").aligned(0).sum())])


def refractory_models() -> Sides:
    """How many fixed-point models with a refractory period there are: in Lava, and in the reference."""
    compat.activate()
    from lava.proc.lif import models
    from lava.proc.lif.process import LIFRefractory

    found = [
        cls
        for _, cls in inspect.getmembers(models, inspect.isclass)
        if getattr(cls, "implements_process", None) is LIFRefractory and "fixed_pt" in getattr(cls, "tags", ())
    ]
    return np.array([len(found)]), np.array([1])


def onnx_minimum(bits: int) -> Sides:
    """onnxruntime's Min of int64 and NumPy's, for 1,001 numbers of so many bits and a sign."""
    import onnxruntime
    from onnx import TensorProto, helper

    a, b = np.random.default_rng(0).integers(-(1 << bits), 1 << bits, (2, 1001))
    ports = [helper.make_tensor_value_info(key, TensorProto.INT64, [len(a)]) for key in "abc"]
    graph = helper.make_graph([helper.make_node("Min", ["a", "b"], ["c"])], "g", ports[:2], ports[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"a": a, "b": b})[0]), np.minimum(a, b)


CHIPS = "Loihi 1 as nengo-loihi 1.1.0 has it"
LIF = "Lava 0.10.0, LIF in fixed point"
BITS = "lava-nc/lava#801 (nothing checks whether bits overflow on the chip; #802 adds a process that does)"
WRAP = "lava-nc/lava#334, made one wrap by #364"
ISSUE = "lava-nc/lava#322 (open; the project is archived)"
MASKS = replace(LAVA, current_overflow="wrap")
EDGE, FULL = [1 << 14] * 10, [(1 << 15) - 1] * 3
LEDGER = (
    Entry(
        "sum-of-weights", LIF, CHIPS,
        "Lava sums weights in 32 bits; the chip's accumulator has 21 bits and a sign.",
        BITS, "Weights are scaled so that 21 bits hold; `--overflow loihi` computes with the chip's registers.",
        lambda: (lava_lif([1 << 15] * 3, "u"), ours([1 << 15] * 3, "u", CHIP)),
        lambda: (lava_lif(FULL, "u"), ours(FULL, "u", CHIP)),
    ),
    Entry(
        "current-edge", LIF, CHIPS,
        "Lava wraps u once, into (-2**23, 2**23]; the chip masks 24 bits, so that 2**23 becomes -2**23.",
        WRAP, "`snnc inspect` shows whether u can get there; `--overflow loihi` computes with the chip's registers.",
        lambda: (lava_lif(EDGE, "u", du=-1), ours(EDGE, "u", CHIP, keep_u=4096)),
        lambda: (lava_lif(EDGE[:7], "u", du=-1), ours(EDGE[:7], "u", CHIP, keep_u=4096)),
    ),
    Entry(
        "current-wraps-once", LIF, CHIPS,
        "A sum of more than one turn leaves Lava's u outside 24 bits; a mask brings it back.",
        WRAP, "The reference does either, as the conventions say (`wrap_once`, `wrap`).",
        lambda: (lava_lif([5 << 17], "u"), ours([5 << 17], "u", MASKS)),
        lambda: (lava_lif([3 << 16], "u"), ours([3 << 16], "u", MASKS)),
    ),
    Entry(
        "current-and-bias", LIF, CHIPS,
        "Lava adds u and the bias in 32 bits and clips v; the chip wraps u + bias at 23 bits and a sign first.",
        BITS, "The bounds that `snnc inspect` shows have u + bias too.",
        lambda: (
            lava_lif(EDGE[:7], "v", du=-1, dv=4096, bias=4095, exponent=9),
            ours(EDGE[:7], "v", CHIP, keep_u=4096, keep_v=0, bias=4095 << 9),
        ),
        lambda: (
            lava_lif(EDGE[:4], "v", du=-1, dv=4096, bias=4095, exponent=9),
            ours(EDGE[:4], "v", CHIP, keep_u=4096, keep_v=0, bias=4095 << 9),
        ),
    ),
    Entry(
        "decay-of-zero", LIF, "brian2-loihi 0.5.2 and the number's plain meaning",
        "du = 0 keeps 4095/4096 of u in Lava and nengo-loihi (they add 1); brian2-loihi keeps all of it.",
        ISSUE, "snnc writes du = 4095 - kept, and refuses to keep all.",
        lambda: (lava_lif([1000, 0, 0], "u", du=0), ours([1000, 0, 0], "u", LAVA, keep_u=4096)),
        lambda: (lava_lif([1000, 0, 0], "u", du=0), ours([1000, 0, 0], "u", LAVA, keep_u=4095)),
    ),
    Entry(
        "odd-mixed-weights", "Lava 0.10.0, Dense", "brian2-loihi 0.5.2",
        "Weights off the mantissa grid are floored by Lava and cut toward zero by brian2-loihi: -3 is -4 or -2.",
        "lava-nc 0.10.0, utils/weightutils.py; which one the chip does is not settled",
        "Weights are written on the grid, where all agree.",
        lambda: (lava_dense([-3, 8], 0), one_by_one([-3, 8], 0)),
        lambda: (lava_dense([-4, 8], 0), one_by_one([-4, 8], 0)),
    ),
    Entry(
        "right-shift", "Lava 0.10.0, Dense", "brian2-loihi 0.5.2, and nengo-loihi per weight",
        "For a negative weight_exp Lava shifts the sum of a step; the others shift every weight.",
        "lava-nc 0.10.0, proc/dense/models.py", "Exponents are 0 to 7.",
        lambda: (lava_dense([2, 2, 4, -4], -2), one_by_one([2, 2, 4, -4], -2)),
        lambda: (lava_dense([4, 8, 4, -4], -2), one_by_one([4, 8, 4, -4], -2)),
    ),
    Entry(
        "refractory", "Lava 0.10.0, LIFRefractory", "Loihi 1, nengo-loihi, brian2-loihi",
        "The chip has a refractory register; Lava has a floating-point model of it only.",
        "lava-nc/lava#655 adds the floating-point model alone",
        "loihi1 refuses refractory neurons; loihi2 programs them.",
        refractory_models,
    ),
    Entry(
        "adaptive-decays", "Lava 0.10.0, ATRLIF in fixed point", LIF,
        "ATRLIF takes a decay of v as a fraction and multiplies it by 4096; LIF takes a register of 12 bits.",
        "lava-nc 0.10.0, proc/atrlif/models.py", "No target lowers ATRLIF; the reference takes what is kept.",
        lambda: (lava_atrlif([1000, 0], "v", 1.0), lava_lif([1000, 0], "v", dv=1)),
        lambda: (lava_atrlif([1000, 0], "v", 0.5), lava_lif([1000, 0], "v", dv=2048)),
    ),
    Entry(
        "adaptive-threshold", "Lava 0.10.0, ATRLIF in fixed point", LIF,
        "ATRLIF spikes at v >= theta, LIF at v > vth.",
        "lava-nc 0.10.0, proc/atrlif/models.py", "No target lowers ATRLIF; the reference compares as it does.",
        lambda: (lava_atrlif([64], "s", theta=64), lava_lif([64], "s", vth=64)),
        lambda: (lava_atrlif([65], "s", theta=64), lava_lif([65], "s", vth=64)),
    ),
    Entry(
        "onnx-minimum", "onnxruntime on x86-64", "NumPy and the ONNX standard",
        "Min and Max of int64 compare wrongly beyond 32 bits in the SSE2 kernels.",
        "microsoft/onnxruntime#25280; Eigen merge request 2831 (not in a release)",
        "The files that snnc writes use Less and Where.",
        lambda: onnx_minimum(32), lambda: onnx_minimum(20), platform.machine().lower() in ("x86_64", "amd64"),
    ),
)  # fmt: skip


def page() -> str:
    """backends/LEDGER.md."""
    parts = []
    for e in LEDGER:
        facts = {"Left": e.left, "Right": e.right, "Upstream": e.upstream, "snnc": e.here}
        lines = "\n".join(f"- {key}: {text}" for key, text in facts.items())
        parts.append(f"## {e.name}\n\n{e.reason}\n\n{lines}\n")
    return "\n".join((HEAD, *parts))


if __name__ == "__main__":
    sys.stdout.write(page())
