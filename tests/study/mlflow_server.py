"""A real MLflow server that can be killed, and a proxy before it that can lose its answers."""

import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.error import URLError

START_SECONDS = 120


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class MlflowServer:
    """`mlflow server` on loopback, its store an SQLite file in a folder."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.store = f"sqlite:///{folder / 'server.db'}"
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--workers", "1",
            "--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port),
        ]  # fmt: skip
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.2)
        return self

    def _healthy(self):
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def kill(self):
        """SIGKILL to the server and its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Proxy:
    """Passes requests on. `lost(path)` says of each request whether its answer, once it is there, gets lost."""

    def __init__(self, server, lost):
        class Handler(http.server.BaseHTTPRequestHandler):
            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                onward = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                onward.request(self.command, self.path, body, dict(self.headers))
                answer = onward.getresponse()
                content = answer.read()
                onward.close()
                self.close_connection = True
                if lost(self.path.partition("?")[0]):
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

            def log_message(self, *what):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
