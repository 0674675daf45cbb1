"""Examples that a frozen backbone has seen: its features, computed once, stand for the pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Generator, Tensor

from bgbias.data.assignment import of_random_class
from bgbias.data.dataset import Dataset, ReadForegrounds, Variant, batches
from bgbias.errors import DataError
from bgbias.types import Batch

Encoder = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] to features [B, F]."""
Compose = Callable[[Tensor, Tensor], Batch]
"""Indices and backgrounds, [B] int64 each, to a batch."""


@dataclass(frozen=True)
class Encoded(Variant):
    """A variant of which a frozen backbone's features are known.

    source: the variant
    features: [N, F] float, of its examples as they are assigned
    """

    source: Variant
    features: Tensor

    def pictured(self) -> Variant:
        return self.source

    def batch(self, index: Tensor, background: Tensor | None = None) -> Batch:
        """Features of the examples at `index` ([B] int64); where any is to stand on another background, the pictures
        of all."""
        own = self.assignment[index]
        if background is not None and not torch.equal(background, own):
            return self.source.batch(index, background)
        mask = self.foregrounds.mask[index]
        return self.batch_of(self.features[index], mask, index, own, partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:  # noqa: ARG002
        return self.features[index]

    def at(self, index: Tensor) -> Self:
        return replace(super().at(index), source=self.source.at(index), features=self.features[index])


@dataclass(frozen=True)
class EncodedCopies(Variant):
    """Training examples, each also on n other backgrounds, of which a frozen backbone's features are known.

    assignment: [N, 1 + n] int64, first each example's own
    features:   [N, 1 + n, F] float
    """

    features: Tensor

    def batch(self, index: Tensor, background: Tensor | None = None) -> Batch:
        """Features [B, 1 + n, F] of the examples at `index` ([B] int64) on the backgrounds they were encoded on."""
        behind = self.assignment[index] if background is None else background
        mask = self.foregrounds.mask[index]
        return self.batch_of(self.features[index], mask, index, behind, partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:  # noqa: ARG002
        return self.features[index]


def encoded(variant: Variant, encode: Encoder, compose: Compose | None = None) -> Encoded:
    """A variant with its features.

    compose: makes a batch of examples on given backgrounds; None is the variant's own way

    Raises:
        DataError: some are not finite.
    """
    found = [
        encode((compose(index, variant.assignment[index]) if compose else variant.batch(index)).image)
        for index in batches(variant)
    ]
    features = _checked(torch.cat(found))
    return Encoded(variant.foregrounds, variant.backgrounds, variant.assignment, variant, features)


def encoded_copies(
    variant: Variant, copies: int, encode: Encoder, generator: Generator, compose: Compose | None = None
) -> EncodedCopies:
    """A variant with the features of its examples, and of `copies` (>= 1) of each on backgrounds of random classes.

    compose: makes a batch of examples on given backgrounds; None is the variant's own way

    Raises:
        DataError: some features are not finite.
    """
    n, device, make = len(variant), variant.assignment.device, compose or variant.batch
    drawn = of_random_class(n * copies, variant.backgrounds.place.cpu(), generator).to(device).view(n, copies)
    assignment = torch.cat([variant.assignment[:, None], drawn], dim=1)
    features = [
        torch.stack([encode(make(index, behind).image) for behind in assignment[index].unbind(1)], dim=1)
        for index in batches(variant)
    ]
    return EncodedCopies(variant.foregrounds, variant.backgrounds, assignment, _checked(torch.cat(features)))


def encoded_dataset(dataset: Dataset, copies: int, encode: Encoder, generator: Generator) -> Dataset:
    """Every variant with its features, and the training examples with `copies` (>= 0) of each, all augmented once.

    Without copies a training example is a row of features [F], with n copies [1 + n, F].

    Raises:
        DataError: some features are not finite.
    """
    seed = int(torch.randint(1 << 62, (), generator=generator))
    draws = torch.Generator(dataset.train.assignment.device).manual_seed(seed)

    def augmented(index: Tensor, background: Tensor) -> Batch:
        return dataset.training_examples(index, draws).on(background)

    return replace(
        dataset,
        train=(
            encoded_copies(dataset.train, copies, encode, generator, augmented)
            if copies
            else encoded(dataset.train, encode, augmented)
        ),
        validation={name: encoded(variant, encode) for name, variant in dataset.validation.items()},
        test={name: encoded(variant, encode) for name, variant in dataset.test.items()},
        body_train=None if dataset.body_train is None else encoded(dataset.body_train, encode),
        augmentation=None,
    )


def _checked(features: Tensor) -> Tensor:
    broken = int((~features.isfinite()).any(dim=-1).sum())
    if broken:
        raise DataError(
            f"a backbone's features must be finite, but {broken} of {features[..., 0].numel()} are not: "
            "give another backbone, or train it with a lower learning rate"
        )
    return features
