"""A release of small counts in the real layout, and archives of it, whole or spoilt."""

import gzip
import io
import random
import tarfile

from bgbias.data.photographs.imagenet9_classes import CLASSES
from bgbias.data.photographs.layout import FG_MASK, RELEASE, VAL, VARIANTS
from bgbias.prepare.fetch import Release

PER_CLASS = 2
COUNTS = {f"{part}/{VAL}/{name}": PER_CLASS for part in (*VARIANTS, FG_MASK) for name in CLASSES[:3]}


def release(url="http://127.0.0.1/release.tar.gz"):
    return Release(url=url, archive="release.tar.gz", top=RELEASE, counts=COUNTS)


def files():
    """The release's files by name: 54 files of about 1 kB that hardly shrink."""
    made = random.Random(0)
    names = [
        f"{RELEASE}/{folder}/n0208{number}.{'npy' if folder.startswith(FG_MASK) else 'JPEG'}"
        for folder in COUNTS
        for number in range(PER_CLASS)
    ]
    return {name: made.randbytes(made.randint(900, 1100)) for name in names}


def member(name, content=b"", **attributes):
    """A member of an archive and its content; `type` and `linkname` make it another than a plain file."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def packed(*extra, contents=None):
    """A gzipped tar file of `contents`, by default the release's, followed by `extra` members."""
    members = [member(name, content) for name, content in (files() if contents is None else contents).items()]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in [*members, *extra]:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)


def below(folder):
    """The content of every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
