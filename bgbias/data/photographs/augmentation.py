"""Training batches of photographs: composed, cropped, flipped and jittered, a batch at a time, on its own device.

On a CPU each picture goes from its stored bytes to its place in the batch in one pass (`kernel`), over as many threads
as torch is given, and only the pixels that the crop keeps are touched. On an accelerator every step runs over the whole
batch.
"""

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from bgbias.data.photographs.stored import CHANNELS, PackedMasks, StoredPictures
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND, Backgrounds, Foregrounds

Words = npt.NDArray[np.uint32]
ATTEMPTS = 10
LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value, as torchvision has them (ITU-R 601-2)."""
BRIGHTNESS, CONTRAST, SATURATION = range(3)


@dataclass(frozen=True)
class Augmentation:
    """Torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter, drawn anew for each picture.

    min_scale: in (0, 1]; a crop's share of the picture's area is uniform in [min_scale, 1]
    max_ratio: >= 1; its width over its height is log-uniform in [1 / max_ratio, max_ratio]
    flip: in [0, 1], chance of a mirrored picture
    jitter: in [0, 1]; brightness, contrast and saturation, in random order, times factors in [1 - jitter, 1 + jitter]
    """

    min_scale: float
    max_ratio: float
    flip: float
    jitter: float

    def finish(
        self, front: Foregrounds, back: Backgrounds, index: Tensor, background: Tensor, drawn: "Recipe"
    ) -> tuple[Tensor, Tensor]:
        """Finished examples at `index` ([B] int64) on the given backgrounds ([B] int64).

        Returns:
            image: [B, 3, H, W] float in [0, 1]; mask: [B, 1, H, W] bool.
        """
        finish = finish_one_by_one if index.device.type == "cpu" else finish_together
        return finish(*parts(front, back), index, background, drawn)

    def draw(self, n: int, side: int, rng: Generator) -> "Recipe":
        """Draw the changes of n square pictures of `side` pixels."""
        device = rng.device
        with one_thread():
            crop = draw_crops(n, side, self.min_scale, self.max_ratio, rng)
            flip = torch.rand(n, generator=rng, device=device) < self.flip
            factor = 1 + self.jitter * (2 * torch.rand(n, 3, generator=rng, device=device) - 1)
            order = torch.rand(n, 3, generator=rng, device=device).argsort(dim=1)
        return Recipe(crop, flip, factor, order)


@dataclass(frozen=True)
class Recipe:
    """Random crops, flips and colour changes of B pictures.

    crop:   [B, 4] int64: top, left, height, width, in pixels
    flip:   [B] bool
    factor: [B, 3] float: of brightness, contrast and saturation
    order:  [B, 3] int64: which of these comes first, second and third
    """

    crop: Tensor
    flip: Tensor
    factor: Tensor
    order: Tensor


def parts(front: Foregrounds, back: Backgrounds) -> tuple[StoredPictures, PackedMasks, StoredPictures]:
    """The stored pictures, masks and backgrounds of photographs.

    Raises:
        TypeError: they are plain tensors, which this augmentation is not made for.
    """
    if (
        isinstance(front.image, StoredPictures)
        and isinstance(front.mask, PackedMasks)
        and isinstance(back.image, StoredPictures)
    ):
        return front.image, front.mask, back.image
    raise TypeError("only pictures of a bank can be augmented")


def draw_crops(n: int, side: int, min_scale: float, max_ratio: float, rng: Generator) -> Tensor:
    """Random crops of square pictures, as torchvision's RandomResizedCrop draws them.

    Of ten random shapes the first that fits is taken; if none does, the whole picture.

    Returns:
        [n, 4] int64: top, left, height, width.
    """
    device = rng.device
    area = side**2 * (min_scale + (1 - min_scale) * torch.rand(n, ATTEMPTS, generator=rng, device=device))
    reach = math.log(max_ratio)
    ratio = torch.exp(reach * (2 * torch.rand(n, ATTEMPTS, generator=rng, device=device) - 1))
    width, height = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (width <= side) & (height <= side) & (width > 0) & (height > 0)
    first = fits.int().argmax(dim=1, keepdim=True)
    some = fits.any(dim=1)
    width = torch.where(some, width.gather(1, first)[:, 0], side)
    height = torch.where(some, height.gather(1, first)[:, 0], side)
    place = torch.rand(2, n, generator=rng, device=device)
    top, left = (place[0] * (side - height + 1)).long(), (place[1] * (side - width + 1)).long()
    return torch.stack([top, left, height, width], dim=1)


def finish_one_by_one(
    image: StoredPictures, mask: PackedMasks, back: StoredPictures, index: Tensor, background: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Finish every picture for itself, in parallel over torch's threads, on a CPU.

    Returns:
        image: [B, 3, H, W] float in [0, 1]; mask: [B, 1, H, W] bool.
    """
    from bgbias.data.photographs.kernel import finish_share  # the compiler takes a second to import

    n, side = len(index), image.shape[-1]
    images, masks = torch.empty(n, CHANNELS, side, side), torch.empty(n, 1, side, side, dtype=torch.bool)
    arguments = [
        *(pixels(image.storage), image.rows[index].numpy()),
        *(mask.storage.numpy(), mask.rows[index].numpy()),
        *(pixels(back.storage), back.rows[background.clamp(min=NO_BACKGROUND)].numpy()),
        (background == OWN_BACKGROUND).numpy(),
        *(drawn.contiguous().numpy() for drawn in vars(recipe).values()),
        *(images.numpy(), masks.numpy()),
    ]
    threads = torch.get_num_threads()
    for_each(lambda first: finish_share(first, threads, *arguments), min(n, threads))
    return images, masks


def pixels(storage: Tensor) -> Words:
    """Stored pictures [R, H, W, 4] uint8 as words [R, H, W], without a copy."""
    return words(storage).numpy().view(np.uint32)


def finish_together(
    image: StoredPictures, mask: PackedMasks, back: StoredPictures, index: Tensor, background: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Finish all pictures at once, on any device.

    Returns:
        image: [B, 3, H, W] float in [0, 1]; mask: [B, 1, H, W] bool.
    """
    side = image.shape[-1]
    shown = mask[index]
    pasted = shown | (background == OWN_BACKGROUND)[:, None, None, None]
    front, behind = (words(image.pixels(index)), words(back.pixels(background.clamp(min=NO_BACKGROUND))))
    pixels = torch.where(pasted[:, 0], front, behind)[..., None].view(torch.uint8)
    layers = torch.cat([pixels[..., :CHANNELS].permute(0, 3, 1, 2), shown.to(torch.uint8) * 255], dim=1).float()
    scaled = F.grid_sample(layers, sampling_grid(recipe, side), padding_mode="border", align_corners=False)
    images = scaled[:, :CHANNELS].div_(255)
    return jitter(images, recipe.factor, recipe.order), scaled[:, CHANNELS:] >= 128


def words(pixels: Tensor) -> Tensor:
    """Pixels of four bytes as 32-bit words: [..., 4] uint8 to [...] int32, without a copy."""
    return pixels.view(torch.int32)[..., 0]


def sampling_grid(recipe: Recipe, side: int) -> Tensor:
    """Position of each finished pixel in its source, in the units of `grid_sample`: [B, side, side, 2]."""
    top, left, height, width = recipe.crop.float().unbind(1)
    down = (torch.arange(side, device=recipe.crop.device) + 0.5).expand(len(top), -1) / side
    across = torch.where(recipe.flip[:, None], 1 - down, down)

    def inside(start: Tensor, extent: Tensor, along: Tensor) -> Tensor:
        position = start[:, None] + extent[:, None] * along
        return position.clamp(start[:, None] + 0.5, (start + extent)[:, None] - 0.5) * (2 / side) - 1

    x, y = inside(left, width, across), inside(top, height, down)
    return torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)


def jitter(image: Tensor, factor: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast and saturation, each picture with its own factors in its own order.

    Each is clamp(f x + (1 - f) y, 0, 1), with y black, the picture's mean grey, or each pixel's own grey.

    Args:
        image: [B, 3, H, W] float in [0, 1].
        factor: [B, 3] >= 0; order: [B, 3], a permutation of 0..2 per picture.

    Returns:
        [B, 3, H, W] float in [0, 1], a new tensor.
    """
    for step in order.unbind(1):
        f = factor.gather(1, step[:, None])[:, :, None, None]
        kind = step[:, None, None, None]
        grey = grey_of(image)
        other = torch.where(kind == SATURATION, grey, grey.mean(dim=(2, 3), keepdim=True) * (kind == CONTRAST))
        image = torch.lerp(other, image, f).clamp_(0, 1)
    return image


def grey_of(image: Tensor) -> Tensor:
    """Grey values of [B, 3, H, W]: [B, 1, H, W]."""
    red, green, blue = image.split(1, dim=1)
    grey: Tensor = LUMA[0] * red
    return grey.add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: even for a few square roots it wakes all that it is given, and waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def for_each(work: Callable[[int], None], n: int) -> None:
    """Do the work for 0..n-1 over as many threads as torch is given, each with an equal share."""
    threads = torch.get_num_threads()

    def share(first: int) -> None:
        for i in range(first, n, threads):
            work(i)

    list(_pool(threads).map(share, range(threads)) if threads > 1 else map(share, [0]))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
