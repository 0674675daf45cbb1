"""What commands left beside a study's checkpoints, in its report."""

import io
import json
from pathlib import Path

import pytest
from made import epoch, trial
from PIL import Image
from test_analysis import report

from study.record import analyses
from study.record.folder import StudyFolder
from study.record.selection import each_ones_best, winners
from study.report import page, reading
from study.report.inspected import Inspected, has_flow, inspected, missing

MAPS = {"input_gradient": 0.4, "integrated_gradients": 0.5}


def shares(gain):
    kinds = {kind: value + gain for kind, value in MAPS.items()}
    variant = {"images": 10, "mask_area": 0.2, "object_saliency": kinds}
    return {"variants": {"original": variant, "removed": variant, "shuffled": variant}}


FLOW = {
    "samples": 2, "bits_per_dimension": {"flow": -1.0, "gaussian": 0.25}, "agreement": 0.9, "coverage": 0.8,
    "accuracy": {"shuffled": {"images": 9, "backbone": 0.5, "majority": {"0": 0.5, "1": 0.6, "2": 0.75}}},
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """A study of three spaces whose winners are there, and a seed of one."""
    folder = StudyFolder(tmp_path)
    spaces = {"erm": "erm", "penalty": "gradient_penalty", "flow": "flow_embedding"}
    trials = [
        trial(space, [epoch(original=(0.9, 0.8), shuffled=(0.5, 0.4))], space=space, number=at, **{"method/name": name})
        for at, (space, name) in enumerate(spaces.items(), start=1)
    ]
    seeds = [
        trial(
            f"s{at}", [{**epoch(shuffled=(0.5, 0.4)), "test/challenge/accuracy": at / 10}], space="penalty",
            stage="confirm", seed=at, **{"method/name": "gradient_penalty"},
        )
        for at in (1, 3)
    ]  # fmt: skip
    rows = [row for row in winners(trials) if row.variant == "shuffled"]
    paths = {row.space: folder.checkpoint(row) for row in rows}
    for path in [*paths.values(), *(folder.checkpoint(row, "confirm") for row in each_ones_best(seeds))]:
        path.mkdir(parents=True)

    def made():
        found = report(trials, seeds)
        object.__setattr__(found, "inspected", inspected(folder, winners(trials), seeds, "shuffled"))
        return found

    return paths, made


def part(found, title):
    return next((grids[0], lines) for name, grids, lines in reading.parts(found) if name == title)


def test_where_nothing_was_left_the_report_says_the_command(study):
    paths, made = study
    commands = missing(made().inspected, "erm")
    assert commands["challenge"][1] == f"study evaluate {paths['penalty']} --challenge"
    assert commands["saliency"][0] == f"study saliency {paths['erm']} --out {paths['erm'] / 'saliency.png'}"
    assert f" --against {paths['erm']} " in commands["saliency"][1]
    assert commands["flow"] == [f"study flow {paths['flow']} --out {paths['flow'] / 'flow'}"]
    assert f"not measured yet: `{commands['flow'][0]}`" in part(made(), "Flow")[1]


@pytest.mark.parametrize(
    ("method", "has"), [("flow_embedding", True), ("erm", False), ("erm+flow_embedding", True), ("elsewhere", False)]
)
def test_what_declares_a_flow_has_one(method, has):
    assert has_flow(Inspected("space", method, "search", "t", 1, Path("k"), has_masks=True)) == has


def test_the_challenge_is_shown_with_its_interval_and_over_seeds(study):
    paths, made = study
    left = {"accuracy": 0.25, "interval": [0.2, 0.3], "foregrounds": 1000, "backgrounds": 50}
    analyses.leave(paths["erm"], analyses.CHALLENGE, left)
    grid, lines = part(made(), "Background Challenge")
    assert grid.rows == {
        "erm": ["25.00 (20.00 to 30.00)", "-", "1,000 x 50"], "penalty": ["-", "20.00 ± 14.14 (2 seeds)", "-"],
    }  # fmt: skip
    assert not any(str(paths["erm"]) in line for line in lines)


def test_saliency_before_stands_above_saliency_after(study):
    paths, made = study
    png = io.BytesIO()
    Image.new("RGB", (20, 10)).save(png, "PNG")
    Path(paths["penalty"] / "saliency.png").write_bytes(png.getvalue())
    picture = {"picture": str(paths["penalty"] / "saliency.png")}
    analyses.leave(paths["penalty"], analyses.SALIENCY, shares(0.1) | picture)
    analyses.leave(paths["erm"], analyses.SALIENCY, shares(0.0))
    grid, _ = part(made(), "Saliency")
    assert grid.columns[0] == "original: input gradient"
    assert list(grid.rows) == ["the object's area", "erm", "penalty"]
    assert grid.rows["erm"] == ["40.00", "50.00"] * 2
    assert grid.rows["penalty"] == ["50.00", "60.00"] * 2
    (section,) = [one for one in page.sections(made()) if one.title == "Saliency"]
    assert section.pictures == [png.getvalue()]
    assert 'alt="Saliency" src="data:image/' in page.page([made()])


def test_a_flows_curve_is_drawn_with_the_chosen_number_of_samples(study):
    paths, made = study
    analyses.leave(paths["flow"], analyses.FLOW, FLOW)
    grid, lines = part(made(), "Flow")
    assert dict(zip(grid.columns, grid.rows["flow"], strict=True)) == {
        "bits per dimension, flow": "-1.00", "bits per dimension, gaussian": "0.25", "same prediction [%]": "90.00",
        "coverage [%]": "80.00", "samples chosen": "2",
    }  # fmt: skip
    assert lines == []
    ((space, figure),) = next(one.figures for one in page.sections(made()) if one.title == "Flow")
    votes, backbone = figure.data
    assert (space, list(votes.x), list(votes.y)) == ("flow", ["0", "1", "2"], [50, 60, 75])
    assert list(votes.marker.size) == [6, 6, 11]
    assert list(backbone.y) == [50, 50, 50]


def test_a_file_that_cannot_be_read_counts_as_nothing(study):
    paths, made = study
    (paths["erm"] / analyses.CHALLENGE).write_text("{")
    assert all(one.challenge is None for one in made().inspected if one.space == "erm")
    analyses.leave(paths["erm"], analyses.CHALLENGE, {"accuracy": float("nan")})
    assert json.loads((paths["erm"] / analyses.CHALLENGE).read_text()) == {"accuracy": None}


def test_without_masks_nothing_is_asked_for_that_needs_them(study):
    _, made = study
    found = made().inspected
    for one in found:
        object.__setattr__(one, "has_masks", False)
    assert missing(found, "erm")["challenge"] == missing(found, "erm")["saliency"] == []
