"""One run without a search, and one checkpoint evaluated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from rich.progress import Progress

from bgbias import checkpoint
from bgbias.checkpoint import Checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.datasets import datasets
from bgbias.errors import CheckpointError, SettingError
from bgbias.evaluation.evaluate import Result, evaluate
from bgbias.methods.method import Learner
from bgbias.metrics import VALIDATION, accuracy, variants_in
from bgbias.progress import Tracker, tracked_by
from bgbias.randomness import stream
from bgbias.training import choose_device, make_learner
from study.display import console, counted, percent, show_line, work_columns
from study.record.divergence import divergence
from study.record.epoch import Metrics
from study.record.lock import is_unused, locked, new_folder
from study.training.run import Run


def train(config: RunConfig, device: str, output: Path | None) -> tuple[Path, Metrics]:
    """Train one configuration, with progress.

    Args:
        config: of the run.
        device: `auto`, `cpu` or `cuda`.
        output: an empty or new folder; None makes one under `outputs`.

    Returns:
        The folder of the last epoch's checkpoint, and its metrics. The best epochs' checkpoints stand beside it.

    Raises:
        SettingError: `output` is not an empty or new folder.
    """
    check_empty(output)
    dataset, chosen = config.dataset.load(config.data), choose_device(device)
    folder = output or new_folder(f"{config.method.name()}-{config.dataset.name()}")
    run = Run(config, dataset, chosen, folder)
    with claimed(folder), Progress(*work_columns(), console=console) as progress, tracked_by(counted_by(progress)):
        task, shown = progress.add_task("training", total=run.trainer.epochs), ""
        while not run.done:
            metrics = run.epoch().metrics
            evaluated = variants_in(metrics, VALIDATION)
            shown = "  ".join(f"{name} {percent(metrics[accuracy(VALIDATION, name)])}" for name in evaluated) or shown
            progress.update(task, advance=1, description=f"training  {shown}")
    if reason := divergence(run.history):
        epochs = counted(len(run.history), "epoch")
        show_line(f"[yellow]diverged after {epochs}, so training stopped: {reason}[/]")
    return folder / str(len(run.history)), run.history[-1]


def counted_by(progress: Progress) -> Tracker:
    """A tracker that gives each work a bar of its own among others."""
    return lambda items, what, total: progress.track(items, total=total, description=what)


def adopt(config: RunConfig, output: Path | None) -> Path:
    """A checkpoint of a model that was trained elsewhere: as it is before its first epoch here.

    Raises:
        SettingError: `output` is not an empty or new folder, or the model has no weights or no output for a class.
        DataError: its weights cannot be had or do not fit.
    """
    check_empty(output)
    dataset = config.dataset.load(config.data)
    learner = make_learner(config.method, config.model, dataset, config.seed)
    config.model.initialise(learner.classifier, whole_network=True)
    folder = output or new_folder(f"adopted-{config.dataset.name()}")
    sources = checkpoint.sources_of(config.model, dataset)
    checkpoint.save(
        folder, config, dataset.classes, epoch=0, metrics={}, module=learner, predictions={}, sources=sources
    )
    return folder


def check_empty(output: Path | None) -> None:
    """Check that an output folder is new or empty.

    Raises:
        SettingError: it is neither.
    """
    if output is not None and not is_unused(output):
        raise SettingError(f"{output} is not an empty folder: give another --output")


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """An empty folder that no other process fills meanwhile.

    Raises:
        SettingError: it is not empty, or another process fills it.
    """
    output.mkdir(parents=True, exist_ok=True)
    with locked(output):
        check_empty(output)
        yield


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint's learner beside the dataset it is evaluated on, both on one device, prepared as for training.

    config: the checkpoint's, with the folder of the data it is evaluated on
    """

    config: RunConfig
    learner: Learner
    dataset: Dataset
    device: torch.device


def load_trained(folder: Path, dataset: str | None, data: Path | None, device: str) -> LoadedModel:
    """A checkpoint with its own dataset, or with another whose images have the same shape and classes.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or the data has other classes.
        SettingError: the dataset's images do not fit the checkpoint.
    """
    found = checkpoint.load(folder)
    spec = found.config.dataset if dataset in (None, found.config.dataset.name()) else datasets.find(dataset)()
    return load_on(folder, found, spec, data, device)


def load_on(folder: Path, found: Checkpoint, spec: DatasetSpec, data: Path | None, device: str) -> LoadedModel:
    """Put a checkpoint that was read beside a dataset.

    Args:
        folder: the checkpoint's.
        found: what it holds.
        spec: the dataset.
        data: the dataset's folder; None takes the one that the checkpoint names.
        device: where both are put.

    Raises:
        CheckpointError: the data has other classes.
        SettingError: the dataset's images do not fit the checkpoint.
    """
    recorded = None if spec.embedded else found.config.data
    config = replace(found.config, data=data.absolute() if data else recorded)
    target, chosen = spec.load(config.data), choose_device(device)
    checkpoint.check_classes(folder, found.classes, target.classes, str(config.data or target.name))
    learner = make_learner(config.method, config.model, target, config.seed)
    try:
        checkpoint.restore(learner, found)
    except CheckpointError:
        if spec == config.dataset:
            raise
        raise SettingError(
            f"the checkpoint was trained on {config.dataset.name()}, and {target.name} has images of "
            f"{target.image_shape}: choose a dataset of the same shape"
        ) from None
    prepared = config.method.prepare(target, stream(config.seed, "prepare")).to(chosen)
    return LoadedModel(config, config.training.place(learner, chosen), prepared, chosen)


def load_beside(folder: Path, first: LoadedModel) -> LoadedModel:
    """Another checkpoint, to be compared with the first on the first one's pictures.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or has other classes.
        SettingError: it was not trained on the same dataset.
    """
    found = checkpoint.load(folder)
    config, expected = found.config, first.config.dataset
    if config.dataset != expected:
        raise SettingError(
            f"both checkpoints must be of the same dataset, but the first was trained on {expected.name()} with "
            f"{described(expected)}, and {folder} on {config.dataset.name()} with {described(config.dataset)}: "
            "give one of the same dataset"
        )
    checkpoint.check_classes(folder, found.classes, first.dataset.classes, "the first checkpoint's data")
    learner = make_learner(config.method, config.model, first.dataset, config.seed)
    checkpoint.restore(learner, found)
    return LoadedModel(config, config.training.place(learner, first.device), first.dataset, first.device)


def described(spec: DatasetSpec) -> str:
    """A dataset's options, such as `size=96, min_scale=0.5`."""
    return ", ".join(f"{field.name}={getattr(spec, field.name)}" for field in fields(spec))  # type: ignore[arg-type]


def evaluate_trained(trained: LoadedModel) -> Result:
    """The predictions on every variant, and their metrics as they were reported after the checkpoint's epoch."""
    config = trained.config
    with config.evaluation_arithmetic(trained.device):
        return evaluate(config.method, trained.learner, trained.dataset, config.evaluation.chosen())
