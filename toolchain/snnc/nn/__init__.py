"""Training-side modules whose forward is the graph's float step, with surrogate gradients."""

from snnc.nn.base import SpikingModule, reset_states
from snnc.nn.network import Recurrent, Sequence
from snnc.nn.neurons import LIF, CubaLIF

__all__ = ["LIF", "CubaLIF", "Recurrent", "Sequence", "SpikingModule", "reset_states"]
