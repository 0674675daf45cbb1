"""Tables of an experiment that MLflow alone holds, such as another machine's: read off its runs' tags and metrics."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from bgbias.errors import SettingError
from bgbias.metrics import TEST, VALIDATION, accuracy, at_best
from study.display import in_percent, with_spread
from study.record.folder import CONFIRM, SEARCH
from study.report.layout import Grid
from study.report.text import MISSING

if TYPE_CHECKING:
    from mlflow.entities import Run

PER_PAGE = 1000
EARLIEST_FIRST = ["attributes.start_time ASC"]
"""Order of runs: of trials with the same validation accuracy the earlier one wins, as in a study's own tables."""
PREFIX, SUFFIX = at_best(f"{VALIDATION}/"), ".accuracy"


@dataclass(frozen=True)
class Found:
    """A trial's run: its study, space and stage, and by variant its accuracies at the epoch that validation chose."""

    study: str
    space: str
    stage: str
    accuracies: dict[str, tuple[float, float]]


def grids(experiment: str, tracking_uri: str | None) -> list[Grid]:
    """The winners of every study of an experiment, and the means of their fresh seeds.

    Args:
        tracking_uri: of the MLflow that holds it; MLFLOW_TRACKING_URI if None.

    Raises:
        SettingError: MLflow has no such experiment, or no trial of it has finished.
    """
    runs = read(experiment, tracking_uri)
    if not runs:
        raise SettingError(f"the experiment '{experiment}' has no finished trial of a study: give another one")
    return tables(experiment, runs)


def read(experiment: str, tracking_uri: str | None) -> list[Found]:
    """All finished trials of an experiment.

    Raises:
        SettingError: there is no such experiment, or no MLflow was named.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        raise SettingError(
            f"no study at {experiment}, and no MLflow to look for an experiment of that name: give the --output folder "
            "of a `study run`, or --tracking-uri"
        )
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    if known is None:
        raise SettingError(f"MLflow at {uri} has no experiment '{experiment}': give another name or a study's folder")
    found, token = [], None
    while True:
        done = "attributes.status = 'FINISHED'"
        page = client.search_runs(
            [known.experiment_id], done, max_results=PER_PAGE, order_by=EARLIEST_FIRST, page_token=token
        )
        found += [trial for run in page if (trial := trial_of(run)).stage in (SEARCH, CONFIRM)]
        token = page.token
        if not token:
            return found


def trial_of(run: "Run") -> Found:
    """What a run says of its trial."""
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
    return with_spread(fmean(tests), stdev(tests) if len(tests) > 1 else None) if tests else MISSING
