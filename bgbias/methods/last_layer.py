"""The base of methods that train the last layer alone, on the features of a frozen body."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from bgbias.components import Count, component
from bgbias.data.dataset import Dataset, Variant, held_out
from bgbias.data.encoded import Encoded
from bgbias.methods.frozen import with_features
from bgbias.methods.method import Learner, Method, Stage
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task


@component
class LastLayer(Method, ABC):
    """A last layer trained on frozen features, by examples that the body was not trained on.

    backbone: what trains the body: the name of a method, or several with `+` between; the folder of a checkpoint, which
        is not kept from the pictures that are held out; or `none`, which takes the weights that the model begins with
    backbone_epochs: >= 1, where a method trains it
    data: `train`: the head learns from training pictures that the body was not trained on. `validation`: from
        validation pictures of the first variant, as they were collected (`dfr` takes the one with the most groups);
        those are then taken out of every validation variant, so that what is chosen on validation is chosen on others
    held_out: in (0, 1), the share of the sources of `data` that the head learns from
    """

    backbone: str | None = "erm"
    backbone_epochs: Count = 10
    data: Literal["train", "validation"] = "validation"
    held_out: Annotated[float, Field(gt=0, lt=1)] = 1 / 3

    def stages(self, epochs: int) -> Sequence[Stage]:
        unseen = self.held_out if self.data == "train" else 0.0
        body = [Stage(self.backbone_epochs, by=self.backbone, held_out=unseen)] if self.backbone else []
        return [*body, Stage(epochs)]

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        if self.data == "train":
            return for_head_of_train(dataset, self.held_out)
        if not dataset.validation:
            return dataset
        return for_head_of_validation(dataset, self.held_out, self.head_variant(dataset.validation))

    def head_variant(self, variants: Mapping[str, Variant]) -> str:
        """The name of the validation variant whose pictures the head learns from: of the first, unless overridden."""
        return next(iter(variants))

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        classifier.requires_grad_(False)
        classifier.linear.requires_grad_(True)
        return nn.Module()

    @abstractmethod
    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        """At the start of the head's stage: what it needs of the features."""

    def view(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> Dataset:
        return with_features(learner.classifier, dataset)

    def augment(self, learner: Learner, batch: Batch, rng: Generator) -> Batch:
        learner.classifier.body.eval()  # pictures of other backgrounds pass through it, and it must stay as it is
        return batch


def for_head_of_train(dataset: Dataset, share: float) -> Dataset:
    """Training pictures divided between the body and the head."""
    train = dataset.train
    for_head = held_out(train.foregrounds.source, share)
    return replace(dataset, train=picked(train, for_head), body_train=picked(train, ~for_head))


def for_head_of_validation(dataset: Dataset, share: float, chosen: str) -> Dataset:
    """Divide validation sources between the head and the choice of checkpoints.

    The head gets its share of the variant `chosen`; the others of every variant stay for the choice.
    """
    variants = dataset.validation
    source = torch.cat([variant.foregrounds.source for variant in variants.values()])
    parts = held_out(source, share).split([len(variant) for variant in variants.values()])
    for_head = dict(zip(variants, parts, strict=True))
    return replace(
        dataset,
        train=picked(variants[chosen], for_head[chosen]),
        body_train=dataset.train,
        validation={name: picked(variant, ~for_head[name]) for name, variant in variants.items()},
    )


def picked(variant: Variant, chosen: Tensor) -> Variant:
    """The examples that are chosen ([N] bool)."""
    return variant.at(chosen.nonzero()[:, 0])


def features_of(variant: Variant) -> Tensor:
    """The features [N, F] float of a variant that `with_features` made, on the CPU."""
    if not isinstance(variant, Encoded):
        raise TypeError(f"features are needed, but got {type(variant).__name__}")
    return variant.features.float().cpu()
