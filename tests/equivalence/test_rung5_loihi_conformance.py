"""Rung 5 through the whole corridor: passes, quantizer and lowering, with the suite that every back end inherits."""

from __future__ import annotations

from snnc.testing import Conformance


class TestLoihi(Conformance):
    backend = "loihi"
    unsupported = {
        "soft_reset": "Loihi 1 resets to zero and subtracts nothing",
        "delayed_reset": "the chip resets in the step of the spike",
        "max_pool": "a compartment adds what arrives",
        "refractory": "Lava has no fixed-point model with a refractory period",
        "reset_u": "a spike leaves the current as it is",
        "reset_value": "there is no register for another reset value",
    }
