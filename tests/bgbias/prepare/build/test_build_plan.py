from collections import Counter

import pytest

from bgbias.errors import DataError
from bgbias.prepare.build.plan import check_enough, donors, splits

MEMBERS = {"ant": ["a", "b"], "bee": ["c", "d", "e"], "cat": ["f", "g", "h", "i"]}
CLASS_OF = {name: class_name for class_name, names in MEMBERS.items() for name in names}


def names(number):
    return [f"picture_{index}" for index in range(number)]


@pytest.mark.parametrize(
    ("number", "ratios", "counts"),
    [
        (10, (0.7, 0.1, 0.2), (7, 1, 2)),
        (20, (0.7, 0.1, 0.2), (14, 2, 4)),
        (7, (0.5, 0.25, 0.25), (4, 1, 2)),  # cut at 3.5 and 5.25
        (5, (0.0, 0.0, 1.0), (0, 0, 5)),
    ],
)
def test_splits_have_the_shares_asked_for(number, ratios, counts):
    found = Counter(splits(names(number), ratios, seed=0).values())
    assert tuple(found[split] for split in ("train", "val", "test")) == counts


def test_splits_follow_the_seed_and_not_the_order():
    ratios = (0.7, 0.1, 0.2)
    assert splits(names(20), ratios, 0) == splits(names(20)[::-1], ratios, 0)
    assert splits(names(20), ratios, 0) != splits(names(20), ratios, 1)


@pytest.mark.parametrize("seed", range(30))
def test_donors_are_others_of_the_class_asked_for(seed):
    following = {"ant": "bee", "bee": "cat", "cat": "ant"}
    for name, class_name in CLASS_OF.items():
        drawn = donors(name, class_name, MEMBERS, seed)
        assert list(drawn) == ["mixed_same", "mixed_rand", "mixed_next"]
        assert name not in drawn.values()
        assert CLASS_OF[drawn["mixed_same"]] == class_name
        assert CLASS_OF[drawn["mixed_next"]] == following[class_name]


def test_donors_are_drawn_evenly():
    drawn = [donors("g", "cat", MEMBERS, seed) for seed in range(6_000)]
    assert Counter(d["mixed_same"] for d in drawn).keys() == {"f", "h", "i"}
    for variant, expected in (
        ("mixed_same", {"f": 1 / 3, "h": 1 / 3, "i": 1 / 3}),
        ("mixed_next", {"a": 1 / 2, "b": 1 / 2}),
        (
            "mixed_rand",
            {"a": 1 / 6, "b": 1 / 6, "c": 1 / 9, "d": 1 / 9, "e": 1 / 9, "f": 1 / 9, "h": 1 / 9, "i": 1 / 9},
        ),
    ):
        share = {name: count / len(drawn) for name, count in Counter(d[variant] for d in drawn).items()}
        assert share == pytest.approx(expected, abs=0.025)


def test_donors_depend_on_nothing_but_seed_and_names():
    assert donors("c", "bee", MEMBERS, 5) == donors("c", "bee", {name: list(of) for name, of in MEMBERS.items()}, 5)


def test_a_class_needs_two_pictures_in_every_split_and_all_that_lack_some_are_named():
    check_enough({"train": MEMBERS, "val": MEMBERS}, "")
    few = {"train": {**MEMBERS, "bee": ["c"]}, "val": {**MEMBERS, "cat": []}}
    with pytest.raises(DataError) as caught:
        check_enough(few, "45 of 45 rejected")
    assert str(caught.value) == (
        "every class needs 2 kept pictures in each split to be mixed, but bee has 1 in train, cat has 0 in val "
        "(45 of 45 rejected): give more pictures, or other --ratios and another --out"
    )
