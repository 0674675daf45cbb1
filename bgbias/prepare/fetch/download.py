"""Download over connections that break: received bytes are kept, and the next try requests the rest."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from itertools import repeat
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from bgbias.errors import DataError, SettingError
from bgbias.files import gigabytes, require_room
from bgbias.prepare.fetch.checksum import BLOCK, blocks
from bgbias.prepare.fetch.part import Origin, PartialDownload
from bgbias.prepare.fetch.unpack import UNPACKED
from bgbias.progress import track

CHUNK = 1 << 16
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
PASSING = frozenset({408, 425, 429})
"""Refusals below 500 that a later try may not meet."""
HANDLERS = (
    ProxyHandler,
    HTTPHandler,
    HTTPSHandler,
    HTTPRedirectHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    UnknownHandler,
)
"""No others, so that no redirect leads to ftp or to a file."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Waiting times for a server.

    stall: seconds, > 0, after which a connection without new data counts as broken
    waits: seconds, >= 0, before each further try; they start over when a try brings at least 1 MiB of new data
    """

    stall: float = 30.0
    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


PATIENCE = Patience()


def checked_url(url: str) -> str:
    """The url, if it is one of http or https.

    Raises:
        SettingError: it is not.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingError(f"a url must be http://HOST/... or https://HOST/..., but got '{url}': give such a one")
    return url


def download_part(url: str, archive: Path, patience: Patience) -> PartialDownload:
    """Every byte of a file, at `<archive>.part`.

    Raises:
        DataError: the server refuses, or every try was cut, or the disk is too small.
    """
    part = PartialDownload(archive, url)
    furthest, waits = part.size, iter(patience.waits)
    while part.size != part.total:
        try:
            _receive(url, part, patience.stall)
            continue
        except HTTPError as error:
            error.close()
            reason = f"{error.code} {error.reason}"
            if error.code == RANGE_NOT_SATISFIABLE:
                part.forget()
            elif error.code < 500 and error.code not in PASSING:
                raise DataError(f"{url} answers {reason}: give another url") from None
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if part.size >= furthest + BLOCK:
            furthest, waits = part.size, iter(patience.waits)
        _wait(waits, f"{url} broke off at {gigabytes(part.size)} ({reason})")
    return part


def _wait(waits: Iterator[float], fault: str) -> None:
    wait = next(waits, None)
    if wait is None:
        raise DataError(f"{fault}, and so did every further try: fetch again later, it continues from there")
    logger.warning("%s: trying again in %g s", fault, wait)
    time.sleep(wait)


def _receive(url: str, part: PartialDownload, stall: float) -> None:
    """Try once: request the missing bytes and append them."""
    request = Request(url, headers={"User-Agent": "bgbias", **part.request})
    with _opener().open(request, timeout=stall) as response:
        if response.status != PARTIAL_CONTENT:
            part.begin(Origin.of(url, response.headers))
        elif not part.continued_by(response.headers):
            part.forget()
            raise ConnectionError("it sent another part than was asked for")
        total = part.total or 0
        require_room(part.path.parent, total - part.size + UNPACKED * total, part.path.stem)
        for _ in track(_append(response, part, total), f"downloading {part.path.stem}", blocks(total)):
            pass


def _append(response: HTTPResponse, part: PartialDownload, total: int) -> Iterator[None]:
    """Gives one item for each block begun, those that were there included."""
    yield from repeat(None, blocks(part.size))
    while part.size < total:
        before = part.size
        chunk = response.read(min(CHUNK, total - before))
        if not chunk:
            raise ConnectionError(f"cut, of {gigabytes(total)}")
        part.append(chunk)
        yield from repeat(None, blocks(part.size) - blocks(before))


def _opener() -> OpenerDirector:
    """Made for each try, as proxies may be set at any time."""
    opener = OpenerDirector()
    for handler in HANDLERS:
        opener.add_handler(handler())
    return opener
