import dataclasses

import pytest
import torch
from made_learners import random_variant
from scipy.ndimage import distance_transform_cdt

from bgbias.data.dataset import Dataset, Variant, batches, held_out
from bgbias.data.digits.biases import PALETTES
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND, Backgrounds, Foregrounds, Task, group_of


def two_by_two():
    """Two examples on three backgrounds of one pixel; the object is the left column."""
    return Variant(
        foregrounds=Foregrounds(
            image=torch.tensor([[255, 255, 0, 0], [51, 51, 51, 51]], dtype=torch.uint8).reshape(2, 1, 2, 2),
            mask=torch.tensor([[1, 0, 1, 0]] * 2, dtype=torch.bool).reshape(2, 1, 2, 2),
            label=torch.tensor([1, 0]),
            source=torch.tensor([0, 1]),
            place=torch.tensor([1, 0]),
        ),
        backgrounds=Backgrounds(torch.tensor([3.0, 4, 5, 0]).reshape(4, 1, 1, 1), torch.tensor([0, 1, 1]), 2),
        assignment=torch.tensor([2, -1]),
    )


def test_a_batch_is_composed_in_the_order_asked():
    batch = two_by_two().batch(torch.tensor([1, 0, 1]))
    torch.testing.assert_close(
        batch.image[:, 0], torch.tensor([[[0.2, 0], [0.2, 0]], [[1, 5], [0, 5]], [[0.2, 0], [0.2, 0]]])
    )
    assert batch.label.tolist() == [0, 1, 0]
    assert batch.background.tolist() == [-1, 2, -1]
    assert len(batch) == 3


def test_assigned_changes_the_backgrounds_alone():
    variant = two_by_two()
    swapped = variant.assigned(torch.tensor([0, 1]))
    assert swapped.foregrounds is variant.foregrounds
    assert swapped.batch(torch.tensor([0, 1])).image[:, 0, :, 1].tolist() == [[3, 3], [4, 4]]
    assert variant.assignment.tolist() == [2, -1]


def test_dilating_by_nothing_is_the_same_dataset(load):
    dataset = load("colored-digits")
    assert dataset.dilated(0) is dataset


def test_dilation_leaves_a_dark_rim_between_ink_and_color(load):
    plain = load("colored-digits")
    front, label = plain.train.foregrounds, int(plain.train.foregrounds.label[0])
    grey = front.image[0, 0] / 255
    distance = torch.from_numpy(distance_transform_cdt((grey == 0).numpy(), metric="chessboard"))
    image = plain.dilated(2).train.batch(torch.tensor([0])).image[0]
    rim, beyond = (distance > 0) & (distance <= 2), distance > 2
    assert rim.any()
    assert beyond.any()
    for channel in range(3):
        torch.testing.assert_close(image[channel][distance == 0], grey[distance == 0])
        assert not image[channel][rim].any()
        assert image[channel][beyond].eq(torch.tensor(PALETTES["reproduced"][label][channel] / 255)).all()


def test_rims_join_the_plain_variants_except_where_there_is_no_background(load):
    plain = load("colored-digits")
    dilated = plain.dilated(2)
    for before, after in ((plain.validation, dilated.validation), (plain.test, dilated.test)):
        assert list(after) == ["original", "shuffled", "removed", "original_rim", "shuffled_rim"]
        for name in before:
            assert after[name] is before[name]
        for name in ("original", "shuffled"):
            rim = after[f"{name}_rim"]
            assert torch.equal(rim.assignment, before[name].assignment)
            assert torch.equal(rim.foregrounds.mask, before[name].dilated(2).foregrounds.mask)
            assert rim.foregrounds.mask.sum() > before[name].foregrounds.mask.sum()


def test_the_head_keeps_the_first_examples_of_every_variant(load):
    dataset = load("colored-digits")
    head = dataset.head(3)
    index = torch.arange(3)
    assert len(head.train) == 3
    for name, variant in head.validation.items():
        assert torch.equal(variant.batch(index).image, dataset.validation[name].batch(index).image)
        assert torch.equal(head.test[name].batch(index).label, dataset.test[name].batch(index).label)


def test_image_shape_is_that_of_a_composed_image(load):
    assert load("colored-digits").image_shape == (3, 28, 28)
    assert load("one-pixel-digits").image_shape == (1, 28, 28)


def test_variants_share_their_pictures_after_a_move(load):
    moved = load("colored-digits").dilated(1).to(torch.device("meta"))
    assert moved.train.foregrounds.image.device.type == "meta"
    original, shuffled = moved.validation["original"], moved.validation["shuffled"]
    assert original.foregrounds.image is shuffled.foregrounds.image
    assert moved.validation["original_rim"].foregrounds.mask is moved.validation["shuffled_rim"].foregrounds.mask
    assert original.backgrounds.image is moved.train.backgrounds.image


def test_a_batch_goes_on_to_other_backgrounds_with_the_same_objects():
    batch = two_by_two().batch(torch.tensor([1, 0, 1]))
    found = batch.on(torch.tensor([2, -1, 0]))
    assert found.image[:, 0, :, 1].tolist() == [[5, 5], [0, 0], [3, 3]]
    assert torch.equal(found.image[..., 0], batch.image[..., 0])
    assert torch.equal(found.mask, batch.mask)
    assert (found.index.tolist(), found.label.tolist()) == ([1, 0, 1], [0, 1, 0])
    assert (found.background.tolist(), found.place.tolist()) == ([2, -1, 0], [1, -1, 0])
    back = found.on(batch.background)
    assert torch.equal(back.image, batch.image)


def test_the_group_of_an_example_is_its_class_and_place_with_no_background_last():
    variant = two_by_two().assigned(torch.tensor([2, OWN_BACKGROUND]))
    index = torch.tensor([0, 1, 0, 1])
    batch = variant.batch(index, torch.tensor([1, 0, NO_BACKGROUND, OWN_BACKGROUND]))
    # two places and none: class 0 has the groups 0 to 2, class 1 the groups 3 to 5; the own place of class 0 is 0
    assert batch.place.tolist() == [1, 0, NO_BACKGROUND, 0]
    assert batch.group.tolist() == [4, 0, 5, 0]
    assert variant.group.tolist() == [4, 0]


def test_groups_of_copies_have_the_shape_of_their_places():
    place = torch.tensor([[0, NO_BACKGROUND, 1], [1, 0, NO_BACKGROUND]])
    assert group_of(torch.tensor([1, 0]), place, 2).tolist() == [[3, 5, 4], [1, 0, 2]]


def test_training_groups_are_counted_and_kept_when_the_training_set_changes():
    variant = two_by_two()
    dataset = Dataset("made", ("a", "b"), ("x", "y"), variant, {}, {})
    assert dataset.training_groups.tolist() == [[0, 0, 1], [0, 1, 0]]
    changed = dataclasses.replace(dataset, train=variant.assigned(torch.tensor([0, 0])))
    assert changed.training_groups.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert dataset.task == Task((1, 2, 2), ("a", "b"), ("x", "y", "none"), 2)


def test_photographs_keep_their_crops_at_every_call(load):
    dataset = load("imagenet9", size=32)
    assert dataset.augmentation is not None
    index, rng = torch.arange(20), torch.Generator().manual_seed(0)
    examples = dataset.training_examples(index, rng)
    first = examples.on(examples.background)
    other = examples.on(torch.arange(20))
    again = examples.on(examples.background)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.mask, other.mask)
    assert not torch.equal(first.image, other.image)
    further = other.on(examples.background)
    assert torch.equal(first.image, further.image)
    fresh = dataset.training_examples(index, rng)
    assert not torch.equal(first.mask, fresh.on(fresh.background).mask)


def test_nothing_is_drawn_for_examples_that_are_not_composed(load):
    dataset = load("imagenet9", size=32)
    rng = torch.Generator().manual_seed(0)
    before = rng.get_state()
    examples = dataset.training_examples(torch.arange(20), rng)
    assert torch.equal(rng.get_state(), before)
    examples.on(examples.background)
    assert not torch.equal(rng.get_state(), before)


def test_all_examples_of_a_source_are_held_out_together():
    source = torch.tensor([7, 3, 7, 9, 3, 11, 20, 21])
    found = held_out(source, 0.5)
    assert len(source[found].unique()) == 3
    assert not set(source[found].tolist()) & set(source[~found].tolist())
    assert torch.equal(held_out(source, 0.5), found)
    assert not held_out(source, 0.0).any()
    assert held_out(source, 1.0).all()


def test_pictures_of_the_body_move_with_the_dataset(load):
    digits = load("colored-digits").head(5)
    moved = dataclasses.replace(digits, body_train=digits.train).to(torch.device("meta"))
    assert moved.body_train.assignment.device.type == "meta"


@pytest.mark.parametrize(
    ("examples", "sizes"), [(0, [0]), (1, [1]), (69, [69]), (80, [80]), (135, [68, 67]), (161, [54, 54, 53])]
)
def test_batches_for_predictions_are_few_and_differ_by_one_example_at_most(examples, sizes):
    found = list(batches(random_variant(examples)))
    assert [len(index) for index in found] == sizes
    assert torch.equal(torch.cat(found), torch.arange(examples))


def test_batches_of_large_pictures_hold_fewer():
    front = Foregrounds(
        image=torch.zeros(1, 3, 1, 1).expand(3, 3, 2048, 1024),
        mask=torch.zeros(1, 1, 1, 1, dtype=torch.bool).expand(3, 1, 2048, 1024),
        label=torch.zeros(3, dtype=torch.int64),
        source=torch.arange(3),
        place=torch.zeros(3, dtype=torch.int64),
    )
    back = Backgrounds(torch.zeros(2, 3, 1, 1), torch.zeros(1, dtype=torch.int64), 1)
    assert [index.tolist() for index in batches(Variant(front, back, torch.zeros(3, dtype=torch.int64)))] == [
        [0, 1],
        [2],
    ]
