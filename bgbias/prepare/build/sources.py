"""Sources of pictures, masks and boxes.

    IMAGES/<class>/<name>.jpg (or .jpeg, .png)  also in folders below the class
    MASKS/<class>/<name>.png (or .npy)          any value but 0 is object; as wide and high as the picture
    MASKS/<name>.png                            one folder for all classes; <class>-<name> or <class>_<name> too
    BOXES.csv                                   one line a box: <class>/<name>,<left>,<top>,<right>,<bottom>
    BOXES/<class>/<name>.xml                    PASCAL's annotations: <object><bndbox><xmin> ... </bndbox></object>

Endings may be in capitals. A line of boxes may leave `<class>/` out where one picture alone has the name, and may keep
the picture's ending; a first line of titles (`name,left,top,right,bottom`) is passed over. Edges are pixels of the
picture as it is shown, counted from its upper left corner: the box is what lies right of `left`, below `top`, left of
`right` and above `bottom`. Hidden entries are passed over.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from bgbias.data.photographs import layout, listing
from bgbias.data.photographs.picture import Edges
from bgbias.errors import DataError
from bgbias.prepare.build.names import file_names, flat, is_clear
from bgbias.progress import track

MASK_ENDINGS = (".png", ".npy")
TITLES = ["name", "left", "top", "right", "bottom"]
NAMED = 3
"""Number of examples that an error names."""


@dataclass(frozen=True)
class Source:
    """A picture and what says where its object is: a mask's file, or boxes; neither (None) where a model finds it.

    key: what it is called in records: `<class folder>/<name>`, with the folders between where there are some
    class_name: of the class it is built into
    name: of its files in the built folder, without ending; no two sources share one
    """

    key: str
    class_name: str
    name: str
    picture: Path
    mask: Path | None = None
    boxes: tuple[Edges, ...] | None = ()


@dataclass
class Listing:
    """Sources by class and name, and what cannot be used: the file or line, and why."""

    sources: list[Source] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


Pictures = dict[str, Path]
"""Picture files by `<folder>/<name>`."""


def list_classes(images: Path) -> list[str]:
    """The class folders, sorted.

    Raises:
        DataError: there is none.
    """
    if not images.is_dir():
        raise DataError(f"no folder of pictures at {images}: give a folder that holds a folder for each class")
    classes = [folder.name for folder in listing.class_folders(images)]
    if not classes:
        raise DataError(f"{images} holds no class folders: give a folder that holds a folder for each class")
    return classes


def find_sources(
    images: Path, class_of: Mapping[str, str], masks: Path | None, boxes: Path | None, longest: int
) -> Listing:
    """Every picture of the folders in `class_of` with its mask, or with its boxes.

    Args:
        class_of: the class that each folder of `images` belongs to.
        masks, boxes: one of the two, or neither where a model finds the objects.
        longest: how many bytes the name of a source may have.

    Raises:
        DataError: a folder is missing.
    """
    found = Listing()
    pictures = _list_pictures(images, class_of, found.faults)
    if masks is not None:
        objects: Mapping[str, Path | tuple[Edges, ...] | None] = _find_masks(pictures, masks, found.faults)
    elif boxes is None:
        objects = dict.fromkeys(pictures)
    elif boxes.is_dir():
        objects = _read_annotations(pictures, class_of, boxes, found.faults)
    else:
        objects = _read_boxes(pictures, boxes, found.faults)
    names = file_names(pictures, longest)
    for key, of_picture in objects.items():
        mask, edges = (of_picture, ()) if isinstance(of_picture, Path) else (None, of_picture)
        found.sources.append(Source(key, class_of[key.partition("/")[0]], names[key], pictures[key], mask, edges))
    found.sources.sort(key=lambda source: (source.class_name, source.name))
    return found


def _list_pictures(images: Path, folders: Collection[str], faults: dict[str, str]) -> Pictures:
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in track(sorted(folders), "listing pictures", len(folders)):
        for file in listing.files_below(images / folder):
            if file.suffix.lower() in layout.PICTURE_ENDINGS:
                named[_key(file, images)].append(file)
            else:
                faults[_where(file, images)] = f"no picture ({', '.join(sorted(layout.PICTURE_ENDINGS))})"
    pictures: Pictures = {}
    for key, files in named.items():
        if len(files) > 1:
            faults[key] = f"pictures of one name, {' and '.join(file.name for file in files)}: rename one"
        elif not is_clear(flat(key)):
            faults[key] = (
                "its name begins with fg_ or bg_, holds _bg_ or ends with _bg, which cannot be read back from a mixed "
                "picture's name, fg_<name>_bg_<name>: rename it"
            )
        else:
            pictures[key] = files[0]
    return pictures


def _where(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()


def _key(file: Path, root: Path) -> str:
    """A file's path below a folder, without its ending."""
    return _where(file.with_name(file.stem), root)


def _find_masks(pictures: Pictures, masks: Path, faults: dict[str, str]) -> dict[str, Path]:
    """By picture its mask: in the folder of its class, else in the one folder for all."""
    if not masks.is_dir():
        raise DataError(f"no folder of masks at {masks}: give a folder that holds a folder for each class")
    known: defaultdict[str, list[Path]] = defaultdict(list)
    for file in listing.files_below(masks):
        known[_key(file, masks)].append(file)
    bare = _by_bare_name(pictures)
    found: dict[str, Path] = {}
    for key in pictures:
        folder, name = key.partition("/")[0], flat(key)
        own = (key, f"{folder}-{name}", f"{folder}_{name}")
        candidates = next((known[called] for called in own if called in known), known.get(name, []))
        files = [file for file in candidates if file.suffix.lower() in MASK_ENDINGS]
        if not files and candidates:
            faults[key] = f"no mask, as {candidates[0].name} is neither {' nor '.join(MASK_ENDINGS)}"
        elif not files:
            faults[key] = "no mask"
        elif len(files) > 1:
            faults[key] = f"two masks, {' and '.join(file.name for file in files)}"
        elif _key(files[0], masks) == name and len(bare[name]) > 1:
            faults[key] = f"no mask of its own, as {' and '.join(bare[name])} share {files[0].name}: call it {own[1]}"
        else:
            found[key] = files[0]
    return found


def _by_bare_name(keys: Iterable[str]) -> dict[str, list[str]]:
    """The keys by their name without class."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[flat(key)].append(key)
    return found


def _read_boxes(pictures: Pictures, file: Path, faults: dict[str, str]) -> dict[str, tuple[Edges, ...]]:
    boxes = _read_csv(file, pictures, faults)
    faults |= dict.fromkeys((key for key in pictures if key not in boxes), "no box")
    return {key: tuple(of_picture) for key, of_picture in boxes.items()}


def _read_csv(file: Path, pictures: Pictures, faults: dict[str, str]) -> dict[str, list[Edges]]:
    keys_of = {**_by_bare_name(pictures), **{key: [key] for key in pictures}}
    boxes: dict[str, list[Edges]] = {}
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} cannot be read ({reason}): give a CSV file of boxes, or a folder of XML") from None
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and [title.strip().lower() for title in line] == TITLES):
            continue
        where, keys, edges = f"{file.name}, line {number}", _named(line[0].strip(), keys_of), _edges(line[1:])
        if edges is None:
            faults[where] = "not <class>/<name>,<left>,<top>,<right>,<bottom>"
        elif not keys:
            faults[where] = f"names no picture: {line[0].strip()}"
        elif len(keys) > 1:
            faults[where] = f"names several pictures, {' and '.join(keys)}: write the class too"
        else:
            boxes.setdefault(keys[0], []).append(edges)
    return boxes


def _named(name: str, keys_of: Mapping[str, list[str]]) -> list[str]:
    """The pictures that a line of boxes names, with or without their ending."""
    stem, _, ending = name.rpartition(".")
    is_ending = f".{ending}".lower() in layout.PICTURE_ENDINGS
    return keys_of.get(stem if is_ending else name, [])


def _edges(texts: Iterable[str | None]) -> Edges | None:
    """Four finite numbers that leave something between them, or None."""
    try:
        left, top, right, bottom = (float(text or "") for text in texts)
    except ValueError:
        return None
    edges = (left, top, right, bottom)
    return edges if all(map(math.isfinite, edges)) and left < right and top < bottom else None


def _read_annotations(
    pictures: Pictures, folders: Collection[str], annotations: Path, faults: dict[str, str]
) -> dict[str, tuple[Edges, ...]]:
    """Pictures without an annotation are no candidates: ILSVRC annotates a part of its pictures."""
    found: dict[str, tuple[Edges, ...]] = {}
    for folder in track(sorted(folders), "reading annotations", len(folders)):
        for file in listing.files_below(annotations / folder):
            if file.suffix.lower() != ".xml":
                continue
            boxes = _read_annotation(file)
            if boxes is None:
                faults[_where(file, annotations)] = "no annotation with <object><bndbox> and four edges each"
            elif _key(file, annotations) not in pictures:
                faults[_where(file, annotations)] = "annotates no picture"
            else:
                found[_key(file, annotations)] = boxes
    return found


def _read_annotation(file: Path) -> tuple[Edges, ...] | None:
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    boxes = [
        _edges(box.findtext(edge) for edge in ("xmin", "ymin", "xmax", "ymax")) for box in root.findall("object/bndbox")
    ]
    known = tuple(box for box in boxes if box is not None)
    return known if len(known) == len(boxes) else None
