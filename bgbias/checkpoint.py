"""One checkpoint format for every method: a folder that holds all that evaluating needs, and nothing pickled.

config.json             the format's number, the class names, the run's configuration, epoch and metrics, and the
                        SHA-256 of the files that it began with
model.safetensors       the module's weights
predictions.safetensors by `<split>/<variant>` the prediction for every image, int16, by `<split>/<variant>/label` the
                        right one, and by `<split>/<variant>/place` the class of its background, -1 without one, where
                        images have one; empty where the epoch was not evaluated; its metadata hold the class names
sha256.json             the SHA-256 of each of these

Outputs and labels are positions in the class names, so weights and data must agree on the names and their order.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset
from bgbias.errors import BgbiasError, CheckpointError
from bgbias.evaluation.evaluator import Predictions
from bgbias.files import verify_checksums, write_checksums
from bgbias.models.model import Model

CONFIG, MODEL, PREDICTIONS = "config.json", "model.safetensors", "predictions.safetensors"
LABEL, PLACE = "label", "place"
FORMAT = 2
"""Counts the changes of what the files hold. Checkpoints without a number have format 1."""
CLASSES, SOURCES, WEIGHTS = "classes", "sha256", "weights"


@dataclass(frozen=True)
class Checkpoint:
    """A trained module's weights and where they come from.

    classes: the names of the classes, in the order of the outputs
    epoch: how many epochs it was trained
    metrics: as they were reported at that epoch
    sources: the SHA-256 of the files that the run began with, by what they are
    """

    config: RunConfig
    classes: tuple[str, ...]
    epoch: int
    metrics: dict[str, float]
    weights: dict[str, Tensor]
    sources: dict[str, str] = field(default_factory=dict)


def save(
    folder: Path,
    config: RunConfig,
    classes: Sequence[str],
    epoch: int,
    metrics: Mapping[str, float],
    module: nn.Module,
    predictions: Mapping[str, Predictions],
    sources: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint into `folder`, which is made where needed.

    Args:
        sources: the SHA-256 of the files that the run began with, as `sources_of` gives them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "format": FORMAT,
        CLASSES: list(classes),
        "config": config.to_flat(),
        "epoch": epoch,
        "metrics": dict(metrics),
        SOURCES: dict(sources or {}),
    }
    (folder / CONFIG).write_text(json.dumps(described, indent=1))
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, folder / MODEL)
    save_file(_tensors(predictions), folder / PREDICTIONS, metadata={CLASSES: json.dumps(list(classes))})
    write_checksums(folder)


def extend(folder: Path, metrics: Mapping[str, float], predictions: Mapping[str, Predictions]) -> None:
    """Add metrics and predictions to a checkpoint, which may be evaluated later than it was saved.

    Raises:
        CheckpointError: a file is missing or damaged, or of another format.
    """
    described, kept = read_description(folder), _read(folder, PREDICTIONS)
    described["metrics"].update(metrics)
    (folder / CONFIG).write_text(json.dumps(described, indent=1))
    metadata = {CLASSES: json.dumps(described[CLASSES])}
    save_file({**kept, **_tensors(predictions)}, folder / PREDICTIONS, metadata=metadata)
    write_checksums(folder)


def _tensors(predictions: Mapping[str, Predictions]) -> dict[str, Tensor]:
    """Predictions as a checkpoint keeps them."""
    predicted = {key: found.prediction.to(torch.int16) for key, found in predictions.items()}
    labels = {f"{key}/{LABEL}": found.label.to(torch.int16) for key, found in predictions.items()}
    places = {f"{key}/{PLACE}": found.place.to(torch.int16) for key, found in predictions.items() if len(found.place)}
    return {**predicted, **labels, **places}


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint, weights on the CPU.

    Raises:
        CheckpointError: a file is missing or damaged, or of another format.
    """
    described, weights = read_description(folder), read_weights(folder)
    try:
        config = RunConfig.from_flat(described["config"])
    except BgbiasError as error:
        raise CheckpointError(f"{folder / CONFIG} does not fit this version ({error})") from None
    return Checkpoint(
        config=config,
        classes=tuple(described[CLASSES]),
        epoch=described["epoch"],
        metrics=described["metrics"],
        weights=weights,
        sources=described.get(SOURCES, {}),
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A checkpoint's weights alone, on the CPU.

    Raises:
        CheckpointError: their file is missing or damaged.
    """
    return _read(folder, MODEL)


def _read(folder: Path, file: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint's file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        found: dict[str, Tensor] = load_file(folder / file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / file} cannot be read ({error}): give a whole checkpoint") from None
    verify_checksums(folder, file)
    return found


def sources_of(model: Model, dataset: Dataset) -> dict[str, str]:
    """The SHA-256 of the files that a run begins with: the model's `weights`, and those that describe the dataset.

    Raises:
        DataError: the weights cannot be had.
    """
    weights = model.checksum()
    return {**({} if weights is None else {WEIGHTS: weights}), **dataset.files}


@dataclass(frozen=True)
class KeptPredictions:
    """Predictions for one variant's N images, as a checkpoint keeps them.

    prediction, label: [N] int16, positions in the class names
    place: [N] int16, the class of each image's background, -1 without one; None where it was not kept
    """

    prediction: Tensor
    label: Tensor
    place: Tensor | None


def read_predictions(folder: Path) -> dict[str, KeptPredictions]:
    """All kept predictions, by `<split>/<variant>`.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    found = _read(folder, PREDICTIONS)
    keys = [key.removesuffix(f"/{LABEL}") for key in found if key.endswith(f"/{LABEL}") and key.count("/") > 1]
    return {
        key: KeptPredictions(found[key], found[f"{key}/{LABEL}"], found.get(f"{key}/{PLACE}")) for key in sorted(keys)
    }


def read_right(folder: Path, key: str) -> Tensor:
    """Read which images of `<split>/<variant>` were predicted correctly: [N] bool, True = correct.

    Raises:
        CheckpointError: these predictions were not kept, or the file is missing or damaged.
    """
    try:
        found = load_file(folder / PREDICTIONS)
        right: Tensor = found[key] == found[f"{key}/{LABEL}"]
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{folder / PREDICTIONS} does not hold {key} ({error}): train again with this version"
        ) from None
    verify_checksums(folder, PREDICTIONS)
    return right


def read_description(folder: Path) -> dict[str, Any]:
    """A checkpoint's "format", "classes", "config", "epoch" and "metrics", without its weights.

    Raises:
        CheckpointError: the file is missing or damaged, or of another format.
    """
    try:
        described = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {folder}: give a folder that holds {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read ({error}): give a whole checkpoint") from None
    if not isinstance(described, dict) or not {"config", "epoch", "metrics"} <= described.keys():
        raise CheckpointError(f"{folder / CONFIG} lacks config, epoch or metrics: give a whole checkpoint")
    found: dict[str, Any] = described
    number = found.get("format", 1)
    if number != FORMAT:
        raise CheckpointError(
            f"{folder} was written by another version (format {number}, this one reads {FORMAT}): train again with "
            "this version, or use that one"
        )
    if CLASSES not in found:
        raise CheckpointError(f"{folder / CONFIG} lacks the class names: give a whole checkpoint")
    return found


def check_classes(folder: Path, trained: Sequence[str], classes: Sequence[str], data: str) -> None:
    """Compare the class names of a checkpoint with those of the data that it meets.

    Args:
        folder: the checkpoint's.
        data: what the data is called.

    Raises:
        CheckpointError: they differ, or their order does.
    """
    if tuple(trained) != tuple(classes):
        raise CheckpointError(
            f"a checkpoint and its data must have the same classes, but {folder} has {_listed(trained)} and {data} has "
            f"{_listed(classes)}: give data of the checkpoint's classes, or another checkpoint"
        )


def _listed(classes: Sequence[str]) -> str:
    return f"{len(classes)} ({', '.join(classes)})"


def restore(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into a module built from its configuration, for the same classes.

    Raises:
        CheckpointError: the weights do not fit.
    """
    try:
        module.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights do not fit what this version makes of the checkpoint's configuration ({reason}): train again "
            "with this version, or use the one that wrote it"
        ) from None
