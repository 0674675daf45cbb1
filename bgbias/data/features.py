"""Features of a frozen body on disk: computed once on a machine, and mapped by every process that needs them.

A file holds the rows of one variant. Its name is a checksum of all that they were computed from, and it appears whole
or not at all. The files that were not used for longest are deleted when all together exceed `KEPT_BYTES`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from bgbias.data.checksums import checksum
from bgbias.errors import DataError
from bgbias.files import atomically, require_room
from bgbias.progress import track

KEPT_BYTES = 20 << 30
"""Disk space that the features of one dataset may take."""
FEWER = "lower training/feature_views or training/feature_swaps, or set training/feature_views=0"
FOLDER, LOCK, ENDING = "features", "features.lock", ".npy"


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen body, and where its features are kept.

    encode: images [B, C, H, W] to features [B, F]
    identity: what distinguishes it from other bodies, such as the checksum of its weights
    home: the folder of the dataset's caches; None keeps features in memory alone
    """

    encode: Callable[[Tensor], Tensor]
    identity: str = ""
    home: Path | None = None

    def __call__(self, image: Tensor) -> Tensor:
        return self.encode(image)

    def rows(self, made_from: object, index: Sequence[Tensor], compute: Callable[[Tensor], Tensor]) -> Tensor:
        """The features of examples, [n, ...] float32: from the disk, or computed by the first who asks for them.

        Args:
            made_from: what the examples' pictures are made from; only its checksum is used.
            index: the examples, some at a time, [b] int64 each.
            compute: the features [b, ...] of some examples; called in their order.

        Raises:
            DataError: some are not finite, or the disk has no room for them.
        """
        if self.home is None:
            found = list(checked(index, compute))
            return torch.cat(found) if found else torch.zeros(0, 0)
        folder, n = self.home / FOLDER, sum(len(some) for some in index)
        file = folder / f"{checksum(self.identity, made_from, n)}{ENDING}"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / LOCK):
                if not file.exists():
                    write(file, checked(index, compute), n)
                    delete_oldest(folder, KEPT_BYTES, kept=file)
        file.touch()
        return torch.from_numpy(np.load(file, mmap_mode="c"))


def write(file: Path, blocks: Iterable[Tensor], n: int) -> None:
    """Write n rows, given in blocks [b, ...], so that the file appears once it is whole.

    Raises:
        DataError: the disk has no room for them.
    """
    rows: np.memmap | None = None
    written = 0
    with atomically(file) as unfinished:
        for block in blocks:
            array = block.float().cpu().numpy()
            if rows is None:
                shape = (n, *array.shape[1:])
                require_room(file.parent, 4 * int(np.prod(shape)), "caching the features of a frozen body", FEWER)
                rows = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
            rows[written : written + len(array)] = array
            written += len(array)
        if rows is None:
            np.save(unfinished.open("wb"), np.zeros((0, 0), np.float32))
        else:
            rows.flush()


def delete_oldest(folder: Path, most: int, kept: Path) -> None:
    """Delete the files that were not used for longest, until the rest takes at most `most` bytes; never `kept`."""
    found = sorted(folder.glob(f"*{ENDING}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    total = kept.stat().st_size
    for file in found:
        if file == kept:
            continue
        total += file.stat().st_size
        if total > most:
            file.unlink()  # a process that maps it keeps it until it ends


def checked(index: Sequence[Tensor], compute: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """The features of examples, some at a time, all of them finite.

    Raises:
        DataError: after the last ones, some are not.
    """
    broken = total = 0
    for block in map(compute, track(index, "computing features", len(index))):
        finite = block.isfinite().all(dim=-1)
        broken, total = broken + int((~finite).sum()), total + finite.numel()
        yield block
    if broken:
        raise DataError(
            f"a backbone's features must be finite, but {broken} of {total} are not: "
            "give another backbone, or train it with a lower learning rate"
        )
