"""Place and scene of every object of a Waterbirds dataset: functions of the seed and the names alone.

Source of the design: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020 (arXiv
1911.08731), appendix C.1: each class has a place of its own, where most of its training objects stand.
"""

from collections.abc import Collection, Mapping, Sequence

from bgbias.data.photographs import layout
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build import plan
from bgbias.randomness import derive

Scenes = Mapping[str, Mapping[str, Sequence[str]]]
"""By split and place, the sorted names of its scenes."""


def homes(classes: Sequence[str], places: Sequence[str], pairs: str) -> dict[str, str]:
    """The place of each class.

    Args:
        classes, places: sorted.
        pairs: such as `cat=forest,dog=sea`; empty pairs classes and places in their order.

    Raises:
        SettingError: a class has no place, or a pair names what there is not.
    """
    if not pairs:
        if len(classes) != len(places):
            raise SettingError(
                f"classes and places are paired in order where there are as many, but there are {len(classes)} classes "
                f"({', '.join(classes)}) and {len(places)} places ({', '.join(places)}): give --home, such as "
                f"{classes[0]}={places[0]},..."
            )
        return dict(zip(classes, places, strict=True))
    found = dict(pair.partition("=")[::2] for pair in pairs.split(","))
    home = {class_name.strip(): place.strip() for class_name, place in found.items()}
    wrong = [name for name in home if name not in classes] + [name for name in home.values() if name not in places]
    missing = [name for name in classes if name not in home]
    if wrong or missing:
        problem = f"'{wrong[0]}' is neither a class nor a place" if wrong else f"{missing[0]} has none"
        raise SettingError(
            f"--home gives every class ({', '.join(classes)}) one of the places ({', '.join(places)}), but {problem}: "
            f"give pairs such as {classes[0]}={places[0]}"
        )
    return {class_name: home[class_name] for class_name in classes}


def object_splits(
    names: Sequence[str], class_name: str, ratios: tuple[float, float, float], counts: Sequence[int] | None, seed: int
) -> dict[str, str]:
    """The split of each object of a class: shuffled, then divided by the ratios, or the first ones by the counts.

    Raises:
        DataError: there are fewer than the counts need.
    """
    if counts is None:
        return plan.splits(names, ratios, seed)
    if len(names) < sum(counts):
        raise DataError(
            f"--counts needs {sum(counts)} objects of each class, but {class_name} has {len(names)}: "
            "give more pictures or smaller --counts"
        )
    shuffled = sorted(names, key=lambda name: (derive(seed, f"split {name}"), name))
    found = [split for split, count in zip(layout.SPLITS, counts, strict=True) for _ in range(count)]
    return dict(zip(shuffled, found, strict=False))


def train_places(
    names: Collection[str], home: str, places: Sequence[str], confounding: float, seed: int
) -> dict[str, str]:
    """The place of each training object of one class.

    `round(confounding * n)` of its n objects, chosen at random, stand at home, every other one in another place, all
    equally likely.

    Args:
        confounding: in [0, 1].
    """
    shuffled = sorted(names, key=lambda name: (derive(seed, f"home {name}"), name))
    at_home = round(confounding * len(shuffled))
    others = [place for place in places if place != home] or [home]
    away = {name: others[derive(seed, f"place {name}") % len(others)] for name in shuffled[at_home:]}
    return {**dict.fromkeys(shuffled[:at_home], home), **away}


def scene_splits(names: Mapping[str, Sequence[str]], ratios: tuple[float, float, float], seed: int) -> Scenes:
    """Divide each place's scenes among the splits, so that no scene is in two.

    Raises:
        DataError: a place has no scene for a split that has objects.
    """
    split_of = {place: plan.splits(scenes, ratios, seed) for place, scenes in names.items()}
    found = {
        split: {place: [name for name in scenes if split_of[place][name] == split] for place, scenes in names.items()}
        for split, share in zip(layout.SPLITS, ratios, strict=True)
        if share > 0
    }
    empty = [
        f"{place} has none for {split}" for split, places in found.items() for place in places if not places[place]
    ]
    if empty:
        raise DataError(
            f"every place needs a scene in each split, but of {len(names[empty[0].partition(' ')[0]])} scenes "
            f"{empty[0]}: give more scenes, or other --ratios"
        )
    return found


def scene_of(name: str, place: str, scenes: Sequence[str], seed: int) -> str:
    """The scene of a place that an object stands in."""
    return scenes[derive(seed, f"scene {name} {place}") % len(scenes)]
