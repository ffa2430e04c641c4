"""The digits models: committed weights load anywhere and reach their accuracy; data are fixed and apart."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from snnc.errors import InputError
from snnc.nn import LIF, Sequence
from snnc.trace import read_samples
from unit.models.model_scripts import MODELS, load

SHAPES = {"digits_mlp": (64,), "digits_conv": (1, 8, 8)}


load("digits_mlp")
DATA, TRAIN = sys.modules["_data"], sys.modules["_train"]


def patterns(spikes: np.ndarray) -> set[bytes]:
    return {sample.tobytes() for sample in spikes}


@pytest.mark.parametrize("name", SHAPES)
def test_trained_model_reaches_its_accuracy_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = load(name)
    model, samples = module.build(), module.held_out()
    assert isinstance(model, Sequence)
    assert not model.training
    assert TRAIN.accuracy(model, samples) >= 0.96
    assert TRAIN.accuracy(module.network().eval(), samples) < 0.5
    shuffled = {**samples, "labels": np.roll(samples["labels"], 1)}
    assert TRAIN.accuracy(model, shuffled) < 0.3


@pytest.mark.parametrize("name", SHAPES)
def test_eight_bit_weights_cost_at_most_one_point(name):
    module = load(name)
    model, samples = module.build(), module.held_out()
    before = TRAIN.accuracy(model, samples)
    with torch.no_grad():
        for layer in model.step:
            if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
                unit = layer.weight.abs().max() / 127
                layer.weight.copy_(torch.round(layer.weight / unit) * unit)
    assert abs(TRAIN.accuracy(model, samples) - before) <= 0.01


@pytest.mark.parametrize("name", SHAPES)
def test_samples_have_the_promised_form_and_the_split_is_clean(name):
    module, shape = load(name), SHAPES[name]
    example, held_out = module.example(), module.held_out()
    for samples, count in ((example, 256), (held_out, 360)):
        assert set(samples) == {"spikes", "labels"}
        assert samples["spikes"].shape == (count, 16, *shape)
        assert samples["spikes"].dtype == np.int8
        assert set(np.unique(samples["spikes"])) == {0, 1}
        assert samples["labels"].shape == (count,)
        assert set(samples["labels"]) == set(range(10))
        assert samples["labels"].dtype == np.int64
    split = DATA.digits(shape)
    train = patterns(split.train.samples()["spikes"])
    assert len(train) + len(patterns(held_out["spikes"])) == 1797
    assert not train & patterns(held_out["spikes"])
    assert patterns(example["spikes"]) <= train
    again = module.held_out()
    assert all(np.array_equal(held_out[key], again[key]) for key in held_out)


@pytest.mark.parametrize("name", SHAPES)
def test_models_suit_loihi1_and_spinnaker1(name):
    module = load(name)
    neurons = [m for m in module.build().modules() if isinstance(m, LIF)]
    assert len(neurons) >= 2
    for neuron in neurons:
        node = neuron.node("n")
        assert node.reset_v == "zero"
        assert node.threshold.ndim == 0
        assert 0 < float(node.decay_v) < 1


def test_the_convolutional_model_holds_what_the_passes_are_for():
    kinds = {type(layer) for layer in load("digits_conv").build().step}
    assert {torch.nn.BatchNorm2d, torch.nn.AvgPool2d, torch.nn.Dropout, torch.nn.Flatten} <= kinds


def test_rate_code_spaces_as_many_spikes_as_the_level():
    spikes = DATA.rate_code(np.arange(17, dtype=np.uint8)[np.newaxis])[0]
    assert spikes.shape == (16, 17)
    assert spikes.sum(0).tolist() == list(range(17))
    for level in range(2, 17):
        gaps = np.diff(np.flatnonzero(spikes[:, level]))
        assert set(gaps) <= {16 // level, -(-16 // level)}
    assert np.flatnonzero(spikes[:, 1]).tolist() == [7]


def test_training_for_one_epoch_is_reproducible_and_leaves_no_mark(tmp_path):
    module = load("digits_mlp")
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, second = (tmp_path / "a" / "w.npz", tmp_path / "b" / "w.npz")
    model = module.train(epochs=1, weights=first)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(6)
    module.train(epochs=1, weights=second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != (MODELS / "weights" / "digits_mlp.npz").read_bytes()
    untrained = TRAIN.accuracy(module.network().eval(), module.held_out())
    assert TRAIN.accuracy(model, module.held_out()) > untrained + 0.2


def test_norms_are_frozen_at_the_end_of_training(tmp_path):
    module = load("digits_conv")
    model = TRAIN.fit(module.network, module.digits(module.SHAPE).train, module.RECIPE, 1)
    norm = model.step[1]
    assert int(norm.num_batches_tracked) == 16 * 23
    model = TRAIN.fit(module.network, module.digits(module.SHAPE).train, TRAIN.Recipe(epochs=1, frozen_norms=1.0))
    assert int(model.step[1].num_batches_tracked) == 0


def test_weights_that_are_missing_or_of_another_network_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(TRAIN, "WEIGHTS", tmp_path)
    mlp, conv = load("digits_mlp"), load("digits_conv")
    with pytest.raises(InputError, match=r"no trained weights; make them with: python models/digits_mlp\.py"):
        TRAIN.load_weights(mlp.network(), "digits_mlp")
    TRAIN.save_weights(conv.network(), tmp_path / "digits_mlp.npz")
    with pytest.raises(InputError, match="do not fit the network"):
        TRAIN.load_weights(mlp.network(), "digits_mlp")


def test_export_writes_input_files(tmp_path, monkeypatch, capsys):
    module = load("digits_conv")
    monkeypatch.setattr(sys, "argv", ["digits_conv.py", "--export", str(tmp_path / "new")])

    def train() -> Sequence:
        raise AssertionError("export does not train")

    TRAIN.main(module.NAME, train, module.example, module.held_out)
    for kind, samples in (("held_out", module.held_out()), ("calibration", module.example())):
        found = read_samples(tmp_path / "new" / f"digits_conv_{kind}.npz", (1, 8, 8))
        np.testing.assert_array_equal(found.spikes, samples["spikes"])
        np.testing.assert_array_equal(found.labels, samples["labels"])
    assert "digits_conv_held_out.npz: spikes [360, 16, 1, 8, 8]" in capsys.readouterr().out


def test_script_trains_and_prints_the_held_out_accuracy(monkeypatch, capsys):
    module = load("digits_mlp")
    monkeypatch.setattr(sys, "argv", ["digits_mlp.py"])
    TRAIN.main(module.NAME, module.build, module.example, module.held_out)
    expected = TRAIN.accuracy(module.build(), module.held_out())
    assert capsys.readouterr().out == f"digits_mlp: held-out accuracy {expected:.4f}\n"
