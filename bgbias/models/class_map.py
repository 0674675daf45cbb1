"""A model's outputs scored as other classes, such as ImageNet's 1,000 as a folder's.

A map says which class each output belongs to, or that it belongs to none. A class's score is the highest of its
outputs, so the prediction is the class of the highest output of all; an output of no class is a wrong prediction.
Source: the Background Challenge of K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 5, scores
ImageNet's classes so.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET, CLASSES, IMAGENET_CLASSES, NO_CLASS
from bgbias.errors import DataError, SettingError, listed

TITLES = ("output", "class")


class ClassScores(nn.Module):
    """Scores [B, outputs] as [B, K + 1]: the highest of each class's outputs, and the highest of those of no class.

    The last column is -inf where every output has a class.
    """

    member: Tensor

    def __init__(self, class_of_output: Sequence[int], classes: int) -> None:
        """Store the map.

        Args:
            class_of_output: for each output a class in 0..K-1, or `NO_CLASS`.
            classes: K.
        """
        super().__init__()
        of_output = torch.tensor(class_of_output)
        number = torch.arange(classes + 1)[:, None]
        self.register_buffer("member", torch.where(of_output == NO_CLASS, classes, of_output) == number, False)

    def forward(self, score: Tensor) -> Tensor:
        """[B, outputs] to [B, K + 1]."""
        return score[:, None, :].masked_fill(~self.member, -torch.inf).amax(dim=2)


def class_map(outputs: int, classes: Sequence[str], file: Path | None) -> tuple[int, ...] | None:
    """The class of each output, or None where outputs are the classes in their order.

    Args:
        outputs: how many the model has.
        classes: the folder's K class names, sorted.
        file: CSV lines `<output or first-last>,<class>`, outputs counted from 0; None takes the classes as they are, or
            ImageNet-9's map for 1,000 outputs on folders of its nine classes.

    Raises:
        SettingError: the numbers of outputs and classes differ, and no map applies.
        DataError: the file is missing, has a line of another form, or leaves a class without an output.
    """
    if file is not None:
        return read_map(file, outputs, classes)
    if outputs == len(classes):
        return None
    if outputs == IMAGENET_CLASSES and set(classes) <= set(CLASSES):
        return imagenet9_map(classes)
    raise SettingError(
        f"a model must have an output for each of the {len(classes)} class folders ({listed(classes)}), but this one "
        f"has {outputs}: give --classes FILE.csv with lines such as 281-285,{classes[0]}"
    )


def imagenet9_map(classes: Sequence[str]) -> tuple[int, ...]:
    """The class of each of ImageNet's 1,000 outputs among some of ImageNet-9's nine classes.

    Raises:
        SettingError: a class is none of the nine.
    """
    other = [name for name in classes if name not in CLASSES]
    if other:
        raise SettingError(
            f"ImageNet's outputs are scored as ImageNet-9's classes ({', '.join(CLASSES)}), but the data has "
            f"{len(classes)} ({', '.join(classes)}): give data with folders of these names, or set model/scores=classes"
        )
    number = {CLASSES.index(name): label for label, name in enumerate(classes)}
    return tuple(number.get(label, NO_CLASS) for label in CLASS_OF_IMAGENET)


def read_map(file: Path, outputs: int, classes: Sequence[str]) -> tuple[int, ...]:
    """The class of each output by a CSV file. Arguments and errors as those of `class_map`."""
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file} cannot be read ({reason}): give a CSV file of outputs and classes") from None
    mapped = [NO_CLASS] * outputs
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and tuple(title.strip().lower() for title in line) == TITLES):
            continue
        first, last, name = _parsed(line, f"{file.name}, line {number}")
        if last >= outputs:
            raise DataError(
                f"{file.name}, line {number} names output {last}, but the model has outputs 0 to {outputs - 1}: count "
                "them from 0"
            )
        if name in classes:  # a map may cover more classes than the folder has
            mapped[first : last + 1] = [list(classes).index(name)] * (last + 1 - first)
    empty = [name for label, name in enumerate(classes) if label not in mapped]
    if empty:
        raise DataError(
            f"every class folder needs an output, but {file.name} names none for {listed(empty)}: add lines such as "
            f"281-285,{empty[0]}"
        )
    return tuple(mapped)


def _parsed(line: Sequence[str], where: str) -> tuple[int, int, str]:
    """The first and the last output of a line, and its class."""
    span, *names = (cell.strip() for cell in line)
    first, _, last = span.partition("-")
    if len(names) != 1 or not first.isdecimal() or not (last or first).isdecimal() or int(first) > int(last or first):
        raise DataError(f"{where} must be <output>,<class> or <first>-<last>,<class>, but is '{','.join(line)}'")
    return int(first), int(last or first), names[0]
