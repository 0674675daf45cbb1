"""Exit of a process that ran Ray."""

import signal
import subprocess
import sys

CRASHING = """
import atexit, ctypes
from study.cluster.process import exit_process

native = ctypes.CDLL(None)
native.on_exit(native.abort, None)
atexit.register(print, "cleaned up")
{end}
"""


def ended(end):
    command = [sys.executable, "-c", CRASHING.format(end=end)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pythons_clean_up_is_run_and_that_of_native_libraries_is_not():
    assert ended("").returncode == -signal.SIGABRT
    left = ended("exit_process(3)")
    assert (left.returncode, left.stdout, left.stderr) == (3, "cleaned up\n", "")
