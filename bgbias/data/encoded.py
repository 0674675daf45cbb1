"""Examples that a frozen backbone has seen: its features, computed once, stand for the pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Generator, Tensor

from bgbias.data.assignment import of_random_class
from bgbias.data.dataset import Dataset, ReadForegrounds, Released, Variant, batches
from bgbias.data.features import Encoder
from bgbias.types import OWN_BACKGROUND, Batch

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
        """Return the features of the examples at `index` ([B] int64), or their pictures on other backgrounds.

        If any example is to stand on another background than its own, the batch holds the pictures of all.
        """
        own = self.assignment[index]
        if background is not None and not torch.equal(background, own):
            return self.source.batch(index, background)
        mask = self.foregrounds.mask[index]
        return self.batch_of(self.features.index_select(0, index), mask, index, own, partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:
        return self.features.index_select(0, index)

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
        return self.batch_of(self.features.index_select(0, index), mask, index, behind, partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:
        return self.features.index_select(0, index)


def encoded(variant: Variant, encode: Encoder, compose: Compose | None = None, how: object = None) -> Encoded:
    """A variant with its features.

    compose: makes a batch of examples on given backgrounds; None is the variant's own way
    how: a key that distinguishes `compose` from other ways

    Raises:
        DataError: some features are not finite.
    """

    def features(index: Tensor) -> Tensor:
        return encode((compose(index, variant.assignment[index]) if compose else variant.batch(index)).image)

    found = encode.rows((parts(variant), how), list(batches(variant)), features)
    return Encoded(
        variant.foregrounds, variant.backgrounds, variant.assignment, variant, found.to(variant.assignment.device)
    )


def parts(variant: Variant) -> tuple[object, ...]:
    """All that a variant's pictures are made from."""
    front = variant.foregrounds
    if isinstance(variant, Released):
        return (variant.pictures,)
    if (variant.assignment == OWN_BACKGROUND).all():
        return (front.image,)
    return front.image, front.mask, variant.backgrounds.image, variant.assignment


def features_on(
    variant: Variant, assignment: Tensor, encode: Encoder, compose: Compose | None = None, how: object = None
) -> Tensor:
    """The features of a variant's examples on several backgrounds each: [N, n, F].

    Args:
        assignment: [N, n] int64.
        compose, how: as in `encoded`.

    Raises:
        DataError: some features are not finite.
    """
    make, front = compose or variant.batch, variant.foregrounds

    def features(index: Tensor) -> Tensor:
        return torch.stack([encode(make(index, behind).image) for behind in assignment[index].unbind(1)], dim=1)

    made_from = (front.image, front.mask, variant.backgrounds.image, assignment, how)
    return encode.rows(made_from, list(batches(variant)), features)


def encoded_copies(
    variant: Variant,
    copies: int,
    encode: Encoder,
    generator: Generator,
    compose: Compose | None = None,
    how: object = None,
) -> EncodedCopies:
    """A variant with the features of its examples, and of `copies` (>= 1) of each on backgrounds of random classes.

    compose, how: as in `encoded`

    Raises:
        DataError: some features are not finite.
    """
    n, device = len(variant), variant.assignment.device
    drawn = of_random_class(n * copies, variant.backgrounds.place.cpu(), generator).to(device).view(n, copies)
    assignment = torch.cat([variant.assignment[:, None], drawn], dim=1)
    features = features_on(variant, assignment, encode, compose, how).to(device)
    return EncodedCopies(variant.foregrounds, variant.backgrounds, assignment, features)


def encoded_dataset(dataset: Dataset, copies: int, encode: Encoder, generator: Generator) -> Dataset:
    """Every variant with its features, and the training examples with `copies` (>= 0) of each, all augmented once.

    Without copies a training example is a row of features [F], with n copies [1 + n, F].

    Raises:
        DataError: some features are not finite.
    """
    seed = int(torch.randint(1 << 62, (), generator=generator))
    augmented, how = augmented_by(dataset, seed)
    train = dataset.train
    return replace(
        evaluated(dataset, encode),
        train=(
            encoded_copies(train, copies, encode, generator, augmented, how)
            if copies
            else encoded(train, encode, augmented, how)
        ),
        augmentation=None,
    )


def augmented_by(dataset: Dataset, seed: int) -> tuple[Compose | None, object]:
    """Return how a dataset composes and augments training examples, with draws from one seed, and a key of that way."""
    if dataset.augmentation is None:
        return None, None
    draws = Generator(dataset.train.assignment.device).manual_seed(seed)

    def augmented(index: Tensor, background: Tensor) -> Batch:
        return dataset.training_examples(index, draws).on(background)

    return augmented, (dataset.augmentation, seed)


def evaluated(dataset: Dataset, encode: Encoder) -> Dataset:
    """A dataset with the features of all that is not trained on.

    Raises:
        DataError: some features are not finite.
    """
    return replace(
        dataset,
        validation={name: encoded(variant, encode) for name, variant in dataset.validation.items()},
        test={name: encoded(variant, encode) for name, variant in dataset.test.items()},
        body_train=None if dataset.body_train is None else encoded(dataset.body_train, encode),
    )
