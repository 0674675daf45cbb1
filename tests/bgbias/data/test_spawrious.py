from collections import Counter

import pytest
from made_tables import write_spawrious
from PIL import Image

from bgbias.components import make
from bgbias.data.datasets import datasets
from bgbias.data.datasets.spawrious import ARRANGEMENTS, CLASSES, parts_of
from bgbias.data.photographs.table import TEST, TRAIN
from bgbias.errors import DataError, SettingError

CELL = 10


def spawrious(folder, **options):
    return make(datasets["spawrious"], {"size": 32, "cell": CELL, **options}, "dataset").load(folder)


def counted(benchmark, split):
    """By breed and place, how many pictures of the release a split takes; None stands for all of a cell."""
    counts = Counter()
    for part in parts_of(ARRANGEMENTS[benchmark], 3168):
        if part.split == split:
            counts[part.breed, part.place] += 3168 if part.first is None else part.first
    return counts


@pytest.mark.parametrize("benchmark", ARRANGEMENTS)
def test_every_benchmark_trains_on_as_many_pictures_as_the_paper(benchmark):
    train, test = counted(benchmark, TRAIN), counted(benchmark, TEST)
    assert sum(train.values()) == 25_344
    assert sum(test.values()) == 25_344
    assert train.keys().isdisjoint(test.keys())


def test_one_to_one_by_hand():
    train = counted("o2o_easy", TRAIN)
    assert train["bulldog", "desert"] == train["corgi", "snow"] == 3072 + 2756
    assert train["bulldog", "beach"] == train["corgi", "beach"] == 96 + 412
    assert counted("o2o_easy", TEST).keys() == {
        ("bulldog", "dirt"),
        ("dachshund", "snow"),
        ("labrador", "desert"),
        ("corgi", "jungle"),
    }


def test_many_to_many_by_hand():
    train = counted("m2m_hard", TRAIN)
    assert train == {
        **{(breed, place): 3168 for breed in ("bulldog", "dachshund") for place in ("dirt", "jungle")},
        **{(breed, place): 3168 for breed in ("labrador", "corgi") for place in ("snow", "beach")},
    }
    folders = {part.folder for part in parts_of(ARRANGEMENTS["m2m_hard"], 3168)}
    assert folders == {0}


def test_a_share_of_each_training_group_is_held_out(spawrious_folder):
    found = spawrious(spawrious_folder, benchmark="m2m_easy")
    assert found.classes == CLASSES
    assert found.validation["original"].group.bincount().unique().tolist() == [0, 2]
    assert found.training_groups.unique().tolist() == [0, 8]
    assert len(found.test["original"]) == 8 * CELL
    assert not found.has_masks


def test_the_first_pictures_of_a_sorted_listing_are_taken(spawrious_folder):
    found = spawrious(spawrious_folder)
    fillers = [name for name in found.source_names if name.startswith("0/beach/corgi")]
    assert fillers == ["0/beach/corgi/beach_corgi_0.png"]


def test_the_broken_file_of_the_release_is_named_and_can_be_skipped(tmp_path):
    root = write_spawrious(tmp_path, cell=4)
    folder = root / "spawrious224/1/beach/labrador"
    (folder / "beach_labrador_0.png").unlink()
    Image.new("RGB", (40, 32)).save(folder / "beach_labrador_450.png")
    options = {"benchmark": "o2o_medium", "cell": 4, "validation_share": 0.4}
    with pytest.raises(DataError, match=r"beach_labrador_450\.png has 40 x 32 pixels, broken in the release.*skip"):
        spawrious(root, **options)
    found = spawrious(root, **options, faulty="skip")
    tested = Counter(name.rpartition("/")[0] for name in found.source_names if "beach/labrador" in name)
    assert tested == {"0/beach/labrador": 4, "1/beach/labrador": 3}


def test_too_few_pictures_and_other_folders_are_named(spawrious_folder, tmp_path):
    with pytest.raises(DataError, match=r"desert/bulldog holds 10 pictures, but o2o_easy needs 97 .*dataset/cell"):
        spawrious(spawrious_folder, cell=100)
    with pytest.raises(DataError, match="holds no spawrious224"):
        spawrious(tmp_path)
    with pytest.raises(SettingError, match="dataset/benchmark"):
        spawrious(spawrious_folder, benchmark="m2m_simple")
