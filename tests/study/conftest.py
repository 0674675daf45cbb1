"""The `study` command, run in this process."""

import os
import signal
import subprocess
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer
from running import OPTIONS, outcome, run

from study.cli import main as cli
from study.record.folder import StudyFolder


@pytest.fixture(autouse=True)
def signals():
    """Receive INT and HUP, which background processes of a shell and processes under nohup would ignore."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def study(monkeypatch, capsys):
    """Runs a command; returns its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def mounted(tmp_path):
    """Makes a real file system of some size, such as `1m`, and returns its folder."""
    disk = tmp_path / "disk"

    def mount(size):
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Outcome of the study of `OPTIONS` on this machine without any interruption."""
    root = tmp_path_factory.mktemp("undisturbed") / "study"
    run("run", *OPTIONS, "--output", root)
    return outcome(StudyFolder(root))


@pytest.fixture(scope="session")
def s3():
    """A bucket of a real S3 server on loopback, as a URI; what it asks for is in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    secrets = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secrets.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
        yield f"s3://bucket/studies?scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    server.stop()
