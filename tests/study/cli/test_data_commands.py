"""Output of `study data`, run in this process."""

import json
import sys

import pytest
from made_sources import write_sources
from PIL import Image

from study.cli import main as cli


@pytest.fixture
def data(monkeypatch, capsys):
    """Runs a `study data` command; returns its exit code, standard output and the lines of standard error.

    Empty lines are where a progress bar was.
    """

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["study", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, [line for line in printed.err.splitlines() if line]

    return run


@pytest.fixture
def sources(tmp_path):
    return write_sources(tmp_path / "sources")


@pytest.fixture
def build(data, sources, tmp_path):
    """Runs `study data build` on small pictures."""

    def run(*more, objects=("--masks", sources / "masks")):
        fixed = ("--images", sources / "images", "--out", tmp_path / "out", "--size", 32, "--workers", 1)
        return data("build", *fixed, *objects, *more)

    return run


def test_build_then_check(build, data, tmp_path):
    code, out, err = build("--ratios", "0.5,0,0.5", "--seed", 3)
    assert (code, err) == (0, [])
    assert "wrote 162 files to" in out
    assert [line.split() for line in out.splitlines() if line.startswith("all ")] == [["all", "9", "9"]]

    code, out, _ = data("check", tmp_path / "out")
    assert code == 0
    assert out.splitlines()[-1] == "sound"
    code, out, _ = data("check", tmp_path / "out", "--json")
    report = json.loads(out)
    assert (code, report["sound"], report["findings"], report["remarks"]) == (0, True, [], [])
    assert report["counts"]["test"]["mixed_rand"] == {"ant": 3, "bee": 3, "cat": 3}


def test_a_waterbirds_is_built_and_its_groups_told(build, sources):
    for place, color in (("lake", 200), ("moor", 60), ("town", 90)):
        (sources / "scenes" / place).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 40), (color, number, 0)).save(sources / "scenes" / place / f"{number}.png")
    options = ("--scenes", sources / "scenes", "--ratios", "0.34,0.33,0.33", "--confounding", "0.5")
    code, out, err = build(*options)
    assert (code, err) == (0, [])
    lines = [line.split() for line in out.splitlines() if line.startswith("ant ")]
    assert [(place, val, test) for _, place, _, val, test in lines] == [(p, "2", "2") for p in ("lake", "moor", "town")]
    assert lines[0][2] == "1"
    assert "wrote 85 files to" in out  # 6 in train, 2 x 18 in val and test, each with a mask, and the table


def test_options_of_a_waterbirds_need_scenes(build, tmp_path):
    code, _, err = build("--counts", "1,1,1")
    assert (code, err) == (
        2,
        ["error: --confounding, --counts and --home are of a Waterbirds: give --scenes DIR, or leave them out"],
    )
    code, _, err = build("--scenes", tmp_path, "--counts", "1,x,1")
    assert code == 2
    assert "--counts takes three whole numbers with commas between, such as 400,50,100, but got '1,x,1'" in err[0]


def test_build_prints_its_manifest_as_json(build, sources, tmp_path):
    code, out, _ = build("--ratios", "0.5,0,0.5", "--json", objects=("--boxes", sources / "boxes.csv"))
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "manifest.json").read_text())


def test_a_rejected_and_a_skipped_picture_are_told(build, sources):
    (sources / "masks" / "ant" / "ant_0.png").unlink()
    (sources / "boxes.csv").write_text((sources / "boxes.csv").read_text() + "bee/bee_0,2,2,9,9\n")
    lines = [line for line in (sources / "boxes.csv").read_text().splitlines() if not line.startswith("ant/ant_0")]
    (sources / "boxes.csv").write_text("\n".join(lines))
    boxes = ("--boxes", sources / "boxes.csv")
    code, out, err = build("--ratios", "0.5,0,0.5", objects=boxes)
    assert (code, out) == (2, "")
    first, last = err
    assert first == "ant/ant_0: no box"
    assert last.startswith(
        "error: every picture must be readable and have one mask or a box that fits it, but 1 cannot"
    )
    code, out, _ = build("--ratios", "0.5,0,0.5", "--skip-bad", objects=boxes)
    assert code == 0
    assert "rejected 1: exactly one box" in out
    assert "skipped ant/ant_0: no box\n" in out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--ratios", "0.5,0.5"), "--ratios takes three numbers with commas between, such as 0.7,0.1,0.2, but got"),
        (("--ratios", "a,b,c"), "--ratios takes three numbers"),
        (("--ratios", "0.5,0.5,0.5"), "must be >= 0 and have the sum 1, but got 0.5,0.5,0.5"),
        (("--ratios", "nan,0.5,0.5"), "ratios"),
        (("--size", "4"), "build/size: input should be greater than or equal to 8, but got 4"),
        (("--boxes", "x.csv"), "objects are given by masks or by boxes, but both were given"),
        (("--synsets", "x.txt"), "imagenet9 was not asked for"),
        (("--imagenet9",), "ImageNet's 1000 synsets must be known to number them, but the folder of pictures names 0"),
        (("--images", "nowhere"), "no folder of pictures at nowhere"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_wrong_input_ends_with_exit_code_2_and_one_line(build, tmp_path, more, told):
    code, out, err = build(*more)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("error: ")
    assert told in err[0]
    assert not (tmp_path / "out").exists()


def test_an_unsound_folder_ends_with_exit_code_2_and_one_line(build, data, tmp_path):
    build("--ratios", "0.5,0,0.5")
    gone = min((tmp_path / "out" / "fg_mask" / "train" / "ant").iterdir())
    gone.unlink()
    for more in ((), ("--json",)):
        code, out, err = data("check", tmp_path / "out", *more)
        assert (code, len(err)) == (2, 1)
        assert f"is not sound: 2 findings, the first: fg_mask/train/ant: {gone.stem} has no mask: fix them" in err[0]
    report = json.loads(out)
    assert report["sound"] is False
    assert report["findings"][0] == {"problem": "has no mask", "where": [f"fg_mask/train/ant: {gone.stem}"]}
    assert data("check", tmp_path / "none")[0] == 2


def test_inverted_masks_are_guessed(build, sources):
    for file in (sources / "masks").rglob("*.png"):
        with Image.open(file) as mask:
            inverted = mask.point(lambda value: 255 - value)
        inverted.save(file)
    code, _, err = build("--ratios", "0.5,0,0.5")
    assert (code, len(err)) == (2, 1)
    assert "18 of 18; 18 of 18 masks cover more than half of the picture's border: inverted?" in err[0]


def test_a_void_value_is_one_of_masks(build, sources, tmp_path):
    code, _, err = build("--void", 255, objects=("--boxes", sources / "boxes.csv"))
    assert (code, len(err)) == (2, 1)
    assert "a void value is one of masks, but void=255 was given with boxes" in err[0]
    assert build("--void", 0)[0] == 2
    assert build("--void", 255, "--ratios", "0.5,0,0.5")[0] == 2  # the made masks hold 0 and 255 alone
    assert not (tmp_path / "out" / "manifest.json").exists()
