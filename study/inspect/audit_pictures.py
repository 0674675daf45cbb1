"""The pictures that an audit's page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bgbias.data.dataset import ORIGINAL, Variant
from bgbias.data.photographs import layout
from bgbias.evaluation.challenge import Verdict
from bgbias.evaluation.evaluator import Predictions
from study.inspect.audit_result import class_name, right_by_source
from study.inspect.saliency import class_by_class
from study.training.single import LoadedModel

SHOWN_OBJECTS, SHOWN_FOOLED = 3, 12


@dataclass(frozen=True)
class Shown:
    """A picture of the page: [3, H, W] float in [0, 1], under a title, and what was predicted."""

    image: Tensor
    title: str
    label: str
    prediction: str

    @property
    def right(self) -> bool:
        """True if the prediction is the label."""
        return self.label == self.prediction


@dataclass(frozen=True)
class AuditPictures:
    """Pictures on the page: some objects in every variant, and objects on backgrounds that fool the model."""

    objects: list[list[Shown]]
    fooled: list[Shown]


def pictures(
    trained: LoadedModel, found: Mapping[str, Predictions], verdict: Verdict | None, decided: Variant
) -> AuditPictures:
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
    return AuditPictures(objects, fooled_pictures(trained, verdict, decided) if verdict is not None else [])


def rows_of(variant: Variant) -> dict[int, int]:
    """By source picture, its first row in a variant."""
    sources = variant.foregrounds.source.tolist()
    return {source: row for row, source in reversed(list(enumerate(sources)))}


def first_of_each_class(sources: Sequence[int], label: Mapping[int, int], count: int) -> list[int]:
    """At most `count` sources, of other classes where there are such, in the order given."""
    firsts = {label[source]: source for source in reversed(sources)}
    chosen = [source for source in sources if firsts[label[source]] == source]
    return [*chosen, *(source for source in sources if source not in chosen)][:count]


def fooled_pictures(trained: LoadedModel, verdict: Verdict, variant: Variant) -> list[Shown]:
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
