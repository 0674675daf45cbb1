"""The eight variants of ImageNet-9: composed from the parts of a split, or as they were released.

Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 2.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bgbias.data import assignment
from bgbias.data.dataset import Released, Variant
from bgbias.data.photographs.layout import (
    MIXED,
    MIXED_NEXT,
    MIXED_RAND,
    MIXED_SAME,
    NO_FG,
    ONLY_BG_B,
    ONLY_BG_T,
    ONLY_FG,
    ORIGINAL,
    TEST,
    mixed_sources,
)
from bgbias.data.photographs.reader import PhotoSplit, Reader
from bgbias.data.photographs.stored import StoredPictures
from bgbias.randomness import stream
from bgbias.types import OWN_BACKGROUND


def composed(photos: PhotoSplit, classes: int, seed: int) -> dict[str, Variant]:
    """All eight variants of a split, made from its own foregrounds and backgrounds alone."""
    n, tiles = len(photos), photos.tiles

    def of_class(name: str, wanted: Tensor) -> Tensor:
        return assignment.of_class(wanted, tiles.place, stream(seed, name))

    def cut_out(change: Callable[[Tensor], Tensor]) -> Variant:
        return Variant(replace(photos.fronts, mask=photos.mask.changed(change)), tiles, assignment.none(n))

    plain = original(photos)
    return {
        ORIGINAL: plain,
        MIXED_SAME: plain.assigned(of_class(MIXED_SAME, photos.label)),
        MIXED_RAND: plain.assigned(assignment.of_random_class(n, tiles.place, stream(seed, MIXED_RAND))),
        MIXED_NEXT: plain.assigned(of_class(MIXED_NEXT, (photos.label + 1) % classes)),
        ONLY_FG: plain.assigned(assignment.none(n)),
        NO_FG: cut_out(torch.logical_not),
        ONLY_BG_B: cut_out(beside_box),
        ONLY_BG_T: Variant(replace(photos.fronts, image=photos.tile.at(torch.arange(n))), tiles, own(n)),
    }


def original(photos: PhotoSplit) -> Variant:
    """The photographs as they are."""
    return Variant(photos.fronts, photos.tiles, own(len(photos)))


def own(n: int) -> Tensor:
    """Every picture of n on its own background."""
    return torch.full((n,), OWN_BACKGROUND)


def beside_box(mask: Tensor) -> Tensor:
    """All that lies outside each mask's bounding box: [N, 1, H, W] bool to the same."""
    rows, columns = mask.any(dim=3, keepdim=True), mask.any(dim=2, keepdim=True)
    return ~(between(rows, 2) & between(columns, 3))


def between(line: Tensor, dim: int) -> Tensor:
    """From the first True to the last one along a dimension."""
    seen = line.int()
    return (seen.cumsum(dim) > 0) & (seen.flip(dim).cumsum(dim).flip(dim) > 0)


def released(reader: Reader, photos: PhotoSplit) -> dict[str, Variant]:
    """All eight variants of the test set, from their own files."""
    index = {name: i for i, name in enumerate(photos.names)}
    found = {name: mixed(reader, photos, index, name) for name in MIXED}
    alone = {name: picture_by_picture(reader, photos, index, name) for name in (ONLY_FG, NO_FG, ONLY_BG_B, ONLY_BG_T)}
    return {ORIGINAL: original(photos), **found, **alone}


def mixed(reader: Reader, photos: PhotoSplit, index: dict[str, int], variant: str) -> Released:
    """A mixed variant; its names say which foreground and which background each picture was made of.

    The foreground is of the picture's own class. The background may be of any class, so its name must be of one only.
    """
    decoded, backgrounds = reader.pictures(variant, TEST), by_bare_name(index)
    names, fronts, backs = [], [], []
    for key in decoded.row:
        class_name, _, name = key.partition("/")
        front, back = mixed_sources(name) or (name, name)
        front_index, back_index = index.get(f"{class_name}/{front}"), backgrounds.get(back, [])
        if front_index is not None and len(back_index) == 1:
            names.append(key)
            fronts.append(front_index)
            backs += back_index
        elif front_index is not None and back_index:
            reader.faults.append(f"{variant} picture {key} has a background whose name several classes have")
        else:
            reader.faults.append(f"{variant} picture {key} is made of no known pictures")
    pictures = StoredPictures(decoded.storage, decoded.rows(names))
    return Released(photos.fronts.at(torch.tensor(fronts)), photos.tiles, torch.tensor(backs), pictures)


def by_bare_name(index: dict[str, int]) -> dict[str, list[int]]:
    """The indices of `<class>/<name>` by name alone."""
    found: dict[str, list[int]] = {}
    for key, i in index.items():
        found.setdefault(key.partition("/")[2], []).append(i)
    return found


def picture_by_picture(reader: Reader, photos: PhotoSplit, index: dict[str, int], variant: str) -> Variant:
    """A variant with one picture for each source."""
    decoded = reader.pictures(variant, TEST)
    names = [name for name in photos.names if name in decoded.row]
    reader.faults += [
        f"test picture {name} has no readable {variant}" for name in photos.names if name not in decoded.row
    ]
    fronts = photos.fronts.at(torch.tensor([index[name] for name in names]))
    pictures = StoredPictures(decoded.storage, decoded.rows(names))
    return Variant(replace(fronts, image=pictures), photos.tiles, own(len(names)))
