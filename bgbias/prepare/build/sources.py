"""Where pictures, masks and boxes come from.

    IMAGES/<class>/<name>.jpg (or .jpeg, .png)
    MASKS/<class>/<name>.png (or .npy)          any value but 0 is object; as wide and high as the picture
    BOXES.csv                                   one line a box: <class>/<name>,<left>,<top>,<right>,<bottom>
    BOXES/<class>/<name>.xml                    PASCAL's annotations: <object><bndbox><xmin> ... </bndbox></object>

A line of boxes may leave `<class>/` out and may keep the picture's ending; a first line of titles (`name,left,top,
right,bottom`) is passed over. Edges are pixels of the source picture, counted from its upper left corner: the box is
what lies right of `left`, below `top`, left of `right` and above `bottom`. Hidden files are passed over.
"""

import csv
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from bgbias.data.photographs import layout
from bgbias.errors import DataError
from bgbias.progress import track

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the source picture."""

MASK_ENDINGS = (".png", ".npy")
TITLES = ["name", "left", "top", "right", "bottom"]
NAMED = 3
"""How many examples an error names."""


@dataclass(frozen=True)
class Source:
    """A picture and what tells its object: a mask's file, or boxes.

    class_name: of the class it is built into
    name: the file's, without ending; no two sources share one
    """

    class_name: str
    name: str
    picture: Path
    mask: Path | None = None
    boxes: tuple[Edges, ...] = ()

    @property
    def key(self) -> str:
        """What it is called in records: `<class>/<name>`."""
        return f"{self.class_name}/{self.name}"


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
    classes = sorted(part.name for part in images.iterdir() if part.is_dir() and not part.name.startswith("."))
    if not classes:
        raise DataError(f"{images} holds no class folders: give a folder that holds a folder for each class")
    return classes


def find_sources(images: Path, class_of: Mapping[str, str], masks: Path | None, boxes: Path | None) -> Listing:
    """Every picture of the folders in `class_of` with its mask, or with its boxes.

    Args:
        class_of: the class that each folder of `images` belongs to.
        masks, boxes: one of the two.

    Raises:
        DataError: a folder is missing, or the names cannot be told apart in the names of mixed pictures.
    """
    found = Listing()
    pictures = _list_pictures(images, class_of, found.faults)
    _check_names(pictures)
    if masks is not None:
        _add_masks(found, pictures, class_of, masks)
    elif boxes is not None and boxes.is_dir():
        _add_annotations(found, pictures, class_of, boxes)
    elif boxes is not None:
        _add_boxes(found, pictures, class_of, boxes)
    found.sources.sort(key=lambda source: (source.class_name, source.name))
    return found


def _list_pictures(images: Path, folders: Collection[str], faults: dict[str, str]) -> Pictures:
    pictures: Pictures = {}
    for folder in track(sorted(folders), "listing pictures", len(folders)):
        for file in sorted((images / folder).iterdir()):
            key = f"{folder}/{file.stem}"
            if file.name.startswith("."):
                continue
            if file.suffix.lower() not in layout.PICTURE_ENDINGS:
                faults[f"{folder}/{file.name}"] = f"no picture ({', '.join(sorted(layout.PICTURE_ENDINGS))})"
            elif key in pictures:
                _refuse_twins([f"{folder}/{pictures[key].name}", f"{folder}/{file.name}"])
            else:
                pictures[key] = file
    return pictures


def _check_names(pictures: Pictures) -> None:
    """Every name must be read back from the name of a mixed picture, and no two pictures may share one."""
    unclear = [key for key in pictures if not _is_clear(_name(key))]
    if unclear:
        raise DataError(
            "a picture's name must not begin with fg_ or bg_, hold _bg_ or end with _bg, as mixed pictures are called "
            f"fg_<name>_bg_<name>, but {_examples(unclear)} would not be told apart: rename them"
        )
    first: dict[str, str] = {}
    for key in pictures:
        if first.setdefault(_name(key), key) != key:
            _refuse_twins([first[_name(key)], key])


def _is_clear(name: str) -> bool:
    return layout.source(name) == name and layout.mixed_sources(layout.mixed_name(name, name)) == (name, name)


def _refuse_twins(names: list[str]) -> None:
    raise DataError(
        "no two pictures may have the same name, whatever their class and ending, as mixed pictures are called "
        f"fg_<name>_bg_<name>, but {' and '.join(names)} do: rename one"
    )


def _name(key: str) -> str:
    return key.partition("/")[2]


def _examples(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _add_masks(found: Listing, pictures: Pictures, class_of: Mapping[str, str], masks: Path) -> None:
    if not masks.is_dir():
        raise DataError(f"no folder of masks at {masks}: give a folder that holds a folder for each class")
    known = {folder: _file_names(masks / folder) for folder in class_of}
    for key, picture in pictures.items():
        folder, _, name = key.partition("/")
        files = [f"{name}{ending}" for ending in MASK_ENDINGS if f"{name}{ending}" in known[folder]]
        if len(files) == 1:
            found.sources.append(Source(class_of[folder], name, picture, mask=masks / folder / files[0]))
        else:
            found.faults[key] = f"two masks, {' and '.join(files)}" if files else "no mask"


def _file_names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()


def _add_boxes(found: Listing, pictures: Pictures, class_of: Mapping[str, str], file: Path) -> None:
    boxes = _read_csv(file, pictures, found.faults)
    for key, picture in pictures.items():
        if key in boxes:
            folder = key.partition("/")[0]
            found.sources.append(Source(class_of[folder], _name(key), picture, boxes=tuple(boxes[key])))
        else:
            found.faults[key] = "no box"


def _read_csv(file: Path, pictures: Pictures, faults: dict[str, str]) -> dict[str, list[Edges]]:
    key_of = {_name(key): key for key in pictures} | {key: key for key in pictures}
    boxes: dict[str, list[Edges]] = {}
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} cannot be read ({reason}): give a CSV file of boxes, or a folder of XML") from None
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and [title.strip().lower() for title in line] == TITLES):
            continue
        name = _without_ending(line[0].strip())
        edges = _edges(line[1:])
        if edges is None:
            faults[f"{file.name}, line {number}"] = "not <class>/<name>,<left>,<top>,<right>,<bottom>"
        elif name not in key_of:
            faults[f"{file.name}, line {number}"] = f"names no picture: {line[0].strip()}"
        else:
            boxes.setdefault(key_of[name], []).append(edges)
    return boxes


def _without_ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending}".lower() in layout.PICTURE_ENDINGS else name


def _edges(texts: Iterable[str | None]) -> Edges | None:
    """Four finite numbers that leave something between them, or None."""
    try:
        left, top, right, bottom = (float(text or "") for text in texts)
    except ValueError:
        return None
    edges = (left, top, right, bottom)
    return edges if all(map(math.isfinite, edges)) and left < right and top < bottom else None


def _add_annotations(found: Listing, pictures: Pictures, class_of: Mapping[str, str], annotations: Path) -> None:
    """Pictures without an annotation are no candidates: ILSVRC annotates a part of its pictures."""
    for folder in track(sorted(class_of), "reading annotations", len(class_of)):
        for file in sorted((annotations / folder).glob("*.xml")):
            key = f"{folder}/{file.stem}"
            boxes = _read_annotation(file)
            if boxes is None:
                found.faults[f"{folder}/{file.name}"] = "no annotation with <object><bndbox> and four edges each"
            elif key not in pictures:
                found.faults[f"{folder}/{file.name}"] = "annotates no picture"
            else:
                found.sources.append(Source(class_of[folder], file.stem, pictures[key], boxes=boxes))


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
