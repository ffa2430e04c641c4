"""The release binaries of SpiNNaker 1 as a witness: mapped by sPyNNaker, executed on unicorn."""

from snnc_spinnaker.binary.execute import run

__all__ = ["run"]
