"""Training on a frozen body: examples drawn from features that were computed once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from bgbias.data.assignment import by_class, of_class
from bgbias.data.dataset import Dataset, DeviceTransfer
from bgbias.data.encoded import Encoded, augmented_by, encoded, evaluated, features_on
from bgbias.data.features import Encoder
from bgbias.randomness import derive, stream
from bgbias.types import NO_BACKGROUND, Backgrounds, Foregrounds


def frozen(dataset: Dataset, encode: Encoder, views: int, swaps: int) -> Dataset:
    """A dataset whose training examples and variants are features of a frozen body, computed once.

    Args:
        views: >= 1, as `FeatureViews` has it.
        swaps: too.

    Raises:
        DataError: some features are not finite.
    """
    found = evaluated(dataset, encode)
    train = encoded(dataset.train, encode)
    return _replaced(found, train, FeatureViews(dataset, train, encode, views, swaps))


@dataclass(frozen=True, eq=False)
class FeatureViews:
    """Draws features in the place of augmented pictures.

    dataset: whose training pictures the features are of
    own: the features of its training pictures without augmentation
    views: >= 1, how many augmented views of each training picture there are; with 1 it is not augmented
    swaps: >= 1, how many backgrounds of each place each object is seen on, without augmentation where `views` is 1.
        A background stands for one of them, of its own place. They are computed when the first is asked for
    """

    dataset: Dataset
    own: Encoded
    encode: Encoder
    views: int
    swaps: int

    def draw(self, n: int, side: int, rng: Generator) -> Tensor:
        """Draw the view that each of n examples shows, [n] int64."""
        return torch.randint(self.views, (n,), generator=rng, device=rng.device)

    def finish(
        self,
        front: Foregrounds,
        back: Backgrounds,
        index: Tensor,
        background: Tensor,
        drawn: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Features [B, F] and masks [B, 1, H, W] of the examples at `index` on the given backgrounds, [B] int64."""
        own = background == self.own.assignment[index]
        pasted = ~own & (background >= 0)
        features = self._own(index, drawn)
        if pasted.any():
            features[pasted] = self._swapped(index[pasted], background[pasted])
        if not (own | pasted).all():
            rest = ~(own | pasted)
            pictures = self.dataset.train.batch(index[rest], background[rest]).image
            with torch.no_grad():
                features[rest] = self.encode(pictures)
        return features, front.mask[index]

    def _own(self, index: Tensor, view: Tensor) -> Tensor:
        if self.views == 1:
            return self.own.features[index]
        bank = self._augmented
        return bank[index.to(bank.device), view.to(bank.device)].to(index.device)

    def _swapped(self, index: Tensor, background: Tensor) -> Tensor:
        """Features on one of the backgrounds of the same place: the same one each time."""
        bank, place = self._bank, self.own.backgrounds.place[background]
        column = place * self.swaps + background % self.swaps
        return bank[index.to(bank.device), column.to(bank.device)].to(index.device)

    @cached_property
    def _augmented(self) -> Tensor:
        """[N, views, F]."""
        return self._features(self.own.assignment[:, None].expand(-1, self.views), "views")

    @cached_property
    def _bank(self) -> Tensor:
        """[N, P x swaps, F], place after place."""
        return self._features(self._assignment(), "swaps")

    def _assignment(self) -> Tensor:
        """The backgrounds that each object is seen on: [N, P x swaps] int64; none for places without backgrounds."""
        place = self.own.backgrounds.place.cpu()
        n, generator = len(self.own), stream(0, "feature swaps")
        wanted = torch.arange(self.own.backgrounds.places).repeat_interleave(self.swaps).repeat(n)
        there = torch.isin(wanted, by_class(place).classes)
        found = torch.full_like(wanted, NO_BACKGROUND)
        found[there] = of_class(wanted[there], place, generator)
        return found.view(n, -1).to(self.own.assignment.device)

    def _features(self, assignment: Tensor, purpose: str) -> Tensor:
        plain = self.views == 1
        compose, how = (None, None) if plain else augmented_by(self.dataset, derive(0, purpose))
        with torch.no_grad():
            found = features_on(self.dataset.train, assignment, self.encode, compose, how)
        return DeviceTransfer(assignment.device).storage(found)


def _replaced(dataset: Dataset, train: Encoded, augmentation: FeatureViews) -> Dataset:
    return Dataset(**{**vars(dataset), "train": train, "augmentation": augmentation})
