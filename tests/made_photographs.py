"""Made-up photographs in ImageNet-9's layout: a bright object whose shape tells its class, on its class's colour."""

from pathlib import Path

import numpy as np
from PIL import Image

from bgbias.data.photographs import layout

CLASSES = ("00_disc", "01_bar", "02_frame")
SIDE = 32
COLORS = ((200, 40, 40), (40, 160, 40), (40, 40, 200))
COUNTS = {layout.TRAIN: 20, layout.VAL: 6, layout.TEST: 8}
"""By split, how many of each class."""


def write_photographs(root: Path) -> Path:
    """All eight variants and fg_mask of train, val and test; the same bytes every time."""
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        made = {
            (label, f"{split}{label}_{number}"): photograph(label, rng) for label in range(3) for number in range(count)
        }
        for (label, name), (picture, mask, tile) in made.items():
            write(root, layout.ORIGINAL, split, label, name, picture)
            write(root, layout.ONLY_BG_T, split, label, name, tile)
            write(root, layout.ONLY_FG, split, label, name, np.where(mask[..., None], picture, 0))
            write(root, layout.NO_FG, split, label, name, np.where(mask[..., None], 0, picture))
            write(root, layout.ONLY_BG_B, split, label, name, np.where(box(mask)[..., None], 0, picture))
            folder = layout.split_folder(root, layout.FG_MASK, split) / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", mask)
            for variant, donor_label in mixed_labels(label, rng):
                donor = f"{split}{donor_label}_{rng.integers(count)}"
                mixed = np.where(mask[..., None], picture, made[donor_label, donor][2])
                write(root, variant, split, label, layout.mixed_name(name, donor), mixed)
    return root


def mixed_labels(label: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    return [
        (layout.MIXED_SAME, label),
        (layout.MIXED_RAND, int(rng.integers(3))),
        (layout.MIXED_NEXT, (label + 1) % 3),
    ]


def photograph(label: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture [32, 32, 3] uint8, its mask [32, 32] bool, and its background without the object."""
    y, x = np.mgrid[:SIDE, :SIDE] - rng.integers(12, 20, size=2)[:, None, None]
    mask = (
        x**2 + y**2 <= 49,
        (abs(x) <= 8) & (abs(y) <= 2),
        (np.maximum(abs(x), abs(y)) <= 7) & (np.maximum(abs(x), abs(y)) >= 5),
    )[label]
    tile = np.clip(np.array(COLORS[label]) + rng.normal(0, 10, (SIDE // 8, SIDE // 8, 3)), 0, 255)
    tile = np.kron(tile, np.ones((8, 8, 1))).astype(np.uint8)
    shade = rng.integers(190, 250, size=3).astype(np.uint8)
    return np.where(mask[..., None], shade, tile), mask, tile


def box(mask: np.ndarray) -> np.ndarray:
    """The bounding box of a mask, as a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    found = np.zeros_like(mask)
    found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return found


def write(root: Path, variant: str, split: str, label: int, name: str, picture: np.ndarray) -> None:
    folder = layout.split_folder(root, variant, split) / CLASSES[label]
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(folder / f"{name}.JPEG", quality=95, subsampling=0)
