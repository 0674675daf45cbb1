"""How much a trained model leans on the background: everything is computed here, `audit_page` draws it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn

from bgbias import checkpoint
from bgbias.config import RunConfig
from bgbias.data.dataset import ORIGINAL, Variant, spread
from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.errors import CheckpointError, SettingError
from bgbias.evaluation.accuracy import share_correct
from bgbias.evaluation.challenge import BackgroundChallenge, Verdict
from bgbias.evaluation.evaluator import Predictions
from bgbias.evaluation.groups import group_counts
from bgbias.evaluation.saliency import input_gradient, mask_area, mean_share, shares
from bgbias.evaluation.statistics import mean_interval, wilson_interval
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
from study.inspect.audit_model import OWN, Opened, open_model
from study.inspect.saliency import class_by_class
from study.training import single
from study.training.single import Trained

SALIENCY_IMAGES = 100
SALIENCY_VARIANTS = (layout.ORIGINAL, layout.MIXED_RAND)
SHOWN_OBJECTS, SHOWN_FOOLED = 3, 12
NO_GAP, LARGE_GAP = 0.0, 0.05
"""A BG-Gap whose interval reaches the first is no sign of a bias; one above the second is a large one."""
TELLING = 5
"""A class was seen on backgrounds of another often enough to name them."""
NEAR_CHANCE = 1.5
"""An original accuracy below so many times chance is no trained model's on these classes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is audited, and on which pictures.

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
        """Whether the model is a checkpoint of ours."""
        return (Path(self.model) / checkpoint.CONFIG).is_file()

    def variants(self, size: int) -> Path:
        """The folder of the variants, of pictures of so many pixels, with progress."""
        with tracked_by(progress_bar):
            given = (self.images, self.masks, self.boxes, self.masks_from, self.masks_weights)
            return audit_data.variants_of(*given, size, self.cache, self.workers, self.skip_bad)


@dataclass(frozen=True)
class Subject:
    """A model beside the variants.

    about: what it is, by name of the property; `sha256` tells its weights from others
    gradients: whether its scores have gradients
    """

    trained: Trained
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
    trained = model_on(opened, mapped, request.variants(opened.size), request.device)
    about = model_about(request.model, opened, mapped, len(names)) | audit_data.used(trained.config.data)
    return Subject(trained, about, opened.differentiable)


@dataclass(frozen=True)
class Estimate:
    """A share or a difference of shares, and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, total: int) -> "Estimate":
        """A share with Wilson's interval."""
        return cls(hits / total, *wilson_interval(hits, total))


@dataclass(frozen=True)
class VariantResult:
    """A variant's accuracy.

    worst_class: the class with the lowest accuracy, and that accuracy with its interval
    """

    images: int
    accuracy: Estimate
    worst_class: str
    worst_class_accuracy: Estimate


@dataclass(frozen=True)
class BackgroundAlone:
    """How often the background alone decides.

    right: the share of pictures without their object (Only-BG-T) that are predicted as the object's class
    chance: 1 / K
    followed: of objects on a background of another class, the share that is predicted as the background's class
    flipped: of objects that are right on their own background, the share that is wrong on one of the next class
    """

    right: Estimate
    chance: float
    followed: Estimate | None
    flipped: Estimate | None


@dataclass(frozen=True)
class Look:
    """The mean share of the input gradient inside the objects, and of the pictures' area that these cover."""

    images: int
    share: float
    area: float


@dataclass(frozen=True)
class Challenge:
    """The Background Challenge: the share of objects that no background fools.

    fooled: object, background and prediction of every object that one fools
    """

    robust: Estimate
    objects: int
    backgrounds: int
    fooled: list[dict[str, str]]


@dataclass(frozen=True)
class Audit:
    """What an audit finds.

    model: what it was, by name of the property
    data: the folder of the variants
    bg_gap: Mixed-Same minus Mixed-Rand accuracy; the interval resamples objects
    places: accuracy of each class (row) on backgrounds of each class (column) over the mixed variants, NaN where none
    counts: how many pictures that is
    looks: by variant, where the input gradient lies; empty for a model without gradients
    advice: three lines on what to do next
    """

    model: dict[str, str]
    data: str
    classes: tuple[str, ...]
    variants: dict[str, VariantResult]
    bg_gap: Estimate
    places: Table
    counts: Table
    alone: BackgroundAlone
    looks: dict[str, Look]
    challenge: Challenge | None
    advice: tuple[str, str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = dataclasses.asdict(dataclasses.replace(self, places=None, counts=None))  # type: ignore[arg-type]
        return {
            **found,
            "classes": list(self.classes),
            "places": self.places.to_json(),
            "counts": self.counts.to_json(),
        }


@dataclass(frozen=True)
class Shown:
    """A picture of the page: [3, H, W] float in [0, 1], under a title, and what was predicted."""

    image: Tensor
    title: str
    label: str
    prediction: str

    @property
    def right(self) -> bool:
        """Whether the prediction is the label."""
        return self.label == self.prediction


@dataclass(frozen=True)
class Pictures:
    """What the page shows: some objects, each in every variant; and objects on backgrounds that fool the model."""

    objects: list[list[Shown]]
    fooled: list[Shown]


def checkpoint_on(folder: Path, classes: Sequence[str], request: Request) -> Trained:
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


def model_on(opened: Opened, class_map: Sequence[int] | None, data: Path, device: str) -> Trained:
    """A model that was trained elsewhere with the variants of an audit, its outputs scored as their classes."""
    flat = {"dataset/name": Imagenet9.name(), "dataset/size": opened.size, "method/name": "erm", "data": str(data)}
    config = RunConfig.from_flat(flat)
    with tracked_by(progress_bar):
        dataset, chosen = config.dataset.load(data), choose_device(device)
    head = nn.Identity() if class_map is None else ClassScores(class_map, len(dataset.classes))
    learner = Learner(Classifier(opened.network, head), nn.Module()).to(chosen).eval()
    return Trained(config, learner, dataset.to(chosen), chosen)


def audit(given: Subject, backgrounds: int | None, state: Path) -> tuple[Audit, Pictures]:
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
        decided = fewer_backgrounds(decided, backgrounds)
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
    """Show how many pictures of so many the classifier has seen."""
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


def right_by_source(variant: Variant, found: Predictions) -> dict[int, bool]:
    """By source picture, whether its object is predicted correctly."""
    right = (found.label == found.prediction).tolist()
    return dict(zip(variant.foregrounds.source.tolist(), right, strict=True))


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
    """How often the background alone decides."""
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


def looks(trained: Trained) -> dict[str, Look]:
    """Where the input gradient lies, over at most `SALIENCY_IMAGES` pictures of some variants."""
    found = {}
    for name in SALIENCY_VARIANTS:
        variant = trained.dataset.test[name]
        index = spread(len(variant), SALIENCY_IMAGES)
        with (
            counted(trained.learner, len(index), f"saliency on {name}"),
            trained.config.training.arithmetic(trained.device),
        ):
            share = shares(trained.config.method, trained.learner, variant, index, input_gradient)
        area = mask_area(variant.foregrounds.mask[index.to(trained.device)]).mean().item()
        found[name] = Look(len(index), mean_share(share), area)
    return found


def fewer_backgrounds(variant: Variant, count: int) -> Variant:
    """The variant with at most so many backgrounds, evenly spread; all for 0."""
    backgrounds = variant.backgrounds
    if not count or count >= len(backgrounds):
        return variant
    index = spread(len(backgrounds), count).to(variant.assignment.device)
    return dataclasses.replace(variant, backgrounds=backgrounds.at(index))


def challenged(
    trained: Trained, variant: Variant, found: Mapping[str, Predictions], weights: str, state: Path
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


def challenge_result(verdict: Verdict, variant: Variant, trained: Trained) -> Challenge:
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
    return Challenge(robust, len(verdict.label), len(variant.backgrounds), fooled)


def background_names(variant: Variant, trained: Trained) -> tuple[str, ...]:
    """What the backgrounds of a variant are called."""
    names, all_of = trained.dataset.test_background_names, len(trained.dataset.test[ORIGINAL].backgrounds)
    if len(variant.backgrounds) == all_of or not names:
        return names
    return tuple(names[i] for i in spread(all_of, len(variant.backgrounds)).tolist())


def class_name(classes: Sequence[str], number: int) -> str:
    """A prediction's class; an output of no class is called so."""
    return classes[number] if number < len(classes) else "none of these"


def pictures(trained: Trained, found: Mapping[str, Predictions], verdict: Verdict | None, decided: Variant) -> Pictures:
    """Objects that show best what a background does: right on their own one and wrong on a random one, if there are."""
    variants, classes = trained.dataset.test, trained.dataset.classes
    own = right_by_source(variants[ORIGINAL], found[ORIGINAL])
    moved = right_by_source(variants[layout.MIXED_RAND], found[layout.MIXED_RAND])
    label = dict(zip(variants[ORIGINAL].foregrounds.source.tolist(), found[ORIGINAL].label.tolist(), strict=True))
    everywhere = [s for s in own if all(s in rows_of(variants[name]) for name in variants)]
    telling = [source for source in everywhere if own[source] and not moved[source]]
    chosen = first_of_each_class([*telling, *(s for s in everywhere if s not in telling)], label, SHOWN_OBJECTS)
    objects = []
    for source in chosen:
        row = []
        for name, variant in variants.items():
            at = rows_of(variant)[source]
            image = variant.batch(torch.tensor([at], device=trained.device)).image[0].cpu()
            answer = int(found[name].prediction[at])
            row.append(Shown(image, name, classes[label[source]], class_name(classes, answer)))
        objects.append(row)
    return Pictures(objects, fooled_pictures(trained, verdict, decided) if verdict is not None else [])


def rows_of(variant: Variant) -> dict[int, int]:
    """By source picture, its first row in a variant."""
    sources = variant.foregrounds.source.tolist()
    return {source: row for row, source in reversed(list(enumerate(sources)))}


def first_of_each_class(sources: Sequence[int], label: Mapping[int, int], count: int) -> list[int]:
    """At most `count` sources, of other classes where there are such, in the order given."""
    firsts = {label[source]: source for source in reversed(sources)}
    chosen = [source for source in sources if firsts[label[source]] == source]
    return [*chosen, *(source for source in sources if source not in chosen)][:count]


def fooled_pictures(trained: Trained, verdict: Verdict, variant: Variant) -> list[Shown]:
    """Objects on the backgrounds that fooled the model, the first of each class first."""
    rows = (~verdict.robust).nonzero()[:, 0]
    if not len(rows):
        return []
    rows = rows[class_by_class(verdict.label[rows])][:SHOWN_FOOLED]
    batch = variant.batch(rows.to(trained.device), verdict.fooled_by[rows].to(trained.device))
    classes, places = trained.dataset.classes, variant.backgrounds.place.tolist()
    return [
        Shown(
            image.cpu(),
            f"on a background of {classes[places[int(verdict.fooled_by[row])]]}",
            classes[int(verdict.label[row])],
            class_name(classes, int(verdict.prediction[row])),
        )
        for image, row in zip(batch.image, rows.tolist(), strict=True)
    ]


def advice(found: Audit) -> tuple[str, str, str]:
    """What to do next, in three lines: how bad it is, where, and what helps."""
    original, chance = found.variants[layout.ORIGINAL].accuracy, found.alone.chance
    if original.value < NEAR_CHANCE * chance:
        return (
            f"It is right on {percent(original.value)} of the pictures as they are, and guessing gives "
            f"{percent(chance)}: this says nothing of backgrounds yet.",
            "Check that outputs and class folders mean the same (--classes), and what the model expects of pictures "
            f"(--normalise, --size); now: {found.model.get('normalisation', 'its own')}.",
            "Then run the audit again.",
        )
    gap = found.bg_gap
    span = f"{100 * gap.value:.1f} points ({100 * gap.low:.1f} to {100 * gap.high:.1f})"
    worst = found.variants[layout.MIXED_RAND]
    where = (
        f"Weakest on random backgrounds: {worst.worst_class}, {percent(worst.worst_class_accuracy.value)} right"
        f"{worst_cell(found)}. Add pictures of it in other places, or paste it there."
    )
    if gap.low <= NO_GAP:
        return (
            f"No sign that it leans on backgrounds: BG-Gap is {span}, and zero lies in this interval.",
            where,
            "A smaller gap shows only with more pictures: four times as many halve the interval. Or try --challenge.",
        )
    size = "clearly" if gap.value >= LARGE_GAP else "a little"
    return (
        f"It leans {size} on backgrounds: one of a random class instead of its own costs {span}.",
        where,
        "Train with objects pasted on other backgrounds: build a dataset by `study data build`, then `study run erm "
        "dynamic_replacement worst_of_k --dataset imagenet9 --data DIR`, and audit the winner.",
    )


def worst_cell(found: Audit) -> str:
    """The place where the weakest class fails most, in words; empty where too few places were seen often enough."""
    row = found.classes.index(found.variants[layout.MIXED_RAND].worst_class)
    seen = [
        (value, found.classes[column])
        for column, value in enumerate(found.places.values[row])
        if found.counts.values[row][column] >= TELLING
    ]
    return f", least on backgrounds of {min(seen)[1]}" if len(seen) > 1 else ""


def percent(share: float) -> str:
    """A share such as `97 %`."""
    return f"{100 * share:.0f} %"


def model_about(name: str, opened: Opened, class_map: Sequence[int] | None, classes: int) -> dict[str, str]:
    """What a model trained elsewhere is, by name of the property."""
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


def checkpoint_about(folder: Path, trained: Trained) -> dict[str, str]:
    """What a checkpoint of ours is, by name of the property."""
    config = trained.config
    return {
        "name": str(folder),
        "kind": f"checkpoint of {config.method.name()}, {config.model.name()}",
        "size": f"{trained.dataset.image_shape[1]} px",
        "normalisation": "its own",
        "classes": f"the checkpoint's {len(trained.dataset.classes)}",
        "sha256": sha256(folder / checkpoint.MODEL),
    }
