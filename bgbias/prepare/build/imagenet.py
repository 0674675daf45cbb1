"""ImageNet-9 from an ILSVRC folder: which synset folder belongs to which of the nine classes.

    IMAGES/<synset>/<synset>_<id>.JPEG     ILSVRC/Data/CLS-LOC/train
    BOXES/<synset>/<synset>_<id>.xml       ILSVRC/Annotations/CLS-LOC/train

ImageNet-1000 numbers its classes by their sorted synsets.
Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015 (arXiv 1409.0575).
"""

import re
from pathlib import Path

from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET, CLASSES, IMAGENET_CLASSES, NO_CLASS
from bgbias.errors import DataError

SYNSET = re.compile(r"n\d{8}")


def imagenet9_folders(folders: list[str], synsets: Path | None) -> dict[str, str]:
    """The ImageNet-9 class of each synset folder that belongs to one.

    Args:
        folders: the names of the class folders.
        synsets: file of the 1000 synsets, one a line and first on it, in any order; needed unless all 1000 are there.

    Raises:
        DataError: the 1000 synsets are not known, or a folder is none of them.
    """
    known = folders if synsets is None else _read_synsets(synsets)
    if not _are_imagenet(known):
        where = synsets or "the folder of pictures"
        raise DataError(
            f"ImageNet's {IMAGENET_CLASSES} synsets must be known to number them, but {where} names "
            f"{len({name for name in known if SYNSET.fullmatch(name)})}: give --synsets FILE with one on each line"
        )
    unknown = sorted(set(folders) - set(known))
    if unknown:
        raise DataError(f"every folder must be one of ImageNet's synsets, but '{unknown[0]}' is not: move it away")
    label_of = dict(zip(sorted(known), CLASS_OF_IMAGENET, strict=True))
    return {folder: CLASSES[label_of[folder]] for folder in folders if label_of[folder] != NO_CLASS}


def _read_synsets(file: Path) -> list[str]:
    try:
        return [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} cannot be read ({reason}): give a text file of ImageNet's synsets") from None


def _are_imagenet(names: list[str]) -> bool:
    return len(names) == len(set(names)) == IMAGENET_CLASSES and all(SYNSET.fullmatch(name) for name in names)
