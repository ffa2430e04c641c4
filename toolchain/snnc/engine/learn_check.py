"""A short life of a few synapses, by which a build's learning is accepted when it is first used."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from snnc.engine import learn_numpy
from snnc.engine.learn_native import Native
from snnc.engine.learn_numpy import Memory, Now
from snnc.engine.learn_tables import recipe
from snnc.engine.library import Kernels
from snnc.ir import PlasticityRule, SynapticTrace

PRE, POST, STEPS = 21, 9, 24
RULE = PlasticityRule.parse(
    dw="2^-1*y0*x1*x2 - 3*2^-2*x0*(y1-5)*y2 + u1*2^-3*sgn(w-8)*t", dt="2^-2*y0*x1 - 2^-3*x0*(t+4)*y3", t_epoch=3,
    x1=SynapticTrace(40.3, 8), x2=SynapticTrace(17, 0), y1=SynapticTrace(50.25, 6), y2=SynapticTrace(30.6, 20),
    y3=SynapticTrace(127, 200),
)  # fmt: skip


def blank(start: learn_numpy.Array) -> Memory:
    """Synapses [pre, post] before their first step."""
    pre, post = start.shape
    return Memory(
        w=np.array(start, dtype=np.int16, order="C"),
        t=np.zeros(start.shape, dtype=np.int16),
        d=np.zeros(start.shape, dtype=np.int16),
        x=np.zeros((2, pre), dtype=np.int16),
        y=np.zeros((3, post), dtype=np.int16),
        last_pre=np.zeros(pre, dtype=np.int16),
        last_post=np.zeros(post, dtype=np.int16),
    )


@lru_cache(maxsize=16)
def agrees(kernels: Kernels, number: int) -> bool:
    """Whether a build learns as NumPy does."""
    tables = recipe(RULE)
    dice = np.random.default_rng(3)
    start = 2 * dice.integers(-100, 100, (PRE, POST))
    compiled, plain = blank(start), blank(start)
    native = Native(kernels, number, compiled, RULE.t_epoch)
    for step in range(STEPS):
        now = Now(
            step % RULE.t_epoch + 1, int(dice.integers(128)), step % RULE.t_epoch == RULE.t_epoch - 1,
            [int(dice.integers(1 << bits)) for bits in (53, 7, 53, 7)], int(dice.integers(128)), step > STEPS // 2,
        )  # fmt: skip
        pre, post = (dice.random(PRE) < 0.2).astype(np.int64), (dice.random(POST) < 0.1).astype(np.int64)
        if not np.array_equal(native.step(tables, now, pre, post), learn_numpy.step(plain, tables, now, pre, post)):
            return False
    return all(np.array_equal(values, getattr(plain, name)) for name, values in vars(compiled).items())
