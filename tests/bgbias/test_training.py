import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_learners import black_backgrounds, foregrounds_of
from torch import nn

from bgbias.data.dataset import Dataset, Variant
from bgbias.errors import SettingError
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from bgbias.methods.method import Stage
from bgbias.models.model import Classifier, Model
from bgbias.optimization import Training
from bgbias.training import Schedule, Trainer, choose_device, make_learner, mean_of

CPU = torch.device("cpu")


class Softmax(Model):
    def build(self, task):
        return Classifier(nn.Identity(), nn.Linear(math.prod(task.image_shape), len(task.classes)))


class Noisy(Model):
    def build(self, task):
        return Classifier(nn.Identity(), nn.Sequential(Softmax().build(task).head, nn.Dropout(0.5)))


class Normalising(Model):
    """A body with batch normalisation and two features."""

    def build(self, task):
        return Classifier(
            nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.BatchNorm1d(2)), nn.Linear(2, len(task.classes))
        )


def five_examples():
    image = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 1, 2, 1, 1])
    return dataset_of(Variant(foregrounds_of(image, label), black_backgrounds(3), label))


def dataset_of(train):
    return Dataset("made", ("a", "b", "c"), ("x", "y", "z"), train, {"original": train}, {"original": train})


def trainer(model=Softmax, **settings):
    return Trainer(Erm(), model(), five_examples(), Training(**settings), seed=0, device=CPU)


def weights_of(run):
    """[K, 5]: weights and bias."""
    linear = run.learner.classifier.linear
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
    assert [training.rate_factor(epoch, 4) for epoch in range(4)] == [1] * 4


def test_cosine_schedule_by_hand():
    training = Training(learning_rate=2.0, schedule="cosine", epochs=4)
    root = math.sqrt(2) / 2
    expected = [1.0, (1 + root) / 2, 0.5, (1 - root) / 2]
    assert [training.rate_factor(epoch, 4) for epoch in range(4)] == pytest.approx(expected)
    assert training.rate_factor(4, 4) == pytest.approx(0)


def test_a_schedule_in_steps_by_hand():
    training = Training(schedule="steps", epochs=8)
    expected = [1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert [training.rate_factor(epoch, 8) for epoch in range(8)] == pytest.approx(expected)


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


def test_adamw_shrinks_every_weight_apart_from_the_gradient():
    run = trainer(optimizer="adamw", learning_rate=0.01, weight_decay=0.5, batch_size=5)
    before = weights_of(run)
    run.train_epoch()
    expected = before * (1 - 0.01 * 0.5) - 0.01 * np.sign(loss_and_gradient(before)[1])
    np.testing.assert_allclose(weights_of(run), expected, atol=1e-6)


def test_the_schedule_multiplies_each_groups_own_initial_rate():
    class TwoRates(Erm):
        def optimizers(self, learner, training):
            head = learner.classifier.head
            groups = [{"params": [head.weight], "lr": 0.4}, {"params": [head.bias]}]
            return [torch.optim.SGD(groups, lr=0.2), training.make_optimizer(nn.Linear(1, 1))]

    settings = Training(epochs=4, schedule="cosine", learning_rate=0.1)
    run = Trainer(TwoRates(), Softmax(), five_examples(), settings, seed=0, device=CPU)
    for factor in (1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2):
        run.train_epoch()
        rates = [group["lr"] for optimizer in run.optimizers for group in optimizer.param_groups]
        assert rates == pytest.approx([0.4 * factor, 0.2 * factor, 0.1 * factor])


def body_of(run):
    return {name: value.clone() for name, value in run.learner.classifier.body.state_dict().items()}


def test_the_body_has_its_share_of_the_rate_under_every_schedule():
    run = trainer(Normalising, body_rate=0.25, schedule="cosine", learning_rate=0.1, epochs=3)
    for factor in (1.0, 0.75, 0.25):
        run.train_epoch()
        [optimizer] = run.optimizers
        head, body = optimizer.param_groups
        assert [parameter.shape[0] for parameter in head["params"]] == [3, 3]
        assert [parameter.shape[0] for parameter in body["params"]] == [2, 2, 2, 2]
        assert (head["lr"], body["lr"]) == pytest.approx((0.1 * factor, 0.025 * factor))


@pytest.mark.parametrize("views", [0, 1])
def test_a_frozen_body_keeps_its_weights_and_its_statistics(views):
    run = trainer(Normalising, body_rate=0.0, feature_views=views)
    moving = trainer(Normalising, body_rate=1e-9)
    before, head = body_of(run), run.learner.classifier.head.weight.clone()
    for trained in (run, moving):
        trained.train_epoch()
    torch.testing.assert_close(body_of(run), before, rtol=0, atol=0)
    assert not torch.equal(run.learner.classifier.head.weight, head)
    assert not torch.equal(body_of(moving)["2.running_mean"], before["2.running_mean"])


def test_fixed_batch_normalisation_trains_the_body_by_the_statistics_that_it_began_with():
    run = trainer(Normalising, batch_norm="fixed", batch_size=5)
    before, every = body_of(run), five_examples().train.batch(torch.arange(5))
    expected = F.cross_entropy(run.learner.eval()(every.image), every.label)
    assert run.train_epoch()["train/loss/cross_entropy"] == pytest.approx(float(expected.detach()), abs=1e-6)
    after = body_of(run)
    assert all(torch.equal(after[f"2.running_{name}"], before[f"2.running_{name}"]) for name in ("mean", "var"))
    assert not torch.equal(after["1.weight"], before["1.weight"])
    assert not torch.equal(after["2.weight"], before["2.weight"])


def test_features_of_a_frozen_body_teach_as_its_pictures_do():
    features, pictures = (trainer(Normalising, body_rate=0.0, feature_views=views) for views in (1, 0))
    for _ in range(3):
        assert features.train_epoch()["train/loss/cross_entropy"] == pytest.approx(
            pictures.train_epoch()["train/loss/cross_entropy"], abs=1e-6
        )
    torch.testing.assert_close(features.learner.state_dict(), pictures.learner.state_dict())
    assert features.view.train.features.shape == (5, 2)


def test_a_method_without_meaning_for_pictures_without_masks_is_refused():
    dataset = dataclasses.replace(five_examples(), has_masks=False)
    with pytest.raises(SettingError, match=r"dynamic_replacement needs the masks .* dataset/masks"):
        Trainer(DynamicReplacement(), Softmax(), dataset, Training(), 0, CPU)


def test_the_reported_loss_weighs_every_example_alike():
    run = trainer(optimizer="sgd", learning_rate=1e-12, batch_size=4)
    losses, _ = loss_and_gradient(weights_of(run))
    assert run.train_epoch()["train/loss/cross_entropy"] == pytest.approx(losses.mean(), rel=1e-6)


def batches_seen(**training):
    """The numbers of the examples in each batch of two epochs."""
    seen = []

    class Watching(Erm):
        def augment(self, learner, batch, rng):  # noqa: ARG002
            seen.append(batch.image[:, 0, 0, 0])
            return batch

    settings = Training(batch_size=30, **training)
    run = Trainer(Watching(), Softmax(), dataset_of(many_examples()), settings, seed=0, device=CPU)
    for _ in range(2):
        run.train_epoch()
    return seen


def test_without_shuffling_every_epoch_has_the_datasets_own_order():
    assert torch.cat(batches_seen(shuffle=False)).tolist() == list(range(100)) * 2


def test_each_epoch_sees_every_example_once_in_a_new_order():
    seen = batches_seen()
    assert [len(batch) for batch in seen] == [30, 30, 30, 10] * 2
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != list(range(100))
    assert first.tolist() != second.tolist()


def many_examples():
    image = torch.arange(100.0).reshape(100, 1, 1, 1)
    label = torch.arange(100) % 3
    return Variant(foregrounds_of(image, label), black_backgrounds(3), label)


def test_training_returns_the_learner_to_train_mode():
    run = trainer()
    run.learner.eval()
    run.train_epoch()
    assert run.learner.training


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


def test_every_epoch_draws_new_numbers_for_the_method_and_the_learner():
    drawn = []

    class Drawing(Erm):
        def augment(self, learner, batch, rng):  # noqa: ARG002
            drawn.append((torch.rand(1, generator=rng).item(), torch.rand(1).item()))
            return batch

    run = Trainer(Drawing(), Softmax(), five_examples(), Training(batch_size=5), seed=0, device=CPU)
    for _ in range(3):
        run.train_epoch()
    for_method, for_module = zip(*drawn, strict=True)
    assert len({*for_method, *for_module}) == 6


def test_building_is_a_function_of_the_seed():
    def built(seed):
        return make_learner(Erm(), Softmax(), five_examples(), seed).classifier.head.weight

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


def test_weights_multiply_the_terms_of_examples_and_not_scalars():
    term, weight = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0.0, 3.0, 1.0])
    assert mean_of(term, None).item() == 3
    assert mean_of(term, weight).item() == 4
    assert mean_of(torch.tensor(5.0), weight).item() == 5


def test_the_reported_loss_is_the_weighted_mean():
    class Halved(Erm):
        def weigh(self, learner, batch, terms):  # noqa: ARG002
            return torch.full_like(terms["cross_entropy"], 0.5)

    run = Trainer(Halved(), Softmax(), five_examples(), Training(learning_rate=1e-12), seed=0, device=CPU)
    losses, _ = loss_and_gradient(weights_of(run))
    assert run.train_epoch()["train/loss/cross_entropy"] == pytest.approx(losses.mean() / 2, rel=1e-6)


class Staged(Erm):
    """Stages that a test gives; keeps in which order the hooks of a stage were called."""

    def __init__(self, *stages):
        object.__setattr__(self, "given", stages)
        object.__setattr__(self, "called", [])

    def stages(self, epochs):  # noqa: ARG002
        return self.given

    def enter(self, stage, learner, dataset, rng):  # noqa: ARG002
        self.called.append(("enter", stage, learner.classifier.head.weight.detach().clone()))

    def view(self, stage, learner, dataset, rng):  # noqa: ARG002
        self.called.append(("view", stage, learner.classifier.head.weight.detach().clone()))
        return dataclasses.replace(dataset, name=f"view {stage}")


def staged(*stages, **settings):
    settings = Training(**{"epochs": 4, "optimizer": "sgd", "learning_rate": 0.5, **settings})
    return Trainer(Staged(*stages), Softmax(), five_examples(), settings, seed=0, device=CPU)


def test_each_stage_is_entered_once_and_viewed_once():
    run = staged(Stage(2), Stage(1), Stage(1))
    names = []
    for _ in range(4):
        run.train_epoch()
        names.append(run.view.name)
    assert [call[:2] for call in run.method.called] == [(hook, n) for n in range(3) for hook in ("enter", "view")]
    assert names == ["view 0", "view 0", "view 1", "view 2"]
    assert run.done


def test_a_stage_may_keep_the_view_of_the_stage_before():
    run = staged(Stage(1), Stage(1, same_view=True), Stage(1, same_view=True), Stage(1))
    names = []
    for _ in range(4):
        run.train_epoch()
        names.append(run.view.name)
    assert names == ["view 0", "view 0", "view 0", "view 3"]
    assert [call[:2] for call in run.method.called if call[0] == "view"] == [("view", 0), ("view", 3)]


def test_checkpoints_may_be_chosen_in_evaluated_stages_alone():
    run = staged(Stage(2, evaluated=False), Stage(2))
    found = []
    for _ in range(4):
        run.train_epoch()
        found.append(run.evaluated)
    assert found == [False, False, True, True]


def test_a_restart_begins_with_the_first_weights_fresh_optimisers_and_the_first_rate():
    run = staged(Stage(2), Stage(2, restart=True), schedule="cosine")
    first, rates, optimizers, trained = weights_of(run), [], run.optimizers, []
    for epoch in range(4):
        run.train_epoch()
        trained.append(weights_of(run))
        rates.append(run.optimizers[0].param_groups[0]["lr"])
        assert (run.optimizers is optimizers) == (epoch < 2)
    assert rates == pytest.approx([0.5, 0.25, 0.5, 0.25])
    entered, viewed = run.method.called[2:]
    assert (entered[:2], viewed[:2]) == (("enter", 1), ("view", 1))
    np.testing.assert_array_equal(entered[2].numpy(), trained[1][:, :4])
    np.testing.assert_array_equal(viewed[2].numpy(), first[:, :4])
    once = trainer(epochs=2, optimizer="sgd", learning_rate=0.5, schedule="cosine", batch_size=5)
    once.train_epoch()
    assert run.optimizers[0].state_dict()["state"].keys() == once.optimizers[0].state_dict()["state"].keys()


def test_without_a_restart_the_schedule_runs_over_all_epochs():
    run, rates = staged(Stage(2), Stage(2), schedule="cosine"), []
    for _ in range(4):
        run.train_epoch()
        rates.append(run.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.5 * run.training.rate_factor(epoch, 4) for epoch in range(4)])


def test_a_run_that_goes_on_amid_a_stage_does_not_enter_it_again():
    run = staged(Stage(2), Stage(2))
    for _ in range(3):
        run.train_epoch()
    again = staged(Stage(2), Stage(2))
    again.load_state(run.learner.state_dict(), run.state())
    again.train_epoch()
    assert [call[:2] for call in again.method.called] == [("view", 1)]


def test_stages_by_epoch():
    schedule = Schedule(Staged(Stage(7, by="erm"), Stage(2), Stage(3, restart=True)), 10)
    assert schedule.epochs == 5
    assert [schedule.stage_at(epoch) for epoch in range(5)] == [1, 1, 2, 2, 2]
    assert [schedule.start_of(number) for number in range(3)] == [0, 0, 2]
    assert [schedule.progress_at(epoch) for epoch in range(5)] == [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    "stages",
    [[Stage(0)], [Stage(2), Stage(0)], [Stage(3), Stage(2)], [Stage(5, by="erm")], [Stage(0, by="erm"), Stage(4)]],
)
def test_stages_that_take_no_epoch_or_too_many_are_refused(stages):
    given = [stage.epochs for stage in stages]
    with pytest.raises(SettingError) as caught:
        Schedule(Staged(*stages), 4)
    assert str(caught.value) == (
        f"staged needs at least one epoch for each of its {len(stages)} stages, and no more than 4 together, "
        f"but got {given}: give more epochs"
    )


def test_a_stage_that_something_else_trains_needs_its_weights():
    run = staged(Stage(1, by="erm"), Stage(2))
    with pytest.raises(SettingError, match="a backbone trained by 'erm' must be given, but there is none"):
        run.train_epoch()


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
