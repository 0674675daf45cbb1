import csv
import hashlib
import shutil

import numpy as np
import pytest
import torch
from made_tables import COUNTS, write_table
from PIL import Image

from bgbias.components import make
from bgbias.data.datasets import datasets
from bgbias.data.fingerprint import fingerprint
from bgbias.data.photographs.mixing import beside_box
from bgbias.data.photographs.tiling import background_of
from bgbias.errors import DataError, SettingError
from bgbias.types import NO_BACKGROUND, OWN_BACKGROUND

EVERY = ["original", "mixed_same", "mixed_rand", "only_fg", "only_bg_t"]


def pictures(folder, **options):
    return make(datasets["pictures"], {"size": 32, **options}, "dataset").load(folder)


def rows(folder):
    with (folder / "metadata.csv").open(newline="") as opened:
        return list(csv.reader(opened))


def rewrite(folder, changed):
    with (folder / "metadata.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows(changed)


@pytest.fixture
def own(tmp_path):
    """A folder to change."""
    return write_table(tmp_path)


def test_groups_are_those_of_the_table(table_folder):
    found = pictures(table_folder)
    assert found.training_groups.tolist() == [[9, 3, 0], [3, 9, 0]]
    for split, variants in ((1, found.validation), (2, found.test)):
        assert variants["original"].group.bincount(minlength=6).tolist() == [
            *COUNTS[split][:2],
            0,
            *COUNTS[split][2:],
            0,
        ]
    assert (found.train.assignment == OWN_BACKGROUND).all()


def test_pictures_are_those_of_the_files(table_folder):
    found = pictures(table_folder)
    name = found.source_names[int(found.test["original"].foregrounds.source[5])]
    expected = np.asarray(Image.open(table_folder / name)).transpose(2, 0, 1)
    image = found.test["original"].batch(torch.tensor([5])).image[0]
    np.testing.assert_allclose(255 * image.numpy(), expected, atol=1e-3)


def test_variants_move_objects_to_the_places_of_their_names(table_folder):
    found = pictures(table_folder)
    assert list(found.test) == list(found.validation) == EVERY
    n = len(found.test["original"])
    batches = {name: variant.batch(torch.arange(n)) for name, variant in found.test.items()}
    assert torch.equal(batches["mixed_same"].place, batches["original"].place)
    assert (batches["mixed_rand"].place != batches["original"].place).any()
    assert (batches["only_fg"].place == NO_BACKGROUND).all()
    assert torch.equal(batches["only_bg_t"].place, batches["original"].place)
    mask = batches["original"].mask.expand(-1, 3, -1, -1)
    for name in ("mixed_same", "mixed_rand", "only_fg"):
        assert torch.equal(batches[name].image[mask], batches["original"].image[mask])
    assert not batches["only_fg"].image[~mask].any()
    outside = beside_box(batches["original"].mask).expand(-1, 3, -1, -1)
    assert torch.equal(batches["only_bg_t"].image[outside], batches["original"].image[outside])
    assert (batches["only_bg_t"].image[mask] != batches["original"].image[mask]).float().mean() > 0.9


def test_without_masks_pictures_are_all_object_and_stand_on_their_own_background(own):
    shutil.rmtree(own / "masks")
    found = pictures(own)
    assert not found.has_masks
    assert list(found.test) == ["original"]
    assert found.gaps == {}
    assert found.train.batch(torch.arange(4)).mask.all()
    assert len(found.train.backgrounds) == 0
    with pytest.raises(DataError, match="there is no folder of masks"):
        pictures(own, masks="outlines")


def test_masks_can_be_left_aside_or_named_in_the_table(own):
    assert not pictures(own, masks=None).has_masks
    header, *others = rows(own)
    named = [
        [*header, "mask"],
        *([*row, "outlines/" + row[1].replace(".jpg", ".png") if i % 2 else ""] for i, row in enumerate(others)),
    ]
    (own / "masks").rename(own / "outlines")
    rewrite(own, named)
    assert len(pictures(own, mask_column="mask").train.backgrounds) == 12
    assert len(pictures(own, mask_column="mask", masks="outlines").train.backgrounds) == 24


def test_of_pictures_with_and_without_masks_those_with_masks_are_moved_alone(own):
    gone = [file for file in sorted((own / "masks").rglob("*.png")) if file.stem.endswith("_1")]
    for file in gone:
        file.unlink()
    found = pictures(own)
    assert len(found.train) == 24
    assert len(found.train.backgrounds) == 20
    share = found.train.batch(torch.arange(24)).mask.float().mean(dim=(1, 2, 3))
    assert ((share[:20] > 0) & (share[:20] < 1)).all()
    assert (share[20:] == 1).all()
    assert (len(found.test["original"]), len(found.test["mixed_rand"])) == (16, 12)


def test_a_mask_without_object_in_the_cut_counts_as_none(own):
    file = own / "masks" / (rows(own)[1][1].replace(".jpg", ".png"))
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(file)
    found = pictures(own)
    assert len(found.train.backgrounds) == 23
    assert found.train.batch(torch.tensor([23])).mask.all()


def test_a_soft_mask_is_object_from_half_of_its_highest_value(own):
    file = own / "masks" / (rows(own)[1][1].replace(".jpg", ".png"))
    soft = np.zeros((32, 32), np.uint8)
    soft[8:16, 8:16], soft[8:16, 16:20], soft[8:16, 20:24] = 255, 128, 127
    Image.fromarray(soft).save(file)
    mask = pictures(own).train.batch(torch.tensor([0])).mask[0, 0]
    assert mask.sum() == 8 * 12


def test_stretched_pictures_lose_their_rim_on_all_sides(own):
    name = rows(own)[1][1]
    wide = np.zeros((56, 112, 3), np.uint8)
    wide[:, :56] = 200
    Image.fromarray(wide).save((own / name), quality=100)
    Image.fromarray(np.where(wide[..., 0] > 0, 255, 0).astype(np.uint8)).save(
        own / "masks" / name.replace(".jpg", ".png")
    )
    for fit in ("centre", "stretched"):
        batch = pictures(own, size=56, fit=fit).train.batch(torch.tensor([0]))
        assert batch.mask[0, 0].float().mean() == pytest.approx(0.5, abs=0.02)
    assert not pictures(own, size=56, fit="stretched").train.batch(torch.tensor([0])).mask[0, 0, :, 30:].any()


def test_where_no_validation_picture_is_named_a_share_of_each_group_is_held_out(own):
    header, *others = rows(own)
    rewrite(own, [header, *([*row[:3], "0" if row[3] == "1" else row[3], *row[4:]] for row in others)])
    found = pictures(own, validation_share=0.25)
    assert found.validation["original"].group.bincount(minlength=5).tolist() == [3, 2, 0, 1, 3]
    assert len(found.train) == 27
    again = pictures(own, validation_share=0.25)
    assert torch.equal(again.train.foregrounds.source, found.train.foregrounds.source)


def test_the_table_is_part_of_what_tells_the_data_from_other_data(table_folder):
    digest = hashlib.sha256((table_folder / "metadata.csv").read_bytes()).hexdigest()
    found = pictures(table_folder)
    assert found.files == {"metadata.csv": digest}
    assert fingerprint(found)["file metadata.csv"] == f"sha256 {digest}"


def test_missing_and_broken_files_are_named_or_skipped(own):
    first, second = (own / row[1] for row in rows(own)[1:3])
    first.unlink()
    with pytest.raises(DataError, match=rf"1 fault in .*: picture .*{first.name} is missing: fix them"):
        pictures(own)
    second.write_bytes(second.read_bytes()[:100])
    shutil.copy(own / rows(own)[4][1], first)
    with pytest.raises(DataError, match=rf"{second.name} cannot be read"):
        pictures(own)
    first.unlink()
    assert len(pictures(own, faulty="skip").train) == 22


def test_a_mask_of_another_shape_is_named(own):
    file = own / "masks" / (rows(own)[1][1].replace(".jpg", ".png"))
    Image.fromarray(np.full((10, 20), 255, np.uint8)).save(file)
    told = rf"mask .*{file.name} cannot be used \(it has the shape 10 x 20, but its picture is \(32, 32\)"
    with pytest.raises(DataError, match=told):
        pictures(own)


def test_a_folder_of_other_masks_is_refused(own):
    shutil.rmtree(own / "masks")
    (own / "masks").mkdir()
    with pytest.raises(DataError, match=r"holds no mask of the 52 pictures, such as .*\.png"):
        pictures(own)


def test_a_class_without_training_pictures_and_a_table_without_test_are_refused(own):
    header, *others = rows(own)
    rewrite(own, [header, *(row for row in others if not (row[2] == "1" and row[3] == "0"))])
    with pytest.raises(DataError, match=r"no training picture in .* is of class '1'"):
        pictures(own)
    rewrite(own, [header, *(row for row in others if row[3] != "2")])
    with pytest.raises(DataError, match="has no test picture"):
        pictures(own)


def test_a_folder_must_be_given():
    with pytest.raises(DataError, match="pictures needs --data DIR"):
        pictures(None)
    with pytest.raises(SettingError, match="dataset has no field 'colums'"):
        make(datasets["pictures"], {"colums": "a"}, "dataset")


def test_behind_a_wide_object_each_pixel_is_that_of_the_nearest_background():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)[..., None].repeat(3, axis=2)
    mask = np.ones((3, 4), bool)
    mask[0, 0] = mask[2, 3] = False
    found = background_of(image, mask)[..., 0]
    assert found[0].tolist() == [0, 0, 0, 11]
    assert found[2, 3] == 11
    tiled = mask.copy()
    tiled[:, 0] = False
    assert (background_of(image, tiled)[:, 1:3, 0] == image[:, :1, 0]).all()
    for wrong in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        with pytest.raises(ValueError, match="its mask"):
            background_of(image, wrong)
