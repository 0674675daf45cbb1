"""Whole builds of small made-up pictures."""

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
from filelock import FileLock
from made_sources import CLASSES, EACH, write_sources
from PIL import Image, ImageOps

from bgbias.data.datasets.imagenet9 import Imagenet9
from bgbias.data.photographs import layout
from bgbias.errors import DataError, SettingError
from bgbias.prepare.build import cutting, variants, writing
from bgbias.prepare.build.build import FaultySourcesError, build
from bgbias.prepare.build.check import check as check_folder
from bgbias.prepare.build.cut import Cut, cut
from bgbias.prepare.build.files import jpeg
from bgbias.prepare.build.settings import BuildSettings
from bgbias.prepare.build.sources import find_sources

RATIOS = (0.34, 0.33, 0.33)
SIZE = 32
ENCODERS_ERROR = 4
"""Mean over a picture of what JPEG at quality 95 changes, in grey levels of 255; the made pictures are noisy."""


@pytest.fixture(scope="module")
def source_folder(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def sources(source_folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(source_folder, tmp_path / "sources")


@pytest.fixture(scope="module")
def built(source_folder, tmp_path_factory):
    """A whole build, and its manifest."""
    out = tmp_path_factory.mktemp("built") / "out"
    return out, made(source_folder, out)


def settings(root, **changed):
    given = {"images": root / "images", "masks": root / "masks", "size": SIZE, "seed": 1, "ratios": RATIOS}
    return BuildSettings(**{**given, **changed})


def made(root, out, workers=2, skip_bad=False, **changed):
    return build(settings(root, **changed), out, workers, skip_bad)


def contents(out):
    return {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def pixels(path):
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert picture.info.get("progressive") is None
        return np.asarray(picture).astype(int)


def test_every_variant_of_every_kept_picture_lies_in_the_layout(built):
    out, manifest = built
    assert manifest["classes"] == list(CLASSES)
    assert manifest["counts"] == {split: dict.fromkeys(CLASSES, 2) for split in layout.SPLITS}
    sources = []
    for split in layout.SPLITS:
        for class_name in CLASSES:
            files = {
                part: sorted(f.name for f in (layout.split_folder(out, part, split) / class_name).iterdir())
                for part in (*layout.VARIANTS, layout.FG_MASK)
            }
            names = [name.removesuffix(".JPEG") for name in files[layout.ORIGINAL]]
            sources += names
            for part in (layout.ONLY_FG, layout.NO_FG, layout.ONLY_BG_B, layout.ONLY_BG_T):
                assert files[part] == files[layout.ORIGINAL]
            assert files[layout.FG_MASK] == [f"{name}.npy" for name in names]
            for variant in layout.MIXED:
                pairs = [layout.mixed_sources(name.removesuffix(".JPEG")) for name in files[variant]]
                assert [front for front, _ in pairs] == names
                assert all(front != back for front, back in pairs)
    assert sorted(sources) == sorted(f"{name}_{index}" for name in CLASSES for index in range(EACH))


def test_backgrounds_come_from_the_class_asked_for_in_the_same_split(built):
    out, _ = built
    following = dict(zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True))
    for split in layout.SPLITS:
        originals = {f.stem: f.parent.name for f in layout.split_folder(out, layout.ORIGINAL, split).rglob("*.JPEG")}
        for variant in layout.MIXED:
            for file in layout.split_folder(out, variant, split).rglob("*.JPEG"):
                front, back = layout.mixed_sources(file.stem)
                assert originals[front] == file.parent.name
                if variant == layout.MIXED_SAME:
                    assert originals[back] == file.parent.name
                if variant == layout.MIXED_NEXT:
                    assert originals[back] == following[file.parent.name]
                assert back in originals


def test_pictures_are_what_the_masks_say_within_the_encoders_error(built, source_folder):
    """Exactly so before they were encoded: each file holds the encoded exact pixels."""
    out, _ = built
    found = find_sources(source_folder / "images", {name: name for name in CLASSES}, source_folder / "masks", None, 100)
    cuts = {source.name: cut(source, SIZE) for source in found.sources}
    for split in layout.SPLITS:
        for file in layout.split_folder(out, layout.FG_MASK, split).rglob("*.npy"):
            mask, exact = np.load(file), cuts[file.stem]
            assert isinstance(exact, Cut)
            assert mask.dtype == bool
            assert np.array_equal(mask, exact.mask)

            def path(variant, name, file=file, split=split):
                return layout.split_folder(out, variant, split) / file.parent.name / f"{name}.JPEG"

            original = path(layout.ORIGINAL, file.stem)
            assert original.read_bytes() == jpeg(exact.image)
            assert np.abs(pixels(original) - exact.image).mean() < ENCODERS_ERROR
            only, rest = (pixels(path(part, file.stem)) for part in (layout.ONLY_FG, layout.NO_FG))
            assert np.abs(only + rest - pixels(original)).mean() < 2 * ENCODERS_ERROR
            assert only[~mask].mean() < ENCODERS_ERROR
            assert rest[mask].mean() < ENCODERS_ERROR
            for variant in layout.MIXED:
                (mixed,) = path(variant, "x").parent.glob(f"fg_{file.stem}_bg_*")
                donor = cuts[layout.mixed_sources(mixed.stem)[1]]
                tile = variants.only_bg_t(donor.image, donor.box)
                expected = variants.mixed(exact.image, mask, tile)
                assert np.array_equal(expected[mask], exact.image[mask])
                assert np.array_equal(expected[~mask], tile[~mask])
                assert mixed.read_bytes() == jpeg(expected)
                assert np.abs(pixels(mixed) - expected).mean() < ENCODERS_ERROR


def test_pictures_keep_their_whole_color_resolution(built):
    with Image.open(next((built[0] / layout.ORIGINAL).rglob("*.JPEG"))) as picture:
        assert [component[1:3] for component in picture.layer] == [(1, 1)] * 3


def test_the_manifest_tells_all_and_the_checksums_hold(built):
    out, manifest = built
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert manifest["build"]["settings"]["seed"] == 1
    assert manifest["build"]["settings"]["ratios"] == list(RATIOS)
    assert manifest["build"]["sources"]["number"] == 3 * EACH
    assert {"pillow", "opencv", "numpy"} <= manifest["build"]["versions"].keys()
    assert manifest["rejected"] == manifest["skipped"] == {}
    assert manifest["odd"] == []
    listed = (out / "files.sha256").read_bytes()
    assert manifest["files"] == {"number": 9 * 3 * EACH, "sha256": hashlib.sha256(listed).hexdigest()}
    names = [line.split("  ")[1] for line in listed.decode().splitlines()]
    assert names == sorted(names)
    checked = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "files.sha256"], cwd=out, check=False)
    assert checked.returncode == 0
    assert {entry.name for entry in out.iterdir()} == {
        *layout.VARIANTS,
        layout.FG_MASK,
        layout.RELEASE,
        "manifest.json",
        "files.sha256",
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_another_build_gives_the_same_bytes(built, source_folder, tmp_path, workers):
    made(source_folder, tmp_path / "out", workers)
    assert contents(tmp_path / "out") == contents(built[0])


def test_another_seed_gives_other_splits_and_the_same_originals(built, source_folder, tmp_path):
    made(source_folder, tmp_path / "out", seed=2)
    first, second = contents(built[0]), contents(tmp_path / "out")
    assert first.keys() != second.keys()

    def originals(files):
        return {path.name: data for path, data in files.items() if path.parts[-4:-2] == (layout.ORIGINAL, "train")}

    shared = originals(first).keys() & originals(second).keys()
    assert {name: originals(first)[name] for name in shared} == {name: originals(second)[name] for name in shared}


def test_boxes_build_the_same_pictures_with_masks_that_grabcut_found(built, source_folder, tmp_path):
    boxed = made(source_folder, tmp_path / "out", masks=None, boxes=source_folder / "boxes.csv")
    assert boxed["counts"] == built[1]["counts"]
    for file in (tmp_path / "out").rglob("*.npy"):
        given, found = np.load(built[0] / file.relative_to(tmp_path / "out")), np.load(file)
        assert (given & found).sum() / (given | found).sum() > 0.8
    for part in (layout.ORIGINAL, layout.ONLY_BG_B):
        for file in (tmp_path / "out" / part).rglob("*.JPEG"):
            difference = np.abs(pixels(file) - pixels(built[0] / file.relative_to(tmp_path / "out")))
            assert difference.mean() < (1 if part == layout.ORIGINAL else 15)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [(cutting, "cut", 0), (cutting, "cut", 7), (writing, "crop", 0), (writing, "crop", 7), (writing, "crop", 20)],
)
def test_a_stopped_build_goes_on_and_ends_the_same(built, source_folder, tmp_path, monkeypatch, module, name, after):
    """A source is cut once; of a kept one its own crop and three backgrounds are read once, and then not again."""
    called = []
    real = getattr(module, name)

    def dies(source, *how):
        called.append(source.key)
        if len(called) > after:
            raise StoppedError
        return real(source, *how)

    out = tmp_path / "out"
    monkeypatch.setattr(module, name, dies)
    with pytest.raises(StoppedError):
        made(source_folder, out, workers=1)
    assert not (out / "manifest.json").exists()
    verdicts = out / ".build" / "verdicts.jsonl"
    verdicts.write_bytes(verdicts.read_bytes() + b'{"source": "ant/a')  # as a killed process leaves it

    called.clear()
    monkeypatch.setattr(module, name, lambda source, *how: called.append(source.key) or real(source, *how))
    made(source_folder, out, workers=1)
    assert contents(out) == contents(built[0])
    assert len(called) == (18 - after if module is cutting else 4 * (18 - after // 4))


def test_a_whole_build_is_left_alone(source_folder, tmp_path):
    first = made(source_folder, tmp_path / "out")
    (tmp_path / "out" / ".banks").mkdir()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    assert made(source_folder, tmp_path / "out", workers=1) == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")} == before


def test_another_builds_folder_is_refused(built, source_folder):
    with pytest.raises(SettingError, match="has settings/seed = 1 and settings/seed = 2 was asked for: give another"):
        made(source_folder, built[0], seed=2)
    with pytest.raises(SettingError, match="has settings/size = 32 and settings/size = 24 was asked for"):
        made(source_folder, built[0], size=24)


def test_a_begun_builds_folder_is_refused_to_another(source_folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(writing, "crop", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made(source_folder, tmp_path / "out")
    with pytest.raises(SettingError, match="settings/seed = 2 was asked for"):
        made(source_folder, tmp_path / "out", seed=2)
    (tmp_path / "out" / "notes").touch()
    with pytest.raises(SettingError, match="holds 'notes': give another --out, or move it away"):
        made(source_folder, tmp_path / "out")


def test_foreign_files_are_refused(source_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(SettingError, match=r"must be empty or hold the same build, but .* holds 'mine\.txt'"):
        made(source_folder, tmp_path / "out")
    with pytest.raises(SettingError, match="must be a folder"):
        made(source_folder, tmp_path / "out" / "mine.txt")
    assert contents(tmp_path / "out").keys() == {(tmp_path / "out" / "mine.txt").relative_to(tmp_path / "out")}


def test_foreign_files_among_the_pictures_are_refused(source_folder, tmp_path):
    (tmp_path / "out" / ".build").mkdir(parents=True)
    head = settings(source_folder).head([])
    (tmp_path / "out" / ".build" / "head.json").write_text(json.dumps(head))
    with pytest.raises(SettingError, match="sources/number = 0"):
        made(source_folder, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out" / ".build").mkdir(parents=True)
    found = find_sources(source_folder / "images", {name: name for name in CLASSES}, source_folder / "masks", None, 100)
    head = settings(source_folder).head(found.sources)
    (tmp_path / "out" / ".build" / "head.json").write_text(json.dumps(head))
    (tmp_path / "out" / layout.ORIGINAL).mkdir()
    (tmp_path / "out" / layout.ORIGINAL / "mine.JPEG").touch()
    with pytest.raises(DataError, match=r"original/mine.JPEG is not of this build: move it away"):
        made(source_folder, tmp_path / "out")


def test_two_processes_do_not_build_in_one_folder(source_folder, tmp_path):
    (tmp_path / "out" / ".build").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / ".build" / "lock"),
        pytest.raises(SettingError, match="another process is building in"),
    ):
        made(source_folder, tmp_path / "out")


def test_an_output_folder_in_the_sources_is_refused(source_folder):
    with pytest.raises(SettingError, match="--out must not lie in what is read"):
        made(source_folder, source_folder / "images" / "out")


def test_faulty_sources_stop_a_build_unless_they_may_be_skipped(sources, tmp_path):
    (sources / "masks" / "ant" / "ant_0.png").unlink()
    with pytest.raises(FaultySourcesError, match=r"but 1 cannot be used \(ant/ant_0: no mask\): fix them, or leave"):
        made(sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()

    (sources / "images" / "bee" / "bee_3.png").write_bytes(b"junk")
    ratios = (0.5, 0.0, 0.5)
    with pytest.raises(FaultySourcesError) as caught:
        made(sources, tmp_path / "other", ratios=ratios, masks=None, boxes=sources / "boxes.csv")
    assert caught.value.faults == {"bee/bee_3": "it is no picture"}

    manifest = made(sources, tmp_path / "out", skip_bad=True, ratios=ratios)
    assert manifest["skipped"] == {"ant/ant_0": "no mask", "bee/bee_3": "it is no picture"}
    assert sum(manifest["counts"]["train"].values()) + sum(manifest["counts"]["test"].values()) == 3 * EACH - 2
    assert list(manifest["counts"]) == ["train", "test"]
    assert not (tmp_path / "out" / layout.ORIGINAL / layout.VAL).exists()


def test_a_build_stopped_by_faults_goes_on_without_them_or_with_them_mended(sources, tmp_path):
    ratios, picture = (0.5, 0.0, 0.5), sources / "images" / "bee" / "bee_3.png"
    whole = picture.read_bytes()
    picture.write_bytes(b"junk")
    for out in ("skipped", "fixed"):
        with pytest.raises(FaultySourcesError, match="bee/bee_3: it is no picture"):
            made(sources, tmp_path / out, ratios=ratios)
    assert "bee/bee_3" in made(sources, tmp_path / "skipped", ratios=ratios, skip_bad=True)["skipped"]
    picture.write_bytes(whole)
    assert made(sources, tmp_path / "fixed", ratios=ratios)["skipped"] == {}


def test_rejected_pictures_are_named_with_the_rule_they_broke(sources, tmp_path):
    Image.new("L", (48, 40), 255).save(sources / "masks" / "cat" / "cat_2.png")
    corner = Image.new("L", (48, 40))
    corner.paste(255, (0, 0, 6, 4))
    corner.save(sources / "masks" / "cat" / "cat_4.png")
    manifest = made(sources, tmp_path / "out", ratios=(0.5, 0.0, 0.5))
    assert manifest["rejected"] == {
        "cat/cat_2": {"rule": "box at most 90 % of the centre crop", "value": 1.0},
        "cat/cat_4": {"rule": "at least 50 % of the box inside the centre crop", "value": 0.3684},
    }
    assert manifest["counts"] == {split: {"ant": 3, "bee": 3, "cat": 2} for split in ("train", "test")}


def test_too_few_pictures_are_refused(source_folder, tmp_path):
    with pytest.raises(
        DataError, match="every class needs 2 kept pictures in each split to be mixed, but ant has 1 in val"
    ):
        made(source_folder, tmp_path / "out", ratios=(0.5, 0.1, 0.4))


def test_inverted_masks_are_guessed_with_the_counts_by_rule(sources, tmp_path):
    for file in (sources / "masks").rglob("*.png"):
        with Image.open(file) as mask:
            inverted = mask.point(lambda value: 255 - value)
        inverted.save(file)
    with pytest.raises(DataError) as caught:
        made(sources, tmp_path / "out")
    assert "but ant has 0 in train, bee has 0 in train, cat has 0 in train, ant has 0 in val" in str(caught.value)
    assert (
        "(rejected by the rule 'box at most 90 % of the centre crop': 18 of 18; "
        "18 of 18 masks cover more than half of the picture's border: inverted?)"
    ) in str(caught.value)


def test_one_round_of_messages_names_all_faults(sources, tmp_path):
    (sources / "masks" / "ant" / "ant_0.png").unlink()
    (sources / "images" / "ant" / "fg_x.png").write_bytes(b"junk")
    (sources / "images" / "bee" / "bee_3.png").write_bytes(b"junk")
    Image.new("L", (48, 40)).save(sources / "masks" / "cat" / "cat_1.png")
    Image.new("L", (9, 9), 1).save(sources / "masks" / "cat" / "cat_2.png")
    with pytest.raises(FaultySourcesError) as caught:
        made(sources, tmp_path / "out")
    assert {where: why.partition(",")[0] for where, why in caught.value.faults.items()} == {
        "ant/fg_x": "its name begins with fg_ or bg_",
        "ant/ant_0": "no mask",
        "bee/bee_3": "it is no picture",
        "cat/cat_1": "its mask is empty",
        "cat/cat_2": "its mask of 9 x 9 pixels does not fit the picture of 48 x 40",
    }
    assert not (tmp_path / "out").exists()


def test_phone_pictures_of_one_name_are_built_read_and_sound(sources, tmp_path):
    """Lying pictures called alike in each class, one name too long to be joined, masks in one folder in capitals."""
    masks = tmp_path / "flat"
    masks.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for class_name in CLASSES:
        for number in range(EACH):
            name = f"IMG_{number:04}" if number else f"{class_name} {'long ' * 45}"
            own, mask = (sources / kind / class_name / f"{class_name}_{number}.png" for kind in ("images", "masks"))
            with Image.open(own) as picture:
                lying = picture.transpose(Image.Transpose.ROTATE_90)
            lying.save(own.with_name(f"{name}.JPG"), quality=95, exif=exif)
            own.unlink()
            mask.rename(masks / f"{class_name}-{name}.PNG" if number else masks / f"{name}.PNG")
    manifest = made(sources, tmp_path / "out", masks=masks)
    assert manifest["skipped"] == manifest["rejected"] == {}
    assert manifest["counts"] == {split: dict.fromkeys(CLASSES, 2) for split in layout.SPLITS}
    report = check_folder(tmp_path / "out", 1)
    assert report.is_sound
    assert report.remarks == []
    dataset = Imagenet9(size=SIZE).load(tmp_path / "out")
    assert {name.partition("-")[0] for name in dataset.source_names if "IMG" in name} == {
        f"{class_name}/{class_name}" for class_name in CLASSES
    }
    for variant in layout.MIXED:
        assert len(dataset.test[variant]) == 6


def test_a_void_value_is_left_out_of_the_objects(sources, tmp_path):
    for file in (sources / "masks").rglob("*.png"):
        with Image.open(file) as mask:
            ringed = ImageOps.expand(mask.point(lambda value: value and 15).crop((1, 1, 47, 39)), 1, fill=255)
        ringed.save(file)
    assert made(sources, tmp_path / "out", void=255)["rejected"] == {}
    with pytest.raises(DataError, match="cover more than half of the picture's border"):
        made(sources, tmp_path / "other")


def test_a_picture_that_vanishes_meanwhile_is_named(sources, tmp_path, monkeypatch):
    real = cutting.cut

    def vanish(source, *how):
        found = real(source, *how)
        if source.name == "ant_1":
            source.picture.unlink()
        return found

    monkeypatch.setattr(cutting, "cut", vanish)
    with pytest.raises(DataError, match=r"ant_1\.png: it cannot be read .*, though it could be a moment ago"):
        made(sources, tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"boxes": "boxes.csv"}, "both were given"),
        ({"masks": None}, "none were given"),
        ({"masks": None, "boxes": "boxes.csv", "void": 255}, "void=255 was given with boxes"),
        ({"ratios": (0.5, 0.2, 0.2)}, "sum 1, but got 0.5,0.2,0.2"),
        ({"ratios": (1.2, -0.1, -0.1)}, "must be >= 0"),
        ({"synsets": "x"}, "imagenet9 was not asked for"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(source_folder, changed, told):
    with pytest.raises(SettingError, match=told):
        settings(source_folder, **changed)


def test_imagenet9_gathers_synset_folders_into_its_classes(tmp_path):
    """Two synset folders of each of the nine classes, annotated in XML, and one folder of no class."""
    from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET
    from bgbias.data.photographs.imagenet9_classes import CLASSES as NINE

    folders = {f"n{index:08}": label for index, label in enumerate(CLASS_OF_IMAGENET)}
    chosen = [next(f for f, found in folders.items() if found == label) for label in range(9)]
    chosen += [[f for f, found in folders.items() if found == label][1] for label in range(9)]
    root = write_sources(tmp_path / "made", classes=sorted([*chosen, "n00000999"]), each=2)
    for line in (root / "boxes.csv").read_text().splitlines()[1:]:
        name, *edges = line.split(",")
        tags = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
        annotation = root / "xml" / f"{name}.xml"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(f"<annotation><object><bndbox>{tags}</bndbox></object></annotation>")
    (root / "synsets.txt").write_text("\n".join(folders))
    manifest = build(
        BuildSettings(
            images=root / "images",
            boxes=root / "xml",
            size=SIZE,
            ratios=(0.5, 0.0, 0.5),
            imagenet9=True,
            synsets=root / "synsets.txt",
        ),
        tmp_path / "out",
        workers=2,
        skip_bad=False,
    )
    assert manifest["classes"] == list(NINE)
    assert manifest["counts"] == {split: dict.fromkeys(NINE, 2) for split in ("train", "test")}
    shown = {
        file.stem for file in (tmp_path / "out" / layout.ORIGINAL).rglob("*.JPEG") if file.parent.name == "08_fish"
    }
    assert {name.partition("_")[0] for name in shown} <= {"n00000000", "n00000001"}
