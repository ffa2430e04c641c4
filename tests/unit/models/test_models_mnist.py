"""The MNIST model: builds from committed weights alone; its accuracy needs the images in ../shared/data."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from snnc.errors import InputError
from unit.models.model_scripts import load


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("mnist_mlp")


def test_build_needs_no_images(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["_data"], "MNIST", tmp_path / "none.npz")
    out = script.build()(torch.ones(2, 16, 784))
    assert out.shape == (2, 16, 10)
    assert set(out.unique().tolist()) <= {0.0, 1.0}


def test_missing_images_are_named(script, tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: the MNIST images are not on this machine; put an \.npz there"):
        script.mnist(tmp_path / "none.npz")


def test_another_file_is_refused_and_a_small_one_is_read(script, tmp_path):
    path = tmp_path / "mnist.npz"
    images = np.array([0, 7, 8, 127, 128, 247, 248, 255], dtype=np.uint8)
    arrays = {"xtr": np.tile(images, 98)[np.newaxis], "ytr": np.array([3]), "yte": np.array([4])}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="no array xte; found xtr, yte, ytr"):
        script.mnist(path)
    np.savez(path, **arrays, xte=np.tile(images, 98).reshape(1, 28, 28))
    split = script.mnist(path)
    assert split.train.levels[0, :8].tolist() == [0, 0, 1, 8, 8, 15, 16, 16]
    np.testing.assert_array_equal(split.held_out.levels, split.train.levels)
    samples = split.held_out.samples()
    assert samples["spikes"].shape == (1, 16, 784)
    assert samples["labels"].tolist() == [4]


def test_accuracy_on_test_images(script, shared_data):
    split = script.mnist(shared_data / "mnist" / "mnist_full.npz")
    assert (len(split.train.labels), len(split.held_out.labels)) == (60_000, 10_000)
    samples = split.held_out.samples(2_000)
    accuracy = sys.modules["_train"].accuracy
    assert accuracy(script.build(), samples) >= 0.96
    assert accuracy(script.network().eval(), samples) < 0.5


def test_example_is_from_the_training_images(script, shared_data):
    example = script.example()
    assert example["spikes"].shape == (256, 16, 784)
    assert example["spikes"].dtype == np.int8
    split = script.mnist(shared_data / "mnist" / "mnist_full.npz")
    np.testing.assert_array_equal(example["spikes"].sum(1), split.train.levels[:256])
    np.testing.assert_array_equal(example["labels"], split.train.labels[:256])
