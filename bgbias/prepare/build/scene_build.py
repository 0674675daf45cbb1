"""A Waterbirds of any masked photographs and any scenes: objects pasted on places, with a confounded training set.

    metadata.csv                    img_id,img_filename,y,split,place,place_filename, as the release has it
    <class>/<name>_<place number>.jpg      the whole picture, its background replaced by a scene
    masks/<class>/<name>_<place number>.png   255 = object
    files.sha256, manifest.json     as `folder` describes; the manifest names the classes and the places

In train each class has a place of its own, where most of its objects stand. Every object of val and test stands in
every place once. No object and no scene is in two splits; scenes of equal bytes count as one.
Source: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020 (arXiv 1911.08731), appendix
C.1, and its release.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from bgbias.data import bias_strength
from bgbias.data.photographs import layout, listing
from bgbias.data.photographs.picture import UNREADABLE, read_picture
from bgbias.errors import DataError, SettingError
from bgbias.files import sha256
from bgbias.prepare.build import scene_plan, variants
from bgbias.prepare.build.build import (
    FaultySourcesError,
    box_of,
    cut_sources,
    how_to_find,
    listed,
    mask_of,
    masked_names,
    odd_masks,
    rejections,
    unusable,
    why_rejected,
)
from bgbias.prepare.build.cut import cut_whole, whole
from bgbias.prepare.build.files import jpeg, png, write
from bgbias.prepare.build.folder import BuildFolder, Manifest, SourceVerdict
from bgbias.prepare.build.names import longest_name
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.settings import SceneSettings
from bgbias.prepare.build.sources import Source

METADATA, MASKS = "metadata.csv", "masks"
COLUMNS = ("img_id", "img_filename", "y", "split", "place", "place_filename")
SPLIT_NUMBER = {layout.TRAIN: 0, layout.VAL: 1, layout.TEST: 2}


@dataclass(frozen=True)
class Scene:
    """An object in a scene.

    mask: where the object's mask was put aside; shown: where the one that is written was, None to write none
    place: of all places, sorted, its number; scene: `<place>/<file>`
    """

    source: Source
    mask: Path
    shown: Path | None
    split: str
    place: int
    scene: str


def build_scenes(settings: SceneSettings, out: Path, workers: int, skip_bad: bool) -> Manifest:
    """Build the folder, or continue with a build that was stopped. Arguments and errors as those of `build`.

    Returns:
        The manifest; its `counts` hold by split, class and place the number of pictures.
    """
    settings.check_apart(out)
    classes, listing_ = listed(settings, longest_name(out))
    if MASKS in classes:
        raise SettingError(f"a class cannot be called '{MASKS}', which is the folder of all masks: rename its folder")
    if listing_.faults and not skip_bad:
        raise FaultySourcesError({**listing_.faults, **unusable(listing_.sources, settings.void, workers)})
    scenes, doubles = find_scenes(settings.scenes)
    places = list(scenes)
    home = scene_plan.homes(classes, places, settings.home)
    confounding = bias_strength.of_classes(settings.confounding, len(classes), "--confounding")
    of_split = scene_plan.scene_splits(scenes, settings.shares, settings.seed)
    folder = BuildFolder(out, frozenset({*classes, MASKS, METADATA}))
    head = settings.head(listing_.sources)
    head["scenes"] = {place: len(names) for place, names in scenes.items()}
    manifest = folder.whole(head)
    if manifest is not None:
        return manifest
    how = how_to_find(settings, cut_whole)
    with folder.begun(head):
        verdicts, faults = cut_sources(settings, listing_.sources, folder, how, workers, skip_bad)
        kept = [source for source in listing_.sources if "box" in verdicts[source.key]]
        share_of = dict(zip(classes, confounding, strict=True))
        work = list(_plan(settings, kept, folder, of_split, home, share_of, verdicts))
        writer = SceneWriter(out, settings.scenes, settings.size)
        for class_name in classes:
            (out / class_name).mkdir(exist_ok=True)
            (out / MASKS / class_name).mkdir(parents=True, exist_ok=True)
        for _ in parallel(writer, work, workers, "writing pictures"):
            pass
        write(out / METADATA, table(work, classes))
        expected = {path for item in work for path in writer.paths(item).values()} | {out / METADATA}
        about = {
            "classes": classes,
            "places": places,
            "home": home,
            "counts": _counts(work, classes, places),
            "rejected": rejections(verdicts),
            "odd": odd_masks(verdicts),
            "skipped": {**listing_.faults, **faults},
            "same_scenes": doubles,
        }
        return folder.finish(head, about, expected, workers)


def find_scenes(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The scenes of each place, `<place>/<file>`, sorted; and those left out, since an earlier one has their bytes.

    Raises:
        DataError: the folder is missing, holds fewer than two places, or a place holds no picture.
    """
    folders = listing.class_folders(root)
    if len(folders) < 2:
        raise DataError(
            f"{root} must hold a folder of scenes for each of two places or more, but holds {len(folders)}: "
            "give --scenes DIR with DIR/<place>/<name>.jpg"
        )
    seen: set[str] = set()
    found: dict[str, list[str]] = {}
    doubles: list[str] = []
    for folder in folders:
        files = [file for file in listing.files_below(folder) if file.suffix.lower() in layout.PICTURE_ENDINGS]
        if not files:
            endings = ", ".join(sorted(layout.PICTURE_ENDINGS))
            raise DataError(f"{folder} holds no picture ({endings}): add scenes, or remove the folder")
        found[folder.name] = []
        for file in files:
            digest, name = sha256(file), file.relative_to(root).as_posix()
            (doubles if digest in seen else found[folder.name]).append(name)
            seen.add(digest)
    return found, doubles


def _plan(
    settings: SceneSettings,
    kept: Sequence[Source],
    folder: BuildFolder,
    scenes: scene_plan.Scenes,
    home: Mapping[str, str],
    confounding: Mapping[str, float],
    verdicts: Mapping[str, SourceVerdict],
) -> Iterator[Scene]:
    """Every picture to write, by class, name and place."""
    for class_name, at_home in home.items():
        sources = {source.name: source for source in kept if source.class_name == class_name}
        split_of = scene_plan.object_splits(list(sources), class_name, settings.ratios, settings.counts, settings.seed)
        missing = [split for split in scenes if split not in split_of.values()]
        if missing:
            why = why_rejected(verdicts)
            raise DataError(
                f"every class needs an object in each split, but of {len(sources)} of {class_name} none is left for "
                f"{', '.join(missing)}{f' ({why})' if why else ''}: give more pictures, or other --ratios"
            )
        places = list(scenes[layout.TRAIN])
        training = [name for name, split in split_of.items() if split == layout.TRAIN]
        place_of = scene_plan.train_places(training, at_home, places, confounding[class_name], settings.seed)
        found = [name for name in training if box_of(verdicts[sources[name].key], layout.TRAIN)]
        masked = masked_names(found, settings.masks_share, settings.seed)
        for name in sorted(split_of):
            split, source = split_of[name], sources[name]
            verdict = verdicts[source.key]
            has_mask = name in masked if split == layout.TRAIN else box_of(verdict, split) is not None
            shown = mask_of(source, verdict, split, folder) if has_mask else None
            for place in [place_of[name]] if split == layout.TRAIN else places:
                scene = scene_plan.scene_of(name, place, scenes[split][place], settings.seed)
                yield Scene(source, folder.mask(source), shown, split, places.index(place), scene)


@dataclass(frozen=True)
class SceneWriter:
    """Writes an object in its scene, and its mask.

    root: the built folder; scenes: the folder of the scenes; size: the shorter side in pixels
    """

    root: Path
    scenes: Path
    size: int

    def paths(self, item: Scene) -> dict[str, Path]:
        """File of the picture, and under `masks` the file of its mask if it has one."""
        mask = {MASKS: self.root / MASKS / f"{named(item)}.png"} if item.shown is not None else {}
        return {"picture": self.root / f"{named(item)}.jpg", **mask}

    def __call__(self, item: Scene) -> None:
        """Write both, unless they are there.

        Raises:
            DataError: a picture or a scene cannot be read, or the disk is full.
        """
        paths = self.paths(item)
        if all(path.exists() for path in paths.values()):
            return
        image, mask = whole(item.source, self.size), np.load(item.mask)
        write(paths["picture"], jpeg(variants.mixed(image, mask, self._scene(item.scene, mask.shape))))
        if item.shown is not None:
            write(paths[MASKS], png(np.load(item.shown)))

    def _scene(self, name: str, shape: tuple[int, int]) -> variants.Image:
        """A scene scaled and cropped at its centre to [H, W]."""
        try:
            scene = read_picture(self.scenes / name)
        except UNREADABLE as error:
            raise DataError(
                f"scene {name} cannot be read ({error}): replace or remove it, and build into another --out"
            ) from None
        return np.asarray(ImageOps.fit(scene, (shape[1], shape[0]), Pillow.Resampling.BICUBIC))


def base_name(item: Scene) -> str:
    """Name of a picture and its mask: the object's name and the number of its place."""
    return f"{item.source.name}_{item.place}"


def named(item: Scene) -> str:
    """`<class>/<name>_<place number>`."""
    return f"{item.source.class_name}/{base_name(item)}"


def table(work: Sequence[Scene], classes: Sequence[str]) -> bytes:
    """`metadata.csv` as the release has it: classes, places and splits (train 0, val 1, test 2) as numbers."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for number, item in enumerate(work, start=1):
        label = classes.index(item.source.class_name)
        lines.writerow((number, f"{named(item)}.jpg", label, SPLIT_NUMBER[item.split], item.place, item.scene))
    return text.getvalue().encode()


def _counts(
    work: Sequence[Scene], classes: Sequence[str], places: Sequence[str]
) -> dict[str, dict[str, dict[str, int]]]:
    found = Counter((item.split, item.source.class_name, item.place) for item in work)
    return {
        split: {name: {place: found[split, name, number] for number, place in enumerate(places)} for name in classes}
        for split in SPLIT_NUMBER
        if any(key[0] == split for key in found)
    }
