"""Augmented batches against torchvision's own transforms."""

import itertools
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
    draw_crops,
    finish_one_by_one,
    finish_together,
    for_each,
    jitter,
    one_thread,
    parts,
)
from bgbias.data.photographs.kernel import finish
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


def finished(front, bits, back, crop, *, whole=False, mirrored=False, factor=(1, 1, 1), order=(0, 1, 2)):
    """One picture of the bank's form, [H, W, 3] uint8 each, through the kernel: [3, H, W] float and [H, W] bool."""
    side = len(front)
    words = [np.concatenate([part, np.zeros_like(part[..., :1])], -1).view(np.uint32)[..., 0] for part in (front, back)]
    image, mask = np.empty((3, side, side), np.float32), np.empty((side, side), np.bool_)
    drawn = np.array(crop, np.int64), mirrored, np.array(factor, np.float32), np.array(order, np.int64)
    finish(words[0], np.packbits(bits, axis=-1), words[1], whole, *drawn, image, mask)
    return torch.from_numpy(image), torch.from_numpy(mask)


def bytes_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_a_whole_picture_is_the_front_where_its_mask_is_and_the_back_elsewhere():
    front, back, bits = bytes_of(9, 9, 3), bytes_of(9, 9, 3, seed=1), bytes_of(9, 9, seed=2) > 100
    image, mask = finished(front, bits, back, (0, 0, 9, 9))
    expected = np.where(bits[..., None], front, back).transpose(2, 0, 1)
    torch.testing.assert_close(image, torch.from_numpy(expected).float() / 255)
    assert torch.equal(mask, torch.from_numpy(bits))
    image, mask = finished(front, bits, back, (0, 0, 9, 9), whole=True, mirrored=True)
    torch.testing.assert_close(image, torch.from_numpy(front.transpose(2, 0, 1)).float().flip(-1) / 255)
    assert torch.equal(mask, torch.from_numpy(bits).flip(-1))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "crop", [(0, 0, 32, 32), (3, 2, 20, 27), (1, 0, 31, 32), (0, 20, 32, 5), (7, 7, 1, 9), (9, 1, 9, 1), (31, 31, 1, 1)]
)
def test_crops_are_scaled_and_mirrored_as_torch_does(crop, flip):
    top, left, height, width = crop
    front, bits = bytes_of(32, 32, 3), bytes_of(32, 32, seed=1) > 127
    image, mask = finished(front, bits, front, crop, mirrored=flip)
    layers = torch.cat([torch.from_numpy(front).float() / 255, torch.from_numpy(bits)[..., None].float()], dim=-1)
    cut = layers.permute(2, 0, 1)[None, :, top : top + height, left : left + width]
    expected = F.interpolate(cut, size=(32, 32), mode="bilinear", antialias=True)[0]
    expected = expected.flip(-1) if flip else expected
    torch.testing.assert_close(image, expected[:3], atol=1e-5, rtol=0)
    assert ((mask == (expected[3] >= 128 / 255)) | ((expected[3] - 128 / 255).abs() < 1e-5)).all()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_picture_is_coloured_as_torchvision_does_in_any_order(order):
    front = bytes_of(12, 12, 3)
    for factor in ((0.7, 1.4, 1.3), (1.3, 0.6, 0.7), (1.4, 1.4, 1.4)):
        image, _ = finished(front, np.ones((12, 12), bool), front, (0, 0, 12, 12), factor=factor, order=order)
        expected = torch.from_numpy(front).permute(2, 0, 1).float() / 255
        for step in order:
            expected = OPERATIONS[step](expected, factor[step])
        torch.testing.assert_close(image, expected, atol=2e-4, rtol=0)


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
        mirrored += int(((kept.image - plain.image).abs() > 1e-4).flatten(1).any(dim=1).sum())
    low, high = binom.interval(0.999, 540, 0.5)
    assert low <= mirrored <= high


def test_areas_are_uniform_and_ratios_log_uniform_where_crops_are_small():
    crop = draw_crops(N, 2000, 0.01, 4 / 3, torch.Generator().manual_seed(0)).double()
    area, ratio = crop[:, 2] * crop[:, 3] / 2000**2, crop[:, 3] / crop[:, 2]
    small = area < 0.5
    assert kstest(area[small].numpy(), "uniform", (0.01, 0.49)).pvalue > 1e-3
    reach = math.log(4 / 3)
    assert kstest(ratio[small].log().numpy(), "uniform", (-reach, 2 * reach)).pvalue > 1e-3
