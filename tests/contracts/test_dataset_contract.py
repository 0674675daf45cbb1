"""Contract of every dataset, found by looking."""

import inspect
import sys
from itertools import combinations

import pytest
import torch
from smaller_datasets import SMALLER

from bgbias.components import field_names
from bgbias.data.datasets import datasets
from bgbias.metrics import variant_of
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND

pytestmark = pytest.mark.parametrize("name", datasets)


def variants_of(dataset):
    return [dataset.train, *dataset.validation.values(), *dataset.test.values()]


def splits_of(dataset):
    return {"train": [dataset.train], "validation": dataset.validation.values(), "test": dataset.test.values()}


def share_on_own_class(variant):
    assert (variant.assignment != NO_BACKGROUND).all()
    own = variant.places(torch.arange(len(variant)), variant.assignment) == variant.foregrounds.label
    return own.double().mean().item()


def test_validation_and_test_hold_the_same_variants(load, name):
    dataset = load(name)
    assert list(dataset.validation) == list(dataset.test)


def test_what_it_names_are_validation_variants(load, name):
    spec = datasets[name]
    named = [*spec.objectives, *spec.objectless, *(variant for pair in spec.gaps.values() for variant in pair)]
    variants = [variant_of(objective) if "/" in objective else objective for objective in named]
    assert set(variants) <= load(name).validation.keys()


def test_one_variant_of_a_split_shows_all_of_its_sources(load, name):
    dataset = load(name)
    for variants in (dataset.validation, dataset.test):
        sources = [set(variant.foregrounds.source.tolist()) for variant in variants.values()]
        assert max(sources, key=len) == set().union(*sources)


def test_no_source_is_in_two_splits(load, name):
    sources = {
        split: {source for variant in variants for source in variant.foregrounds.source.tolist()}
        for split, variants in splits_of(load(name)).items()
    }
    for one, other in combinations(sources, 2):
        assert sources[one].isdisjoint(sources[other]), (one, other)


def test_sizes_types_and_ranges(load, name):
    dataset = load(name)
    for variant in variants_of(dataset):
        front, back, n = variant.foregrounds, variant.backgrounds, len(variant)
        assert len(front.image) == len(front.mask) == len(front.label) == len(front.source) == len(front.place) == n > 0
        assert front.mask[torch.arange(2)].dtype == torch.bool
        assert front.mask.shape == (n, 1, *front.image.shape[2:])
        assert front.label.dtype == front.source.dtype == variant.assignment.dtype == torch.int64
        assert set(front.label.tolist()) == set(range(len(dataset.classes)))
        assert len(back.image) == len(back.place) + 1
        assert not back.image[torch.tensor([NO_BACKGROUND])].any()
        assert variant.assignment.shape == (n,)
        assert variant.assignment.min() >= OWN_BACKGROUND
        assert variant.assignment.max() < len(back)


def test_what_is_pasted_has_an_object_and_room_for_a_background(load, name):
    for variant in variants_of(load(name)):
        pasted = (variant.assignment >= 0).nonzero()[:, 0]
        share = variant.foregrounds.mask[pasted].double().mean(dim=(1, 2, 3))
        assert (share > 0).all()
        assert (share < 1).all()


def test_every_place_has_a_name_and_is_that_of_the_background(load, name):
    dataset = load(name)
    for variant in variants_of(dataset):
        front, back = variant.foregrounds, variant.backgrounds
        assert back.places == len(dataset.places)
        assert front.place.dtype == torch.int64
        assert ((front.place >= 0) & (front.place < back.places)).all()
        assert ((back.place >= 0) & (back.place < back.places)).all()
        batch = variant.batch(torch.arange(min(len(variant), 50)))
        pasted = batch.background >= 0
        assert torch.equal(batch.place[pasted], back.place[batch.background[pasted]])
        assert (batch.place[batch.background == NO_BACKGROUND] == NO_BACKGROUND).all()
        own = batch.background == OWN_BACKGROUND
        assert torch.equal(batch.place[own], front.place[batch.index[own]])
        assert torch.equal(batch.group, batch.label * (back.places + 1) + batch.place.remainder(back.places + 1))


def test_the_counts_of_training_groups_are_those_of_train(load, name):
    dataset = load(name)
    batch = dataset.train.batch(torch.arange(len(dataset.train)))
    assert dataset.training_groups.sum() == len(dataset.train)
    for label, place in ((0, 0), (0, 1), (1, 1)):
        assert dataset.training_groups[label, place] == ((batch.label == label) & (batch.place == place)).sum()


def test_composed_images_are_finite_floats_from_dark_upwards(load, name):
    dataset = load(name)
    for variant in variants_of(dataset):
        image = variant.batch(torch.arange(min(len(variant), 500))).image
        assert image.shape[1:] == dataset.image_shape
        assert image.dtype == torch.float32
        assert image.isfinite().all()
        assert image.min() >= 0
        assert image.max() > 0.5


def test_loading_again_gives_the_same_to_the_bit(load, folder_of, name):
    again = datasets[name](**SMALLER.get(name, {})).load(folder_of(name))
    for one, other in zip(variants_of(load(name)), variants_of(again), strict=True):
        everything = torch.arange(len(one))
        batch, same = one.batch(everything), other.batch(everything)
        for field in ("image", "mask", "label", "background"):
            assert torch.equal(getattr(batch, field), getattr(same, field)), field
        assert torch.equal(one.foregrounds.source, other.foregrounds.source)
        behind = torch.arange(len(one.backgrounds))
        assert torch.equal(one.backgrounds.image[behind], other.backgrounds.image[behind])


def test_original_and_training_stand_on_their_own_class_at_full_strength(load, name):
    if "bias_strength" not in field_names(datasets[name]):
        pytest.skip("its bias is natural")
    dataset = load(name, bias_strength=1.0)
    for variant in (dataset.train, dataset.validation["original"], dataset.test["original"]):
        assert share_on_own_class(variant) == 1


def test_shuffled_backgrounds_tell_nothing_of_the_class(load, name):
    dataset = load(name)
    if "shuffled" not in dataset.test:
        pytest.skip("it has no shuffled variant")
    for variant in (dataset.validation["shuffled"], dataset.test["shuffled"]):
        chance = 1 / len(dataset.classes)
        spread = (chance * (1 - chance) / len(variant)) ** 0.5
        assert share_on_own_class(variant) == pytest.approx(chance, abs=4 * spread)
        used = variant.backgrounds.place[variant.assignment]
        assert set(used.tolist()) == set(range(len(dataset.classes)))


def test_its_file_names_its_source(name):
    assert "Source" in inspect.getdoc(sys.modules[datasets[name].__module__])
