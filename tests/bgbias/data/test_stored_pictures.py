import torch

from bgbias.data.dataset import DeviceTransfer
from bgbias.data.masks import dilate
from bgbias.data.photographs.stored import PackedMasks, StoredPictures


def two_pictures():
    """Three rows of 1 x 2 pixels; the pictures are the last row and the first."""
    storage = torch.arange(24, dtype=torch.uint8).reshape(3, 1, 2, 4)
    return StoredPictures(storage, torch.tensor([2, 0]))


def test_pictures_are_addressed_through_their_rows():
    pictures = two_pictures()
    assert pictures.shape == (2, 3, 1, 2)
    found = pictures[torch.tensor([0, -1])]
    assert found[0].tolist() == [[[16, 20]], [[17, 21]], [[18, 22]]]
    assert found[1].tolist() == [[[0, 4]], [[1, 5]], [[2, 6]]]


def test_some_of_the_pictures_stay_in_the_same_storage():
    pictures = two_pictures()
    some = pictures.at(torch.tensor([1]))
    assert some.storage is pictures.storage
    assert len(some) == 1
    assert some[torch.tensor([0])][0, 0].tolist() == [[0, 4]]


def random_masks(n, height, width):
    return torch.rand(n, 1, height, width, generator=torch.Generator().manual_seed(0)) < 0.3


def test_packed_masks_unpack_to_what_they_were_whatever_their_width():
    for width in (7, 8, 21):
        mask = random_masks(5, 6, width)
        packed = PackedMasks.pack(mask)
        assert packed.storage.shape == (5, 6, -(-width // 8))
        assert packed.shape == mask.shape
        index = torch.tensor([4, 0, -2])
        assert torch.equal(packed[index], mask[index])
        assert torch.equal(packed.at(index)[torch.arange(3)], mask[index])


def test_one_bit_holds_one_pixel_the_leftmost_highest():
    mask = torch.tensor([1, 0, 0, 0, 0, 0, 0, 1, 1], dtype=torch.bool).reshape(1, 1, 1, 9)
    assert PackedMasks.pack(mask).storage.flatten().tolist() == [0b10000001, 0b10000000]


def test_packed_masks_dilate_as_plain_ones_do():
    mask = random_masks(300, 10, 11)
    packed = PackedMasks.pack(mask)
    assert torch.equal(dilate(packed, 2)[torch.arange(300)], dilate(mask, 2))
    assert dilate(packed, 0) is packed


def test_a_bank_without_room_stays_where_it_is_and_its_rows_travel():
    class Full(DeviceTransfer):
        def __init__(self):
            super().__init__(torch.device("meta"))
            self._room = 10

    moved = two_pictures().moved(Full())
    assert moved.storage.device.type == "cpu"
    assert moved.rows.device.type == "meta"


def test_what_is_shared_is_moved_once_and_stays_shared():
    to_device, pictures = DeviceTransfer(torch.device("meta")), two_pictures()
    assert pictures.moved(to_device).storage is pictures.at(torch.tensor([0])).moved(to_device).storage
