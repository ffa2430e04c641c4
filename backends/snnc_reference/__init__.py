"""Back end ``reference``: one readable step per node type, float64 and int64."""

from snnc_reference import backend

__all__ = ["backend"]
