"""The first half of a build: cut every source, keep or reject it, and write the masks of the kept ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bgbias.errors import DataError
from bgbias.prepare.build.cut import Cut, cut
from bgbias.prepare.build.files import npy, write
from bgbias.prepare.build.finding import usable_box
from bgbias.prepare.build.folder import BuildFolder, SourceVerdict
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.rules import Rejection
from bgbias.prepare.build.sources import Source
from bgbias.prepare.build.variants import Mask

Cutter = Callable[..., Cut | Rejection]
"""`bgbias.prepare.build.cut.cut`, or another function of a source, a size and the void value of masks."""

Rough = Callable[[Cut], Mask]
"""From a cut with a given mask to a mask of another quality."""


@dataclass(frozen=True)
class SourceCutter:
    """Cuts the object out of a source at a size in pixels, and writes its mask into the folder.

    void: the value of masks that is neither object nor background
    cutter: how a source is cut; None for the centre crop
    rough: the masks that training and validation get instead of given ones; None leaves them as they are
    """

    folder: BuildFolder
    size: int
    void: int | None
    cutter: Cutter | None = None
    rough: Rough | None = None

    def __call__(self, source: Source) -> SourceVerdict:
        """Cut one source."""
        try:
            found = (self.cutter or cut)(source, self.size, self.void)
        except DataError as error:
            return {"source": source.key, "fault": str(error)}
        if isinstance(found, Rejection):
            return {"source": source.key, "rule": found.rule, "value": found.value, "odd": found.odd}
        write(self.folder.mask(source), npy(found.mask))
        kept = {"source": source.key, "box": list(found.box), "odd": found.odd}
        if self.rough is None:
            return kept
        mask = self.rough(found)
        box = usable_box(mask)
        if box is not None:
            write(self.folder.rough_mask(source), npy(mask))
        return {**kept, "rough": box and list(box)}


def cut_all(
    sources: Sequence[Source],
    folder: BuildFolder,
    size: int,
    void: int | None,
    workers: int,
    cutter: Cutter | None = None,
    rough: Rough | None = None,
) -> dict[str, SourceVerdict]:
    """The verdict on every source, by its key and in the order of the sources.

    Those that were recorded are not cut again; those that cannot be used are not recorded, as they may be fixed.
    """
    known = folder.verdicts()
    todo = [source for source in sources if source.key not in known]
    for kept in {path(source).parent for source in todo for path in (folder.mask, folder.rough_mask)}:
        kept.mkdir(parents=True, exist_ok=True)
    with folder.recording() as record:
        for verdict in parallel(SourceCutter(folder, size, void, cutter, rough), todo, workers, "cutting out objects"):
            known[verdict["source"]] = verdict
            if "fault" not in verdict:
                record(verdict)
    return {source.key: known[source.key] for source in sources}
