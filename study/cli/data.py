"""`study data`: fetch, build and check dataset folders."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from bgbias.components import make
from bgbias.data.datasets import datasets
from bgbias.errors import DataError, SettingError
from bgbias.progress import tracked_by
from study import stopping
from study.cli.options import SAME_COMMAND, AsJson, MasksFrom, MasksWeights, Settings
from study.cli.overrides import parse_settings
from study.display import console, progress_bar, results, show_line, show_table

if TYPE_CHECKING:
    from bgbias.data.dataset import DatasetSpec
    from bgbias.prepare.build.findings import CheckReport, Finding

app = typer.Typer(no_args_is_help=True, help="Fetch or build datasets of photographs, and check them.")

CORES = os.cpu_count() or 1
SHOWN = 3
"""Number of places that a finding's row names."""
CONFOUNDING = "0.95"
"""The share of Waterbirds itself."""

Workers = Annotated[int, typer.Option(min=1, help="threads", show_default="one for each core")]


@app.command()
def fetch(
    release: Annotated[str, typer.Argument(help="imagenet9: the released test set of the Background Challenge")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for the archive and its pictures")],
    url: Annotated[str | None, typer.Option(help="address of another copy of the archive")] = None,
    sha256: Annotated[str | None, typer.Option(help="checksum that the archive must have")] = None,
) -> None:
    """Download, check and unpack a released dataset; a download that was stopped continues."""
    from bgbias.prepare.fetch import fetch as fetch_release
    from bgbias.prepare.fetch import find_release

    stopping.on_stop(SAME_COMMAND)
    with tracked_by(progress_bar):
        pictures = fetch_release(find_release(release), out, url=url, sha256=sha256)
    results.print(escape(f"wrote {pictures}; the archive beside it may be deleted"), soft_wrap=True)


@app.command()
def build(
    images: Annotated[Path, typer.Option(metavar="DIR", help="pictures: DIR/<class>/<name>.jpg, .jpeg or .png")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder to write; an unfinished one is continued")],
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="masks: DIR/<class>/<name>.png or .npy, or all in DIR; any value but 0 is object, and an alpha "
            "channel that varies is used instead of the values; their size must be that of the picture as it is "
            "shown, or else as it is stored",
        ),
    ] = None,
    void: Annotated[
        int | None,
        typer.Option(
            metavar="VALUE", help="value of masks that is neither object nor background, such as 255 in VOC's borders"
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="boxes in which GrabCut finds the objects: a CSV file, one line per box, <class>/<name>,<left>,<top>,"
            "<right>,<bottom> in pixels of the picture (<class>/ may be left out); or a folder of PASCAL's "
            "annotations, FILE/<class>/<name>.xml",
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="height and width, in pixels")] = 224,
    seed: Annotated[int, typer.Option(help="seed of the splits and the backgrounds")] = 0,
    ratios: Annotated[str, typer.Option(help="shares of train, val and test in each class")] = "0.7,0.1,0.2",
    scenes: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="pictures of places, DIR/<place>/<name>.jpg: paste the objects on them and build a Waterbirds, with "
            "metadata.csv and pictures whose shorter side is --size",
        ),
    ] = None,
    confounding: Annotated[
        str,
        typer.Option(
            help="with --scenes, share of a class's training objects in its own place; one for all, or one per class"
        ),
    ] = CONFOUNDING,
    counts: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,N",
            help="with --scenes, numbers of objects of each class in train, val and test",
            show_default="--ratios",
        ),
    ] = None,
    home: Annotated[
        str,
        typer.Option(
            metavar="CLASS=PLACE,...", help="with --scenes, each class's own place", show_default="in order of names"
        ),
    ] = "",
    imagenet9: Annotated[
        bool, typer.Option("--imagenet9", help="class folders are ImageNet's synsets: build ImageNet-9's classes")
    ] = False,
    synsets: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ImageNet's 1000 synsets, one per line; needed if some have no folder"),
    ] = None,
    masks_from: MasksFrom = None,
    masks_weights: MasksWeights = None,
    masks_grow: Annotated[
        int,
        typer.Option(
            metavar="PIXELS", help="widen masks, or narrow them if below 0; given masks only in train and val"
        ),
    ] = 0,
    masks_share: Annotated[
        float, typer.Option(min=0, max=1, help="share of each class's training pictures that have a mask")
    ] = 1.0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out pictures that are unreadable or have no mask or box")
    ] = False,
    workers: Workers = CORES,
    as_json: AsJson = False,
) -> None:
    """Build all eight variants and the masks from pictures and the masks or boxes of their objects.

    With --masks-from, masks have another quality: the box itself, the object that GrabCut finds in it, or the
    prediction of a model. Given masks are replaced in train and val only, so that tests stay comparable.

    With --scenes, build a Waterbirds: in train, most objects of a class are in the class's own place; in val and test,
    every object is in every place once. No scene is in two splits.

    Pictures are read as a viewer shows them: turned by their EXIF orientation, with the colour profile converted to
    8-bit sRGB and transparent pixels white. If several classes or folders have a picture of the same name, their files
    are called <class>-<name> or <folder>-<name>.

    A picture is kept if it has one box, if at least half of the box is inside the centre crop, if the box covers at
    most 90 % of the crop, and if the mask covers at least 10 % of the box. The box of a given mask is its bounding box.
    """
    from bgbias.prepare.build.build import FaultySourcesError
    from bgbias.prepare.build.build import build as build_folder
    from bgbias.prepare.build.scene_build import build_scenes
    from bgbias.prepare.build.settings import BuildSettings, SceneSettings

    given = {
        "images": images,
        "masks": masks,
        "boxes": boxes,
        "void": void,
        "size": size,
        "seed": seed,
        "ratios": _parse_ratios(ratios),
        "imagenet9": imagenet9,
        "synsets": synsets,
        "masks_from": masks_from,
        "masks_weights": masks_weights,
        "masks_grow": masks_grow,
        "masks_share": masks_share,
    }
    if scenes is None and (counts, home, confounding) != (None, "", CONFOUNDING):
        raise SettingError(
            "--confounding, --counts and --home are of a Waterbirds: give --scenes DIR, or leave them out"
        )
    stopping.on_stop(SAME_COMMAND)
    try:
        with tracked_by(progress_bar):
            if scenes is None:
                manifest = build_folder(make(BuildSettings, given, "build"), out, workers, skip_bad)
            else:
                numbers = None if counts is None else parse_counts(counts)
                more = {"scenes": scenes, "confounding": confounding, "counts": numbers, "home": home}
                manifest = build_scenes(make(SceneSettings, {**given, **more}, "build"), out, workers, skip_bad)
    except FaultySourcesError as error:
        for where, why in error.faults.items():
            console.print(escape(f"{where}: {why}"), soft_wrap=True)
        raise
    if as_json:
        print(json.dumps(manifest))
    elif scenes is None:
        _print_manifest(manifest, out)
    else:
        _print_groups(manifest, out)


def _parse_ratios(text: str) -> tuple[float, ...]:
    try:
        ratios = tuple(float(share) for share in text.split(","))
    except ValueError:
        ratios = ()
    if len(ratios) != 3:
        raise SettingError(f"--ratios takes three numbers with commas between, such as 0.7,0.1,0.2, but got '{text}'")
    return ratios


def parse_counts(text: str) -> tuple[int, ...]:
    """Three numbers with commas between.

    Raises:
        SettingError: it is something else.
    """
    counts = [int(count) for count in text.split(",") if count.strip().isdecimal()]
    if len(counts) != 3 or len(text.split(",")) != 3:
        raise SettingError(
            f"--counts takes three whole numbers with commas between, such as 400,50,100, but got '{text}'"
        )
    return tuple(counts)


def _print_groups(manifest: dict[str, Any], out: Path) -> None:
    of_class = {
        split: {place: {name: classes[name][place] for name in classes} for place in manifest["places"]}
        for split, classes in manifest["counts"].items()
    }
    show_table(_groups_table(of_class))
    _print_left_out(manifest, out)
    for name in manifest["same_scenes"]:
        results.print(escape(f"left out {name}: an earlier scene has its bytes"), soft_wrap=True)


def _print_manifest(manifest: dict[str, Any], out: Path) -> None:
    counts = manifest["counts"]
    table = Table("class", *counts, title="pictures of each variant")
    for name in manifest["classes"]:
        table.add_row(escape(name), *(f"{counts[split][name]:,}" for split in counts))
    table.add_row("all", *(f"{sum(counts[split].values()):,}" for split in counts))
    show_table(table)
    _print_left_out(manifest, out)


def _print_left_out(manifest: dict[str, Any], out: Path) -> None:
    rules = [rejection["rule"] for rejection in manifest["rejected"].values()]
    for rule in sorted(set(rules)):
        show_line(f"rejected {rules.count(rule):,}: {rule}", results)
    for odd in manifest["odd"]:
        show_line(odd, results)
    for where, why in manifest["skipped"].items():
        show_line(escape(f"skipped {where}: {why}"), results)
    results.print(escape(f"wrote {manifest['files']['number']:,} files to {out}"), soft_wrap=True)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a dataset folder")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="imagenet9, pictures, spawrious or waterbirds",
            show_default="what the folder's layout shows",
        ),
    ] = None,
    settings: Settings = None,
    workers: Workers = CORES,
    as_json: AsJson = False,
) -> None:
    """Check a dataset folder: its layout or table, every picture and mask, and the checksums if there are any.

    A folder is in ImageNet-9's layout, or has a table of pictures such as Waterbirds' metadata.csv, or is Spawrious'.
    --set dataset/OPTION=VALUE sets the options that the dataset is loaded with, such as the names of columns.
    """
    from bgbias.prepare.build.check import check as check_folder

    with tracked_by(progress_bar):
        report = check_folder(folder, workers, chosen_spec(dataset, settings or []))
    if as_json:
        print(json.dumps({"sound": report.is_sound, **dataclasses.asdict(report)}))
    else:
        _print_report(report)
    if not report.is_sound:
        places = sum(len(finding.where) for finding in report.findings)
        first = report.findings[0]
        raise DataError(
            f"{folder} is not sound: {places:,} findings, the first: {first.where[0]} {first.problem}: "
            "fix them, or build or fetch it again"
        )


def chosen_spec(dataset: str | None, settings: list[str]) -> "DatasetSpec | None":
    """The dataset that a folder is checked as; None where none is named.

    Raises:
        SettingError: there are settings without a dataset, or settings of something else.
    """
    if dataset is None:
        if settings:
            raise SettingError("--set is for the options of a dataset: give --dataset too, or leave --set out")
        return None
    chosen = parse_settings(settings)
    other = [key for key in chosen if not key.startswith("dataset/")]
    if other:
        raise SettingError(f"a check has the settings of its dataset alone, but got '{other[0]}': leave it out")
    return make(datasets.find(dataset), {key.partition("/")[2]: chosen[key] for key in chosen}, "dataset")


def _print_report(report: "CheckReport") -> None:
    show_table(_counts_table(report))
    for title, found in (("findings", report.findings), ("remarks", report.remarks)):
        if found:
            show_table(_findings_table(title, found))
    if report.is_sound:
        results.print("sound")


def _counts_table(report: "CheckReport") -> Table:
    """Files of each part, then of each class: the number in every part, or the span where parts differ."""
    if report.counted == "place":
        return _groups_table(report.counts)
    table = Table("files", *report.counts)
    parts = dict.fromkeys(part for split in report.counts.values() for part in split)
    for part in parts:
        table.add_row(part, *(_number(sum(split.get(part, {}).values())) for split in report.counts.values()))
    table.add_section()
    classes = {name for split in report.counts.values() for part in split.values() for name in part}
    for name in sorted(classes):
        spans = ({part.get(name, 0) for part in split.values()} for split in report.counts.values())
        table.add_row(escape(name), *(" to ".join(_number(end) for end in sorted({min(s), max(s)})) for s in spans))
    return table


def _groups_table(counts: dict[str, dict[str, dict[str, int]]]) -> Table:
    """The pictures of each class and place, given by split, place and class."""
    table = Table("class", "place", *counts, title="pictures of each group")
    first = next(iter(counts.values()))
    for name in next(iter(first.values())):
        for place in first:
            numbers = (_number(counts[split][place][name]) for split in counts)
            table.add_row(escape(name), escape(place), *numbers)
    return table


def _number(count: int) -> str:
    return f"{count:,}"


def _findings_table(title: str, findings: list["Finding"]) -> Table:
    table = Table("number", "problem", Column("where", overflow="fold"), title=title)
    for finding in findings:
        hidden = len(finding.where) - SHOWN
        places = [*finding.where[:SHOWN], *([f"and {hidden:,} more"] if hidden > 0 else [])]
        table.add_row(f"{len(finding.where):,}", escape(finding.problem), escape("\n".join(places)))
    return table
