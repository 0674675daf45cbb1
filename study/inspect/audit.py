"""Measure how much a trained model depends on the background; `audit_page` draws the result."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from torch import nn

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import ORIGINAL, Variant, spread
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.errors import CheckpointError, SettingError
from bgbias.evaluation.accuracy import share_correct
from bgbias.evaluation.challenge import BackgroundChallenge, Verdict, fewer_backgrounds
from bgbias.evaluation.evaluator import Predictions
from bgbias.evaluation.groups import group_counts
from bgbias.evaluation.saliency import input_gradient, mask_area, mean_share, shares
from bgbias.evaluation.statistics import mean_interval
from bgbias.files import sha256
from bgbias.methods.method import Learner
from bgbias.metrics import TEST
from bgbias.models.class_map import ClassScores, class_map
from bgbias.models.model import Classifier
from bgbias.progress import tracked_by
from bgbias.table import Table
from bgbias.training import choose_device
from study.display import console, progress_bar, work_columns
from study.inspect import audit_data
from study.inspect import challenge as background_challenge
from study.inspect.audit_advice import advice
from study.inspect.audit_model import OWN, Opened, open_model
from study.inspect.audit_pictures import AuditPictures, pictures
from study.inspect.audit_result import (
    Audit,
    AuditedChallenge,
    BackgroundAlone,
    Estimate,
    Look,
    VariantResult,
    class_name,
    right_by_source,
)
from study.training import single
from study.training.single import LoadedModel

SALIENCY_IMAGES = 100
SALIENCY_VARIANTS = (layout.ORIGINAL, layout.MIXED_RAND)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The model to audit, and its pictures.

    model: a checkpoint's folder, or what `audit_model` opens; weights, normalise, size: of the latter
    images, masks, boxes, masks_from, masks_weights, skip_bad: as `study data build` takes them; or `images` holds
        built variants
    classes: a CSV file of the class of each output (`bgbias.models.class_map`)
    cache: where built variants are kept
    workers: threads that build them
    """

    model: str
    images: Path
    masks: Path | None = None
    boxes: Path | None = None
    masks_from: str | None = None
    masks_weights: Path | None = None
    weights: Path | None = None
    classes: Path | None = None
    normalise: str = OWN
    size: int | None = None
    cache: Path = audit_data.CACHE
    skip_bad: bool = False
    device: str = "auto"
    workers: int = 1

    @property
    def is_checkpoint(self) -> bool:
        """True if the model is a checkpoint of this project."""
        return (Path(self.model) / checkpoint.CONFIG).is_file()

    def variants(self, size: int) -> Path:
        """Build the folder of the variants at this picture size, with progress."""
        with tracked_by(progress_bar):
            given = (self.images, self.masks, self.boxes, self.masks_from, self.masks_weights)
            return audit_data.variants_of(*given, size, self.cache, self.workers, self.skip_bad)


@dataclass(frozen=True)
class Subject:
    """A model beside the variants.

    about: what it is, by name of the property; `sha256` tells its weights from others
    gradients: whether its scores have gradients
    """

    trained: LoadedModel
    about: dict[str, str]
    gradients: bool


def subject(request: Request) -> Subject:
    """Open a model, then build the variants that it is evaluated on.

    Raises:
        BgbiasError: the model, the pictures or the options break a rule; nothing is built before the model fits.
    """
    names = audit_data.class_folders(request.images)
    if request.is_checkpoint:
        for option in ("weights", "classes", "size"):
            if getattr(request, option) is not None:
                raise SettingError(
                    f"--{option} is for other models, but {request.model} is a checkpoint of ours: leave it out"
                )
        folder = Path(request.model)
        trained = checkpoint_on(folder, names, request)
        about = checkpoint_about(folder, trained) | audit_data.used(trained.config.data)
        return Subject(trained, about, gradients=True)
    opened = open_model(request.model, request.weights, request.normalise, request.size)
    mapped = class_map(opened.outputs, names, request.classes)
    if mapped is None and opened.classes not in ((), names):
        raise SettingError(
            f"outputs that are the classes must have the folders' names, but {request.model} has "
            f"{', '.join(opened.classes)} and {request.images} has {', '.join(names)}: give --classes FILE.csv with "
            f"lines such as 0,{names[0]}"
        )
    trained = model_on(opened, mapped, request.variants(opened.size), request.device)
    about = model_about(request.model, opened, mapped, len(names)) | audit_data.used(trained.config.data)
    return Subject(trained, about, opened.differentiable)


def checkpoint_on(folder: Path, classes: Sequence[str], request: Request) -> LoadedModel:
    """A checkpoint of ours with the variants of an audit.

    Raises:
        CheckpointError: it is missing, damaged, of other classes, or not of photographs.
    """
    found, size = checkpoint.load(folder), checkpoint_size(folder)
    checkpoint.check_classes(folder, found.classes, classes, str(request.images))
    spec = found.config.dataset if isinstance(found.config.dataset, Imagenet9) else Imagenet9(size=size)
    data = request.variants(size)
    with tracked_by(progress_bar):
        return single.load_on(folder, found, spec, data, request.device)


def checkpoint_size(folder: Path) -> int:
    """The side of the pictures, in pixels, that a checkpoint of photographs was trained on.

    Raises:
        CheckpointError: it was trained on other pictures, or cannot be read.
    """
    config = RunConfig.from_flat(checkpoint.read_description(folder)["config"])
    size = getattr(config.dataset, "size", None)
    if not isinstance(size, int):
        raise CheckpointError(
            f"an audit is of a classifier of photographs, but {folder} was trained on {config.dataset.name()}: "
            "give another checkpoint, or `study evaluate` this one"
        )
    return size


def model_on(opened: Opened, class_map: Sequence[int] | None, data: Path, device: str) -> LoadedModel:
    """A model that was trained elsewhere with the variants of an audit, its outputs scored as their classes."""
    flat = {"dataset/name": Imagenet9.name(), "dataset/size": opened.size, "method/name": "erm", "data": str(data)}
    config = RunConfig.from_flat(flat)
    with tracked_by(progress_bar):
        dataset, chosen = config.dataset.load(data), choose_device(device)
    head = nn.Identity() if class_map is None else ClassScores(class_map, len(dataset.classes))
    learner = Learner(Classifier(opened.network, head), nn.Module()).to(chosen).eval()
    return LoadedModel(config, learner, dataset.to(chosen), chosen)


def audit(given: Subject, backgrounds: int | None, state: Path) -> tuple[Audit, AuditPictures]:
    """Evaluate a model on every variant, with progress.

    Args:
        backgrounds: how many the challenge tries on every object, 0 for all; None leaves it out.
        state: a file for what the challenge knows meanwhile.
    """
    trained, model = given.trained, given.about
    variants = trained.dataset.test
    with counted(trained.learner, sum(map(len, variants.values())), "predicting all variants"):
        result = single.evaluate_trained(trained)
    found = {name: result.predictions[f"{TEST}/{name}"] for name in variants}
    places, counts = place_tables(found, trained.dataset.classes)
    verdict, decided = None, variants[ORIGINAL]
    if backgrounds is not None:
        decided = fewer_backgrounds(decided, backgrounds or None)
        verdict = challenged(trained, decided, result.predictions, str(model.get("sha256", "")), state)
    parts = {
        "variants": {name: variant_result(one, trained.dataset.classes) for name, one in found.items()},
        "bg_gap": paired_gap(variants, found),
        "alone": background_alone(variants, found, len(trained.dataset.classes)),
        "looks": looks(trained) if given.gradients else {},
        "challenge": None if verdict is None else challenge_result(verdict, decided, trained),
    }
    shape = {"model": dict(model), "data": str(trained.config.data), "classes": trained.dataset.classes}
    done = Audit(**shape, **parts, places=places, counts=counts, advice=("", "", ""))  # type: ignore[arg-type]
    return dataclasses.replace(done, advice=advice(done)), pictures(trained, found, verdict, decided)


@contextmanager
def counted(learner: Learner, total: int, what: str) -> Iterator[None]:
    """Show the number of pictures that the classifier has predicted, of the total."""
    with Progress(*work_columns(), console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        hook = learner.classifier.body.register_forward_hook(lambda *seen: bars.advance(task, len(seen[-1])))
        try:
            yield
        finally:
            hook.remove()


def variant_result(found: Predictions, classes: Sequence[str]) -> VariantResult:
    """A variant's accuracy, and that of its worst class."""
    right = found.label == found.prediction
    total = torch.bincount(found.label, minlength=len(classes))
    hits = torch.bincount(found.label[right], minlength=len(classes))
    worst = int((hits / total).nan_to_num(nan=torch.inf).argmin())
    return VariantResult(
        len(found.label),
        Estimate.of(int(right.sum()), len(right)),
        classes[worst],
        Estimate.of(int(hits[worst]), int(total[worst])),
    )


def paired_gap(variants: Mapping[str, Variant], found: Mapping[str, Predictions]) -> Estimate:
    """Mixed-Same minus Mixed-Rand accuracy, and the bootstrap interval over the objects that both show."""
    same, rand = (right_by_source(variants[name], found[name]) for name in (layout.MIXED_SAME, layout.MIXED_RAND))
    sources = sorted(same.keys() & rand.keys())
    low, high = mean_interval([same[source] - rand[source] for source in sources])
    value = share_correct(found[layout.MIXED_SAME].label, found[layout.MIXED_SAME].prediction) - share_correct(
        found[layout.MIXED_RAND].label, found[layout.MIXED_RAND].prediction
    )
    return Estimate(value, low, high)


def place_tables(found: Mapping[str, Predictions], classes: Sequence[str]) -> tuple[Table, Table]:
    """The accuracy of each class on backgrounds of each class over the mixed variants, and how many pictures."""
    count = correct = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    for name in layout.MIXED:
        shown, right = group_counts(found[name], len(classes), len(classes) + 1)
        count, correct = count + shown[:, :-1], correct + right[:, :-1]
    accuracy = torch.where(count > 0, correct / count, torch.nan)
    return Table.of(accuracy, classes, classes), Table.of(count, classes, classes)


def background_alone(
    variants: Mapping[str, Variant], found: Mapping[str, Predictions], classes: int
) -> BackgroundAlone:
    """Measure how often the background alone decides the prediction."""
    alone = found[layout.ONLY_BG_T]
    right = Estimate.of(int((alone.label == alone.prediction).sum()), len(alone.label))
    away = {name: found[name].place != found[name].label for name in layout.MIXED}
    followed = sum(
        int((found[name].prediction == found[name].place)[elsewhere].sum()) for name, elsewhere in away.items()
    )
    total = sum(int(elsewhere.sum()) for elsewhere in away.values())
    own = right_by_source(variants[ORIGINAL], found[ORIGINAL])
    moved = right_by_source(variants[layout.MIXED_NEXT], found[layout.MIXED_NEXT])
    known = [not moved[source] for source, was_right in own.items() if was_right and source in moved]
    return BackgroundAlone(
        right,
        1 / classes,
        Estimate.of(followed, total) if total else None,
        Estimate.of(sum(known), len(known)) if known else None,
    )


def looks(trained: LoadedModel) -> dict[str, Look]:
    """Measure the share of the input gradient on the object, on `SALIENCY_IMAGES` pictures of some variants at most."""
    found = {}
    for name in SALIENCY_VARIANTS:
        variant = trained.dataset.test[name]
        index = spread(len(variant), SALIENCY_IMAGES)
        with (
            counted(trained.learner, len(index), f"saliency on {name}"),
            trained.config.evaluation_arithmetic(trained.device),
        ):
            share = shares(trained.config.method, trained.learner, variant, index, input_gradient)
        area = mask_area(variant.foregrounds.mask[index.to(trained.device)]).mean().item()
        found[name] = Look(len(index), mean_share(share), area)
    return found


def challenged(
    trained: LoadedModel, variant: Variant, found: Mapping[str, Predictions], weights: str, state: Path
) -> Verdict:
    """The challenge on a variant's backgrounds; a stopped one continues where its weights are known."""
    whole = len(variant.backgrounds) == len(trained.dataset.test[ORIGINAL].backgrounds)
    challenge = (
        background_challenge.begun(trained, found)
        if whole
        else BackgroundChallenge(trained.config.method, trained.learner, variant)
    )
    key = background_challenge.fingerprint(weights, trained, challenge)
    if not weights:
        state.unlink(missing_ok=True)  # a function may have changed
    return background_challenge.decided(challenge, trained, state, key)


def challenge_result(verdict: Verdict, variant: Variant, trained: LoadedModel) -> AuditedChallenge:
    """A verdict with names."""
    dataset = trained.dataset
    source = variant.foregrounds.source.tolist()
    names = background_names(variant, trained)
    fooled = [
        {
            "object": background_challenge.named(dataset.source_names, source[i]),
            "background": background_challenge.named(names, int(verdict.fooled_by[i])),
            "prediction": class_name(dataset.classes, int(verdict.prediction[i])),
        }
        for i in (~verdict.robust).nonzero()[:, 0].tolist()
    ]
    robust = Estimate.of(int(verdict.robust.sum()), len(verdict.robust))
    return AuditedChallenge(robust, len(verdict.label), len(variant.backgrounds), fooled)


def background_names(variant: Variant, trained: LoadedModel) -> tuple[str, ...]:
    """Names of a variant's backgrounds."""
    names, all_of = trained.dataset.test_background_names, len(trained.dataset.test[ORIGINAL].backgrounds)
    if len(variant.backgrounds) == all_of or not names:
        return names
    return tuple(names[i] for i in spread(all_of, len(variant.backgrounds)).tolist())


def model_about(name: str, opened: Opened, class_map: Sequence[int] | None, classes: int) -> dict[str, str]:
    """Describe a model that was trained elsewhere, by name of the property."""
    scored = f"{opened.outputs} outputs are the {classes} classes, in the order of their folders"
    if class_map is not None:
        used = sum(label >= 0 for label in class_map)
        scored = f"{used} of {opened.outputs} outputs belong to a class; the others are wrong predictions"
    return {
        "name": name,
        "kind": opened.kind,
        "size": f"{opened.size} px",
        "normalisation": opened.normalisation,
        "classes": scored,
        "sha256": opened.sha256,
    }


def checkpoint_about(folder: Path, trained: LoadedModel) -> dict[str, str]:
    """Describe a checkpoint of this project, by name of the property."""
    config = trained.config
    return {
        "name": str(folder),
        "kind": f"checkpoint of {config.method.name()}, {config.model.name()}",
        "size": f"{trained.dataset.image_shape[1]} px",
        "normalisation": "its own",
        "classes": f"the checkpoint's {len(trained.dataset.classes)}",
        "sha256": sha256(folder / checkpoint.MODEL),
    }
