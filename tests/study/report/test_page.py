"""The page of figures."""

import base64
import dataclasses
import gzip
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest
from made import comparison, epoch, trial
from PIL import Image
from test_analysis import report

from bgbias.errors import SettingError
from bgbias.table import Table
from study.report import comparing, drawing, embedded, page, searching, text, training


class Loads(HTMLParser):
    """Addresses that a page would fetch, and its headings."""

    def __init__(self):
        super().__init__()
        self.fetched, self.ids = [], []

    def handle_starttag(self, tag, attributes):  # noqa: ARG002
        values = dict(attributes)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        self.ids += [values["id"]] if "id" in values else []


def unpacked(written, key):
    """What the page's script unpacks from one of its packed parts."""
    return gzip.decompress(base64.b64decode(re.search(f'id="{key}">([^<]*)<', written)[1])).decode()


@pytest.fixture
def found():
    def run(i, space, **config):
        history = [
            {"train/loss/cross_entropy": 1 / e, **epoch(original=(0.9, 0.8), shuffled=(i * e / 20, i * e / 25))}
            for e in (1, 2, 3)
        ]
        return trial(f"{space}{i}", history, space=space, number=i, **config)

    trials = [run(i, "penalty", **{"method/weight": 10.0**-i, "method/form": "ab"[i % 2]}) for i in range(1, 6)]
    trials.append(run(1, "erm", **{"method/weight": 0.0, "method/form": "a"}))
    seeds = [run(5, "penalty", **{"method/weight": 1e-5, "method/form": "b", "seed": seed}) for seed in (1, 2)]
    return report(trials, seeds)


def test_the_page_stands_alone_and_its_links_lead_to_its_sections(found):
    written = page.page([found])
    loads = Loads()
    loads.feed(written)
    assert loads.fetched == []
    assert len(loads.ids) == len(set(loads.ids))
    assert [section.key for section in page.sections(found)] == [
        "table-results", "ranking", "trade-off", "effects", "parallel", "importance", "training", "line",
        "table-settings", "table-protocol", "table-fairness", "table-repeat-it",
    ]  # fmt: skip
    for section in page.sections(found):
        assert f'href="#{section.key}"' in written
        assert section.key in loads.ids
    assert unpacked(written, "plotly-js").count("plotly.js v") == 1


def test_several_studies_stand_on_one_page_with_one_table_of_all(found):
    other = dataclasses.replace(found, name="other")
    png = io.BytesIO()
    Image.effect_mandelbrot((2000, 1000), (-2, -1, 1, 1), 30).save(png, "PNG")
    written = page.page([found, other], pictures={"other": png.getvalue()})
    loads = Loads()
    loads.feed(written)
    assert len(loads.ids) == len(set(loads.ids))
    assert {"together", "ranking-s0", "ranking-s1"} <= set(loads.ids)
    (address,) = loads.fetched
    shown = Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))
    assert address.startswith(f"data:image/{shown.format.lower()};")
    assert shown.size == (1100, 550)
    assert written.count('id="plotly-js"') == 1
    assert "other (colored-digits): penalty" in written
    assert len(written) < 3_000_000


def test_the_page_holds_every_figure_with_numbers_of_four_digits_and_each_text_once(found):
    stored = json.loads(unpacked(page.page([found]), "figures"))
    drawn = {f"{part.key}-{at}": figure for part in page.sections(found) for at, (_, figure) in enumerate(part.figures)}
    assert stored["figures"].keys() == {key for key, figure in drawn.items() if figure is not None}
    assert len(set(stored["texts"])) == len(stored["texts"])
    effects, kept = drawn["effects-0"].data[3], stored["figures"]["effects-0"]["data"][3]
    assert [stored["texts"][at] for at in kept["hovertext"]] == list(effects.hovertext)
    assert kept["x"] == pytest.approx(list(effects.x), rel=1e-3)
    loss = stored["figures"]["training-1"]["data"][0]
    assert loss["y"] == [1, 0.5, 0.3333]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
@pytest.mark.parametrize(("width", "panels"), [(1200, 3), (520, 1)])
def test_a_browser_unpacks_the_figures_in_view_and_stacks_their_panels_on_a_narrow_screen(
    found, tmp_path, width, panels
):
    three = dataclasses.replace(found, variants=["original", "shuffled", "removed"])
    file = tmp_path / "page.html"
    file.write_text(page.page([three]))
    command = ["chromium", "--headless", "--no-sandbox", "--dump-dom", "--virtual-time-budget=20000"]
    done = subprocess.run([*command, f"--window-size={width},2000", file.as_uri()], capture_output=True, text=True)
    ranking = done.stdout.partition('id="ranking-0"')[2].partition('id="trade-off"')[0]
    assert "js-plotly-plot" in done.stdout
    assert "No figures" not in done.stdout.partition("<script")[0]
    backgrounds = re.findall(r'<rect class="bg" x="([\d.]+)"', ranking)
    assert len({float(x) for x in backgrounds[:3]}) == panels


def test_what_is_not_finite_is_left_out_of_a_figure():
    figures = embedded.Figures()
    figures.place("a", go.Figure(go.Heatmap(z=[[0.123456, math.nan], [math.inf, 2.0]])))
    stored = json.loads(unpacked(figures.scripts(), "figures"))
    assert stored["figures"]["a"]["data"][0]["z"] == [[0.1235, None], [None, 2]]


def test_names_cannot_break_the_page(found):
    object.__setattr__(found, "name", "<script>alert(1)</script>")
    assert "<script>alert" not in page.page([found])


def test_without_an_exporter_one_line_says_what_is_missing(found, tmp_path, monkeypatch):
    def missing(*_figures, **_options):
        raise RuntimeError("Kaleido is missing.\nInstall it")

    monkeypatch.setattr(page.io, "write_images", missing)
    with pytest.raises(SettingError, match=r"^--png needs the extra `png` .*\(Kaleido is missing\): install"):
        page.write_pngs(page.sections(found), tmp_path)


def test_figures_are_png_files_of_their_own_heights(tmp_path):
    chromium = pytest.importorskip("choreographer.browsers.chromium", reason="needs the extra png")
    if chromium.Chromium.find_browser(skip_local=False) is None:
        pytest.skip("needs Chrome or Chromium")
    figures = {f"part-{at}": drawing.finished(go.Figure(go.Bar(y=[1, 2])), 200 + 100 * at) for at in range(2)}
    page.write_pngs([page.Section("part", "", "", [("", None), *(("", one) for one in figures.values())])], tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"part-1.png", "part-2.png"}
    for at in range(2):
        with Image.open(tmp_path / f"part-{at + 1}.png") as picture:
            assert picture.size == (2 * page.PNG_WIDTH, 2 * (200 + 100 * at))
            assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.fixture
def compared():
    trials = [
        trial(space, [epoch(original=(0.9, 0.8), shuffled=(0.5, 0.4))], space=space, number=i)
        for i, space in enumerate(("erm", "mine", "other"))
    ]
    rows = [
        comparison("original", "mine", "erm", -0.02, (-0.05, 0.01), by_seeds=0.2, by_images=0.2),
        comparison("original", "other", "erm", 0.03, (0.01, 0.05), by_seeds=0.2, by_images=0.02),
        comparison("shuffled", "mine", "erm", 0.10, (0.06, 0.14), by_seeds=0.03, by_images=0.001),
    ]
    return dataclasses.replace(report(trials), comparisons=rows)


def test_differences_are_drawn_in_points_with_their_intervals(compared):
    figure = comparing.differences(compared)
    original, shuffled = figure.data
    assert (list(original.y), list(shuffled.y)) == (["mine", "other"], ["mine"])
    assert list(original.x) == pytest.approx([-2, 3])
    assert list(shuffled.x) == pytest.approx([10])
    assert list(original.error_x.array) == pytest.approx([3, 2])
    assert list(original.error_x.arrayminus) == pytest.approx([3, 2])
    assert [title.text for title in figure.layout.annotations] == ["original", "shuffled"]


def test_only_marks_that_are_significant_over_seeds_are_full(compared):
    original, shuffled = comparing.differences(compared).data
    assert original.marker.symbol == ("circle-open", "diamond")
    assert shuffled.marker.symbol == ("circle",)


def test_without_comparisons_there_is_no_figure_of_them(compared):
    assert "differences" in [section.key for section in page.sections(compared)]
    none = dataclasses.replace(compared, comparisons=[])
    assert comparing.differences(none) is None
    assert "differences" not in [section.key for section in page.sections(none)]


def test_each_winners_tables_are_shown_once_at_the_epoch_of_its_checkpoint():
    table = Table(((0.1, 0.9), (math.nan, 0.5)), ("a", "b"), ("c", "d"))
    other = Table(((1.0,),), ("a",), ("c",))
    made = trial("t", [epoch(shuffled=(0.5, 0.5)), epoch(shuffled=(0.9, 0.8)), epoch(shuffled=(0.7, 0.9))])
    told = [dataclasses.replace(r, tables={"p": other if r.epoch != 2 else table}) for r in made.epochs]
    found = report([dataclasses.replace(made, epochs=told)])
    ((title, figure),) = training.tables(found)
    assert title == "erm: p, trial t, epoch 2"
    (drawn,) = figure.data
    assert (list(drawn.y), list(drawn.x)) == (["a", "b"], ["c", "d"])
    np.testing.assert_array_equal(np.array(drawn.z, dtype=float), table.values)
    assert "tables" in [section.key for section in page.sections(found)]
    assert "tables" not in [section.key for section in page.sections(report([made]))]


def test_bars_stand_from_best_to_worst_with_the_interval_of_fresh_seeds(found):
    figure = comparing.ranking(found)
    bars = figure.data[1]
    assert list(bars.y) == ["penalty", "erm"]
    assert list(bars.x) == pytest.approx([60.0, 12.0])
    assert list(figure.layout.yaxis2.ticktext) == ["penalty<br>60.0 ± 0.0", "erm<br>12.0"]
    assert "weight = 1e-05" in bars.hovertext[0]
    assert "trial penalty5, epoch 3" in bars.hovertext[0]


def test_a_combination_is_named_on_several_lines_and_a_row_is_as_high_as_its_own_bars_need():
    both = {"original": (0.9, 0.9), "mixed": (0.5, 0.5), "removed": (0.5, 0.5)}
    first = trial("a", [epoch(**both)], space="a+b")
    second = trial("b", [epoch(**both, rim=(0.8, 0.8))], space="c", number=2)
    found = dataclasses.replace(report([first, second]), variants=[*both, "rim"])
    figure = comparing.ranking(found)
    assert set(figure.layout.yaxis.ticktext) == {"a<br>+b 90.0", "c<br>90.0"}
    heights = [axis.domain[1] - axis.domain[0] for axis in (figure.layout.yaxis, figure.layout.yaxis4)]
    assert heights[0] / heights[1] == pytest.approx((40 + 2 * 40) / (40 + 40))
    assert list(figure.layout.yaxis.range) == [1.5, -0.5]
    assert list(figure.layout.yaxis4.range) == [0.5, -0.5]


def test_the_trade_off_draws_every_trial_and_rings_the_front(found):
    front, *methods = comparing.trade_off(found).data
    assert list(front.x) == [75.0]
    assert sorted(x for method in methods for x in method.x) == pytest.approx([15, 15, 30, 45, 60, 75])
    assert [method.marker.line.width for method in methods] == [(0, 0, 0, 0, 2), (0,)]


def test_parallel_axes_name_categories_and_show_decades_by_their_logarithm(found):
    form, weight, *variants = searching.parallel_coordinates(found, "penalty").data[0].dimensions
    assert (form.label, list(form.ticktext), list(form.values)) == ("form", ["a", "b"], [1, 0, 1, 0, 1])
    assert (weight.label, list(weight.values)) == ("weight", pytest.approx([-1, -2, -3, -4, -5]))
    assert list(weight.ticktext) == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert [axis.label for axis in variants] == ["original [%]", "shuffled [%]"]


def test_a_space_without_a_search_has_no_figures_of_it(found):
    assert searching.effects(found, "erm") is None
    assert searching.parallel_coordinates(found, "erm") is None
    assert searching.importance(found, "erm") is None
    assert "Nothing to show" in page.page([found])


def test_effects_show_each_trial_in_each_settings_panel(found):
    figure = searching.effects(found, "penalty")
    assert [title.text for title in figure.layout.annotations] == ["form", "weight"]
    assert len(figure.data) == 2 * 2
    assert sorted(figure.data[3].x) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert figure.layout.xaxis2.type == "log"
    assert list(figure.layout.xaxis.categoryarray) == ["a", "b"]


def test_learning_curves_mark_the_epoch_of_the_checkpoint(found):
    rings = [line for line in training.learning_curves(found).data if line.mode == "markers"]
    assert [(ring.x[0], ring.y[0]) for ring in rings] == [(1, 90.0), (3, pytest.approx(75.0)), (1, 90.0), (3, 15.0)]


def test_only_voting_methods_have_a_section_on_samples(found):
    assert training.vote_curves(found) is None
    counts = {f"test/shuffled/accuracy_at/{n}": 0.5 + n / 100 for n in (0, 1, 2, 4)} | {"learned/samples": 2.0}
    flow = report([trial("f", [{**epoch(shuffled=(0.5, 0.5)), **counts}], space="flow")])
    (line,) = training.vote_curves(flow).data
    assert (list(line.x), list(line.y)) == (["0", "1", "2", "4"], pytest.approx([50, 51, 52, 54]))
    assert list(line.marker.size) == [7, 7, 13, 7]
    assert "samples" in [section.key for section in page.sections(flow)]


LOSS = "val/shuffled/loss"


@pytest.fixture
def several():
    """A study of a low loss and a high accuracy: `a` and `b` are its space's front, `c` is another's."""

    def run(name, loss, original, **options):
        metrics = {
            **epoch(original=(original, original / 2), shuffled=(0.5, 0.5)),
            LOSS: loss,
            "test/shuffled/loss": 2.0,
        }
        return trial(name, [metrics], **options)

    trials = [
        run("a", 0.1, 0.7, number=1, **{"method/x": 1}),
        run("b", 0.3, 0.9, number=2, **{"method/x": 2}),
        run("beaten", 0.4, 0.8, number=3, **{"method/x": 3}),
        run("c", 0.4, 0.8, number=4, space="mine"),
    ]
    seeds = [run("s", 0.2, 0.7, space="erm-0001", stage="confirm", **{"method/name": "erm", "method/x": 1, "seed": 1})]
    return report(trials, seeds, objectives=(LOSS, "original"))


def test_the_trade_off_of_several_objectives_is_between_the_first_two(several):
    front, *methods = comparing.trade_off(several).data
    assert (list(front.x), list(front.y)) == ([0.3, 0.1], [90.0, 70.0])
    assert [list(method.x) for method in methods] == [[0.1, 0.3, 0.4], [0.4]]
    (section,) = [section for section in page.sections(several) if section.key == "trade-off"]
    assert section.title == "original against shuffled/loss"


def test_the_front_is_a_table_with_the_leading_trials_in_bold(several):
    table = comparing.front_with_settings(several)
    assert table.columns == ["epoch", LOSS, "val/original/accuracy", "settings"]
    assert table.lines()[1:] == [
        ["erm-0001", "1", "0.1 (2)", "70.0 % (35.0 %)", "x = 1"],
        ["erm-0002", "1", "0.3 (2)", "90.0 % (45.0 %)", "x = 2"],
        ["mine-0004", "1", "0.4 (2)", "80.0 % (40.0 %)", ""],
    ]
    assert "<td><b>0.1 (2)</b></td>" in table.html()
    assert "<td>0.4 (2)</td>" in table.html()
    assert several.to_json()["front"][0]["values"] == {LOSS: 0.1, "val/original/accuracy": 0.7}
    assert several.to_json()["objectives"] == [LOSS, "val/original/accuracy"]


def test_the_oracle_says_what_it_needs_where_test_variants_were_not_evaluated_at_every_epoch(several):
    assert several.to_json()["oracle"] == "complete"
    rows = [dataclasses.replace(several.rows[0], oracle_test_accuracy=None), *several.rows[1:]]
    found = dataclasses.replace(several, rows=rows).to_json()
    assert found["oracle"] == "needs evaluation/test=every"
    assert found["rows"][0]["oracle_test_accuracy"] is None


def test_the_front_is_printed_and_its_fresh_seeds_under_the_names_of_their_trials(several):
    front = text.front_table(several)
    assert front.columns == ["epoch", LOSS, "val/original/accuracy"]
    assert front.rows["erm-0002"] == ["[bold]1[/]", "[bold]0.3 (2)[/]", "[bold]90.0 % (45.0 %)[/]"]
    assert front.rows["mine-0004"] == ["1", "0.4 (2)", "80.0 % (40.0 %)"]
    seeds = text.seed_table(several)
    assert seeds.columns[-2:] == ["test/shuffled/loss", "test/original/accuracy"]
    assert seeds.rows == {"erm-0001": ["35.00", "50.00", "2.00", "35.00"]}


def test_settings_are_compared_on_every_objective_too(several):
    dimensions = searching.parallel_coordinates(several, "erm").data[0].dimensions
    assert [axis.label for axis in dimensions] == ["x", "original [%]", "shuffled [%]", "shuffled/loss"]
    assert list(dimensions[3]["values"]) == [0.1, 0.3, 0.4]
    assert {line.name for line in searching.effects(several, "erm").data} == {"original", "shuffled"}


def test_differences_of_members_of_a_front_have_colours_of_their_own(several):
    row = comparison("original", "erm-0002", "erm-0001", 0.1, (0.0, 0.2))
    (points,) = comparing.differences(dataclasses.replace(several, comparisons=[row])).data
    assert (list(points.y), list(points.x)) == (["erm-0002"], [10.0])
