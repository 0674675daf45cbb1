"""The nouns of the data, and the conventions they keep.

Images are [C, H, W] per example, either float in units of full brightness (0 dark, 1 bright; a bias may go
beyond 1) or uint8 in 0..255. Masks are bool [1, H, W], True = foreground. Labels are int64 class indices.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

NO_BACKGROUND = -1
"""The assignment of a foreground that stands on nothing (black)."""
OWN_BACKGROUND = -2
"""The assignment of a picture that is shown as it is; it finds no background, not even the black one."""


class ToDevice(Protocol):
    """Moves tensors to a device, each once."""

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return the tensor on the device."""
        ...

    def storage(self, tensor: Tensor) -> Tensor:
        """Return a bank's rows on the device if there is room, otherwise as they are."""
        ...


class StoredRows(Protocol):
    """Pictures or masks that are addressed like a tensor but not held as one (`bgbias.data.photographs.stored`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that a tensor of all rows has."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor: ...

    def at(self, index: Tensor) -> Self:
        """Select the rows at `index` ([n] int64) without reading them."""
        ...

    def moved(self, to_device: "ToDevice") -> Self:
        """Pass every tensor through `to_device`."""
        ...


class StoredMasks(StoredRows, Protocol):
    """Masks that are stored."""

    def changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply a change to masks when they are read."""
        ...


Rows = Tensor | StoredRows
Masks = Tensor | StoredMasks
S = TypeVar("S", bound=StoredRows)


def at(rows: Tensor | S, index: Tensor) -> Tensor | S:
    """The rows at `index` ([n] int64); stored ones stay where they are."""
    return rows[index] if isinstance(rows, Tensor) else rows.at(index)


def read(rows: Rows, index: Tensor) -> Tensor:
    """The rows at `index` ([B] int64, >= 0) as a tensor; those of a tensor are copied whole, not number by number."""
    return rows.index_select(0, index) if isinstance(rows, Tensor) else rows[index]


@dataclass(frozen=True)
class Task:
    """Shapes, names and numbers that are known before any example is read.

    image_shape: (channels, height, width) of a composed image
    classes: the K class names
    places: the names of the P background classes, then `none`
    examples: N, how many training examples there are
    """

    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    places: tuple[str, ...]
    examples: int


@dataclass(frozen=True)
class Foregrounds:
    """Objects to be pasted.

    image:  [N, C, H, W] uint8 or float
    mask:   [N, 1, H, W] bool, True = object
    label:  [N] int64
    source: [N] int64, the picture each was cut from; splits never share a source
    place:  [N] int64 in 0..P-1, the class of the background in that picture
    """

    image: Rows
    mask: Masks
    label: Tensor
    source: Tensor
    place: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def read(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] and masks [B, 1, H, W] of those at `index` ([B] int64)."""
        return read(self.image, index), read(self.mask, index)

    def at(self, index: Tensor) -> "Foregrounds":
        """Those at `index` ([n] int64)."""
        return Foregrounds(
            at(self.image, index), at(self.mask, index), self.label[index], self.source[index], self.place[index]
        )


@dataclass(frozen=True)
class Backgrounds:
    """Pictures to paste on.

    image:  [M + 1, C, H, W] uint8 or float; H and W may be 1 (one colour). The last row is black, so that
            the assignment `NO_BACKGROUND` = -1 finds it.
    place:  [M] int64 in 0..P-1, the class each background belongs to
    places: P >= 1, how many classes of background there are
    """

    image: Rows
    place: Tensor
    places: int

    def __len__(self) -> int:
        return len(self.place)

    def places_of(self, assignment: Tensor, own: Tensor) -> Tensor:
        """The place of each assigned background; `NO_BACKGROUND` where there is none.

        Args:
            assignment: int64, any shape.
            own: int64 of the same shape: the place of a picture that is shown as it is.
        """
        found = self.place[assignment.clamp(min=0)] if len(self.place) else torch.full_like(assignment, NO_BACKGROUND)
        found = torch.where(assignment == NO_BACKGROUND, NO_BACKGROUND, found)
        return torch.where(assignment == OWN_BACKGROUND, own, found)

    def at(self, index: Tensor) -> "Backgrounds":
        """Those at `index` ([n] int64), and the black one."""
        black = torch.full((1,), NO_BACKGROUND, device=index.device)
        return Backgrounds(at(self.image, torch.cat([index, black])), self.place[index], self.places)


def group_of(label: Tensor, place: Tensor, places: int) -> Tensor:
    """The group of each example, label x (P + 1) + place, of the shape of `place`; no background is the last place.

    Args:
        label: [B] int64.
        place: [B] or [B, n] int64 in -1..P-1.
        places: P.
    """
    label = label.view(-1, *[1] * (place.ndim - 1))
    return label * (places + 1) + place.remainder(places + 1)


@dataclass(frozen=True)
class Batch:
    """B composed examples.

    image:      [B, C, H, W] float, full brightness = 1
    mask:       [B, 1, H, W] bool, True = foreground
    label:      [B] int64
    index:      [B] int64, which training example each is, in 0..N-1
    background: [B] int64, which background each stands on, or `NO_BACKGROUND`, or `OWN_BACKGROUND`
    place:      [B] int64, the class of that background, or `NO_BACKGROUND`
    backgrounds: all that they may stand on
    compose:    from backgrounds [B] int64 to the same objects and crops on those

    A method's `view` may replace pictures by what a frozen body makes of them: image [B, F] features, or with n copies
    of each example on other backgrounds [B, 1 + n, F], background and place [B, 1 + n].
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    index: Tensor
    background: Tensor
    place: Tensor
    backgrounds: Backgrounds = field(repr=False, compare=False)
    compose: Callable[[Tensor], "Batch"] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def group(self) -> Tensor:
        """The (class, place) cell of each example, label x (P + 1) + place: int64 of the shape of `place`."""
        return group_of(self.label, self.place, self.backgrounds.places)

    def on(self, background: Tensor) -> "Batch":
        """The same objects and crops on other backgrounds ([B] int64)."""
        return self.compose(background)


@dataclass(frozen=True)
class Examples:
    """B training examples, not composed yet.

    index:       [B] int64, in 0..N-1
    label:       [B] int64
    background:  [B] int64, the backgrounds they stand on in the training set
    backgrounds: all that they may stand on
    compose:     from backgrounds [B] int64 to a batch; every call crops and colours alike
    """

    index: Tensor
    label: Tensor
    background: Tensor
    backgrounds: Backgrounds
    compose: Callable[[Tensor], Batch] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.label)

    def on(self, background: Tensor) -> Batch:
        """The examples on the given backgrounds ([B] int64), composed and augmented; always with the same crops."""
        return self.compose(background)
