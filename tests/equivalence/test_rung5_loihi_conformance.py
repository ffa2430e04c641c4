"""Rung 5 through the whole corridor: passes, quantizer and lowering, with the suite that every back end inherits."""

from __future__ import annotations

from snnc.testing import Conformance


class TestLoihi(Conformance):
    backend = "loihi"
    unsupported = {
        "max_pool": "an axon adds to what others bring",
        "loihi1/soft_reset": "Loihi 1 resets to zero and subtracts nothing",
        "loihi1/delayed_reset": "the chip resets in the step of the spike",
        "loihi1/refractory": "Lava has no fixed-point model with a refractory period",
        "loihi1/reset_u": "a spike leaves the current as it is",
        "loihi1/reset_value": "there is no register for another reset value",
    }
