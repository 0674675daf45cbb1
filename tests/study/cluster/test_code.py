"""Trials run the code of the command that was started, wherever that was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import PATIENCE, STUDY

import study
from study.record.folder import SEARCH, StudyFolder
from study.record.provenance import sources

HOME = Path(study.__file__).parent.parent
TRAPS = ("random.py", "bgbias/__init__.py", "search_spaces/__init__.py", "mlflow.py", "torch/__init__.py")
RUN = ("run", "erm", "--trials", "1", "--epochs", "1", "--output", "study")
SITE = """
import sys
if any("default_worker" in word for word in sys.orig_argv):
    sys.path.insert(0, {other!r})
"""


def command(how, *arguments, folder, **environment):
    start = [STUDY] if how == "study" else [sys.executable, "-m", "study"]
    environment = {**os.environ, "PYTHONPATH": str(HOME), **environment}
    return subprocess.run(
        [*start, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.fixture
def trapped(tmp_path):
    """A working folder whose files end whatever imports them."""
    for name in TRAPS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('raise SystemExit("imported from the working folder")')
    return tmp_path


def test_nothing_is_imported_from_the_working_folder(trapped):
    ended = command("python -m study", *RUN, folder=trapped)
    assert ended.returncode == 0, ended.stderr
    assert len(StudyFolder(trapped / "study").finished(SEARCH)) == 1


@pytest.mark.parametrize("how", ["study", "python -m study"])
def test_the_spaces_are_this_projects(trapped, how):
    ended = command(how, "spaces", folder=trapped)
    assert ended.returncode == 0, ended.stderr
    first = [line.split()[0] for line in ended.stdout.splitlines() if not line.startswith(" ")]
    assert first == ["space", *sorted(file.stem for file in (HOME / "search_spaces").glob("[a-z]*.py"))]


def test_workers_that_would_run_other_code_end_the_study_before_its_first_trial(tmp_path):
    other, site = tmp_path / "other", tmp_path / "site"
    for package in sources():
        shutil.copytree(HOME / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "bgbias" / "metrics.py").open("a") as file:
        file.write("# changed\n")
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(other=str(other)))
    ended = command("study", *RUN, folder=tmp_path, PYTHONPATH=f"{site}{os.pathsep}{HOME}")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.strip().splitlines()[-1] == (
        f"error: Ray's workers would run another 'bgbias' ({other / 'bgbias'}) than this command ({HOME / 'bgbias'}): "
        "install the same version for both, and take other folders off PYTHONPATH"
    )
    assert StudyFolder(tmp_path / "study").trials(SEARCH) == []


def test_the_code_of_a_package_is_known_by_its_content():
    found = sources()
    assert found["bgbias"][0] == str(HOME / "bgbias")
    assert all(len(digest) == 64 for _, digest in found.values())
