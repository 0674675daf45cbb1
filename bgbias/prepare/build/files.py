"""Files of a dataset folder: written whole or not at all, always with the same bytes for the same pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bgbias.errors import DataError
from bgbias.files import atomically
from bgbias.prepare.build.variants import Image, Mask

QUALITY = 95


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        DataError: the disk is full or the folder cannot be written to.
    """
    try:
        with atomically(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror}): fix that or free some space, then the same command continues"
        ) from None


def jpeg(image: Image) -> bytes:
    """A picture [H, W, 3] uint8 as JPEG with whole colour resolution, so that an object's edges keep their colours."""
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def png(mask: Mask) -> bytes:
    """A mask [H, W] bool as a PNG file, 255 = object."""
    buffer = io.BytesIO()
    Pillow.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def npy(mask: Mask) -> bytes:
    """A mask [H, W] bool as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, mask)
    return buffer.getvalue()
