"""The build of a dataset folder.

Equal sources, settings and versions give equal bytes, whatever the number of workers and however often the build was
stopped and started again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from bgbias.data.photographs import layout
from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.errors import DataError
from bgbias.prepare.build import plan
from bgbias.prepare.build.cut import check
from bgbias.prepare.build.cutting import cut_all
from bgbias.prepare.build.folder import PARTS, BuildFolder, Manifest, SourceVerdict
from bgbias.prepare.build.imagenet import imagenet9_folders
from bgbias.prepare.build.masks import oddities
from bgbias.prepare.build.names import longest_name
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.settings import BuildSettings
from bgbias.prepare.build.sources import NAMED, Listing, Source, find_sources, list_classes
from bgbias.prepare.build.variants import Box
from bgbias.prepare.build.writing import KeptSource, Work, Writer


class FaultySourcesError(DataError):
    """Pictures that cannot be used. `faults` says of each file or line why."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = faults
        first = "; ".join(f"{where}: {why}" for where, why in list(faults.items())[:NAMED])
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        super().__init__(
            "every picture must be readable and have one mask or a box that fits it, but "
            f"{len(faults)} cannot be used ({first}{more}): mend them, or leave them out with --skip-bad"
        )


def build(settings: BuildSettings, out: Path, workers: int, skip_bad: bool) -> Manifest:
    """Build a dataset folder, or go on with a build that was stopped.

    Args:
        out: missing, empty, or begun with the same settings.
        workers: threads, >= 1.
        skip_bad: leave out what cannot be used, and say so in the manifest.

    Returns:
        The manifest.

    Raises:
        FaultySourcesError: some sources cannot be used, and `skip_bad` is False.
        DataError: too few pictures are kept, or their names do not tell them apart.
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
    cv2.setNumThreads(1)  # the workers are the parallelism
    with folder.begun(head):
        verdicts = cut_all(listing.sources, folder, settings.size, settings.void, workers)
        faults = {key: verdict["fault"] for key, verdict in verdicts.items() if "fault" in verdict}
        if faults and not skip_bad:
            raise FaultySourcesError(faults)
        work = _plan(settings, classes, listing.sources, verdicts, folder)
        expected = _write(Writer(out, settings.size), work, classes, workers)
        about = {
            "classes": classes,
            "counts": _counts(work, classes),
            "rejected": {
                key: {"rule": verdict["rule"], "value": verdict["value"]}
                for key, verdict in verdicts.items()
                if "rule" in verdict
            },
            "odd": odd_masks(verdicts),
            "skipped": {**listing.faults, **faults},
        }
        return folder.finish(head, about, expected, workers)


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
    """Why sources cannot be used, so that one round of messages names all faults."""

    def fault(source: Source) -> str | None:
        try:
            check(source, void)
        except DataError as error:
            return str(error)
        return None

    found = parallel(fault, sources, workers, "reading pictures")
    return {source.key: why for source, why in zip(sources, found, strict=True) if why is not None}


def odd_masks(verdicts: Mapping[str, SourceVerdict]) -> list[str]:
    return oddities(verdict["odd"] for verdict in verdicts.values() if "odd" in verdict)


def why_rejected(verdicts: Mapping[str, SourceVerdict]) -> str:
    """How many pictures each rule rejected, and what is odd about the masks."""
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
    kept = {s.name: KeptSource(s, Box(*verdicts[s.key]["box"])) for s in sources if "box" in verdicts[s.key]}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, found in kept.items():
        names[found.source.class_name].append(name)
    split_of: dict[str, str] = {}
    for class_name in classes:
        split_of |= plan.splits(names[class_name], settings.ratios, settings.seed)

    work: list[Work] = []
    members = {
        split: {c: [name for name in names[c] if split_of[name] == split] for c in classes}
        for split, share in zip(layout.SPLITS, settings.ratios, strict=True)
        if share > 0
    }
    plan.check_enough(members, why_rejected(verdicts))
    for split, of_split in members.items():
        for class_name in classes:
            for name in of_split[class_name]:
                donors = plan.donors(name, class_name, of_split, settings.seed)
                mixed = {variant: kept[donor] for variant, donor in donors.items()}
                work.append(Work(kept[name], folder.mask(kept[name].source), split, mixed))
    return work


def _write(writer: Writer, work: Sequence[Work], classes: Sequence[str], workers: int) -> set[Path]:
    """Write everything; returns all files that the build consists of."""
    for split in {item.split for item in work}:
        for part in PARTS - {layout.RELEASE}:
            for class_name in classes:
                (layout.split_folder(writer.root, part, split) / class_name).mkdir(parents=True, exist_ok=True)
    for _ in parallel(writer, work, workers, "writing variants"):
        pass
    return {path for item in work for path in writer.paths(item).values()}


def _counts(work: Sequence[Work], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    counts = {item.split: dict.fromkeys(classes, 0) for item in work}
    for item in work:
        counts[item.split][item.kept.source.class_name] += 1
    return counts
