"""Fetch a released dataset: download, check, unpack, count. Stopped at any point, it continues from there."""

from pathlib import Path

from bgbias.prepare.fetch.checksum import Checksums, checked_sha256, hashed
from bgbias.prepare.fetch.download import PATIENCE, Patience, checked_url, download_part
from bgbias.prepare.fetch.releases import RELEASES, Release, find_release
from bgbias.prepare.fetch.unpack import unpack_release

__all__ = ["RELEASES", "Patience", "Release", "fetch", "find_release"]


def fetch(
    release: Release, folder: Path, url: str | None = None, sha256: str | None = None, patience: Patience = PATIENCE
) -> Path:
    """The release's pictures, at `folder/<release.top>`; nothing is done where they lie whole already.

    The archive stays in `folder` and may be deleted afterwards. Its checksum is kept beside it, in the format of
    sha256sum, once all its bytes were unpacked and counted: later archives have to match it.

    Args:
        folder: made where it is missing.
        url: of another copy of the archive, http or https; None takes the release's own.
        sha256: that the archive must have, 64 hexadecimal digits; None takes the one kept, if any.
        patience: how long to wait for the server.

    Raises:
        SettingError: `url` or `sha256` is not of that form.
        DataError: the server refuses, falls silent or cuts every try; the disk is too small; the archive is damaged,
            unsafe or another than it was; or what lies in `folder` is not whole.
    """
    url, sha256 = checked_url(release.url if url is None else url), checked_sha256(sha256)
    pictures, archive = folder / release.top, folder / release.archive
    if pictures.exists():
        release.check(pictures, "move it away and fetch again")
        return pictures
    folder.mkdir(parents=True, exist_ok=True)
    checksums = Checksums(archive, sha256)
    if archive.exists():
        found = hashed(archive).hexdigest()
        checksums.check(archive, found)
    else:
        part = download_part(url, archive, patience)
        found = part.sha256
        checksums.check(part.path, found)
        part.finish(archive)
    unpack_release(archive, release)
    checksums.keep(found)
    return pictures
