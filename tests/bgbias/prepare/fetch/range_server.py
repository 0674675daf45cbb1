"""A web server on loopback that serves one file, with ranges, and fails as it is told to."""

import re
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """Answer to one request; the default is that of a good server.

    status:  sent instead of the file
    cut:     bytes after which the connection is closed; reset: not closed but reset
    stall:   bytes after which nothing more comes
    corrupt: position in the file of a byte that arrives flipped
    ranges, if_range: whether these headers are heeded
    headers: replace the server's own; None leaves one out
    """

    status: int | None = None
    cut: int | None = None
    reset: bool = False
    stall: int | None = None
    corrupt: int | None = None
    ranges: bool = True
    if_range: bool = True
    headers: dict = field(default_factory=dict)


class Site:
    """content, etag, modified: of the file; answers: to the next requests; requests: the headers of those that came."""

    def __init__(self, content):
        self.content, self.etag, self.modified = content, '"v1"', "Wed, 01 Jul 2020 00:00:00 GMT"
        self.answers, self.requests = [], []
        self.closing = threading.Event()
        self.url = ""

    @property
    def ranges(self):
        """The Range header of every request."""
        return [headers.get("Range") for headers in self.requests]


@contextmanager
def serve(content):
    site = Site(content)
    handler = type("Handler", (_Handler,), {"site": site})
    with _Server(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/data/release.tar.gz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.closing.set()
        server.shutdown()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        """Clients that leave early are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self):
        site = self.site
        site.requests.append(dict(self.headers))
        answer = site.answers.pop(0) if site.answers else Answer()
        start = self.first_byte(answer)
        body = site.content[start or 0 :] if answer.status is None else b"no"
        headers = {"Content-Length": str(len(body)), "ETag": site.etag, "Last-Modified": site.modified}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
        self.send_response(answer.status or (200 if start is None else 206))
        for name, value in (headers | answer.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if answer.corrupt is not None:
            at = answer.corrupt - (start or 0)
            body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        self.send_body(body, answer)

    def first_byte(self, answer):
        """First byte of the requested range, or None for the whole file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not asked or not answer.ranges or answer.status:
            return None
        same = self.headers.get("If-Range") in (None, self.site.etag, self.site.modified)
        return int(asked[1]) if same or not answer.if_range else None

    def send_body(self, body, answer):
        if answer.stall is not None:
            self.wfile.write(body[: answer.stall])
            self.site.closing.wait()
        elif answer.cut is not None:
            self.wfile.write(body[: answer.cut])
        else:
            self.wfile.write(body)
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *arguments):
        pass
