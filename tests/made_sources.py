"""Made-up source pictures with masks and boxes: a bright disc on a background of its class's colour."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")
COLORS = ((150, 60, 60), (60, 140, 60), (60, 60, 150))
WIDTH, HEIGHT, RADIUS = 48, 40, 9
EACH = 6


def write_sources(root: Path, classes=CLASSES, each=EACH) -> Path:
    """`images`, `masks` and `boxes.csv`: for every class some pictures, 48 x 40, with a disc of 19 x 19 pixels."""
    rng = np.random.default_rng(0)
    lines = ["name,left,top,right,bottom"]
    for number, class_name in enumerate(classes):
        for kind in ("images", "masks"):
            (root / kind / class_name).mkdir(parents=True)
        for index in range(each):
            picture, mask = disc(rng, COLORS[number % len(COLORS)])
            name = f"{class_name}_{index}"
            Image.fromarray(picture).save(root / "images" / class_name / f"{name}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / class_name / f"{name}.png")
            left, top, right, bottom = edges(mask)
            lines.append(f"{class_name}/{name},{left},{top},{right},{bottom}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def disc(rng: np.random.Generator, color) -> tuple[np.ndarray, np.ndarray]:
    """A picture [40, 48, 3] uint8 and its mask [40, 48] bool."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    mask = (row - rng.integers(12, 28)) ** 2 + (column - rng.integers(16, 32)) ** 2 <= RADIUS**2
    noise = np.kron(rng.normal(0, 12, (HEIGHT // 4, WIDTH // 4, 3)), np.ones((4, 4, 1)))
    background = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
    return np.where(mask[..., None], np.array([230, 220, 200], dtype=np.uint8), background), mask


def edges(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
