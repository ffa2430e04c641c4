"""Runs a compiled Lava network for a number of steps and always ends it; a child that dies becomes an error."""

from __future__ import annotations

import multiprocessing
import queue
import time
from typing import Any

from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.core.run_conditions import RunSteps
from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND, MGMT_RESPONSE, enum_equal
from lava.magma.runtime.runtime import Runtime

from snnc.errors import SnncError

START_SECONDS = 120.0
STEP_SECONDS = 1.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.002


class Session(Runtime):  # type: ignore[misc]
    """Lava's runtime with an end to every wait.

    Lava waits for its children without a limit and joins them without one, so that a child that raises can leave the
    program hanging for ever. Here the parent looks at the children while it waits, and the end does not depend on
    their answering.
    """

    def __init__(self, executable: Any) -> None:
        super().__init__(executable, ActorType.MultiProcessing)
        self._messaging_infrastructure: Any = None
        self.exception_q: list[Any] = []
        self._clean = True

    def run_steps(self, steps: int) -> None:
        """Starts the children, runs and stops.

        Raises:
            SnncError: a child raised, died, or gave no answer in time.
        """
        try:
            self._clean = False
            self.initialize()
            self.start(RunSteps(num_steps=steps, blocking=False))
            self._await(self.service_to_runtime, START_SECONDS + STEP_SECONDS * steps)
            if not all(enum_equal(port.recv(), MGMT_RESPONSE.DONE) for port in self.service_to_runtime):
                time.sleep(POLL_SECONDS)
                self._look()
                raise SnncError("Lava reported an error and no child says which")
            self._clean = True
        finally:
            self.close()

    def _start_ports(self) -> None:
        """Lava's, followed by Lava's own wait for the children to be built, with a limit."""
        super()._start_ports()
        deadline = time.monotonic() + START_SECONDS
        for started in self.exception_q:
            while True:
                try:
                    error = started.get(timeout=0.5)
                    break
                except queue.Empty:
                    self._look()
                    _check_time(deadline)
            if error is not None:
                raise _of_child(error, getattr(error, "trace", "")) from error
        self.exception_q = []

    def _await(self, ports: Any, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not all(port.probe() for port in ports):
            self._look()
            _check_time(deadline)
            time.sleep(POLL_SECONDS)

    def _look(self) -> None:
        """Raises what a child raised, or that it died."""
        for actor in self._messaging_infrastructure.actors:
            if actor.exception:
                error, trace = actor.exception
                raise _of_child(error, trace) from error
            if actor.exitcode:
                raise SnncError(f"a process of Lava died with exit code {actor.exitcode}")

    def close(self) -> None:
        """Stops the children if they listen, kills them if not, and frees what they shared."""
        infrastructure = self._messaging_infrastructure
        if infrastructure is None:
            return
        try:
            if self._clean:
                for port in self.runtime_to_service:
                    port.send(MGMT_COMMAND.STOP)
                self._await(self.service_to_runtime, STOP_SECONDS)
        finally:
            for actor in infrastructure.actors:
                _end(actor, STOP_SECONDS if self._clean else 0.0)
            self.join()
            infrastructure.stop()
            self._watchdog_manager.stop()
            self._is_running = self._is_started = False
            self._messaging_infrastructure = None

    def stop(self) -> None:
        """What Lava's processes call when they are collected, possibly long after the run: :meth:`close` again."""
        self.close()


def _end(actor: Any, patience: float) -> None:
    multiprocessing.Process.join(actor, patience)
    for stop in (actor.terminate, actor.kill):
        if actor.exitcode is None:
            stop()
            multiprocessing.Process.join(actor, STOP_SECONDS)


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise SnncError("Lava gave no answer in time; its processes have been ended")


def _of_child(error: BaseException, trace: str) -> SnncError:
    where = [line.strip() for line in trace.splitlines() if line.strip().startswith("File ")]
    place = f" ({where[-1]})" if where else ""
    return SnncError(f"a process of Lava failed: {type(error).__name__}: {error}{place}")
