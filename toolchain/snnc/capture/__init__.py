"""PyTorch -> float Graph, with proof of meaning. Only here (and in snnc.nn) is torch imported."""

from snnc.capture.ann import ann_answers, capture_ann, is_ann
from snnc.capture.convert import Captured, capture
from snnc.capture.load import LoadedModel, load_model
from snnc.capture.probe import ProbeResult, probe, torch_trace

__all__ = [
    "Captured",
    "LoadedModel",
    "ProbeResult",
    "ann_answers",
    "capture",
    "capture_ann",
    "is_ann",
    "load_model",
    "probe",
    "torch_trace",
]
