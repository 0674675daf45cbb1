"""Made-up pictures in the layouts of Waterbirds and Spawrious: a bright object whose shape tells its class, on the
colour of its place."""

import csv
from pathlib import Path

import numpy as np
from made_photographs import photograph
from PIL import Image

from bgbias.data.datasets.spawrious import BREEDS, PLACES

SIDE = 32
HEADER = ["img_id", "img_filename", "y", "split", "place", "place_filename"]
COUNTS = {0: (9, 3, 3, 9), 1: (3, 3, 3, 3), 2: (4, 4, 4, 4)}
"""By split, the pictures of (class, place) 0/0, 0/1, 1/0, 1/1."""
SPECIES = ("021.Eastern_Towhee", "108.Fish_Crow", "004.Groove_billed_Ani")


def write_table(root: Path, masks: str | None = "masks") -> Path:
    """`metadata.csv`, pictures and masks (`masks`, under the pictures' names), the same bytes every time."""
    rng, rows = np.random.default_rng(0), []
    for split, counts in COUNTS.items():
        for group, count in enumerate(counts):
            for number in range(count):
                label, place = divmod(group, 2)
                name = f"{SPECIES[number % 3]}/{split}_{group}_{number}.jpg"
                picture, mask = made(label, place, rng)
                save(root / name, picture)
                if masks:
                    save((root / masks / name).with_suffix(".png"), 255 * mask)
                rows.append([len(rows) + 1, name, label, split, place, f"scene/{number}.jpg"])
    with (root / "metadata.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([HEADER, *rows])
    return root


def write_spawrious(root: Path, cell: int = 10) -> Path:
    """`spawrious224` with so many pictures of each breed and place in both folders."""
    rng = np.random.default_rng(0)
    for folder in "01":
        for breed_number, breed in enumerate(sorted(BREEDS)):
            for place_number, place in enumerate(PLACES):
                for number in range(cell):
                    picture, _ = made(breed_number % 3, place_number % 3, rng)
                    save(root / "spawrious224" / folder / place / breed / f"{place}_{breed}_{number}.png", picture)
    return root


def made(label: int, place: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture [32, 32, 3] of a class on a place, and its mask [32, 32] bool."""
    (picture, mask, _), (_, _, tile) = photograph(label, rng), photograph(place, rng)
    return np.where(mask[..., None], picture, tile), mask


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
