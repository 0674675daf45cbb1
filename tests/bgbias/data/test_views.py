import pytest
import torch

from bgbias.data.datasets.pictures import Pictures
from bgbias.data.features import Encoder
from bgbias.data.views import frozen
from bgbias.randomness import stream
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND

INDEX = torch.tensor([5, 0, 7, 30])


class Counting:
    """A stand-in for a body: the mean of every channel, [B, C]; counts the pictures it sees."""

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += len(image)
        return image.mean(dim=(2, 3))


@pytest.fixture
def body():
    return Counting()


@pytest.fixture(scope="module")
def photographs(load):
    return load("imagenet9", size=32)


def examples(dataset, seed=0):
    return dataset.training_examples(INDEX, stream(seed, "draws"))


def means(variant, index, background=None):
    return variant.batch(index, background).image.mean(dim=(2, 3))


def test_own_backgrounds_are_features_of_the_plain_pictures(photographs, body):
    found = frozen(photographs, Encoder(body), views=1, swaps=2)
    seen = body.seen
    drawn = examples(found)
    torch.testing.assert_close(drawn.on(drawn.background).image, means(photographs.train, INDEX))
    torch.testing.assert_close(found.train.batch(INDEX).image, means(photographs.train, INDEX))
    for name, variant in photographs.test.items():
        torch.testing.assert_close(found.test[name].batch(INDEX[:2]).image, means(variant, INDEX[:2]))
    assert body.seen == seen


def test_another_background_is_one_of_its_place_and_the_same_each_time(photographs, body):
    found = frozen(photographs, Encoder(body), views=1, swaps=2)
    back = photographs.train.backgrounds
    asked = torch.tensor([3, 21, 40, 53])
    drawn = examples(found)
    batch = drawn.on(asked)
    assert torch.equal(batch.place, back.place[asked])
    assert torch.equal(drawn.on(asked).image, batch.image)
    for row, (index, place) in enumerate(zip(INDEX, back.place[asked], strict=True)):
        candidates = (back.place == place).nonzero()[:, 0]
        possible = means(photographs.train, index.repeat(len(candidates)), candidates)
        assert (possible - batch.image[row]).abs().amax(dim=1).min() < 1e-6
    seen = body.seen
    examples(found, seed=1).on(asked.flip(0))
    assert body.seen == seen


def test_each_place_has_so_many_backgrounds(photographs, body):
    found = frozen(photographs, Encoder(body), views=1, swaps=2)
    rows = torch.zeros(50, dtype=torch.int64)
    every = found.training_examples(rows, stream(0, "draws")).on(torch.arange(50) % 18)  # all of the first place
    assert (every.place == 0).all()
    assert len(every.image.unique(dim=0)) == 2


def test_views_are_augmented_and_drawn_at_random(photographs, body):
    found = frozen(photographs, Encoder(body), views=3, swaps=1)
    rows = torch.zeros(200, dtype=torch.int64)
    drawn = found.training_examples(rows, stream(0, "draws"))
    images = drawn.on(drawn.background).image
    views, count = images.unique(dim=0, return_counts=True)
    assert len(views) == 3
    assert count.min() > 40
    assert (views - means(photographs.train, rows[:1])).abs().amax(dim=1).min() > 1e-3
    assert torch.equal(drawn.on(drawn.background).image, images)


def test_black_and_its_own_background_are_made_when_asked(load, body):
    digits = load("colored-digits")
    found = frozen(digits, Encoder(body), views=1, swaps=1)
    drawn = examples(found)
    asked = drawn.background.clone()
    asked[1], asked[2] = NO_BACKGROUND, OWN_BACKGROUND
    torch.testing.assert_close(drawn.on(asked).image, means(digits.train, INDEX, asked))


def test_every_variant_has_its_own_file(table_folder, tmp_path, body):
    dataset = Pictures(size=32).load(table_folder)
    found = frozen(dataset, Encoder(body, "body", tmp_path), views=1, swaps=1)
    assert len(list(tmp_path.rglob("*.npy"))) == 1 + len(dataset.validation) + len(dataset.test)
    for name, variant in dataset.test.items():
        torch.testing.assert_close(found.test[name].batch(INDEX[:2]).image, means(variant, INDEX[:2]))


def test_swaps_are_computed_when_the_first_is_asked_for(photographs, body):
    found = frozen(photographs, Encoder(body), views=1, swaps=2)
    seen, n = body.seen, len(photographs.train)
    drawn = examples(found)
    drawn.on(drawn.background)
    assert body.seen == seen
    drawn.on(torch.zeros(4, dtype=torch.int64))
    assert body.seen == seen + n * 3 * 2
