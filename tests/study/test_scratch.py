import subprocess
import sys

from study.scratch import PREFIX, Scratch, scratch, sweep

HOLDING = """
import sys, time
from pathlib import Path
from study.scratch import Scratch
print(Scratch(Path(sys.argv[1])).path, flush=True)
time.sleep(600)
"""


def test_a_scratch_folder_lasts_as_long_as_its_block(tmp_path):
    with scratch(tmp_path) as folder:
        assert folder.parent == tmp_path
        (folder / "file").write_text("x")
        sweep(tmp_path)
        assert (folder / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_removes_what_killed_processes_left_and_nothing_else(tmp_path):
    mine = Scratch(tmp_path)
    (tmp_path / "bgbias-mine").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        theirs = process.stdout.readline().strip()
        sweep(tmp_path)
        assert {str(path) for path in tmp_path.glob(f"{PREFIX}*")} == {str(mine.path), theirs}
        process.kill()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "bgbias-mine", mine.path]
    mine.remove()
