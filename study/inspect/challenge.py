"""The Background Challenge on a checkpoint: with progress, and from where it was stopped."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bgbias import checkpoint
from bgbias.data.compose import unit
from bgbias.data.dataset import ORIGINAL
from bgbias.evaluation.challenge import CHALLENGE, BackgroundChallenge, Verdict, challenge_of
from bgbias.evaluation.evaluator import Predictions
from bgbias.files import atomically, sha256
from bgbias.metrics import ACCURACY, TEST, variant_metric
from study.display import console, percent
from study.picture_grid import Cell, picture_grid, picture_of
from study.record.epoch import Metrics
from study.training.single import LoadedModel

STATE = "challenge.safetensors"
SAVE_SECONDS = 20.0
KEY = "key"
SHOWN_BACKGROUNDS = 8


def run_challenge(folder: Path, trained: LoadedModel, found: Mapping[str, Predictions]) -> Verdict:
    """Put every test foreground on every background until one fools it.

    What is known is kept beside the checkpoint's files, so that a stopped run continues and a finished one is not
    repeated.

    Args:
        found: the predictions on every variant, by `<split>/<variant>`
    """
    challenge = begun(trained, found)
    return decided(
        challenge, trained, folder / STATE, fingerprint(sha256(folder / checkpoint.MODEL), trained, challenge)
    )


def decided(challenge: BackgroundChallenge, trained: LoadedModel, state: Path, key: str) -> Verdict:
    """The verdict on every foreground, with progress.

    Args:
        state: a file for what is known meanwhile.
        key: what it is about.
    """
    restore(challenge, state, key)
    columns = (TextColumn("Background Challenge: {task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console, transient=True) as bars,
        trained.config.evaluation_arithmetic(trained.device),
    ):
        task, saved = bars.add_task("", total=1.0), time.monotonic()
        while len(undecided := challenge.undecided):
            described = f"{len(undecided)} of {len(challenge.label)} undecided"
            bars.update(task, completed=challenge.share_done, description=described)
            challenge.round()
            if time.monotonic() - saved > SAVE_SECONDS:
                save(challenge, state, key)
                saved = time.monotonic()
    save(challenge, state, key)
    return challenge.verdict()


def begun(trained: LoadedModel, found: Mapping[str, Predictions]) -> BackgroundChallenge:
    """The challenge of the test set, which begins with the predictions on its variants."""
    of_test = {name: found[f"{TEST}/{name}"] for name in trained.dataset.test}
    return challenge_of(trained.config.method, trained.learner, trained.dataset.test, of_test)


def fingerprint(weights: str, trained: LoadedModel, challenge: BackgroundChallenge) -> str:
    """Identify this challenge: the weights, the foregrounds and backgrounds, what a state holds.

    Args:
        weights: what tells these from others, such as their checksum
    """
    foregrounds, backgrounds = challenge.size
    described = [trained.dataset.name, str(trained.config.data), foregrounds, backgrounds]
    described += sorted(challenge.state())
    return hashlib.sha256(json.dumps([weights, *described]).encode()).hexdigest()


def save(challenge: BackgroundChallenge, file: Path, key: str) -> None:
    """Keep what is known, where the folder can be written; a reader sees the old file or the new one."""
    if os.access(file.parent, os.W_OK):
        with atomically(file) as partial:
            save_file(challenge.state(), partial, metadata={KEY: key})


def restore(challenge: BackgroundChallenge, file: Path, key: str) -> None:
    """Go on from what is known, if it is about the same weights and pictures."""
    try:
        with safe_open(file, "pt") as found:
            if (found.metadata() or {}).get(KEY) == key:
                challenge.load_state({name: found.get_tensor(name) for name in found.keys()})  # noqa: SIM118 - no dict
    except (OSError, SafetensorError):
        return


def metrics(verdict: Verdict) -> Metrics:
    """`test/challenge/accuracy`, and the bounds of its Wilson interval."""
    low, high = verdict.interval
    name = variant_metric(TEST, CHALLENGE, ACCURACY)
    return {name: verdict.accuracy, f"{name}_low": low, f"{name}_high": high}


def to_json(verdict: Verdict, trained: LoadedModel) -> dict[str, object]:
    """Plain values: accuracy by class, passes, and for every vulnerable foreground what fooled it."""
    dataset, backgrounds = trained.dataset, len(trained.dataset.test[ORIGINAL].backgrounds)
    source = dataset.test[ORIGINAL].foregrounds.source.tolist()
    return {
        "accuracy": verdict.accuracy,
        "interval": list(verdict.interval),
        "classes": {name: verdict.class_accuracy(label) for label, name in enumerate(dataset.classes)},
        "foregrounds": len(verdict.label),
        "backgrounds": backgrounds,
        "passes": verdict.passes,
        "gradients": verdict.gradients,
        "fewest_passes": verdict.fewest_passes(backgrounds),
        "fooled": [
            {
                "foreground": named(dataset.source_names, source[i]),
                "background": named(dataset.test_background_names or dataset.classes, int(verdict.fooled_by[i])),
                "prediction": named(dataset.classes, int(verdict.prediction[i])),
            }
            for i in (~verdict.robust).nonzero()[:, 0].tolist()
        ],
    }


def table(verdict: Verdict, trained: LoadedModel) -> Table:
    """Robust accuracy by class."""
    low, high = verdict.interval
    found = Table("foregrounds", "robust", title="Background Challenge: robust on every background")
    for label, name in enumerate(trained.dataset.classes):
        found.add_row(escape(name), percent(verdict.class_accuracy(label)))
    found.add_row("all", f"{percent(verdict.accuracy)}  (95 %: {percent(low)} to {percent(high)})", style="bold")
    return found


def counts(verdict: Verdict, trained: LoadedModel) -> str:
    """Describe how many pairs of foreground and background were predicted."""
    backgrounds = len(trained.dataset.test[ORIGINAL].backgrounds)
    return (
        f"predicted {verdict.passes:,} of {len(verdict.label) * backgrounds:,} pairs of foreground and background, "
        f"{verdict.gradients:,} of them with a gradient; the fewest possible: {verdict.fewest_passes(backgrounds):,}"
    )


def named(names: tuple[str, ...], number: int) -> str:
    """Name of a class or background; its number if it has no name, such as a prediction outside the classes."""
    return names[number] if number < len(names) else str(number)


def challenge_picture(verdict: Verdict, trained: LoadedModel) -> Image.Image:
    """By class of the foregrounds, the backgrounds that were the first to fool most of them."""
    variant, classes = trained.dataset.test[ORIGINAL], trained.dataset.classes
    title = "backgrounds that fooled most foregrounds of each class, and how many each was the first to fool"
    names = [f"{name}\n{percent(verdict.class_accuracy(label))} robust" for label, name in enumerate(classes)]
    cells = []
    for label in range(len(classes)):
        fooled = verdict.fooled_by[(verdict.label == label) & ~verdict.robust]
        hits = torch.bincount(fooled, minlength=len(variant.backgrounds))
        most = hits.argsort(descending=True, stable=True)[: min(SHOWN_BACKGROUNDS, int((hits > 0).sum()))]
        images = unit(variant.backgrounds.image[most]).cpu().numpy()
        shown = zip(images, hits[most].tolist(), strict=True)
        cells.append([Cell(picture_of(image), str(count)) for image, count in shown])
    return picture_grid(cells, names, title=title)
