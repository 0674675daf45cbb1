"""Studies on a cluster of several nodes, each with Ray processes of its own on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import Cluster
from running import OPTIONS, PATIENCE, TRIALS, check_mlflow, outcome, run, started, trial_of, wait_until

from study.record.folder import SEARCH, StudyFolder


@pytest.fixture(scope="module")
def secrets():
    """Environment of every process of a cluster, and of every driver."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "a-token-of-this-test-only-0123456789")
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        yield patch


@pytest.fixture(scope="module")
def cluster(secrets, s3):  # noqa: ARG001 - in the environment
    made = Cluster()
    made.add()
    yield made
    made.shut_down()


@pytest.mark.slow
def test_a_lost_nodes_trial_goes_on_on_another_node(cluster, tmp_path, undisturbed):
    folder = StudyFolder(tmp_path / "study")
    (first,) = cluster.nodes[1:]
    with started("run", *OPTIONS, "--address", cluster.address, "--output", folder.root) as process:
        wait_until(lambda: trial_of(folder, number=1, epochs=3), process)
        assert first.trains()
        cluster.lose(first)
        assert folder.finished(SEARCH) == []
        cluster.add()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert outcome(folder) == undisturbed
    check_mlflow(folder, TRIALS)


@pytest.mark.slow
def test_a_submitted_study_keeps_its_checkpoints_in_s3_and_ends_the_same(cluster, s3, tmp_path, undisturbed):
    folder = StudyFolder(tmp_path / "study")
    options = ("--storage", s3, "--output", folder.root)
    shown = run("submit", "--address", cluster.jobs, "--follow", "run", *OPTIONS, *options)
    assert "Ray ready" in shown
    assert outcome(folder) == undisturbed
    assert not (folder.root / "checkpoints").exists()


@pytest.mark.slow
def test_a_node_that_does_not_reach_the_storage_is_named_before_any_trial(cluster, tmp_path):
    hidden = tmp_path / "studies"
    hidden.mkdir()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("hiding a folder from one node needs root")
    blind = cluster.add(inside=("unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs {hidden} && exec "$@"', "sh"))
    with started("run", *OPTIONS, "--address", cluster.address, "--output", hidden / "study") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    cluster.lose(blind)
    last = errors.strip().splitlines()[-1]
    assert process.returncode == 2
    assert re.search(r"error: node \S+ does not reach the storage .* give a --storage that all nodes", last)
    assert StudyFolder(hidden / "study").trials(SEARCH) == []
