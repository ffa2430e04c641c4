"""The sinabs example network, trained by others, on MNIST: within one point of itself without time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snnc.backend import discover
from snnc.capture import capture_ann
from snnc.config import ConvertConfig
from snnc.conversion import Converted, answers, convert
from snnc.ir import Affine, Conv, Flatten, Input, Neuron, Pool
from snnc.passes import HardenReset
from snnc.trace import Probes, Samples, load_npz

STEPS = 12
IMAGES = 1000
EXECUTE = discover().reference.execute


def network(folder: Path) -> nn.Module:
    """The CNN of the sinabs tutorial with its published weights."""
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5, bias=False), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(20, 32, 5, bias=False), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(32, 128, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(128, 500, bias=False), nn.ReLU(), nn.Linear(500, 10, bias=False),
    )  # fmt: skip
    stored = torch.load(folder / "sinabs" / "mnist_params.pt", weights_only=True, map_location="cpu")
    # The file numbers the layers of a network with a dropout layer, which has no weights.
    model.load_state_dict(dict(zip(model.state_dict(), stored.values(), strict=True)))
    return model.eval()


@pytest.fixture(scope="module")
def images(shared_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """200 training images for the scales; 1,000 test images and labels."""
    data = load_npz(shared_data / "mnist" / "mnist_full.npz")
    train, test = (data[key].reshape(-1, 1, 28, 28) / 255.0 for key in ("xtr", "xte"))
    return train[:200], test[:IMAGES], data["yte"][:IMAGES].astype(np.int64)


@pytest.fixture(scope="module")
def converted(shared_data: Path, images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Converted:
    ann = capture_ann(network(shared_data), (1, 28, 28))
    return convert(ann, images[0], ConvertConfig(steps=STEPS, percentile=99.0), EXECUTE)


def simulated(made: Converted, values: np.ndarray, hard: bool = False) -> np.ndarray:
    """Output spikes [B, T, 10] by torch alone: no code is shared with the reference."""
    graph = made.graph
    state: dict[str, torch.Tensor] = {}
    out = []
    for _ in range(STEPS):
        for name in graph.order:
            node = graph[name]
            if isinstance(node, Input):
                x = torch.from_numpy(values)
            elif isinstance(node, Conv):
                assert node.bias is None
                x = nn.functional.conv2d(x, torch.from_numpy(np.array(node.weight)))
            elif isinstance(node, Affine):
                x = x @ torch.from_numpy(np.array(node.weight)).T
            elif isinstance(node, Pool):
                x = nn.functional.avg_pool2d(x, node.kernel, node.stride)
            elif isinstance(node, Flatten):
                x = x.flatten(1)
            elif isinstance(node, Neuron):
                v = state.get(name, 0.5) + x + float(np.asarray(node.bias))
                x = (v >= 1).to(v.dtype)
                state[name] = v * (1 - x) if hard else v - x
        out.append(x.numpy())
    return np.stack(out, axis=1)


def right(spikes: np.ndarray, labels: np.ndarray) -> float:
    return float((spikes.sum(axis=1).argmax(axis=1) == labels).mean())


def test_1000_images_within_a_point_at_12_steps(
    converted: Converted, images: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    _, test, labels = images
    want = float((answers(converted.ann, test).argmax(axis=1) == labels).mean())
    assert want > 0.97
    found = np.concatenate([simulated(converted, test[i : i + 100]) for i in range(0, IMAGES, 100)])
    assert 100 * (want - right(found, labels)) <= 1.0
    few = EXECUTE(converted.graph, converted.encode(Samples(test[:10])).spikes, Probes())
    np.testing.assert_array_equal(found[:10], few.spikes["answer"])


def test_hard_resets_and_missing_normalisation_are_worse(
    converted: Converted, images: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """Negative controls on 100 images: other spikes, and without scales no answer at all."""
    train, test, labels = images
    soft, hard = (simulated(converted, test[:100], hard=hard) for hard in (False, True))
    assert np.mean(soft != hard) > 0.005
    graph = HardenReset()(converted.graph)
    few = EXECUTE(graph, converted.encode(Samples(test[:5])).spikes, Probes())
    np.testing.assert_array_equal(hard[:5], few.spikes["answer"])
    plain = convert(converted.ann, train, ConvertConfig(steps=STEPS, norm="none"), EXECUTE)
    assert right(simulated(plain, test[:100]), labels[:100]) < right(soft, labels[:100]) - 0.3
