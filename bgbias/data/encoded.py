"""Examples that a frozen backbone has seen: its features, computed once, stand for the pictures."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from bgbias.data.assignment import of_random_class
from bgbias.data.dataset import Dataset, Variant, batches
from bgbias.errors import DataError
from bgbias.types import Batch

Encoder = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] to features [B, F]."""


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
        """Features of the examples at `index` ([B] int64); on other backgrounds, the pictures."""
        if background is not None:
            return self.source.batch(index, background)
        front, background = self.foregrounds, self.assignment[index]
        label = front.label[index]
        return Batch(
            self.features[index], front.mask[index], label, background, self.backgrounds.classes(background, label)
        )


@dataclass(frozen=True)
class EncodedCopies(Variant):
    """Training examples, each also on n other backgrounds, of which a frozen backbone's features are known.

    assignment: [N, 1 + n] int64, first each example's own
    features:   [N, 1 + n, F] float
    """

    features: Tensor

    def batch(self, index: Tensor, background: Tensor | None = None) -> Batch:
        """Features [B, 1 + n, F] of the examples at `index` ([B] int64) on the backgrounds they were encoded on."""
        front, behind = self.foregrounds, self.assignment[index] if background is None else background
        label = front.label[index]
        classes = self.backgrounds.classes(behind, label[:, None].expand_as(behind))
        return Batch(self.features[index], front.mask[index], label, behind, classes)


def encoded(variant: Variant, encode: Encoder) -> Encoded:
    """A variant with its features.

    Raises:
        DataError: some are not finite.
    """
    found = [encode(variant.batch(index).image) for index in batches(variant)]
    features = _checked(torch.cat(found))
    return Encoded(variant.foregrounds, variant.backgrounds, variant.assignment, variant, features)


def encoded_copies(variant: Variant, copies: int, encode: Encoder, generator: Generator) -> EncodedCopies:
    """A variant with the features of its examples, and of `copies` (>= 1) of each on backgrounds of random classes.

    Raises:
        DataError: some features are not finite.
    """
    n, device = len(variant), variant.assignment.device
    drawn = of_random_class(n * copies, variant.backgrounds.label.cpu(), generator).to(device).view(n, copies)
    own = [encode(variant.batch(index).image) for index in batches(variant)]
    swapped = [
        torch.stack([encode(variant.batch(index, drawn[index, copy]).image) for copy in range(copies)], dim=1)
        for index in batches(variant)
    ]
    features = torch.cat([torch.cat(own)[:, None], torch.cat(swapped)], dim=1)
    assignment = torch.cat([variant.assignment[:, None], drawn], dim=1)
    return EncodedCopies(variant.foregrounds, variant.backgrounds, assignment, _checked(features))


def encoded_dataset(dataset: Dataset, copies: int, encode: Encoder, generator: Generator) -> Dataset:
    """Every variant with its features, and the training examples with `copies` of each; none is augmented.

    Raises:
        DataError: some features are not finite.
    """
    return replace(
        dataset,
        train=encoded_copies(dataset.train, copies, encode, generator),
        validation={name: encoded(variant, encode) for name, variant in dataset.validation.items()},
        test={name: encoded(variant, encode) for name, variant in dataset.test.items()},
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
