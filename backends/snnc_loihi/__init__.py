"""Back end ``loihi``: Lava processes for Intel's Loihi. Importing it does not import Lava."""

from snnc_loihi import backend

__all__ = ["backend"]
