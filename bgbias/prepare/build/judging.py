"""The first half of a build: every source is cut and judged, and the masks of the kept ones are put aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bgbias.errors import DataError
from bgbias.prepare.build.cut import Cut, cut
from bgbias.prepare.build.files import npy, write
from bgbias.prepare.build.folder import BuildFolder, Verdict
from bgbias.prepare.build.parallel import parallel
from bgbias.prepare.build.rules import Rejection
from bgbias.prepare.build.sources import Source

Cutter = Callable[[Source, int, int | None], Cut | Rejection]
"""`bgbias.prepare.build.cut.cut`, or another function of a source, a size and the void value of masks."""


@dataclass(frozen=True)
class Judge:
    """Judges a source at a size in pixels, and keeps its mask in the folder.

    void: the value of masks that is neither object nor background
    cutter: how a source is cut; None for the centre crop
    """

    folder: BuildFolder
    size: int
    void: int | None
    cutter: Cutter | None = None

    def __call__(self, source: Source) -> Verdict:
        try:
            found = (self.cutter or cut)(source, self.size, self.void)
        except DataError as error:
            return {"source": source.key, "fault": str(error)}
        if isinstance(found, Rejection):
            return {"source": source.key, "rule": found.rule, "value": found.value, "odd": found.odd}
        write(self.folder.mask(source), npy(found.mask))
        return {"source": source.key, "box": list(found.box), "odd": found.odd}


def judge(
    sources: Sequence[Source],
    folder: BuildFolder,
    size: int,
    void: int | None,
    workers: int,
    cutter: Cutter | None = None,
) -> dict[str, Verdict]:
    """The verdict on every source, by its key and in the order of the sources.

    Those that were recorded are not judged again; those that cannot be used are not recorded, as they may be mended.
    """
    known = folder.verdicts()
    todo = [source for source in sources if source.key not in known]
    for kept in {folder.mask(source).parent for source in todo}:
        kept.mkdir(parents=True, exist_ok=True)
    with folder.recording() as record:
        for verdict in parallel(Judge(folder, size, void, cutter), todo, workers, "cutting out objects"):
            known[verdict["source"]] = verdict
            if "fault" not in verdict:
                record(verdict)
    return {source.key: known[source.key] for source in sources}
