import pytest

from bgbias.errors import DataError, SettingError
from bgbias.prepare.build import scene_plan

PLACES = ["forest", "sea", "town"]


def test_classes_and_places_pair_in_order_or_as_told():
    assert scene_plan.homes(["cat", "dog"], ["forest", "sea"], "") == {"cat": "forest", "dog": "sea"}
    assert scene_plan.homes(["cat", "dog", "owl"], ["forest", "sea"], "owl=forest, cat=sea,dog=sea") == {
        "cat": "sea",
        "dog": "sea",
        "owl": "forest",
    }


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("", r"there are 2 classes \(cat, dog\) and 3 places \(forest, sea, town\): give --home, such as cat=forest"),
        ("cat=forest", "but dog has none: give pairs such as cat=forest"),
        ("cat=forest,dog=lake", "but 'lake' is neither a class nor a place"),
        ("cat=forest,dog=sea,cow=sea", "but 'cow' is neither a class nor a place"),
    ],
)
def test_a_class_without_a_place_is_refused(pairs, message):
    with pytest.raises(SettingError, match=message):
        scene_plan.homes(["cat", "dog"], PLACES, pairs)


@pytest.mark.parametrize(("confounding", "at_home"), [(0.95, 38), (1.0, 40), (0.0, 0), (0.51, 20)])
def test_exactly_the_share_stands_at_home_and_the_others_in_every_other_place(confounding, at_home):
    names = [f"a{number}" for number in range(40)]
    found = scene_plan.train_places(names, "sea", PLACES, confounding, seed=3)
    assert sorted(found) == sorted(names)
    assert list(found.values()).count("sea") == at_home
    if confounding == 0:
        assert set(found.values()) == {"forest", "town"}
    assert found == scene_plan.train_places(names[::-1], "sea", PLACES, confounding, seed=3)
    assert found != scene_plan.train_places(names, "sea", PLACES, confounding, seed=4) or confounding == 1


def test_no_scene_is_in_two_splits_and_every_split_has_each_place():
    names = {place: [f"{place}/{number}" for number in range(10)] for place in PLACES}
    found = scene_plan.scene_splits(names, (0.6, 0.2, 0.2), seed=1)
    for place in PLACES:
        assert sorted(name for places in found.values() for name in places[place]) == sorted(names[place])
        assert [len(found[split][place]) for split in ("train", "val", "test")] == [6, 2, 2]
    with pytest.raises(DataError, match="but of 2 scenes forest has none for val: give more scenes"):
        scene_plan.scene_splits({"forest": ["a", "b"]}, (0.5, 0.1, 0.4), seed=1)


def test_counts_take_so_many_of_each_class():
    names = [f"a{number}" for number in range(9)]
    found = scene_plan.object_splits(names, "cat", (0.7, 0.1, 0.2), (4, 1, 3), seed=0)
    assert [list(found.values()).count(split) for split in ("train", "val", "test")] == [4, 1, 3]
    assert set(found) < set(names)
    with pytest.raises(DataError, match="--counts needs 10 objects of each class, but cat has 9"):
        scene_plan.object_splits(names, "cat", (0.7, 0.1, 0.2), (5, 2, 3), seed=0)
