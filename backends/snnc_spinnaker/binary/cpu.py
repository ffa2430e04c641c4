"""Executes a program on unicorn's ARM core between two waits for an interrupt, within a bound, and explains traps."""

from __future__ import annotations

from typing import Any

from snnc.errors import SnncError
from snnc_spinnaker.binary.aplx import Image
from snnc_spinnaker.binary.devices import BASES, FAST, Devices
from snnc_spinnaker.binary.memory import CODE, LINK, STATE, Memory

ITCM, ITCM_SIZE, DTCM, DTCM_SIZE = 0x00000000, 0x10000, 0x00400000, 0x10000
ROUTER, SYSTEM_ROM = (0xE1000000, 0xF1000000), (0xE3000000, 0xF3000000)
SUPERVISOR, FIQ_MODE, IRQ_MODE, MODE_AND_THUMB = 0xD3, 0x11, 0x12, 0x3F
FIQ_VECTOR, IRQ_VECTOR, FIQ_OFF, IRQ_OFF = 0x1C, 0x18, 0x40, 0x80
APP_ID = 0x11
NOWHERE = 0xFFFFFFFE
LIMIT = 200_000_000
RUN_TIME_EXCEPTION, WATCHDOG = 2, 3
CAUSES = {
    1: "reset", 2: "undefined instruction", 3: "software interrupt", 4: "instruction fetch outside memory",
    5: "data access outside memory", 6: "unexpected interrupt", 7: "unexpected fast interrupt", 8: "interrupt setup",
    9: "it gave up", 10: "out of memory", 11: "division by zero", 12: "no event", 13: "software error",
    14: "no log buffer", 15: "bad enable", 16: "null pointer", 17: "packet queue", 18: "timer", 19: "wrong API",
    20: "wrong SARK",
}  # fmt: skip


class Cpu:
    """One core that executes one program.

    Attributes:
        image: the program.
        memory: what the core shares with its chip.
        where: words for messages: which core runs which program.
        devices: its peripherals.
    """

    def __init__(self, image: Image, memory: Memory, where: str, limit: int = LIMIT) -> None:
        """Starts nothing yet.

        Args:
            image: the program.
            memory: shared memory.
            where: words for messages.
            limit: instructions that may pass until the core waits.
        """
        import unicorn
        from unicorn import arm_const

        self.unicorn: Any = unicorn
        self.arm: Any = arm_const
        self.image, self.memory, self.limit = image, memory, limit
        self.where = f"{where}, {image.path.name}"
        self.devices = Devices(memory.core, self._move)
        self._stop, self._mask, self._bad = "", 0, ""
        self._resume = 0
        self.uc: Any = self.unicorn.Uc(self.unicorn.UC_ARCH_ARM, self.unicorn.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(self.arm.UC_CPU_ARM_946)
        self._map()
        for address, content in image.blocks:
            self.uc.mem_write(address, content)
        self._hook()

    def start(self) -> None:
        """Runs from the reset vector until the core waits with nothing pending."""
        self.uc.reg_write(self.arm.UC_ARM_REG_CPSR, SUPERVISOR)
        self.uc.reg_write(self.arm.UC_ARM_REG_R0, APP_ID)
        self._run(0, "wait")
        self._serve()

    def interrupt(self) -> None:
        """Goes on with whatever interrupt is pending now, until the core waits again."""
        self.uc.reg_write(self.arm.UC_ARM_REG_PC, self._resume - 4)
        if self.devices.pending() is not None:
            self._serve()

    def wake(self) -> None:
        """Ends a wait without an interrupt, as a signal from the monitor does."""
        self._run(self._resume, "wait")
        self._serve()

    def _map(self) -> None:
        uc = self.uc
        uc.mem_map(ITCM, ITCM_SIZE)
        uc.mem_map(DTCM, DTCM_SIZE)
        for base, (size, host) in self.memory.pointers().items():
            uc.mem_map_ptr(base, size, self.unicorn.UC_PROT_ALL, host)
        for base in ROUTER:
            uc.mem_map(base, 0x28000)
        for base in SYSTEM_ROM:
            uc.mem_map(base, 0x1000)
        for device, (read, write) in self.devices.handlers().items():
            for base in BASES[device]:
                uc.mmio_map(base, 0x1000, read, None, write, None)

    def _hook(self) -> None:
        """Stops at every wait, and where interrupts are allowed again while one is to be taken."""
        uc, kinds = self.uc, self.unicorn
        for at in self.image.waits:
            uc.hook_add(kinds.UC_HOOK_CODE, self._on_wait, None, at, at)
        for at in self.image.openings:
            uc.hook_add(kinds.UC_HOOK_CODE, self._on_opening, None, at, at)
        uc.hook_add(kinds.UC_HOOK_INTR, self._on_exception)
        uc.hook_add(kinds.UC_HOOK_MEM_INVALID, self._on_bad_access)

    def _on_wait(self, uc: Any, _address: int, _size: int, _user: Any) -> None:
        self._stop = "wait"
        uc.emu_stop()

    def _on_opening(self, uc: Any, _address: int, _size: int, _user: Any) -> None:
        if self._mask and not uc.reg_read(self.arm.UC_ARM_REG_CPSR) & self._mask:
            self._stop = "open"
            uc.emu_stop()

    def _on_exception(self, uc: Any, number: int, _user: Any) -> None:
        self._stop = "trap"
        self._bad = f"processor exception {number}"
        uc.emu_stop()

    def _on_bad_access(self, _uc: Any, _access: int, address: int, size: int, _value: int, _user: Any) -> bool:
        self._bad = f"access of {size} bytes at {address:#010x}, where nothing is"
        return False

    def _run(self, pc: int, until: str) -> None:
        """Executes from ``pc`` until the core waits ("wait") or allows the masked interrupt ("open")."""
        self._stop = self._bad = ""
        try:
            self.uc.emu_start(pc, NOWHERE, count=self.limit)
        except self.unicorn.UcError as error:
            raise self._trapped(self._bad or str(error)) from error
        if not self._stop:
            raise self._trapped(f"more than {self.limit} instructions without a wait for the next event")
        if self.memory.vcpu(STATE) in (RUN_TIME_EXCEPTION, WATCHDOG):
            code, link = self.memory.vcpu(CODE), self.memory.vcpu(LINK, 4)
            raise self._trapped(f"run-time exception {code} ({CAUSES.get(code, 'unknown')}) from {link:#010x}")
        if self._stop != until:
            raise self._trapped(self._bad or f"it came to {self._stop!r} instead of {until!r}")

    def _serve(self) -> None:
        """Takes interrupts, one at a time, as soon as the core allows them, until none is pending."""
        while True:
            after = self.uc.reg_read(self.arm.UC_ARM_REG_PC) + 4
            vector = self.devices.pending()
            if vector is None:
                self._resume = after
                return
            self._mask = FIQ_OFF if vector == FAST else IRQ_OFF
            self._run(after, "open")
            self._mask = 0
            self._run(self._enter(vector), "wait")

    def _enter(self, vector: int) -> int:
        """Switches to the interrupt's mode; returns where its handler starts."""
        uc, arm = self.uc, self.arm
        status, pc = uc.reg_read(arm.UC_ARM_REG_CPSR), uc.reg_read(arm.UC_ARM_REG_PC)
        fast = vector == FAST
        mode = FIQ_MODE | FIQ_OFF | IRQ_OFF if fast else IRQ_MODE | IRQ_OFF
        self.devices.current_vector = 0 if fast else vector
        uc.reg_write(arm.UC_ARM_REG_CPSR, status & ~MODE_AND_THUMB | mode)
        uc.reg_write(arm.UC_ARM_REG_SPSR, status)
        uc.reg_write(arm.UC_ARM_REG_LR, pc + 4)
        return FIQ_VECTOR if fast else IRQ_VECTOR

    def _move(self, source: int, target: int, size: int) -> None:
        self.uc.mem_write(target, bytes(self.uc.mem_read(source, size)))

    def _trapped(self, reason: str) -> SnncError:
        pc, link = (self.uc.reg_read(register) for register in (self.arm.UC_ARM_REG_PC, self.arm.UC_ARM_REG_LR))
        log = " ".join(self.memory.log().split())[-300:]
        text = f"the release program on {self.where} stopped at pc {pc:#010x} (lr {link:#010x}): {reason}"
        return SnncError(f"{text}. Its log ends with: {log}" if log else text)
