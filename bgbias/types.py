"""The three nouns of the data, and the conventions they keep.

Images are [C, H, W] per example, either float in units of full brightness (0 dark, 1 bright; a bias may go
beyond 1) or uint8 in 0..255. Masks are bool [1, H, W], True = foreground. Labels are int64 class indices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, overload

from torch import Tensor

NO_BACKGROUND = -1
"""The assignment of a foreground that stands on nothing (black)."""
OWN_BACKGROUND = -2
"""The assignment of a picture that is shown as it is."""


class Stored(Protocol):
    """Pictures or masks that are no tensor in memory but are addressed like one (`bgbias.data.pictures`)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: Tensor) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def moved(self, move: Callable[[Tensor], Tensor]) -> Self: ...


Rows = Tensor | Stored


@dataclass(frozen=True)
class Foregrounds:
    """Objects to be pasted.

    image:  [N, C, H, W] uint8 or float
    mask:   [N, 1, H, W] bool, True = object
    label:  [N] int64
    source: [N] int64, the picture each was cut from; splits never share a source
    """

    image: Rows
    mask: Rows
    label: Tensor
    source: Tensor

    def __len__(self) -> int:
        return len(self.label)


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


@dataclass(frozen=True)
class Batch:
    """Composed examples.

    image:      [B, C, H, W] float, full brightness = 1
    mask:       [B, 1, H, W] bool, True = foreground
    label:      [B] int64
    background: [B] int64, which background each stands on, or `NO_BACKGROUND`, or `OWN_BACKGROUND`
    """

    image: Tensor
    mask: Tensor
    label: Tensor
    background: Tensor

    def __len__(self) -> int:
        return len(self.label)
