import math

import numpy as np
import pytest
import torch
from torch import nn

from bgbias.data.dataset import Dataset, Variant
from bgbias.errors import SettingError
from bgbias.methods.erm import Erm
from bgbias.models.model import Model
from bgbias.training import Trainer, Training, build_module, choose_device
from bgbias.types import Backgrounds, Foregrounds

CPU = torch.device("cpu")


class Softmax(Model):
    def build(self, image_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), classes))


class Noisy(Model):
    def build(self, image_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), classes), nn.Dropout(0.5))


def five_examples():
    image = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 1, 2, 1, 1])
    front = Foregrounds(image, torch.ones_like(image, dtype=torch.bool), label, torch.arange(5))
    train = Variant(front, Backgrounds(torch.zeros(4, 1, 1, 1), torch.arange(3)), label)
    return Dataset("five", ("a", "b", "c"), train, {"original": train}, {"original": train})


def trainer(model=Softmax, **settings):
    return Trainer(Erm(), model(), five_examples(), Training(**settings), seed=0, device=CPU)


def weights_of(run):
    """[K, 5]: weights and bias."""
    linear = run.module[1]
    return np.column_stack([linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy()])


def loss_and_gradient(weights):
    """Softmax regression on the five examples, by its formulas."""
    front = five_examples().train.foregrounds
    x = np.column_stack([front.image.reshape(5, 4).double().numpy(), np.ones(5)])
    exponents = np.exp(x @ weights.T)
    p = exponents / exponents.sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[front.label]
    return -np.log((p * one_hot).sum(axis=1)), (p - one_hot).T @ x / 5


def test_constant_schedule():
    training = Training(learning_rate=0.3, schedule="constant", epochs=4)
    assert [training.learning_rate_at(epoch) for epoch in range(4)] == [0.3] * 4


def test_cosine_schedule_by_hand():
    training = Training(learning_rate=2.0, schedule="cosine", epochs=4)
    root = math.sqrt(2) / 2
    expected = [2.0, 1 + root, 1.0, 1 - root]
    assert [training.learning_rate_at(epoch) for epoch in range(4)] == pytest.approx(expected)
    assert training.learning_rate_at(4) == pytest.approx(0)


def test_two_sgd_steps_by_hand():
    run = trainer(optimizer="sgd", learning_rate=0.5, schedule="cosine", epochs=2, batch_size=5, weight_decay=0.1)
    weights, velocity = weights_of(run), 0
    for learning_rate in (0.5, 0.25):
        velocity = 0.9 * velocity + loss_and_gradient(weights)[1] + 0.1 * weights
        weights = weights - learning_rate * velocity
        run.train_epoch()
        np.testing.assert_allclose(weights_of(run), weights, rtol=1e-5, atol=1e-6)


def test_adam_s_first_step_moves_every_weight_by_the_learning_rate():
    run = trainer(optimizer="adam", learning_rate=0.01, batch_size=5)
    before = weights_of(run)
    run.train_epoch()
    expected = before - 0.01 * np.sign(loss_and_gradient(before)[1])
    np.testing.assert_allclose(weights_of(run), expected, atol=1e-6)


def test_the_reported_loss_weighs_every_example_alike():
    run = trainer(optimizer="sgd", learning_rate=1e-12, batch_size=4)
    losses, _ = loss_and_gradient(weights_of(run))
    assert run.train_epoch()["train/loss/cross_entropy"] == pytest.approx(losses.mean(), rel=1e-6)


def test_each_epoch_sees_every_example_once_in_a_new_order():
    seen = []

    class Watching(Erm):
        def augment(self, batch, generator):  # noqa: ARG002
            seen.append(batch.image[:, 0, 0, 0])
            return batch

    data = Dataset("many", ("a", "b", "c"), many_examples(), {}, {})
    run = Trainer(Watching(), Softmax(), data, Training(batch_size=30), seed=0, device=CPU)
    for _ in range(2):
        run.train_epoch()
    assert [len(batch) for batch in seen] == [30, 30, 30, 10] * 2
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != list(range(100))
    assert first.tolist() != second.tolist()


def many_examples():
    image = torch.arange(100.0).reshape(100, 1, 1, 1)
    label = torch.arange(100) % 3
    front = Foregrounds(image, torch.ones_like(image, dtype=torch.bool), label, torch.arange(100))
    return Variant(front, Backgrounds(torch.zeros(4, 1, 1, 1), torch.arange(3)), label)


def test_training_returns_the_module_to_train_mode():
    run = trainer()
    run.module.eval()
    run.train_epoch()
    assert run.module.training


def test_dropout_repeats_from_the_seed_and_leaves_global_randomness_alone():
    first, again = trainer(Noisy, batch_size=2), trainer(Noisy, batch_size=2)
    before = torch.get_rng_state()
    for _ in range(3):
        first.train_epoch()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    for _ in range(3):
        again.train_epoch()
    np.testing.assert_array_equal(weights_of(first), weights_of(again))


def test_every_epoch_draws_new_numbers_for_the_method_and_the_module():
    drawn = []

    class Drawing(Erm):
        def augment(self, batch, generator):
            drawn.append((torch.rand(1, generator=generator).item(), torch.rand(1).item()))
            return batch

    run = Trainer(Drawing(), Softmax(), five_examples(), Training(batch_size=5), seed=0, device=CPU)
    for _ in range(3):
        run.train_epoch()
    for_method, for_module = zip(*drawn, strict=True)
    assert len({*for_method, *for_module}) == 6


def test_building_is_a_function_of_the_seed():
    def built(seed):
        return build_module(Erm(), Softmax(), five_examples(), seed)[1].weight

    before = torch.get_rng_state()
    assert torch.equal(built(0), built(0))
    assert not torch.equal(built(0), built(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_state_counts_epochs():
    run = trainer()
    assert run.state()["epoch"] == 0
    run.train_epoch()
    run.train_epoch()
    assert run.state()["epoch"] == 2


def test_an_unknown_device_is_answered_with_the_known():
    with pytest.raises(SettingError, match=r"^device must be auto, cpu, cuda or cuda:<number>, but got 'tpu9'$"):
        choose_device("tpu9")


def test_cpu_is_always_there():
    assert choose_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused_and_auto_is_the_cpu():
    with pytest.raises(SettingError, match=r"^device 'cuda:1' is not available: no GPUs were found; use cpu or auto$"):
        choose_device("cuda:1")
    assert choose_device("auto") == CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_with_a_gpu_auto_takes_it():
    assert choose_device("auto").type == "cuda"
