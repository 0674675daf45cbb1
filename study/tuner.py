"""A study as one straight line: a search per space, then fresh seeds for the winners, then what they won."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bgbias.data.dataset import DatasetSpec, judged_variants
from bgbias.errors import SettingError, UnknownNameError
from bgbias.training import choose_device
from study.config import StudyConfig
from study.display import console
from study.folder import CONFIRM, SEARCH, StudyFolder
from study.provenance import versions
from study.report import write_report
from study.selection import winners
from study.space import SearchSpace, label, load_space
from study.stage import Stage, ray_session
from study.tracking import Reporter, Sender, check_tracking
from study.trainable import cached_dataset


@dataclass(frozen=True)
class Plan:
    """What a study will do, checked before it starts.

    dataset: its options
    spaces: by label, with what the study fixes left out of the search
    objectives: by label, the variant whose validation accuracy the space's search maximises
    """

    dataset: DatasetSpec
    spaces: dict[str, SearchSpace]
    objectives: dict[str, str]


def run(config: StudyConfig, folder: StudyFolder) -> None:
    """Start a study, or go on with one, and bring it to its end.

    Raises:
        BgbiasError: the configuration does not hold, or no trial of a space could finish.
        StudyInterruptedError: it was stopped; running it again goes on.
    """
    started = time.perf_counter()
    study = plan(config)
    with reporting(config, folder) as reporter, ray_session(config):
        console.print(f"[dim]data and Ray ready after {time.perf_counter() - started:.1f} s[/]")
        for name, space in study.spaces.items():
            Stage(config, folder, SEARCH, name, study.objectives[name]).search(space)
        for name in study.spaces if config.confirm_seeds else ():
            Stage(config, folder, CONFIRM, name, study.objectives[name]).confirm()
        publish(folder, reporter, study.dataset.name())
        reporter.end_study("FINISHED")


def plan(config: StudyConfig) -> Plan:
    """Find everything that can be wrong with a study before its first trial starts.

    Raises:
        BgbiasError: what is wrong.
    """
    spaces = {label(name): load_space(name).pinned(config.settings) for name in config.spaces}
    if len(spaces) < len(config.spaces):
        raise SettingError(f"two spaces of {', '.join(config.spaces)} have the same name: rename one")
    for setting in config.settings:
        if not any(setting in space.fixed for space in spaces.values()):
            raise SettingError(f"no method of this study has the setting '{setting}': leave it out")
    runs = [space.check({**config.base(), **space.fixed}) for space in spaces.values()]
    dataset = runs[0].dataset
    check_tracking(config.tracking_uri)
    if config.address is None:
        choose_device(config.device)
    known = judged_variants(cached_dataset(dataset, config.data))
    objectives = {name: config.objective or s.objective or dataset.objective for name, s in spaces.items()}
    for objective in objectives.values():
        if objective not in known:
            raise UnknownNameError("variant", objective, known)
    return Plan(dataset, spaces, objectives)


@contextmanager
def reporting(config: StudyConfig, folder: StudyFolder) -> Iterator[Reporter]:
    """Report to MLflow from a thread while the study runs; what is left is sent at the end."""
    artifacts = None if config.tracking_uri else folder.root / "mlartifacts"
    sender = Sender(folder.outbox, folder.tracking_uri(config), artifacts)
    reporter = Reporter(folder.outbox, config.mlflow_experiment, folder.name)
    params = {"spaces": ", ".join(config.spaces), "trials": config.trials, **config.base(), **config.settings}
    reporter.study(folder.name, params, {"dataset": config.dataset, **versions()})
    sender.start()
    try:
        yield reporter
    except BaseException:
        reporter.end_study("KILLED")
        raise
    finally:
        with console.status("sending the last results to MLflow"):
            unsent = sender.finish()
        reporter.close()
        if unsent:
            console.print(
                f"[yellow]{unsent} reports could not be sent to MLflow ({sender.problem}); "
                f"they are kept, and `study resume {folder.root}` sends them[/]"
            )


def publish(folder: StudyFolder, reporter: Reporter, dataset: str) -> None:
    """Keep the report and every winner's checkpoint in MLflow, and register the best of each variant under the
    dataset's name."""
    rows = winners(folder.finished(SEARCH))
    for row in rows:
        reporter.trial_artifacts(row.trial, folder.checkpoint(row), f"best/{row.variant}")
    write_report(folder)
    reporter.study_artifacts(folder.report, "report")
    for variant in dict.fromkeys(row.variant for row in rows):
        best = max((row for row in rows if row.variant == variant), key=lambda row: row.val_accuracy)
        reporter.champion(dataset, variant, best.trial, f"best/{variant}", best.val_accuracy)
