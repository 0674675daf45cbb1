"""Photographs and masks as rows of large arrays, in memory, mapped from a bank's file, or on an accelerator.

Rows are addressed as a tensor's are: an index tensor gives a tensor, and negative indices count from the end. `rows`
lies on the device where results are wanted; the storage may lie elsewhere, then only the rows asked for travel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bgbias.types import ToDevice

CHANNELS = 3
PIXEL = 4
"""Bytes of a stored pixel: red, green, blue and an empty one, so that a pixel is moved as one 32-bit word."""
CHUNK = 256
"""Number of masks that are unpacked at a time."""


@dataclass(frozen=True)
class StoredPictures:
    """Colour pictures.

    storage: [R, H, W, 4] uint8
    rows:    [N] int64, which row of the storage each picture is
    """

    storage: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, H, W), as of the tensor that all of them would be."""
        height, width = self.storage.shape[1:3]
        return len(self), CHANNELS, height, width

    def __getitem__(self, index: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 for int64 [B]."""
        return self.pixels(index)[..., :CHANNELS].permute(0, 3, 1, 2)

    def pixels(self, index: Tensor) -> Tensor:
        """[B, H, W, 4] uint8 for int64 [B], on the device of the rows."""
        return _gather(self.storage, self.rows[index])

    def at(self, index: Tensor) -> "StoredPictures":
        """The pictures at `index`, still in place."""
        return StoredPictures(self.storage, self.rows[index])

    def moved(self, to_device: ToDevice) -> "StoredPictures":
        """The same pictures with every tensor passed through `to_device`."""
        return StoredPictures(to_device.storage(self.storage), to_device(self.rows))


@dataclass(frozen=True)
class PackedMasks:
    """Masks, eight pixels a byte.

    storage: [R, H, ceil(W / 8)] uint8, the leftmost pixel in the highest bit
    rows:    [N] int64, which row of the storage each mask is
    width:   W
    """

    storage: Tensor
    rows: Tensor
    width: int

    @classmethod
    def pack(cls, mask: Tensor) -> "PackedMasks":
        """Pack [N, 1, H, W] bool."""
        storage = torch.from_numpy(np.packbits(mask[:, 0].numpy(), axis=-1))
        return cls(storage, torch.arange(len(mask)), mask.shape[-1])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 1, H, W), as of the tensor that all of them would be."""
        return len(self), 1, self.storage.shape[1], self.width

    def __getitem__(self, index: Tensor) -> Tensor:
        """[B, 1, H, W] bool for int64 [B]."""
        packed = _gather(self.storage, self.rows[index])
        bit = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
        unpacked = (packed[..., None] >> bit).bitwise_and_(1).flatten(2)
        return unpacked[:, None, :, : self.width].bool()

    def at(self, index: Tensor) -> "PackedMasks":
        """The masks at `index`, still in place."""
        return PackedMasks(self.storage, self.rows[index], self.width)

    def changed(self, change: Callable[[Tensor], Tensor]) -> "PackedMasks":
        """New masks, made from these by a function of [n, 1, H, W] bool, some at a time."""
        parts = [self.pack(change(self[index])) for index in torch.arange(len(self)).split(CHUNK)]
        return PackedMasks(torch.cat([part.storage for part in parts]), torch.arange(len(self)), self.width)

    def moved(self, to_device: ToDevice) -> "PackedMasks":
        """The same masks with every tensor passed through `to_device`."""
        return PackedMasks(to_device.storage(self.storage), to_device(self.rows), self.width)


def _gather(storage: Tensor, rows: Tensor) -> Tensor:
    if storage.device == rows.device:
        return storage[rows]
    found = storage[rows.to(storage.device)]
    return found.pin_memory().to(rows.device, non_blocking=True)
