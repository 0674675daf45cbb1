import torch

from bgbias.randomness import derive, stream

ORDER_SHA256 = "19cd16803fef73ea909be1bd0e4e2a3e942dad917a627eba164bafc69059e8b6"
"""Of the bytes `7/order/3`, from coreutils' sha256sum."""


def test_derive_is_the_first_63_bits_of_a_hash():
    assert derive(7, "order", 3) == int(ORDER_SHA256[:16], 16) // 2


def test_derive_depends_on_each_of_its_arguments():
    given = [(0, "order", 0), (1, "order", 0), (0, "draws", 0), (0, "order", 1), (10, "order", 0), (1, "order", 10)]
    assert len({derive(*arguments) for arguments in given}) == len(given)
    assert derive(0, "order") == derive(0, "order", 0)


def test_a_stream_repeats_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first, again, next_epoch = (torch.rand(5, generator=stream(0, "draws", step)) for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, next_epoch)
    assert torch.equal(torch.get_rng_state(), before)
