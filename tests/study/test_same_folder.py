"""Two studies at once that would use one folder."""

import pytest
from running import PATIENCE, started, wait_until

from study.record.folder import SEARCH, StudyFolder


@pytest.mark.slow
def test_a_second_run_in_a_folder_is_refused_and_the_first_is_not_disturbed(study, tmp_path):
    folder = StudyFolder(tmp_path / "mine")
    with started("run", "erm", "--trials", 1, "--epochs", 2, "--output", folder.root) as first:
        wait_until(folder.config_file.exists, first)
        for command in (("run", "erm", "--trials", 2, "--output", folder.root), ("resume", folder.root)):
            code, out, err = study(*command)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert f"{folder.root} is being run by another process: wait for its end" in err
        _, told = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, told
    assert len(folder.finished(SEARCH)) == folder.read_config().trials == 1
    assert "could not be sent" not in told
