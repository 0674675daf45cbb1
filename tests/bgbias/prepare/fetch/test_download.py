import hashlib
import json
import logging
from http.client import HTTPConnection

import pytest
from range_server import Answer

from bgbias.errors import DataError, SettingError
from bgbias.prepare.fetch import download as module
from bgbias.prepare.fetch.download import Patience, checked_url, download_part
from bgbias.progress import tracked_by

QUICK = Patience(stall=0.2, waits=(0, 0, 0))


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "release.tar.gz"


def one_line_error(*arguments, error=DataError):
    with pytest.raises(error) as caught:
        download_part(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_whole(part, content):
    assert part.path.read_bytes() == content
    assert part.size == part.total == len(content)
    assert part.sha256 == hashlib.sha256(content).hexdigest()


def test_the_part_is_the_file_and_its_checksum(site, archive):
    part = download_part(site.url, archive, QUICK)
    assert_whole(part, site.content)
    assert part.path == archive.with_name("release.tar.gz.part")
    assert site.ranges == [None]
    part.finish(archive)
    assert [path.name for path in archive.parent.iterdir()] == ["release.tar.gz"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_is_taken_up_where_it_broke(site, archive, reset):
    site.answers = [Answer(cut=10_000), Answer(cut=20_000, reset=reset), Answer(cut=0)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert len(site.requests) == 4
    assert site.ranges[:2] == [None, "bytes=10000-"]
    last = int(site.ranges[3].removeprefix("bytes=").removesuffix("-"))
    assert last == 30_000 if not reset else 10_000 <= last <= 30_000
    assert site.ranges[2] == site.ranges[3]
    assert [request.get("If-Range") for request in site.requests] == [None, '"v1"', '"v1"', '"v1"']


def test_a_later_download_goes_on_where_an_earlier_one_stopped(site, archive):
    site.answers = [Answer(cut=10_000), Answer(cut=5_000), Answer(cut=0), Answer(cut=0)]
    assert "broke off at 0.00 GB (cut, of 0.00 GB)" in one_line_error(site.url, archive, QUICK)
    assert archive.with_name("release.tar.gz.part").read_bytes() == site.content[:15_000]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges[4:] == ["bytes=15000-"]


def test_a_download_interrupted_by_the_user_is_taken_up(site, archive, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10_000)
    monkeypatch.setattr(module, "CHUNK", 4_096)
    monkeypatch.setattr("bgbias.prepare.fetch.checksum.BLOCK", 10_000)

    def interrupt(items, what, total):  # noqa: ARG001
        for number, item in enumerate(items):
            if number == 3:
                raise KeyboardInterrupt
            yield item

    with tracked_by(interrupt), pytest.raises(KeyboardInterrupt):
        download_part(site.url, archive, QUICK)
    assert archive.with_name("release.tar.gz.part").read_bytes() == site.content[:32_768]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=32768-"]


def test_a_whole_part_is_not_asked_for_again(site, archive):
    download_part(site.url, archive, QUICK)
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert len(site.requests) == 1


def test_a_file_that_changed_starts_anew(site, archive):
    site.answers = [Answer(cut=10_000)]
    one_line_error(site.url, archive, Patience(waits=()))
    site.content, site.etag = bytes(reversed(site.content)) + b"more", '"v2"'
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-"]
    assert json.loads(archive.with_name("release.tar.gz.part.json").read_text()) == {
        "url": site.url,
        "size": len(site.content),
        "validator": '"v2"',
    }


def test_a_file_that_changed_starts_anew_though_the_server_ignores_if_range(site, archive):
    site.answers = [Answer(cut=10_000)]
    one_line_error(site.url, archive, Patience(waits=()))
    site.content, site.etag = bytes(reversed(site.content)), '"v2"'
    site.answers = [Answer(if_range=False)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-", None]


@pytest.mark.parametrize(
    "content_range", ["bytes 9999-{last}/{size}", "bytes 10000-{last}/*", "bytes 10000-{last}/1", "items 1-2/3", None]
)
def test_another_part_than_was_asked_for_starts_anew(site, archive, content_range):
    size = len(site.content)
    sent = content_range and content_range.format(last=size - 1, size=size)
    site.answers = [Answer(cut=10_000), Answer(headers={"Content-Range": sent})]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-", None]


def test_a_part_without_the_names_of_the_file_is_taken_after_if_range(site, archive):
    site.answers = [Answer(cut=10_000), Answer(headers={"ETag": None, "Last-Modified": None})]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-"]


def test_no_more_is_taken_than_the_file_has(site, archive):
    content = site.content
    site.answers = [Answer(cut=10_000)]
    one_line_error(site.url, archive, Patience(waits=()))
    site.content = content + b"more"
    site.answers = [Answer(headers={"Content-Range": f"bytes 10000-{len(content) - 1}/{len(content)}"})]
    assert_whole(download_part(site.url, archive, QUICK), content)


def test_a_server_without_ranges_sends_it_all_again(site, archive):
    site.answers = [Answer(cut=10_000), Answer(ranges=False)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)


def test_a_range_that_cannot_be_had_starts_anew(site, archive):
    site.answers = [Answer(cut=10_000), Answer(status=416)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-", None]


def test_last_modified_stands_in_for_a_weak_etag(site, archive):
    site.etag = 'W/"v1"'
    site.answers = [Answer(cut=10_000)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, "bytes=10000-"]
    assert site.requests[1]["If-Range"] == site.modified


def test_a_file_without_any_name_starts_anew(site, archive):
    nameless = {"ETag": None, "Last-Modified": None}
    site.answers = [Answer(cut=10_000, headers=nameless), Answer(headers=nameless)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, None]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": "x"}', None])
def test_a_part_without_a_sound_note_starts_anew(site, archive, note):
    site.answers = [Answer(cut=10_000)]
    one_line_error(site.url, archive, Patience(waits=()))
    path = archive.with_name("release.tar.gz.part.json")
    path.unlink() if note is None else path.write_text(note)
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, None]


def test_a_part_of_another_url_starts_anew(site, archive):
    site.answers = [Answer(cut=10_000)]
    one_line_error(site.url, archive, Patience(waits=()))
    assert_whole(download_part(site.url + "?other", archive, QUICK), site.content)
    assert site.ranges == [None, None]


def test_a_part_longer_than_the_file_starts_anew(site, archive):
    part = download_part(site.url, archive, QUICK)
    part.path.write_bytes(site.content + b"x")
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, None]


def test_a_server_that_falls_silent_counts_as_cut(site, archive):
    site.content = site.content * 2
    site.answers = [Answer(stall=0), Answer(stall=70_000)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, None, "bytes=65536-"]


def test_tries_end_after_the_waits_and_the_part_stays(site, archive, monkeypatch, caplog):
    slept = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    site.answers = [Answer(cut=10_000)] + [Answer(status=503)] * 9
    with caplog.at_level(logging.WARNING):
        message = one_line_error(site.url, archive, Patience(waits=(1, 2, 4)))
    assert message == (
        f"{site.url} broke off at 0.00 GB (503 Service Unavailable), and so did every further try: "
        "fetch again later, it continues from there"
    )
    assert slept == [1, 2, 4]
    assert len(site.requests) == 4
    assert caplog.messages[1] == f"{site.url} broke off at 0.00 GB (503 Service Unavailable): trying again in 2 s"
    assert archive.with_name("release.tar.gz.part").stat().st_size == 10_000


def test_a_try_that_brings_a_block_begins_the_waits_anew(site, archive, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1_000)
    site.answers = [Answer(cut=cut) for cut in [1_000, 0, 999, 1_500, 0, 0, 1_000] * 2]
    assert_whole(download_part(site.url, archive, Patience(waits=(0, 0, 0))), site.content)
    assert len(site.requests) == 15


def test_tries_that_bring_the_same_bytes_again_do_not(site, archive, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1_000)
    site.answers = [Answer(cut=5_000, ranges=False)] * 9
    one_line_error(site.url, archive, Patience(waits=(0, 0, 0)))
    assert len(site.requests) == 4


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_passing_refusal_is_tried_again(site, archive, status):
    site.answers = [Answer(status=status)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden"), (410, "Gone")])
def test_a_lasting_refusal_is_told_at_once(site, archive, status, reason):
    site.answers = [Answer(status=status)]
    message = one_line_error(site.url, archive, QUICK)
    assert message == f"{site.url} answers {status} {reason}: give another url"
    assert len(site.requests) == 1
    assert list(archive.parent.iterdir()) == []


def test_a_server_that_is_not_there_is_named(site, archive, monkeypatch):
    def refused(self):  # noqa: ARG001
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(HTTPConnection, "connect", refused)
    message = one_line_error(site.url, archive, QUICK)
    assert message.startswith(f"{site.url} broke off at 0.00 GB ([Errno 111] Connection refused), and so did")


@pytest.mark.parametrize("size", [None, "many"])
def test_a_server_has_to_tell_the_size(site, archive, size):
    site.answers = [Answer(headers={"Content-Length": size})]
    message = one_line_error(site.url, archive, QUICK)
    assert message == f"{site.url} does not send its size, so that a cut would go unnoticed: give another url"


def test_a_redirect_is_followed_and_a_resume_asks_the_first_address_again(site, archive):
    moved = {"Location": "/elsewhere"}
    site.answers = [Answer(status=302, headers=moved), Answer(cut=10_000), Answer(status=302, headers=moved)]
    assert_whole(download_part(site.url, archive, QUICK), site.content)
    assert site.ranges == [None, None, "bytes=10000-", "bytes=10000-"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/hostname", "answers 302 Found - Redirection to url 'file:///etc/hostname' is not allowed"),
        ("ftp://127.0.0.1/release.tar.gz", "unknown url type: ftp"),
    ],
)
def test_a_redirect_leads_to_no_other_protocol(site, archive, location, reason):
    site.answers = [Answer(status=302, headers={"Location": location})] * 9
    assert reason in one_line_error(site.url, archive, QUICK)
    assert list(archive.parent.iterdir()) == []


def test_a_full_disk_is_told_with_the_way_out(site, archive):
    part = archive.with_name("release.tar.gz.part")
    part.symlink_to("/dev/full")
    message = one_line_error(site.url, archive, QUICK)
    assert message == (
        f"{part} cannot be written (No space left on device): fix that and fetch again, it continues from there"
    )
    assert len(site.requests) == 1


def test_progress_counts_blocks_from_the_file_s_beginning(site, archive, monkeypatch):
    monkeypatch.setattr("bgbias.prepare.fetch.checksum.BLOCK", 10_000)
    seen = []

    def count(items, what, total):
        seen.append([what, total, 0])
        for item in items:
            seen[-1][2] += 1
            yield item

    site.answers = [Answer(cut=25_000)]
    with tracked_by(count):
        download_part(site.url, archive, QUICK)
    total = -(-len(site.content) // 10_000)
    assert seen == [["downloading release.tar.gz", total, 3], ["downloading release.tar.gz", total, total]]


@pytest.mark.parametrize("url", ["http://host/x", "https://host:8443/x.tar.gz?y=%20", "http://[::1]:80/x"])
def test_addresses_of_http_are_taken(url):
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.tar.gz",
        "file:///etc/passwd",
        "ftp://host/x",
        "http:///x",
        "http://host:port/x",
        "http://host:99999/x",
        "http://[::1/x",
        "http://host/a b",
        "http://host/\n",
        "http://h\u00f6st/x",
    ],
)
def test_other_addresses_are_refused(url):
    with pytest.raises(SettingError) as caught:
        checked_url(url)
    assert str(caught.value) == f"a url must be http://HOST/... or https://HOST/..., but got '{url}': give such a one"
