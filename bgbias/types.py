"""The three nouns of the data, and the conventions they keep.

Images are [C, H, W] per example, either float in units of full brightness (0 dark, 1 bright; a bias may go
beyond 1) or uint8 in 0..255. Masks are bool [1, H, W], True = foreground. Labels are int64 class indices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from bgbias.table import Table as Table

NO_BACKGROUND = -1
"""The assignment of a foreground that stands on nothing (black)."""
OWN_BACKGROUND = -2
"""The assignment of a picture that is shown as it is."""


class Mover(Protocol):
    """Brings tensors to a device, each once."""

    def __call__(self, tensor: Tensor) -> Tensor: ...
    def storage(self, tensor: Tensor) -> Tensor:
        """A bank's rows: brought there if there is room."""
        ...


class Stored(Protocol):
    """Pictures or masks that are no tensor in memory but are addressed like one (`bgbias.data.photographs.stored`)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Tensor) -> Tensor: ...
    def at(self, index: Tensor) -> Self: ...
    def moved(self, move: "Mover") -> Self: ...


class StoredMasks(Stored, Protocol):
    """Masks that are stored."""

    def changed(self, change: Callable[[Tensor], Tensor]) -> Self: ...


Rows = Tensor | Stored
Masks = Tensor | StoredMasks
S = TypeVar("S", bound=Stored)


def at(rows: Tensor | S, index: Tensor) -> Tensor | S:
    """The rows at `index` ([n] int64); stored ones stay where they are."""
    return rows[index] if isinstance(rows, Tensor) else rows.at(index)


@dataclass(frozen=True)
class Foregrounds:
    """Objects to be pasted.

    image:  [N, C, H, W] uint8 or float
    mask:   [N, 1, H, W] bool, True = object
    label:  [N] int64
    source: [N] int64, the picture each was cut from; splits never share a source
    """

    image: Rows
    mask: Masks
    label: Tensor
    source: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def at(self, index: Tensor) -> "Foregrounds":
        """Those at `index` ([n] int64)."""
        return Foregrounds(at(self.image, index), at(self.mask, index), self.label[index], self.source[index])


@dataclass(frozen=True)
class Backgrounds:
    """Pictures to paste on.

    image: [M + 1, C, H, W] uint8 or float; H and W may be 1 (one colour). The last row is black, so that
           the assignment `NO_BACKGROUND` = -1 finds it.
    label: [M] int64, the class each background belongs to
    """

    image: Rows
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def classes(self, assignment: Tensor, own: Tensor) -> Tensor:
        """The class of each assigned background; `NO_BACKGROUND` where there is none.

        Args:
            assignment: int64, any shape.
            own: int64 of the same shape: the class of a picture that is shown as it is.
        """
        found = self.label[assignment.clamp(min=0)] if len(self.label) else torch.full_like(assignment, NO_BACKGROUND)
        found = torch.where(assignment == NO_BACKGROUND, NO_BACKGROUND, found)
        return torch.where(assignment == OWN_BACKGROUND, own, found)

    def at(self, index: Tensor) -> "Backgrounds":
        """Those at `index` ([n] int64), and the black one."""
        black = torch.tensor([NO_BACKGROUND], device=index.device)
        return Backgrounds(at(self.image, torch.cat([index, black])), self.label[index])


@dataclass(frozen=True)
class Batch:
    """Composed examples.

    image:      [B, C, H, W] float, full brightness = 1
    mask:       [B, 1, H, W] bool, True = foreground
    label:      [B] int64
    background: [B] int64, which background each stands on, or `NO_BACKGROUND`, or `OWN_BACKGROUND`
    background_class: [B] int64, the class of that background, or `NO_BACKGROUND`

    Examples that a frozen backbone has seen are rows of its features instead: image [B, F]; and with n further
    copies of each on other backgrounds, image [B, 1 + n, F], background and background_class [B, 1 + n].
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    background: Tensor
    background_class: Tensor

    def __len__(self) -> int:
        return len(self.label)
