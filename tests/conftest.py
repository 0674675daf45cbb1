"""Small real data for every test: the library's datasets, read from folders that look like the real ones."""

import functools
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_photographs import write_photographs
from made_tables import write_spawrious, write_table
from smaller_datasets import SMALLER

from bgbias.data.datasets import datasets
from bgbias.data.digits.sources import embedded

FOLDERS = {
    "colored-digits": None,
    "colored-mnist": "mnist_folder",
    "imagenet9": "photographs_folder",
    "one-pixel-digits": None,
    "one-pixel-mnist": "mnist_folder",
    "pictures": "table_folder",
    "spawrious": "spawrious_folder",
    "waterbirds": "waterbirds_folder",
}
"""By dataset, the fixture that writes its source files; None where the data is embedded."""


TESTS = Path(__file__).parent
STUDIES = (
    "study/cli/test_dashboard.py", "study/cluster/test_cluster.py", "study/cluster/test_code.py",
    "study/cluster/test_nodes.py", "study/inspect/test_flow.py", "study/search/test_small_space.py",
    "study/test_confirm.py", "study/test_end_to_end.py", "study/test_odd_names.py", "study/test_photographs.py",
    "study/test_same_folder.py", "study/test_several_objectives.py", "study/test_signals.py",
    "study/test_survival.py",
)  # fmt: skip
"""Files that start studies or servers, each of which fills the machine."""


LONGEST = (
    "contracts/test_method_contract.py", "study/tracking/test_tracking_outage.py", "study/tracking/test_refusals.py",
    "study/tracking/test_tracking.py", "test_quality.py", "bgbias/methods/test_flow_embedding.py",
    "study/record/test_storage.py", "study/tracking/test_relocate.py", "test_readme.py",
    "study/tracking/test_server.py",
)  # fmt: skip
"""Other files that take more than twenty seconds, the longest first."""

BEGUN = pytest.StashKey[str]()
"""The first test of this process."""


def pytest_collection_modifyitems(items):
    """The longest start first, so that no process is left with one of them when the others have ended."""
    assert all((TESTS / name).exists() for name in (*STUDIES, *LONGEST))
    order = {str(TESTS / name): at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (group_of(item.nodeid) != "studies", order.get(str(item.path), len(order))))


def pytest_xdist_make_scheduler(config, log):
    """With pytest-xdist, the files of `STUDIES` run in one process, and any other file in one process, which makes its
    fixtures once."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Grouped(config, log)


def pytest_xdist_auto_num_workers():
    """One more than there are cores, since a study mostly waits for its processes to start."""
    return (os.cpu_count() or 1) + 1


def pytest_runtest_setup(item):
    """Lower the priority of the processes that do not begin with the studies: these take the longest, and Ray's workers
    have a low one (15) themselves."""
    begun = item.config.stash.setdefault(BEGUN, item.nodeid)
    if begun is item.nodeid and "PYTEST_XDIST_WORKER" in os.environ and group_of(begun) != "studies":
        os.nice(19)


def group_of(nodeid):
    """The tests that run in the same process: `studies`, or those of a file."""
    file = nodeid.partition("::")[0]
    return "studies" if file.removeprefix("tests/") in STUDIES else file


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """MNIST's four files holding 6,000 and 500 embedded digits over and over: train gzipped, t10k raw."""
    folder = tmp_path_factory.mktemp("mnist")
    digits = embedded(0).train
    for part, size, ending in (("train", 6_000, ".gz"), ("t10k", 500, "")):
        index = torch.arange(size) % len(digits.label)
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", digits.image[index, 0].numpy())
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", digits.label[index].numpy().astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def photographs_folder(tmp_path_factory):
    """Made-up photographs of three classes in ImageNet-9's layout, 32 pixels wide."""
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def table_folder(tmp_path_factory):
    """Made-up pictures of two classes in two places with masks, 32 pixels wide."""
    return write_table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def waterbirds_folder(tmp_path_factory):
    """The same in the layout of Waterbirds, with CUB's masks."""
    return write_table(tmp_path_factory.mktemp("waterbirds"), masks="segmentations")


@pytest.fixture(scope="session")
def spawrious_folder(tmp_path_factory):
    """Made-up pictures of four classes in six places, 32 pixels wide."""
    return write_spawrious(tmp_path_factory.mktemp("spawrious"))


def write_idx(path: Path, array: np.ndarray) -> None:
    data = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()
    path.write_bytes(gzip.compress(data, compresslevel=1) if path.suffix == ".gz" else data)


@pytest.fixture(scope="session")
def folder_of(request):
    """A function from a dataset's name to the folder of its source files, or None."""

    def find(name):
        assert name in FOLDERS, f"add '{name}' to FOLDERS in tests/conftest.py, with a fixture that writes its files"
        fixture = FOLDERS[name]
        return request.getfixturevalue(fixture) if fixture else None

    return find


@pytest.fixture(scope="session")
def load(folder_of):
    """A function from a dataset's name and options to the loaded dataset, each read once."""

    @functools.cache
    def read(name, **options):
        return datasets.find(name)(**{**SMALLER.get(name, {}), **options}).load(folder_of(name))

    return read
