"""Check of a node before a study begins, and submission of a study."""

import pytest
from clusters import free_port

from bgbias.data.datasets import datasets
from bgbias.errors import SettingError
from study.cli.submit import entrypoint, job_client
from study.cluster.nodes import DRIVER, PROBES, answer, storage_probe, write_note
from study.record.config import StudyConfig
from study.record.provenance import versions
from study.record.storage import Storage

DIGITS = datasets.find("colored-digits")()


@pytest.fixture
def storage(tmp_path):
    """A storage in which the driver has left its note."""
    write_note(Storage(str(tmp_path / "storage")), DRIVER)
    return str(tmp_path / "storage")


def test_an_able_node_leaves_a_note_and_tells_its_versions(storage):
    assert answer("node", storage, DIGITS, StudyConfig()) == (None, versions())
    assert sorted(Storage(storage).names(PROBES)) == [DRIVER, "node"]


def test_a_node_that_sees_another_folder_under_the_same_path_says_so(tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    assert answer("node", elsewhere, DIGITS, StudyConfig()).problem == (
        f"does not reach the storage {elsewhere} (what the driver wrote is not there): "
        "give a --storage that all nodes share"
    )


def test_a_node_without_the_data_says_what_is_missing(storage, tmp_path):
    config = StudyConfig(dataset="colored-mnist", data=tmp_path / "nowhere")
    problem = answer("node", storage, datasets.find("colored-mnist")(), config).problem
    assert problem.startswith("cannot read the data: ")
    assert str(tmp_path / "nowhere") in problem


def test_a_node_whose_data_has_other_classes_says_both(storage):
    digits = tuple("0123456789")
    assert answer("node", storage, DIGITS, StudyConfig(classes=digits)).problem is None
    assert answer("node", storage, DIGITS, StudyConfig(classes=("zero", *digits[1:]))).problem == (
        "has other classes in its data than the driver, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and zero, 1, 2, 3, 4, 5, 6, 7, 8, "
        "9: give all the same data"
    )


def test_a_storage_that_cannot_be_written_is_named_and_notes_are_taken_away(tmp_path):
    (tmp_path / "file").write_text("no folder")
    place = str(tmp_path / "file" / "storage")
    unusable = pytest.raises(SettingError, match=r"--storage .*/file/storage cannot be used from here")
    with unusable, storage_probe(place):
        pass
    with storage_probe(str(tmp_path / "storage")) as probed:
        assert probed.names(PROBES) == [DRIVER]
    assert probed.names(PROBES) == []


def test_a_submitted_command_joins_the_heads_cluster():
    assert entrypoint(["run", "erm", "--set", "p=1 2"]) == "python -m study run erm --set 'p=1 2' --address auto"
    assert entrypoint(["resume", "/shared/study"]) == "python -m study resume /shared/study --address auto"


@pytest.mark.parametrize("arguments", [[], ["report", "x"], ["--trials", "3"]])
def test_only_studies_are_submitted(arguments):
    with pytest.raises(SettingError, match="give what to submit after the options: run or resume"):
        entrypoint(arguments)


@pytest.mark.parametrize("option", [["--address", "auto"], ["--address=auto"]])
def test_a_submitted_command_does_not_say_where_its_cluster_is(option):
    with pytest.raises(SettingError, match="give --address once, before the command"):
        entrypoint(["run", *option])


def test_a_job_server_that_does_not_answer_is_named():
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SettingError, match=f"no job server at {address}"):
        job_client(address)
