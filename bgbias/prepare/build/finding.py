"""Find the object of a picture: masks of any quality, from a box or from a segmentation model.

    box                 all of the box
    grabcut             what GrabCut finds in the box
    FILE.onnx           a model with one input [B, 3, H, W] and one output: [B, 1, H, W] or [B, H, W], object above 0.5;
                        or [B, C, H, W], object where the first channel is not the highest; the extra `onnx`
    NAME                a segmentation model of torchvision with a file of its weights; class 0 is background

Models are given pictures normalised with ImageNet's statistics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.errors import DataError, SettingError, UnknownNameError
from bgbias.models.torchvision_classifier import IMAGENET_STATISTICS
from bgbias.models.weights import COUNTER, difference, read_weights
from bgbias.prepare.build.grabcut import grabcut
from bgbias.prepare.build.variants import Box, Image, Mask, bounding_box

BOX, GRABCUT = "box", "grabcut"
BY_BOX = (BOX, GRABCUT)
"""Ways to find objects that need a box."""
ONNX = ".onnx"
HALF = 0.5


class Finder(Protocol):
    """Finds the object of a picture [H, W, 3] uint8: [H, W] bool, all False where it finds none."""

    def __call__(self, image: Image, box: Box | None) -> Mask:
        """Find it; `box` holds the object, and is None where nobody gave one."""
        ...


def in_box(image: Image, box: Box | None) -> Mask:
    """All of the box is object."""
    mask = np.zeros(image.shape[:2], dtype=bool)
    if box is not None:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def by_grabcut(image: Image, box: Box | None) -> Mask:
    """Find the object in a box by GrabCut; an empty mask without a box, or if the box covers the whole picture."""
    if box is None or box.area == image.shape[0] * image.shape[1]:
        return np.zeros(image.shape[:2], dtype=bool)
    return grabcut(image, box)


def grown(mask: Mask, pixels: int) -> Mask:
    """Widen a mask by pixels in every direction, diagonals included; or narrow it if they are < 0."""
    if not pixels:
        return mask
    square = np.ones((2 * abs(pixels) + 1,) * 2, dtype=np.uint8)
    change = cv2.dilate if pixels > 0 else cv2.erode
    return change(mask.astype(np.uint8), square, borderValue=0).astype(bool)


def finder(name: str, weights: Path | None, grow: int) -> Finder:
    """The finder of a name, whose masks are widened or narrowed.

    Args:
        name: `box`, `grabcut`, an ONNX file, or a segmentation model of torchvision.
        weights: the last one's.
        grow: pixels; below 0 narrows.

    Raises:
        SettingError: the name needs other options, or ONNX Runtime is missing.
        UnknownNameError: there is no such model.
        DataError: a file is missing, damaged, or of another form.
    """
    found = _finder(name, weights)
    return lambda image, box: grown(found(image, box), grow)


def _finder(name: str, weights: Path | None) -> Finder:
    if name in BY_BOX:
        return in_box if name == BOX else by_grabcut
    if name.lower().endswith(ONNX):
        return Predicted(_onnx(Path(name)))
    return Predicted(_torchvision(name, weights))


@dataclass(frozen=True)
class Predicted:
    """A model's masks.

    scores: from normalised pictures [1, 3, H, W] to scores [1, C, H', W'] or [1, H', W']
    """

    scores: Callable[[Tensor], Tensor]

    def __call__(self, image: Image, box: Box | None) -> Mask:  # noqa: ARG002
        """Compute the mask from the scores, as large as the picture."""
        mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET_STATISTICS)
        picture = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        scores = self.scores(((picture - mean) / std)[None])
        return mask_of(scores, image.shape[0], image.shape[1])


def mask_of(scores: Tensor, height: int, width: int) -> Mask:
    """The mask [height, width] of scores [1, C, H, W] or [1, H, W]: above 0.5, or where not the first of C is highest.

    Raises:
        DataError: the scores have another shape.
    """
    scores = scores[:, None] if scores.ndim == 3 else scores
    if scores.ndim != 4 or len(scores) != 1:
        raise DataError(
            f"a segmentation model gives scores [1, C, H, W] for a picture, but this one gives {list(scores.shape)}: "
            "export one output of that form"
        )
    scaled = F.interpolate(scores.float(), size=(height, width), mode="bilinear", align_corners=False)[0]
    found = scaled[0] > HALF if len(scaled) == 1 else scaled.argmax(dim=0) != 0
    return found.numpy()


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    if not path.is_file():
        raise DataError(f"no model at {path}: give --masks-from FILE.onnx that is there")
    try:
        import onnxruntime
    except ImportError:
        raise SettingError("an ONNX file needs ONNX Runtime: pip install 'bgbias[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3  # the workers are the parallelism
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} cannot be read ({reason}): give a whole ONNX file") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4:
        told = ", ".join(found.name for found in outputs)
        raise DataError(
            f"a segmentation model has one input [B, 3, H, W] and one output, but {path} has {len(inputs)} and "
            f"{len(outputs)} ({told}): export the scores alone"
        )
    side = [value if isinstance(value, int) else None for value in inputs[0].shape[2:]]

    def run(picture: Tensor) -> Tensor:
        size = [fixed or shown for fixed, shown in zip(side, picture.shape[2:], strict=True)]
        scaled = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
        (scores,) = session.run(None, {inputs[0].name: scaled.numpy()})
        return torch.from_numpy(np.asarray(scores, dtype=np.float32))

    return run


def _torchvision(name: str, weights: Path | None) -> Callable[[Tensor], Tensor]:
    from torchvision.models import get_model, list_models, segmentation

    known = list_models(segmentation)
    if name not in known:
        raise UnknownNameError("source of masks", name, (*BY_BOX, "FILE.onnx", *known))
    if weights is None:
        raise SettingError(f"{name} finds objects by its weights, but got none: give --masks-weights FILE")
    given = read_weights(weights)
    last = [value for key, value in given.items() if key.startswith("classifier.") and key.endswith(".bias")]
    network: Any = get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=len(last[-1]) if last else 21,
        **({"aux_loss": True} if any(key.startswith("aux_classifier") for key in given) else {}),
    ).eval()
    own = network.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(COUNTER) and key not in given}
    if found := difference(own, {**given, **counters}):
        raise DataError(f"{weights} holds no weights of {name} ({found}): give the model that they were trained for")
    network.load_state_dict({**given, **counters})

    @torch.no_grad()
    def run(picture: Tensor) -> Tensor:
        scores: Tensor = network(picture)["out"]
        return scores

    return run


def usable_box(mask: Mask) -> Box | None:
    """The box of a mask that leaves some of the picture as background; None of another or an empty one."""
    box = bounding_box(mask)
    return None if box is None or box.area == mask.size else box
