"""Every method on a GPU: replayed steps give the numbers of steps that are taken one by one."""

import pytest
import torch
from test_method_contract import assert_same, epoch, every_case, trainer

from bgbias import cuda_graph
from bgbias.methods.dynamic_replacement import DynamicReplacement
from bgbias.methods.erm import Erm
from bgbias.models.compact_cnn import CompactCnn
from bgbias.models.small_cnn import SmallCnn
from bgbias.optimization import Training
from bgbias.training import Trainer

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

GPU = torch.device("cuda")


@pytest.fixture
def recordings(monkeypatch):
    """The number of recordings made so far, as the only item of a list."""
    count = [0]
    record = cuda_graph.record

    def counting(*arguments):
        count[0] += 1
        return record(*arguments)

    monkeypatch.setattr(cuda_graph, "record", counting)
    return count


@every_case
def test_replayed_steps_give_the_same_numbers(name, fields, load, recordings):
    dataset = load("colored-digits").head(410)
    settings = {"batch_size": 16, "epochs": 3, "device": GPU}
    run = trainer(name, fields, dataset, **settings)
    other = trainer(name, fields, dataset, cuda_graphs=False, **settings)
    while not run.done:
        assert epoch(run) == epoch(other)
    assert_same(run, other)
    print(f"{name} {fields}: {recordings[0]} recordings")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [CompactCnn(), SmallCnn()], ids=["compact_cnn", "small_cnn"])
def test_with_every_optimiser_precision_and_schedule(optimizer, precision, model, load, recordings):
    dataset = load("colored-digits").head(410)

    def run_with(cuda_graphs):
        settings = Training(
            batch_size=16,
            epochs=3,
            schedule="cosine",
            optimizer=optimizer,
            precision=precision,
            cuda_graphs=cuda_graphs,
        )
        return Trainer(DynamicReplacement(), model, dataset, settings, 0, GPU)

    run, other = run_with(True), run_with(False)
    while not run.done:
        assert epoch(run) == epoch(other)
    assert_same(run, other)
    assert recordings == [3]


def test_augmented_photographs_are_recorded_too(load, recordings):
    dataset = load("imagenet9")

    def run_with(cuda_graphs):
        settings = Training(batch_size=2, epochs=2, cuda_graphs=cuda_graphs)
        return Trainer(DynamicReplacement(), CompactCnn(), dataset, settings, 0, GPU)

    run, other = run_with(True), run_with(False)
    while not run.done:
        assert epoch(run) == epoch(other)
    assert_same(run, other)
    assert recordings == [2]


def test_a_step_that_waits_for_the_gpu_is_noticed():
    values = torch.arange(4, device=GPU)
    assert cuda_graph.waits_for_device(lambda index: values[index].sum().item(), values)
    assert not cuda_graph.waits_for_device(lambda index: values[index].sum(), values)


def test_resumed_runs_equal_undisturbed_ones(load):
    dataset = load("colored-digits").head(410)

    def fresh():
        return Trainer(Erm(), CompactCnn(), dataset, Training(batch_size=16, epochs=3), 0, GPU)

    straight, run = fresh(), fresh()
    while not straight.done:
        straight.train_epoch()
    run.train_epoch()
    resumed = fresh()
    resumed.load_state(run.learner.state_dict(), run.state())
    while not resumed.done:
        resumed.train_epoch()
    assert_same(resumed, straight)
