"""Networks that learn on the unmodified programs of the release: all samples in one run, weights read back."""

from __future__ import annotations

import numpy as np

from snnc.errors import SnncError
from snnc.ir import IntArray
from snnc_spinnaker.binary.board import Board, Router
from snnc_spinnaker.binary.core import Core
from snnc_spinnaker.binary.cpu import LIMIT
from snnc_spinnaker.binary.execute import emissions
from snnc_spinnaker.binary.mapping import CoreSpec, Plasticity, mapped
from snnc_spinnaker.learn import Learning, Plastic
from snnc_spinnaker.learn_run import Learned, train
from snnc_spinnaker.network import Values

CUT = "ring additions cut"
STATES = ("v", "u_exc", "u_inh")


def plasticity(one: Plastic) -> Plasticity:
    """What the mapper writes into a PyNN script for a projection."""
    pair = one.pair
    plus, minus = pair.written
    return Plasticity(one.number, pair.kind, pair.tau_plus, pair.tau_minus, plus, minus, pair.w_max, pair.w_min)


def execute(
    learning: Learning, spikes: Values, pause: int | None = None, *, every_step: bool = False, limit: int = LIMIT
) -> Learned:
    """Maps the network with sPyNNaker and lets its release programs learn; arguments as of the emulator.

    Args:
        learning: the network.
        spikes: [B, T, *shape], 0 or 1.
        pause: silent steps after each sample; None takes the network's own.
        every_step: reads the weights after every step.
        limit: instructions that a core may execute between two waits.

    Raises:
        SnncError: the tools are missing or refuse the network, or a program trapped.
    """
    given = train(spikes, learning.pause if pause is None else pause)
    spec = mapped(learning.machine, len(given), tuple(plasticity(one) for one in learning.plastic))
    emitted = {source.name: emissions(source, given, len(given)) for source in learning.machine.sources}
    board = Board(spec, Router(spec), limit)
    by_name = {one.name: one for one in learning.plastic}
    history: dict[str, list[IntArray]] = {one.name: [] for one in learning.plastic if every_step}

    def watch(_: int) -> None:
        for name, rows in history.items():
            rows.append(weights(board, learning, by_name[name]))

    recorded = board.run(emitted, watch)
    found = {one.name: weights(board, learning, one) for one in learning.plastic}
    cut = {f"{CUT}/{name}": count for name, count in board.saturations().items()}
    counts = {"packets": board.packets, "cores": len(board.cores), "steps": len(given), **cut}
    return Learned(
        {**emitted, **{name: rows["spikes"] != 0 for name, rows in recorded.items()}},
        {(name, key): rows[key] for name, rows in recorded.items() for key in STATES},
        found,
        {name: np.array(rows) for name, rows in history.items()},
        counts,
    )


def weights(board: Board, learning: Learning, one: Plastic) -> IntArray:
    """The words of a projection as they lie in the memory of the cores, [pre, post].

    Raises:
        SnncError: rows are not what was loaded.
    """
    post, pre = one.shape
    found = np.full((pre, post), -1, dtype=np.int64)
    # Of several projections between two populations, rows stand in the order of the projections.
    alike = [other.name for other in learning.plastic if (other.source, other.target) == (one.source, one.target)]
    senders = [core for core in board.spec.cores if core.name == one.source]
    (bits,) = (p.layout.neuron_bits for p in learning.machine.populations if p.name == one.target)
    for core in (core for core in board.cores.values() if core.spec.name == one.target):
        for sender in senders:
            _read(found, core, sender, alike.index(one.name), bits)
    if np.any(found < 0):
        raise SnncError(f"{one.name}: {int(np.sum(found < 0))} of {found.size} synapses are nowhere in the cores' rows")
    return found


def _read(found: IntArray, core: Core, sender: CoreSpec, place: int, bits: int) -> None:
    """Weights that one core has from one core of the source; a control's lowest bits are the neuron."""
    if sender.key is None:
        raise SnncError(f"core {sender.place} ({sender.name}) sends nothing")
    for neuron in range(sender.size):
        rows = [row for row in core.synapses(sender.key | neuron << sender.colour_bits) if len(row.controls)]
        row = rows[place]
        posts = row.controls & ((1 << bits) - 1)
        found[sender.first + neuron, core.spec.first + posts] = row.weights
