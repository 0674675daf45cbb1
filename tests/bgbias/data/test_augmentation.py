"""Augmented batches against torchvision's own transforms."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binom, ks_2samp, kstest
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as transforms

from bgbias.data.photographs.augmentation import (
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    Augmentation,
    Recipe,
    composed_layers,
    draw_crops,
    finish_one_by_one,
    finish_together,
    for_each,
    jitter,
    jitter_in_place,
    one_thread,
    parts,
    scaled_planes,
)
from bgbias.randomness import stream
from bgbias.types import OWN_BACKGROUND

SIDE, N = 224, 4000
OPERATIONS = {
    BRIGHTNESS: transforms.adjust_brightness,
    CONTRAST: transforms.adjust_contrast,
    SATURATION: transforms.adjust_saturation,
}


@pytest.fixture(scope="module")
def photographs(load):
    return load("imagenet9", size=32)


@pytest.fixture(scope="module")
def crops():
    """Ours and torchvision's: top, left, height, width of many pictures."""
    ours = draw_crops(N, SIDE, 0.08, 4 / 3, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    theirs = [RandomResizedCrop.get_params(torch.zeros(3, SIDE, SIDE), [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(N)]
    return ours, torch.tensor(theirs)


def test_crops_are_distributed_as_torchvisions(crops):
    ours, theirs = crops
    for column in range(4):
        assert ks_2samp(ours[:, column].numpy(), theirs[:, column].numpy()).pvalue > 1e-3


def test_crops_lie_in_the_picture(crops):
    top, left, height, width = crops[0].unbind(1)
    assert min(top.min(), left.min()) >= 0
    assert min(height.min(), width.min()) > 0
    assert (top + height).max() <= SIDE
    assert (left + width).max() <= SIDE


def test_a_crop_of_the_whole_is_the_whole():
    assert draw_crops(50, 40, 1.0, 1.0, torch.Generator().manual_seed(0)).unique(dim=0).tolist() == [[0, 0, 40, 40]]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_jitter_is_torchvisions_in_that_order(order):
    image = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    factor = 0.2 + 1.6 * torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    expected = image
    for step in order:
        expected = torch.stack(
            [OPERATIONS[step](one, f.item()) for one, f in zip(expected, factor[:, step], strict=True)]
        )
    before = image.clone()
    found = jitter(image, factor, torch.tensor([order] * 6))
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
    assert torch.equal(image, before)
    for one, its_factor, goal in zip(image, factor.tolist(), expected, strict=True):
        jitter_in_place(one, its_factor, order)
        torch.testing.assert_close(one, goal, atol=2e-4, rtol=0)


def recipe(n, side, seed=0, min_scale=0.3):
    rng = torch.Generator().manual_seed(seed)
    return Recipe(
        crop=draw_crops(n, side, min_scale, 4 / 3, rng),
        flip=torch.rand(n, generator=rng) < 0.5,
        factor=0.6 + 0.8 * torch.rand(n, 3, generator=rng),
        order=torch.rand(n, 3, generator=rng).argsort(dim=1),
    )


def plain_recipe(crop, flip):
    n = len(crop)
    return Recipe(crop, flip, torch.ones(n, 3), torch.arange(3).expand(n, 3))


def test_a_picture_is_composed_cropped_scaled_and_mirrored(photographs):
    train, n = photographs.train, 30
    index, background = torch.arange(n), torch.arange(n).flip(0)
    drawn = recipe(n, 32)
    image, mask = finish_one_by_one(
        *parts(train.foregrounds, train.backgrounds), index, background, plain_recipe(drawn.crop, drawn.flip)
    )
    whole = train.batch(index, background)
    for i, (top, left, height, width) in enumerate(drawn.crop.tolist()):
        expected = transforms.resized_crop(whole.image[i], top, left, height, width, [32, 32], antialias=True)
        expected = expected.flip(-1) if drawn.flip[i] else expected
        torch.testing.assert_close(image[i], expected, atol=2 / 255, rtol=0)
        shown = transforms.resized_crop(whole.mask[i].float(), top, left, height, width, [32, 32], antialias=True)
        shown = shown.flip(-1) if drawn.flip[i] else shown
        assert ((shown > 0.52) <= mask[i]).all()
        assert ((shown < 0.48) <= ~mask[i]).all()


def test_one_by_one_and_all_together_agree(photographs):
    train, n = photographs.train, 54
    index = torch.arange(n)
    background = torch.where(index % 3 == 0, OWN_BACKGROUND, index.flip(0))
    stored, drawn = parts(train.foregrounds, train.backgrounds), recipe(n, 32)
    image, mask = finish_one_by_one(*stored, index, background, drawn)
    other_image, other_mask = finish_together(*stored, index, background, drawn)
    torch.testing.assert_close(image, other_image, atol=4 / 255, rtol=0)
    assert (mask != other_mask).float().mean() < 1e-3


def test_layers_are_the_composed_pixels_and_the_mask():
    front, back = (np.array([[low, high]], np.uint32).view(np.int32) for low, high in ((1, 2), (0x030201, 0x060504)))
    layers = composed_layers(front, np.array([[1, 0]], np.uint8), back)
    assert layers.tolist() == [[[1, 0, 0, 255], [4, 5, 6, 0]]]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 27), (31, 32), (32, 5), (1, 9), (9, 1), (1, 1), (40, 35)])
def test_layers_are_scaled_as_separate_planes_are(height, width, flip):
    layers = torch.randint(256, (height, width, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    planes = layers.permute(2, 0, 1).contiguous()[None]
    expected = F.interpolate(planes, size=(32, 32), mode="bilinear", antialias=True)[0]
    found = scaled_planes(layers.numpy(), 32, flip)
    assert torch.equal(found, expected.flip(-1) if flip else expected)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_the_number_of_threads_changes_nothing(photographs, request):
    train = photographs.train
    stored, index, drawn = parts(train.foregrounds, train.backgrounds), torch.arange(54), recipe(54, 32)
    alone, batch_alone = finish_one_by_one(*stored, index, index, drawn), batch(photographs, 0)
    request.getfixturevalue("two_threads")
    together, batch_together = finish_one_by_one(*stored, index, index, drawn), batch(photographs, 0)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(alone[1], together[1])
    assert torch.equal(batch_alone.image, batch_together.image)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_two_threads_share_the_work(n):
    done = []
    for_each(done.append, n)
    assert Counter(done) == Counter(range(n))


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        for_each(lambda i: 1 // (i - 3), 5)


def fail_on_one_thread():
    with one_thread():
        raise ValueError(f"{torch.get_num_threads()} thread")


@pytest.mark.usefixtures("two_threads")
def test_one_thread_gives_back_the_others_after_an_error_too():
    with pytest.raises(ValueError, match=r"^1 thread$"):
        fail_on_one_thread()
    assert torch.get_num_threads() == 2


def batch(photographs, seed, **changes):
    settings = {"min_scale": 0.3, "max_ratio": 4 / 3, "flip": 0.5, "jitter": 0.4, **changes}
    dataset = replace(photographs, augmentation=Augmentation(**settings))
    return dataset.training_examples(torch.arange(54), stream(seed, "draws")).on(photographs.train.assignment)


def test_a_batch_repeats_from_its_seed_and_differs_with_another(photographs):
    found, again, other = (batch(photographs, seed) for seed in (0, 0, 1))
    assert torch.equal(found.image, again.image)
    assert not torch.equal(found.image, other.image)
    assert found.image.min() >= 0
    assert found.image.max() <= 1
    assert torch.equal(found.label, photographs.train.foregrounds.label)


def test_without_any_change_the_pictures_are_those_of_the_bank(photographs):
    found = batch(photographs, 0, min_scale=1.0, max_ratio=1.0, flip=0.0, jitter=0.0)
    plain = photographs.train.batch(torch.arange(54))
    torch.testing.assert_close(found.image, plain.image)
    assert torch.equal(found.mask, plain.mask)


def test_half_of_the_pictures_are_mirrored(photographs):
    mirrored = 0
    for seed in range(10):
        kept = batch(photographs, seed, min_scale=1.0, max_ratio=1.0, jitter=0.0)
        plain = photographs.train.batch(torch.arange(54))
        mirrored += int((kept.image != plain.image).flatten(1).any(dim=1).sum())
    low, high = binom.interval(0.999, 540, 0.5)
    assert low <= mirrored <= high


def test_areas_are_uniform_and_ratios_log_uniform_where_crops_are_small():
    crop = draw_crops(N, 2000, 0.01, 4 / 3, torch.Generator().manual_seed(0)).double()
    area, ratio = crop[:, 2] * crop[:, 3] / 2000**2, crop[:, 3] / crop[:, 2]
    small = area < 0.5
    assert kstest(area[small].numpy(), "uniform", (0.01, 0.49)).pvalue > 1e-3
    reach = math.log(4 / 3)
    assert kstest(ratio[small].log().numpy(), "uniform", (-reach, 2 * reach)).pvalue > 1e-3
