"""The page of interactive figures."""

from html.parser import HTMLParser

import pytest
from made import epoch, trial
from test_analysis import report

from study.report.interactive import comparing, page, searching, training


class Loads(HTMLParser):
    """What a page would fetch, and its headings."""

    def __init__(self):
        super().__init__()
        self.fetched, self.ids = [], []

    def handle_starttag(self, tag, attributes):  # noqa: ARG002
        values = dict(attributes)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        self.ids += [values["id"]] if "id" in values else []


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


def test_the_page_stands_alone_and_its_links_lead_to_its_sections(found, tmp_path):
    text = page.write(found, tmp_path).read_text()
    loads = Loads()
    loads.feed(text)
    assert loads.fetched == []
    assert len(loads.ids) == len(set(loads.ids))
    assert [section.key for section in page.sections(found)] == [
        "ranking", "trade-off", "effects", "parallel", "importance", "training",
    ]  # fmt: skip
    for section in page.sections(found):
        assert f'href="#{section.key}"' in text
        assert section.key in loads.ids
    assert text.count("plotly.js v") == 1


def test_names_cannot_break_the_page(found):
    object.__setattr__(found, "name", "<script>alert(1)</script>")
    assert "<script>alert" not in page.page(found)


def test_bars_stand_from_best_to_worst_with_the_interval_of_fresh_seeds(found):
    figure = comparing.ranking(found)
    bars = figure.data[1]
    assert list(bars.y) == ["penalty", "erm"]
    assert list(bars.x) == pytest.approx([60.0, 12.0])
    assert list(figure.layout.yaxis2.ticktext) == ["penalty<br>60.0 ± 0.0", "erm<br>12.0"]
    assert "weight = 1e-05" in bars.hovertext[0]
    assert "trial penalty5, epoch 3" in bars.hovertext[0]


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
    assert "Nothing to show" in page.page(found)


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
    counts = {f"test/shuffled/accuracy_at/{n}": 0.5 + n / 100 for n in (0, 1, 2, 4)} | {"val/chosen/samples": 2.0}
    flow = report([trial("f", [{**epoch(shuffled=(0.5, 0.5)), **counts}], space="flow")])
    (line,) = training.vote_curves(flow).data
    assert (list(line.x), list(line.y)) == (["0", "1", "2", "4"], pytest.approx([50, 51, 52, 54]))
    assert list(line.marker.size) == [7, 7, 13, 7]
    assert "samples" in [section.key for section in page.sections(flow)]
