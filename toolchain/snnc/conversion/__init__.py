"""ReLU networks without time become spiking networks (ANN to SNN)."""

from snnc.conversion.ann import Ann, Relu, rectifiers
from snnc.conversion.convert import Converted, convert
from snnc.conversion.curve import Curve, Point, measure
from snnc.conversion.evaluate import answers

__all__ = ["Ann", "Converted", "Curve", "Point", "Relu", "answers", "convert", "measure", "rectifiers"]
