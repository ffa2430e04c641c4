"""The part that imports Lava. Kept apart, because importing it starts the shims and takes a second.

No Process is defined here: Lava's compiler executes every file beside the module of a Process that it compiles.
"""

from snnc_loihi import compat

compat.activate()
