"""Bad input, one test per item: a refusal that names it, before Lava runs. Lava itself takes most of it in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.errors import FormatError, GraphError, InputError, SnncError, TraceError, UnsupportedError
from snnc.ir import Affine, Edge, Fixed, FixedGraph, Format, Graph, Input, Neuron, Readout
from snnc.target import demand
from snnc.trace import Probes, check_samples
from snnc_loihi import backend, compat
from snnc_loihi.encoding import encode
from snnc_loihi.target import LOIHI1
from unit.loihi.loihi_nets import bias, dense, fixed, graph, skipped, with_node

DECAY = Format(14, 12, signed=False)


@pytest.fixture(autouse=True)
def _lava_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def started() -> None:
        raise AssertionError("Lava was started")

    monkeypatch.setattr(compat, "activate", started)


def attempt(net: FixedGraph, spikes: Any = None) -> None:
    """Lowers and runs: what the back end refuses, it refuses here."""
    program = backend.lower(net, LOIHI1)
    backend.run(program, dense().spikes if spikes is None else spikes, Probes())


def refused(net: FixedGraph, *words: str) -> None:
    """Refused with these words, and by nothing else than the rule that they name."""
    with pytest.raises(UnsupportedError) as caught:
        attempt(net)
    assert len(caught.value.violations) == 1
    for word in words:
        assert word in str(caught.value)


def taken(net: FixedGraph) -> None:
    """The nearest legal value gets as far as Lava."""
    with pytest.raises(AssertionError, match="Lava was started"):
        attempt(net)


def hidden(**fields: Any) -> FixedGraph:
    return with_node(dense(), "a", **fields).graph


@pytest.mark.parametrize("kept", [4096, 4097, 9000])
def test_du_out_of_range(kept: int) -> None:
    refused(hidden(decay_u=fixed(kept, DECAY)), "a: decay_u", f"(du {4095 - kept})", "du 4095 to 0")
    taken(hidden(decay_u=fixed(4095, DECAY)))
    taken(hidden(decay_u=fixed(0, DECAY)))


@pytest.mark.parametrize("kept", [0, 4097, 9000])
def test_dv_out_of_range(kept: int) -> None:
    refused(hidden(decay_v=fixed(kept, DECAY)), "a: decay_v", f"(dv {4096 - kept})", "dv 4095 to 0")
    taken(hidden(decay_v=fixed(1, DECAY)))
    taken(hidden(decay_v=fixed(4096, DECAY)))


@pytest.mark.parametrize(("key", "value"), [("decay_u", -0.1), ("decay_u", 1.5), ("decay_v", -0.1), ("decay_v", 1.5)])
def test_decays_out_of_range_in_the_float_network(key: str, value: float) -> None:
    lif = Neuron("lif", (2,), **{"decay_v": 0.9, key: value})  # type: ignore[arg-type]
    nodes = (Input("in", (2,)), Affine("fc", np.eye(2)), lif, Readout("out"))
    net = Graph(nodes, (Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")))
    with pytest.raises(UnsupportedError, match=f"lif: {key} is {value:g}"):
        demand(net, LOIHI1)


def weighing(largest: int) -> FixedGraph:
    """A weight of that many units beside one of 1: no exponent holds both."""
    raw = np.ones((16, 12), dtype=np.int64)
    raw[0, 0] = largest
    return hidden_weights(fixed(raw, Format(12, -6)))


def hidden_weights(weight: Fixed) -> FixedGraph:
    return with_node(dense(), "f1", weight=weight).graph


def test_weight_1000() -> None:
    refused(weighing(1000), "f1: weights from in to a", "1 to 1000 in steps of 1", "-256 to 254")
    taken(hidden_weights(fixed(np.full((16, 12), 255), Format(12, -6, signed=False))))


def test_float_weights() -> None:
    net = dense().graph
    with pytest.raises(GraphError, match=r"f1\.weight is float"):
        net.replace_node(Affine("f1", np.full((16, 12), 0.5)))
    with pytest.raises(FormatError, match="integers, not float64"):
        fixed(np.full((16, 12), 0.5), Format(8, -7))
    with pytest.raises(InputError, match="integers, not float64"):
        encode(np.array([0.5]))


def test_threshold_beyond_17_bits() -> None:
    wide = Format(18, -6, signed=False)
    refused(hidden(threshold=fixed(131072, wide)), "a: threshold is 131072 * 64", "0 to 131071 * 64")
    taken(hidden(threshold=fixed(131071, wide)))


def test_delay_beyond_62() -> None:
    def late(steps: int) -> FixedGraph:
        net = skipped().graph
        edges = tuple(Edge(e.source, e.target, steps if e.target == "late" else e.delay) for e in net.edges)
        return graph(net.nodes, edges, dict(net.latency))

    refused(late(64), "c: delay is 63 from a", "at most 62")
    program = backend.lower(late(63), LOIHI1)
    assert max(s.delay - 1 for s in program.data.synapses) == 62


@pytest.mark.parametrize("exponent", [-1, 8, 30])
def test_weight_exponent_out_of_range(exponent: int) -> None:
    raw = np.where(np.arange(16 * 12).reshape(16, 12) % 2, 127, -127)
    refused(hidden_weights(fixed(raw, Format(8, -(6 + 1 + exponent)))), "f1: weights from in to a", "2**7")
    taken(hidden_weights(fixed(raw, Format(8, -(6 + 1 + 7)))))


@pytest.mark.parametrize("exponent", [-1, 8])
def test_bias_exponent_out_of_range(exponent: int) -> None:
    refused(hidden(bias=bias(3, exponent)), f"a: bias exponent is {exponent}", "0 to 7")
    taken(hidden(bias=bias(3, 7)))


def test_exponents_out_of_range_where_lava_encodes() -> None:
    for exponent in (-9, 8):
        with pytest.raises(InputError, match=f"exponent {exponent}"):
            encode(np.array([1]), weight_exp=exponent)


def test_more_than_one_spike_per_step() -> None:
    net = dense()
    twice = net.spikes.copy()
    twice[1, 2, 3] = 2
    with pytest.raises(TraceError, match="take 0 or 1"):
        attempt(net.graph, twice)
    with pytest.raises(TraceError, match=r"spikes are 0 or 1; found 0 to 2"):
        check_samples(twice, None, (12,), "spikes", "file.npz")
    refused(hidden(output="multi"), "a: output is multi")


def test_everything_bad_is_an_error_of_snnc() -> None:
    """A caller who catches SnncError sees each of them, with exit code 2 or 3."""
    assert {UnsupportedError.exit_code, TraceError.exit_code, GraphError.exit_code} == {2, 3}
    assert all(issubclass(kind, SnncError) for kind in (UnsupportedError, TraceError, GraphError, FormatError))


def test_a_good_network_gets_as_far_as_lava() -> None:
    taken(dense().graph)
    taken(hidden_weights(dense().graph["f1"].weight))  # type: ignore[attr-defined]
