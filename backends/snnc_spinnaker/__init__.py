"""Back end ``spinnaker``: emulates SpiNNaker 1 cores in s16.15 and lowers graphs to them."""

from snnc_spinnaker import backend

__all__ = ["backend"]
