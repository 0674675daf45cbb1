"""The build of a dataset folder.

Equal sources, settings and versions give equal bytes, whatever the number of workers and however often the build was
stopped and started again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from bgbias.data.photographs import layout
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.errors import DataError
from bgbias.prepare.build import plan
from bgbias.prepare.build.cut import check, cut
from bgbias.prepare.build.cutting import Cutter, Rough, cut_all
from bgbias.prepare.build.finding import GRABCUT, finder, grown
from bgbias.prepare.build.folder import PARTS, BuildFolder, Manifest, SourceVerdict
from bgbias.prepare.build.imagenet import imagenet9_folders
from bgbias.prepare.build.masks import oddities
from bgbias.prepare.build.names import longest_name
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.settings import BuildSettings
from bgbias.prepare.build.sources import NAMED, Listing, Source, find_sources, list_classes
from bgbias.prepare.build.variants import Box
from bgbias.prepare.build.writing import KeptSource, Work, Writer
from bgbias.randomness import derive


class FaultySourcesError(DataError):
    """Pictures that cannot be used. `faults` says of each file or line why."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = faults
        first = "; ".join(f"{where}: {why}" for where, why in list(faults.items())[:NAMED])
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        super().__init__(
            "every picture must be readable and have one mask or a box that fits it, but "
            f"{len(faults)} cannot be used ({first}{more}): fix them, or leave them out with --skip-bad"
        )


def build(settings: BuildSettings, out: Path, workers: int, skip_bad: bool) -> Manifest:
    """Build a dataset folder, or continue with a build that was stopped.

    Args:
        out: missing, empty, or begun with the same settings.
        workers: threads, >= 1.
        skip_bad: leave out what cannot be used, and say so in the manifest.

    Returns:
        The manifest.

    Raises:
        FaultySourcesError: some sources cannot be used, and `skip_bad` is False.
        DataError: too few pictures are kept, or their names are not distinct.
        SettingError: `out` holds something else, or another process is building there.
    """
    settings.check_apart(out)
    classes, listing = listed(settings, longest_name(out))
    if listing.faults and not skip_bad:
        raise FaultySourcesError({**listing.faults, **unusable(listing.sources, settings.void, workers)})
    folder = BuildFolder(out)
    head = settings.head(listing.sources)
    manifest = folder.whole(head)
    if manifest is not None:
        return manifest
    how = how_to_find(settings, cut)
    with folder.begun(head):
        verdicts, faults = cut_sources(settings, listing.sources, folder, how, workers, skip_bad)
        work = _plan(settings, classes, listing.sources, verdicts, folder)
        expected = _write(Writer(out, settings.size), work, classes, workers)
        about = {
            "classes": classes,
            "counts": _counts(work, classes),
            "rejected": rejections(verdicts),
            "odd": odd_masks(verdicts),
            "skipped": {**listing.faults, **faults},
            **unmasked(work, classes),
        }
        return folder.finish(head, about, expected, workers)


def cut_sources(
    settings: BuildSettings,
    sources: Sequence[Source],
    folder: BuildFolder,
    how: tuple[Cutter | None, Rough | None],
    workers: int,
    skip_bad: bool,
) -> tuple[dict[str, SourceVerdict], dict[str, str]]:
    """The verdict on every source, and why some cannot be used, both by the source's key.

    Args:
        how: as `how_to_find` gives it.

    Raises:
        FaultySourcesError: some cannot be used, and `skip_bad` is False.
    """
    cv2.setNumThreads(1)  # the workers are the parallelism
    cutter, rough = how
    verdicts = cut_all(sources, folder, settings.size, settings.void, workers, cutter, rough)
    faults = {key: verdict["fault"] for key, verdict in verdicts.items() if "fault" in verdict}
    if faults and not skip_bad:
        raise FaultySourcesError(faults)
    return verdicts, faults


def rejections(verdicts: Mapping[str, SourceVerdict]) -> dict[str, Any]:
    """Of every rejected source, by its key, the rule that it breaks and its value there."""
    return {
        key: {"rule": verdict["rule"], "value": verdict["value"]}
        for key, verdict in verdicts.items()
        if "rule" in verdict
    }


def how_to_find(settings: BuildSettings, cutter: Cutter) -> tuple[Cutter | None, Rough | None]:
    """Choose how objects are found.

    Returns:
        The function that cuts sources, None for `cut` itself; and the function that replaces given masks in train and
        val, None if they stay.

    Raises:
        SettingError: this way of finding objects needs other options.
        DataError: a model's file cannot be used.
    """
    if settings.masks_from is None and not settings.masks_grow:
        return (None if cutter is cut else cutter), None
    find = finder(settings.masks_from or GRABCUT, settings.masks_weights, settings.masks_grow)
    if not settings.degrades:
        return partial(cutter, find=find), None
    if settings.masks_from is None:
        return cutter, lambda found: grown(found.mask, settings.masks_grow)
    return cutter, lambda found: find(found.image, found.box)


def masked_names(names: Sequence[str], share: float, seed: int) -> list[str]:
    """The names, sorted, of a share (rounded, in [0, 1]) of pictures that keep their mask."""
    shuffled = sorted(names, key=lambda name: (derive(seed, f"mask {name}"), name))
    return sorted(shuffled[: round(share * len(shuffled))])


def box_of(verdict: SourceVerdict, split: str) -> Box | None:
    """The box of a kept picture's mask in a split; None where a mask of another quality found nothing."""
    box = verdict["box"] if split == layout.TEST else verdict.get("rough", verdict["box"])
    return None if box is None else Box(*box)


def mask_of(source: Source, verdict: SourceVerdict, split: str, folder: BuildFolder) -> Path:
    """File of the mask of a kept picture, which depends on its split."""
    return folder.mask(source) if split == layout.TEST or "rough" not in verdict else folder.rough_mask(source)


def listed(settings: BuildSettings, longest: int) -> tuple[list[str], Listing]:
    """The classes and the sources, whose names have at most `longest` bytes."""
    folders = list_classes(settings.images)
    if settings.imagenet9:
        class_of = imagenet9_folders(folders, settings.synsets)
        classes = list(CLASSES)
    else:
        class_of, classes = {name: name for name in folders}, folders
    return classes, find_sources(settings.images, class_of, settings.masks, settings.boxes, longest)


def unusable(sources: Sequence[Source], void: int | None, workers: int) -> dict[str, str]:
    """Find all sources that cannot be used: the reason by the source's key, so that one error can name them all."""

    def fault(source: Source) -> str | None:
        try:
            check(source, void)
        except DataError as error:
            return str(error)
        return None

    found = parallel(fault, sources, workers, "reading pictures")
    return {source.key: why for source, why in zip(sources, found, strict=True) if why is not None}


def odd_masks(verdicts: Mapping[str, SourceVerdict]) -> list[str]:
    """List what is odd about the sources' masks, each kind once."""
    return oddities(verdict["odd"] for verdict in verdicts.values() if "odd" in verdict)


def why_rejected(verdicts: Mapping[str, SourceVerdict]) -> str:
    """Describe how many pictures each rule rejected, and what is unusual about the masks."""
    rules = Counter(verdict["rule"] for verdict in verdicts.values() if "rule" in verdict)
    counts = [f"rejected by the rule '{rule}': {n} of {len(verdicts)}" for rule, n in rules.items()]
    return "; ".join([*counts, *odd_masks(verdicts)])


def _plan(
    settings: BuildSettings,
    classes: Sequence[str],
    sources: Sequence[Source],
    verdicts: Mapping[str, SourceVerdict],
    folder: BuildFolder,
) -> list[Work]:
    """Draw every kept picture's split and the backgrounds it is mixed with."""
    sources_of = {source.name: source for source in sources if "box" in verdicts[source.key]}
    split_of: dict[str, str] = {}
    for class_name in classes:
        names = [name for name, source in sources_of.items() if source.class_name == class_name]
        split_of |= plan.splits(names, settings.ratios, settings.seed)
    boxes = {name: box_of(verdicts[sources_of[name].key], split) for name, split in split_of.items()}
    kept = {name: KeptSource(sources_of[name], box) for name, box in boxes.items() if box is not None}
    members = _members(settings, classes, {name: split_of[name] for name in kept}, kept)
    plan.check_enough(members, why_rejected(verdicts))

    work: list[Work] = []
    for split, of_split in members.items():
        for class_name in classes:
            for name in of_split[class_name]:
                donors = plan.donors(name, class_name, of_split, settings.seed)
                mixed = {variant: kept[donor] for variant, donor in donors.items()}
                source = sources_of[name]
                mask = mask_of(source, verdicts[source.key], split, folder)
                work.append(Work(kept[name], mask, split, mixed))
    masked = {item.kept.source.name for item in work}
    for name, source in sources_of.items():
        if split_of[name] == layout.TRAIN and name not in masked:
            work.append(Work(KeptSource(source, Box(*verdicts[source.key]["box"])), None, layout.TRAIN, {}))
    return work


def _members(
    settings: BuildSettings, classes: Sequence[str], split_of: Mapping[str, str], kept: Mapping[str, KeptSource]
) -> dict[str, dict[str, list[str]]]:
    """By split and class, the sorted names of the pictures with a mask."""
    members = {
        split: {
            class_name: sorted(
                name for name in kept if split_of[name] == split and kept[name].source.class_name == class_name
            )
            for class_name in classes
        }
        for split, share in zip(layout.SPLITS, settings.ratios, strict=True)
        if share > 0
    }
    of_train = members.get(layout.TRAIN, {})
    for class_name, names in of_train.items():
        of_train[class_name] = masked_names(names, settings.masks_share, settings.seed)
    return members


def _write(writer: Writer, work: Sequence[Work], classes: Sequence[str], workers: int) -> set[Path]:
    """Write everything; returns all files that the build consists of."""
    for split in {item.split for item in work}:
        for part in PARTS - {layout.RELEASE, layout.UNMASKED}:
            for class_name in classes:
                (layout.split_folder(writer.root, part, split) / class_name).mkdir(parents=True, exist_ok=True)
    for item in work:
        if item.mask is None:
            writer.paths(item)[layout.UNMASKED].parent.mkdir(parents=True, exist_ok=True)
    for _ in parallel(writer, work, workers, "writing variants"):
        pass
    return {path for item in work for path in writer.paths(item).values()}


def unmasked(work: Sequence[Work], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the training pictures of each class without a mask, as `unmasked`; empty if all have one."""
    found = Counter(item.kept.source.class_name for item in work if item.mask is None)
    return {"unmasked": {name: found[name] for name in classes}} if found else {}


def _counts(work: Sequence[Work], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    counts = {item.split: dict.fromkeys(classes, 0) for item in work}
    for item in work:
        counts[item.split][item.kept.source.class_name] += 1
    return counts
