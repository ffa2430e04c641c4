"""What the host computes beside a rule: errors, thresholds of competition, normalisation, labels. Pure functions.

Times are steps of first spikes; ``t_max`` stands for a neuron that stayed silent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnc.errors import InputError, Violation
from snnc.ir import FloatArray, IntArray


def s2_errors(times: npt.ArrayLike, target: int, t_max: int, gap: float) -> FloatArray:
    """Errors of S2-STDP: ``(t - t_wanted) / t_max``, positive for a neuron that fires too late.

    ``t_wanted = T_mean - gap*(n-1)/n`` for the target and ``T_mean + gap/n`` for the others, T_mean over all n neurons:
    the mean stays where it is, and the distance between both becomes ``gap``.

    Args:
        times: [n] of the neurons that compete for the label: all of the layer, or each group's winner.
        target: index of the neuron that should fire first.
        t_max: steps of a sample.
        gap: in steps.

    Returns:
        [n] errors.
    """
    found = np.asarray(times, dtype=np.float64)
    if found.ndim != 1 or not 0 <= target < len(found):
        raise InputError.of(Violation("s2 errors", "target", str(target), f"0 to {found.size - 1}"))
    wanted = np.full(len(found), found.mean() + gap / len(found))
    wanted[target] = found.mean() - gap * (len(found) - 1) / len(found)
    return np.asarray((found - np.clip(wanted, 0, t_max)) / t_max, dtype=np.float64)


def winners(times: npt.ArrayLike, potentials: npt.ArrayLike, group: int) -> IntArray:
    """The neuron of each group that fired first; ties and silent groups go to the highest membrane potential.

    On a chip lateral inhibition comes a step late, so that neurons that fire in one step both win: the host decides.

    Args:
        times: [groups * group] first spikes.
        potentials: [groups * group] membrane potentials at the spike or at the sample's end.
        group: neurons of each group.

    Returns:
        [groups] indices of neurons.
    """
    first = np.asarray(times, dtype=np.float64).reshape(-1, group)
    height = np.asarray(potentials, dtype=np.float64).reshape(-1, group)
    tied = np.where(first == first.min(axis=1, keepdims=True), height, -np.inf)
    return np.asarray(np.argmax(tied, axis=1) + group * np.arange(len(first)), dtype=np.int64)


def competed(thresholds: npt.ArrayLike, winner: int, group: int, rate: float, floor: npt.ArrayLike) -> FloatArray:
    """Training thresholds after one sample: the winner's rises by ``rate*(M-1)/M``, its rivals' fall by ``rate/M``.

    Args:
        thresholds: [neurons] of training.
        winner: index of the neuron that won in the group of the label.
        group: M, neurons of each group.
        rate: step.
        floor: thresholds of inference, scalar or [neurons], below which none falls.
    """
    found = np.array(thresholds, dtype=np.float64)
    rivals = slice(winner // group * group, (winner // group + 1) * group)
    found[rivals] -= rate / group
    found[winner] += rate
    return np.asarray(np.maximum(found, floor), dtype=np.float64)


def normalised(weights: npt.ArrayLike, total: float, norm: str = "L1") -> FloatArray:
    """Weights into each neuron, scaled so that their absolute sum (L1) or Euclidean length (L2) is ``total``.

    Args:
        weights: [post, pre]; rows of zeros stay.
        total: what each row shall have.
        norm: L1 or L2.
    """
    found = np.asarray(weights, dtype=np.float64)
    size = np.abs(found).sum(axis=1) if norm == "L1" else np.sqrt(np.square(found).sum(axis=1))
    return np.asarray(found * (total / np.where(size == 0, total or 1.0, size))[:, np.newaxis], dtype=np.float64)


def labelled(counts: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> IntArray:
    """Class of each neuron: the one whose samples made it fire most on average.

    Args:
        counts: [samples, neurons] spikes.
        labels: [samples] classes.
        classes: how many there are.

    Returns:
        [neurons] classes; 0 for neurons that never fire.
    """
    spikes, given = np.asarray(counts, dtype=np.float64), np.asarray(labels)
    means = [
        spikes[given == c].mean(axis=0) if (given == c).any() else np.zeros(spikes.shape[1]) for c in range(classes)
    ]
    return np.asarray(np.argmax(np.stack(means), axis=0), dtype=np.int64)
