"""Saved views of MLflow's experiment page, one for each question, kept as tags of the experiment.

MLflow lists them in the page's "Views" menu, and opens one by `/#/experiments/<id>/runs?viewStateShareKey=<key>`. A tag
holds JSON: a name, two times and the page's state, deflated. Where MLflow does not know the form, it ignores the tag.
Source: `savedViewEnvelope.ts` and `ExperimentPageUIState.tsx` of MLflow 3.17.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bgbias.data.dataset import ORIGINAL
from bgbias.metrics import TEST, VALIDATION, accuracy, at_best
from study.record.folder import CONFIRM, SEARCH
from study.report import analysis
from study.report.tables import Report, searched_values

PREFIX = "mlflow.sharedViewState."
BAR, LINE, SCATTER, PARALLEL = "BAR", "LINE", "SCATTER", "PARALLEL"
METRIC, PARAM = "METRIC", "PARAM"
BY_SPACE = {"mode": "tag", "groupByData": "space"}
MANY = 1000
"""Runs that a chart shows at most."""

Chart = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A question, as MLflow's page answers it.

    key: names it in addresses; runs: MLflow's filter of runs
    charts: each a chart's type and settings
    columns: of the table: what each is of, such as `metrics`, and its name
    joined: how the metrics of a space's runs become one bar, `average` or `max`; None shows each run. Runs are grouped
        by their space in any case, since MLflow hides children below parents that are folded.
    """

    key: str
    name: str
    runs: str
    charts: Sequence[Chart]
    columns: Sequence[tuple[str, str]]
    joined: str | None = None

    def tag(self, created: int) -> tuple[str, str]:
        """The tag of the experiment that holds the view.

        Args:
            created: milliseconds since 1970.
        """
        state = "deflate;" + base64.b64encode(zlib.compress(json.dumps(self.state()).encode(), 9)).decode()
        envelope = {"name": self.name, "createdAt": created, "updatedAt": created, "state": state}
        return PREFIX + self.key, json.dumps(envelope)

    def state(self) -> dict[str, Any]:
        """The page's state."""
        section = f"{self.key}-charts"
        shown = [f"{kind}.`{name}`" for kind, name in self.columns]
        charts = [self._card(at, chart, section) for at, chart in enumerate(self.charts)]
        return {
            "searchFilter": self.runs,
            "selectedColumns": shown,
            "compareRunCharts": charts,
            "compareRunSections": [{"uuid": section, "name": self.name, "display": True, "isReordered": True}],
            "isAccordionReordered": True,
            "hideEmptyCharts": True,
            "runsHiddenMode": "SHOW_ALL",
            "groupBy": {"aggregateFunction": self.joined or "max", "groupByKeys": [BY_SPACE]},
            "useGroupedValuesInCharts": self.joined is not None,
        }

    def _card(self, at: int, chart: Chart, section: str) -> dict[str, Any]:
        fixed = {"deleted": False, "isGenerated": False, "runsCountToCompare": MANY}
        return {"uuid": f"{self.key}-{at}", "metricSectionId": section, **fixed, **chart}


def views(report: Report) -> list[View]:
    """A view for each question that a report's study can answer."""
    validation = [at_best(accuracy(VALIDATION, variant)) for variant in report.variants]
    test = [at_best(accuracy(TEST, variant)) for variant in report.variants]
    found = [
        View(
            "methods",
            "Which method is best: highest validation accuracy",
            f"tags.stage = '{SEARCH}'",
            [bar(name) for name in validation],
            columns(metrics=validation),
            joined="max",
        ),
        View(
            "trade-off",
            f"Trade-off: {ORIGINAL} against the others",
            f"tags.stage = '{SEARCH}'",
            list(_trade_offs(report)),
            columns(metrics=validation),
        ),
        View(
            "training",
            "How runs trained",
            f"tags.stage = '{SEARCH}'",
            [line(accuracy(VALIDATION, variant)) for variant in report.variants],
            columns(metrics=validation),
        ),
        *_effects(report, validation),
    ]
    if report.seed_rows:
        runs = f"tags.stage = '{CONFIRM}'"
        name = "Which method is best: mean test accuracy of fresh seeds"
        found.insert(
            0, View("seeds", name, runs, [bar(metric) for metric in test], columns(metrics=test), joined="average")
        )
    return found


def _trade_offs(report: Report) -> Iterable[Chart]:
    shifted = analysis.shifted_variant(report.config)
    others = [variant for variant in report.variants if variant != ORIGINAL]
    for variant in sorted(others, key=lambda variant: variant != shifted):
        x, y = (at_best(accuracy(VALIDATION, v)) for v in (variant, ORIGINAL))
        yield scatter((x, METRIC), (y, METRIC))


def _effects(report: Report, metrics: Sequence[str]) -> Iterable[View]:
    for space in dict.fromkeys(row.space for row in report.rows):
        names = searched_values([trial for trial in report.trials if trial.space == space])
        if names:
            last = at_best(accuracy(VALIDATION, analysis.shifted_variant(report.config)))
            lines = {"type": PARALLEL, "selectedParams": names, "selectedMetrics": [last], "showAllRuns": True}
            dots = [scatter((name, PARAM), (metric, METRIC)) for name in names for metric in metrics]
            runs = f"tags.stage = '{SEARCH}' and tags.space = '{space}'"
            title = f"What each hyper-parameter does: {space}"
            yield View(f"effects-{space}", title, runs, [*dots, lines], columns(params=names, metrics=metrics))


def columns(*, params: Sequence[str] = (), metrics: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Columns of the table of runs."""
    return [*(("params", name) for name in params), *(("metrics", name) for name in metrics)]


def bar(metric: str) -> Chart:
    """A bar a run or a group."""
    return {"type": BAR, "metricKey": metric}


def line(metric: str) -> Chart:
    """A line a run, over epochs, as it was measured."""
    own = {"xAxisKey": "step", "useGlobalXaxisKey": False, "lineSmoothness": 0, "useGlobalLineSmoothing": False}
    return {"type": LINE, "metricKey": metric, "selectedMetricKeys": [metric], **own}


def scatter(x: tuple[str, str], y: tuple[str, str]) -> Chart:
    """A dot a run."""
    return {"type": SCATTER, "xaxis": {"key": x[0], "type": x[1]}, "yaxis": {"key": y[0], "type": y[1]}}
