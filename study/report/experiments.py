"""Experiments that MLflow alone holds, such as another machine's: rebuilt from its runs' tags, params and metrics."""

import ast
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from bgbias.data.dataset import ORIGINAL
from bgbias.errors import SettingError
from bgbias.metrics import (
    ACCURACY,
    BACKWARD_PASSES,
    BALANCED_ACCURACY,
    FORWARD_PASSES,
    LEARNED,
    TEST,
    VALIDATION,
    WORST_CLASS_ACCURACY,
    WORST_GROUP_ACCURACY,
    accuracy,
    at_best,
    on_test,
    train_loss,
    variant_of,
)
from bgbias.table import Table
from study.display import in_percent, progress_bar, with_spread_of
from study.record import sqlite_uri
from study.record.config import StudyConfig
from study.record.epoch import EpochReport, Metrics
from study.record.folder import CONFIRM, REPEAT, SEARCH
from study.record.selection import Trial, by_space, further_searches, variants_of
from study.report.layout import Grid
from study.report.statistics import Comparison
from study.report.tables import Report, report_of
from study.report.text import MISSING
from study.tracking.messages import TAG_TRIAL
from study.tracking.writer import TAG_PARENT as PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PER_PAGE = 1000
EARLIEST_FIRST = ["attributes.start_time ASC"]
"""Order of runs: of trials with the same validation accuracy the earlier one wins, as in a study's own tables."""
CONNECTIONS = 8
"""Requests at a time."""
OF_EVERY_STUDY = ("dataset/name", "training/epochs")
NOT_THERE = (
    "rebuilt from MLflow, which lacks the report of this study: no tests and no intervals over images, no tables of "
    "classes and places, no checksums of weights, and not the whole command"
)
KEPT = (
    "rebuilt from MLflow; tests, tables of classes and places and checksums of weights are those of the report that "
    "the study wrote when it last ended"
)
REPORT_FILE = "report/report.json"
"""A study's artifact that holds its report."""
READ = (ACCURACY, BALANCED_ACCURACY, WORST_CLASS_ACCURACY, WORST_GROUP_ACCURACY)
"""Quantities of a variant that selection rules choose by."""
PREFIX, SUFFIX = at_best(f"{VALIDATION}/"), ".accuracy"


@dataclass(frozen=True)
class Found:
    """A trial's run: its study, space and stage, and by variant its accuracies at the epoch that validation chose."""

    study: str
    space: str
    stage: str
    accuracies: dict[str, tuple[float, float]]


def grids(experiment: str, tracking_uri: str | None, told: Collection[str] = ()) -> list[Grid]:
    """The winners of every study of an experiment, and the means of their fresh seeds.

    Args:
        tracking_uri: of the MLflow that holds it; MLFLOW_TRACKING_URI if None.
        told: studies that are left out, since `reports` tells more of them.

    Raises:
        SettingError: MLflow has no such experiment, or no trial of it has finished.
    """
    runs = [trial_of(run) for run in _trials_of(*_client_and_id(experiment, tracking_uri))]
    left = [run for run in runs if run.study not in told]
    return tables(experiment, left) if left else []


def reports(experiment: str, tracking_uri: str | None) -> list[Report]:
    """Every study of an experiment as far as MLflow has it, with the metrics of every epoch.

    Raises:
        SettingError: MLflow has no such experiment, or no trial of it has finished.
    """
    client, known = _client_and_id(experiment, tracking_uri)
    by_study: dict[str, list[Run]] = {}
    for run in _trials_of(client, known):
        by_study.setdefault(run.data.tags.get(PARENT, run.data.tags.get("study", "")), []).append(run)
    return [found for parent, runs in by_study.items() if (found := _report(client, experiment, parent, runs))]


def _client_and_id(experiment: str, tracking_uri: str | None) -> "tuple[MlflowClient, str]":
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        raise SettingError(
            f"no study at {experiment}, and no MLflow to look for an experiment of that name: give the --output folder "
            "of a `study run`, or --tracking-uri"
        )
    file = sqlite_uri.file_of(uri)
    if file is not None and not file.exists():  # MLflow would create it
        raise SettingError(f"--tracking-uri must be of an MLflow store, but {file} does not exist: give another")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    if known is None:
        raise SettingError(f"MLflow at {uri} has no experiment '{experiment}': give another name or a study's folder")
    return client, known.experiment_id


def _trials_of(client: "MlflowClient", experiment: str) -> "list[Run]":
    """The runs of all finished trials, the earliest first.

    Raises:
        SettingError: there is none.
    """
    found, token = [], None
    while True:
        done = "attributes.status = 'FINISHED'"
        page = client.search_runs([experiment], done, max_results=PER_PAGE, order_by=EARLIEST_FIRST, page_token=token)
        found += [run for run in page if run.data.tags.get("stage") in (SEARCH, CONFIRM, REPEAT)]
        token = page.token
        if not token:
            break
    if not found:
        name = client.get_experiment(experiment).name
        raise SettingError(f"the experiment '{name}' has no finished trial of a study: give another one")
    return found


def _report(client: "MlflowClient", experiment: str, parent: str, runs: "Sequence[Run]") -> Report | None:
    """One study; None where its runs have no metrics of epochs."""
    own = _params(client, parent)
    asked = [metric for metric in str(own.get("objectives", "")).split(", ") if metric]
    read = {*asked, *map(on_test, asked)}
    kept = _kept(client, parent)
    order = [row["variant"] for row in kept["rows"]] if kept else []
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = pool.map(partial(_trial, client, read, order), runs)
        bar = progress_bar(found, f"reading trials of {experiment}", len(runs))
        trials = [trial for trial in bar if variants_of(trial.history)]
    stages = {stage: [trial for trial in trials if trial.stage == stage] for stage in (SEARCH, CONFIRM, REPEAT)}
    if not stages[SEARCH]:
        return None
    tagged = str(runs[0].data.tags.get("study", experiment))
    name, links = f"{tagged} (MLflow)", _links(client, parent, runs)
    again = further_searches(stages[REPEAT])
    if kept is None:
        config = _guessed(own, experiment, asked, stages[SEARCH])
        rebuilt = report_of(name, config, stages[SEARCH], stages[CONFIRM], again, [NOT_THERE])
        return replace(rebuilt, tagged=tagged, links=links)
    config = replace(_config(kept), experiment=experiment)
    searched = [_with_tables(trial, kept["tables"].get(trial.trial_id, {})) for trial in stages[SEARCH]]
    rebuilt = report_of(name, config, searched, stages[CONFIRM], again, [KEPT])
    comparisons = [Comparison.from_json(row) for row in kept["comparisons"]]
    return replace(rebuilt, comparisons=comparisons, weights=kept["weights"], tagged=tagged, links=links)


def _links(client: "MlflowClient", parent: str, runs: "Sequence[Run]") -> dict[str, str]:
    """The pages of the study's run and of its winners' on an MLflow server; none where MLflow is a database."""
    uri = client.tracking_uri
    if not uri.startswith("http"):
        return {}
    pages = f"{uri.rstrip('/')}/#/experiments/{runs[0].info.experiment_id}/runs"
    winners = {
        f"{run.data.tags.get('space')}, winner on {run.data.tags['winner']}": f"{pages}/{run.info.run_id}"
        for run in runs
        if "winner" in run.data.tags
    }
    return {"the study's run in MLflow": f"{pages}/{parent}", **winners}


def _kept(client: "MlflowClient", parent: str) -> dict[str, Any] | None:
    """The report that a study attached to its run; None where there is none that this version reads."""
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as scratch:
        try:
            found: dict[str, Any] = json.loads(
                Path(client.download_artifacts(parent, REPORT_FILE, scratch)).read_text()
            )
            _config(found)
        except (MlflowException, OSError, ValueError, KeyError):
            return None
    return found if {"tables", "rows", "comparisons", "weights"} <= found.keys() else None


def _config(report: Mapping[str, Any]) -> StudyConfig:
    """The options in a study's report.

    Raises:
        KeyError, ValueError: they are missing, or this version does not know one of them.
    """
    found: StudyConfig = TypeAdapter(StudyConfig).validate_python(report["config"])
    return found


def _guessed(own: dict[str, Any], experiment: str, asked: Sequence[str], trials: Sequence[Trial]) -> StudyConfig:
    """A study's options, as far as its params and its trials hold them."""
    first = trials[0].config
    return StudyConfig(
        spaces=tuple(by_space(trials)),
        dataset=str(first["dataset/name"]),
        experiment=experiment,
        epochs=int(first.get("training/epochs", max(len(trial.history) for trial in trials))),
        trials=max(map(len, by_space(trials).values())),
        seed=int(first.get("seed", 0)),
        objectives=tuple(metric for metric in asked if any(metric in trial.history[-1] for trial in trials)),
        settings={name: value for name, value in own.items() if "/" in name and name not in OF_EVERY_STUDY},
    )


def _with_tables(trial: Trial, by_epoch: Mapping[str, dict[str, Any]]) -> Trial:
    """The trial with tables of some epochs."""
    tables = {int(at): {name: Table.from_json(one) for name, one in found.items()} for at, found in by_epoch.items()}
    return replace(trial, epochs=[replace(each, tables=tables.get(each.epoch, {})) for each in trial.epochs])


def _params(client: "MlflowClient", run_id: str) -> dict[str, Any]:
    """The params of a study's own run; none where it has none."""
    from mlflow.exceptions import MlflowException

    try:
        return {name: typed(value) for name, value in client.get_run(run_id).data.params.items()}
    except MlflowException:
        return {}


def _trial(client: "MlflowClient", read: Collection[str], order: Sequence[str], run: "Run") -> Trial:
    """A trial with the metrics of its epochs that a report reads, and those in `read`; variants in an order."""
    tags, keys = run.data.tags, [key for key in run.data.metrics if key in read or is_read(key)]
    epochs: dict[int, Metrics] = {}
    for key in keys:
        for found in client.get_metric_history(run.info.run_id, key):
            if found.step > 0:  # the summary stands at 0
                epochs.setdefault(found.step, {})[key] = found.value
    number = (run.info.run_name or "").rpartition("-")[2]
    return Trial(
        trial_id=tags.get(TAG_TRIAL, run.info.run_id),
        number=int(number) if number.isdecimal() else run.info.start_time,
        space=tags.get("space", ""),
        stage=tags["stage"],
        config={name: typed(value) for name, value in run.data.params.items()},
        finished=True,
        epochs=[
            EpochReport(at, _in_order(keys, order, epochs.get(at, {}))) for at in range(1, max(epochs, default=0) + 1)
        ],
        started=run.info.start_time,
        ended=run.info.end_time,
        origin={name: value for name, value in tags.items() if name == "commit" or name.startswith("version/")},
    )


def _in_order(keys: Sequence[str], order: Sequence[str], metrics: Metrics) -> Metrics:
    """The metrics by the order of their variants, since MLflow forgets it; `original` first where none is known."""
    places = {variant: at for at, variant in enumerate(dict.fromkeys([*order, ORIGINAL]))}

    def place(key: str) -> tuple[int, str]:
        return places.get(variant_of(key) or "", len(places)), key

    return {key: metrics[key] for key in sorted(keys, key=place) if key in metrics}


def is_read(metric: str) -> bool:
    """Return True if a report needs the epochs of a metric; reading them takes one request for each trial."""
    first, _, rest = metric.partition("/")
    if first in (VALIDATION, TEST):
        return "/" not in rest or rest.rpartition("/")[2] in READ or "/accuracy_at/" in metric
    return first == LEARNED or metric.startswith(train_loss("")) or metric in (FORWARD_PASSES, BACKWARD_PASSES)


def typed(value: str) -> Any:
    """A param's value before MLflow made a text of it: a number, a truth value, None, or the text itself."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def trial_of(run: "Run") -> Found:
    """Read a trial's accuracies from its run in MLflow."""
    tags, metrics = run.data.tags, run.data.metrics
    variants = [
        key.removeprefix(PREFIX).removesuffix(SUFFIX)
        for key in metrics
        if key.startswith(PREFIX) and key.endswith(SUFFIX)
    ]
    both = {
        variant: (metrics[at_best(accuracy(VALIDATION, variant))], metrics[at_best(accuracy(TEST, variant))])
        for variant in variants
        if at_best(accuracy(TEST, variant)) in metrics
    }
    return Found(tags.get("study", ""), tags.get("space", ""), tags.get("stage", ""), both)


def tables(experiment: str, runs: Sequence[Found]) -> list[Grid]:
    """Study and space x variants: the winners, chosen on validation accuracy; and fresh seeds, where there are any."""
    variants = list(dict.fromkeys(variant for run in runs for variant in run.accuracies))
    searched, seeds = _by_space(runs, SEARCH, variants, _winner), _by_space(runs, CONFIRM, variants, _mean)
    title = f"{experiment} (MLflow): test accuracy [%] of winners, chosen on validation data"
    found = [Grid(title, variants, searched)]
    if seeds:
        title = f"{experiment} (MLflow): test accuracy [%] on fresh seeds, mean ± standard deviation"
        found.append(Grid(title, variants, seeds))
    return found


def _by_space(
    runs: Sequence[Found], stage: str, variants: Sequence[str], cell: Callable[[Sequence[tuple[float, float]]], str]
) -> dict[str, list[str]]:
    groups: dict[str, list[Found]] = {}
    for run in runs:
        if run.stage == stage:
            groups.setdefault(f"{run.study}: {run.space}", []).append(run)
    return {
        name: [cell([run.accuracies[v] for run in mine if v in run.accuracies]) for v in variants]
        for name, mine in sorted(groups.items())
    }


def _winner(found: Sequence[tuple[float, float]]) -> str:
    return in_percent(max(found, key=lambda both: both[0])[1]) if found else MISSING


def _mean(found: Sequence[tuple[float, float]]) -> str:
    tests = [test for _, test in found]
    return with_spread_of(tests) if tests else MISSING
