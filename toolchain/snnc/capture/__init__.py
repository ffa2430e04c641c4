"""PyTorch -> float Graph, with proof of meaning. Only here (and in snnc.nn) is torch imported."""

from snnc.capture.convert import Captured, capture
from snnc.capture.load import LoadedModel, load_model
from snnc.capture.probe import ProbeResult, probe, torch_trace

__all__ = ["Captured", "LoadedModel", "ProbeResult", "capture", "load_model", "probe", "torch_trace"]
