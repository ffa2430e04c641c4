"""One application core: its data and program are loaded, it is driven tick by tick, and its recordings are read."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from snnc.errors import SnncError
from snnc.ir import IntArray
from snnc_spinnaker.binary import aplx
from snnc_spinnaker.binary.cpu import LIMIT, Cpu
from snnc_spinnaker.binary.mapping import CoreSpec
from snnc_spinnaker.binary.memory import COMMAND_OUT, DATA, USER, VCPU_SIZE, Memory
from snnc_spinnaker.rows import Row, parse

CHANNELS = {"v": 0, "u_exc": 1, "u_inh": 2}
SPIKES = 3
CHANNEL_SIZE = 12
SIZE_BITS = 0x7FFFFFFF
TABLE, MATRIX, NONE, ROW_HEADER = 5, 6, 0xFFFFFF, 3
PROVENANCE, SATURATED = 10, (11, 12)
"""Region of a program's counts at its end, and its words for ring additions that were cut: static, plastic rows."""
NEW_RUNTIME, RUNTIME_PORT = 7, 3


class Core:
    """A core with its program at the start of a run.

    Attributes:
        spec: what it was loaded with.
        memory: its memory.
        regions: region -> address.
    """

    def __init__(self, spec: CoreSpec, steps: int, limit: int = LIMIT) -> None:
        """Loads, runs the expanders, starts the program and tells it how long to run.

        Args:
            spec: what to load.
            steps: ticks of the run.
            limit: instructions that may pass between two waits.

        Raises:
            SnncError: a program trapped, or the core has none.
        """
        if spec.binary is None:
            raise SnncError(f"core {spec.place} ({spec.kind}) has no program")
        self.spec, self.steps = spec, steps
        self.memory = Memory(spec.place[2])
        self.regions = self.memory.load(spec.regions)
        self._sizes = {number: size & ~3 for number, (size, _) in spec.regions.items()}
        self._limit_recordings()
        for path, region in spec.expanders:
            self._cpu(aplx.load(path), limit, region).start()
        self._processor = self._cpu(aplx.load(spec.binary), limit, 0)
        self._processor.start()
        self._set_runtime()

    @property
    def where(self) -> str:
        """Words for messages."""
        x, y, p = self.spec.place
        return f"core {x},{y},{p} ({self.spec.name or self.spec.kind} from neuron {self.spec.first})"

    def tick(self) -> list[int]:
        """The timer ticks once.

        Returns:
            Keys of the packets that were sent.
        """
        devices = self._processor.devices
        devices.sent.clear()
        devices.timer = True
        self._processor.interrupt()
        return list(devices.sent)

    def packet(self, key: int) -> None:
        """A packet arrives and is processed."""
        self._processor.devices.waiting.append(key)
        self._processor.interrupt()

    def recordings(self) -> dict[str, IntArray]:
        """What the program recorded: ``v``, ``u_exc`` and ``u_inh`` raw and ``spikes`` 0 or 1, [steps, n].

        Raises:
            SnncError: a recording is not complete.
        """
        size, bits = self.spec.size, -(-self.spec.size // 32)
        found = {name: self._rows(number, size).astype(np.int64) for name, number in CHANNELS.items()}
        words = self._rows(SPIKES, bits, every_step=False).view(np.uint8)
        found["spikes"] = np.unpackbits(words, axis=1, bitorder="little")[:, :size].astype(np.int64)
        return found

    def saturations(self) -> int:
        """Ring additions that the program cut to 65535 and counted; known after the run."""
        start = self.regions[PROVENANCE]
        return sum(self.memory.word(start + 4 * number) for number in SATURATED)

    def synapses(self, key: int) -> list[Row]:
        """Synaptic rows that a packet with this key has on this core, as they are now in its memory."""
        words = np.frombuffer(self.memory.read(self.regions[TABLE], self._sizes[TABLE]), dtype="<u4").tolist()
        entries, addresses = words[0], words[2 + 5 * words[0] :]
        found: list[Row] = []
        for at in range(2, 2 + 5 * entries, 5):
            own, mask, where, cores, size = words[at : at + 5]
            if key & mask != own:
                continue
            core_mask, core_shift = cores & 0xFFFF, cores >> 16
            neuron = (key & ~(mask | core_mask << core_shift) & 0xFFFFFFFF) >> (where >> 13 & 7)
            source = neuron + (key >> core_shift & core_mask) * (size & 0xFFFF)
            first, count = where & 0x1FFF, where >> 16
            found += [
                self._row(address, source) for address in addresses[first : first + count] if address >> 8 != NONE
            ]
        return found

    def _row(self, address: int, source: int) -> Row:
        """Row of a source in a block of rows: length - 1 in the low byte, offset / 16 above."""
        size = 4 * ((address & 0xFF) + 1 + ROW_HEADER)
        start = self.regions[MATRIX] + (address >> 8) * 16 + source * size
        return parse(np.frombuffer(self.memory.read(start, size), dtype="<u4"))

    def _rows(self, channel: int, width: int, *, every_step: bool = True) -> npt.NDArray[np.int32]:
        """Rows (time, words...) of a recording channel by their time, [steps, width] int32; missing rows are zero."""
        _, size, start = self._channel(channel)
        content = self.memory.read(start, size & SIZE_BITS) if start else b""
        if len(content) % (4 * (width + 1)):
            raise SnncError(f"{self.where}: recording {channel} holds {len(content)} bytes, which are no rows")
        rows = np.frombuffer(content, dtype="<i4").reshape(-1, width + 1)
        times = rows[:, 0]
        if len(np.unique(times)) != len(times) or np.any((times < 0) | (times >= self.steps)):
            raise SnncError(f"{self.where}: recording {channel} has rows of impossible times")
        if every_step and len(times) != self.steps:
            raise SnncError(f"{self.where}: recording {channel} has {len(times)} of {self.steps} steps")
        found = np.zeros((self.steps, width), dtype=np.int32)
        found[times] = rows[:, 1:]
        return found

    def _channel(self, number: int) -> tuple[int, int, int]:
        """Space, bytes used and address of a recording channel."""
        at = self._recording + 4 + CHANNEL_SIZE * number
        return self.memory.word(at), self.memory.word(at + 4), self.memory.word(at + 8)

    @property
    def _recording(self) -> int:
        if self.spec.recording is None:
            raise SnncError(f"{self.where} records nothing")
        return self.regions[self.spec.recording]

    def _limit_recordings(self) -> None:
        """A virtual board offers all of a chip's memory for recordings; takes what the run needs."""
        if self.spec.recording is None:
            return
        needed = 4 * (self.steps + 2) * (self.spec.size + 2)
        for number in range(self.memory.word(self._recording)):
            at = self._recording + 4 + CHANNEL_SIZE * number
            space = self.memory.word(at)
            self.memory.words(at, min(space, needed))

    def _cpu(self, image: aplx.Image, limit: int, argument: int) -> Cpu:
        """A processor at reset, with its block in system RAM cleared and the program's arguments in place."""
        for field in range(0, VCPU_SIZE, 4):
            self.memory.set_vcpu(field, 0, 4)
        self.memory.set_vcpu(USER, DATA, 4)
        self.memory.set_vcpu(USER + 4, argument, 4)
        return Cpu(image, self.memory, self.where, limit)

    def _set_runtime(self) -> None:
        """The host's order to run: header of a datagram, command, ticks, not for ever, from tick 0, no sync signal."""
        port = RUNTIME_PORT << 5 | self.spec.place[2]
        header = struct.pack("<IHHBBBBHH", 0, 32, 0, 7, 0xFF, port, 0xFF, 0, 0)
        self.memory.take_message(header + struct.pack("<HHIIII", NEW_RUNTIME, 0, self.steps, 0, 0, 0))
        self._processor.devices.cpu = True
        self._processor.interrupt()
        self.memory.set_vcpu(COMMAND_OUT, 0)
        self._processor.wake()
