"""The variants that an audit evaluates: those of a folder, or built once from pictures and kept in a cache."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bgbias.components import make
from bgbias.data.photographs import layout, listing
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build.build import build
from bgbias.prepare.build.folder import MANIFEST
from bgbias.prepare.build.settings import BuildSettings
from bgbias.prepare.build.sources import list_classes
from study.inspect import audit_cache

CACHE = Path.home() / ".cache" / "bgbias" / "audits"
TEST_ALONE = (0.0, 0.0, 1.0)


def is_built(images: Path) -> bool:
    """Return True if a folder already holds all variants, as `study data build` and `study data fetch` write them."""
    return layout.split_folder(images, layout.ORIGINAL, layout.TEST).is_dir()


def class_folders(images: Path) -> tuple[str, ...]:
    """The names of the classes, sorted.

    Raises:
        DataError: there are none, or fewer than two.
    """
    found = list_classes(layout.split_folder(images, layout.ORIGINAL, layout.TEST) if is_built(images) else images)
    if len(found) < 2:
        raise DataError(
            f"{images} must hold a folder for each of two classes or more, but holds {len(found)}: add some"
        )
    return tuple(found)


def variants_of(
    images: Path,
    masks: Path | None,
    boxes: Path | None,
    masks_from: str | None,
    masks_weights: Path | None,
    size: int,
    cache: Path,
    workers: int,
    skip_bad: bool,
) -> Path:
    """The folder of the variants: `images` itself where it holds them, else built in the cache, or found there.

    Raises:
        SettingError: neither masks nor boxes are given, or both, or they are given with a folder that is built.
        DataError: pictures cannot be used.
    """
    if is_built(images):
        if any(given is not None for given in (masks, boxes, masks_from)):
            raise SettingError(f"{images} holds its variants already: leave --masks, --boxes and --masks-from out")
        return images
    given = {"images": images, "masks": masks, "boxes": boxes, "masks_from": masks_from, "masks_weights": masks_weights}
    settings = make(BuildSettings, {**given, "size": size, "ratios": TEST_ALONE}, "audit")
    folder = cache / fingerprint(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        build(settings, folder, workers, skip_bad)
    finally:
        audit_cache.mark(folder)
    return folder


def used(folder: Path | None) -> dict[str, str]:
    """Describe, as `pictures`, how many pictures were used and why others were not; empty without a manifest."""
    try:
        manifest = json.loads(((folder or Path()) / MANIFEST).read_bytes())
        left_out = Counter(rejection["rule"] for rejection in manifest["rejected"].values())
        left_out["unusable"] += len(manifest["skipped"])
        kept = sum(sum(classes.values()) for classes in manifest["counts"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    told = "; ".join(f"{count:,} left out: {why}" for why, count in left_out.items() if count)
    return {"pictures": f"{kept:,}{f', {told}' if told else ''}"}


def fingerprint(settings: BuildSettings) -> str:
    """Key of a cached build, made of its settings and of the name, size and time of change of every file."""
    digest = hashlib.sha256(json.dumps(settings.head([])).encode())
    for file in files_of(settings):
        found = file.stat()
        digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def files_of(settings: BuildSettings) -> Iterator[Path]:
    """Every file that a build reads."""
    model = Path(settings.masks_from) if settings.masks_from else None
    for given in (settings.images, settings.masks, settings.boxes, settings.masks_weights, model):
        if given is not None and given.is_dir():
            yield from listing.files_below(given)
        elif given is not None and given.is_file():
            yield given
