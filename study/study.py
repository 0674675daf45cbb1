"""A study as one straight line: a search per space, then fresh seeds for the winners, then the report."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ray.tune import TuneError
from rich.markup import escape
from torch import nn

from bgbias import pretraining
from bgbias.config import RunConfig
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.fingerprint import fingerprint
from bgbias.errors import SettingError
from bgbias.evaluation.evaluate import evaluate
from bgbias.methods.erm import Erm
from bgbias.methods.method import Learner
from bgbias.metrics import VALIDATION, variant_of
from bgbias.models.model import Classifier
from bgbias.randomness import derive, stream
from bgbias.training import check_masks, choose_device
from study import stopping
from study.cluster.nodes import check_nodes
from study.cluster.ray_session import ray_session
from study.display import command_line, console, show_line
from study.errors import OutboxError, ReportsMissingError, TrialsFailedError
from study.record.config import StudyConfig
from study.record.family import check_family
from study.record.folder import CONFIRM, REPEAT, REPLACED, SEARCH, StudyEnd, StudyFolder
from study.record.objectives import check_known, check_objectives, metric_of, objectives_of
from study.record.provenance import now, origin
from study.record.selection import Trial, best_epoch, best_score, front, spread, winners
from study.record.storage import Storage
from study.report import write_report
from study.report.note import experiment_note, study_note
from study.report.tables import Report
from study.search.stage import SearchStage
from study.settings import Settings, of_space
from study.space import SearchSpace, change_since, label, load_space
from study.tracking.outbox import Outbox
from study.tracking.recorded import report_all
from study.tracking.relocate import relocate
from study.tracking.reporter import Reporter, check_tracking
from study.tracking.sender import Sender
from study.training.run import cached_dataset

CONFIRMED = 3
"""Members of a space's front that are trained on fresh seeds, at most: those farthest apart."""
NOTE = "mlflow.note.content"
"""The tag whose Markdown MLflow shows as a description."""
SHARED = ("dataset/", "evaluation/")
"""Beginnings of the settings that all spaces of a study share."""


@dataclass(frozen=True)
class Plan:
    """The plan of a study, checked before it starts.

    dataset: its options
    spaces: by label, with what the study fixes left out of the search
    objectives: the validation metrics that every search improves, one or several
    classes: the names of the dataset's classes
    data: a fingerprint of the dataset's pictures
    """

    dataset: DatasetSpec
    spaces: dict[str, SearchSpace]
    objectives: tuple[str, ...]
    classes: tuple[str, ...]
    data: dict[str, str]


def run(study: Plan, config: StudyConfig, folder: StudyFolder) -> None:
    """Bring a study, new or begun, to its end. Its folder is locked by the caller.

    Raises:
        SettingError: Ray has no room for it.
        TrialsFailedError: not one trial of some space could finish; the others have been brought to their end.
        StudyInterruptedError: it was stopped; running it again continues.
        ReportsMissingError: it ended, but MLflow lacks some of its reports.
    """
    folder.check_data(study.data)
    started, store_is_new = time.perf_counter(), not folder.store.exists()
    if len(study.objectives) > 1 and config.early_stopping is None:
        console.print("[dim]with several objectives no trial is stopped early[/]")
    with sending(config, folder) as sender, ray_session(config):
        console.print(f"[dim]Ray ready after {time.perf_counter() - started:.1f} s[/]")
        if config.tracking_uri or not store_is_new:
            sender.check()
        with reporting(config, folder) as reporter:
            check_nodes(config, folder.storage(config), study.dataset)
            failures = [failure for work in stages(study, config, folder) if (failure := attempt(work))]
            tidy(folder, config)
            publish(folder, reporter, config.dataset)
            end = StudyEnd("FAILED" if failures else "FINISHED", now())
            folder.record_end(end)
            reporter.end_study(end.status, end.at)
        if failures:
            raise TrialsFailedError("; ".join(failures))


def send(config: StudyConfig, folder: StudyFolder) -> None:
    """Send all that is recorded of a study to MLflow, which changes only where it lacks something.

    Raises:
        SettingError: MLflow refuses the experiment.
        ReportsMissingError: MLflow lacks some reports still.
    """
    with sending(config, folder, beside_trials=False) as sender:
        sender.check()
        end = folder.end()
        with reporting(config, folder) as reporter:
            if folder.finished(SEARCH):
                publish(folder, reporter, config.dataset)
            folder.record_end(end)
            reporter.end_study(end.status, end.at)


def stages(study: Plan, config: StudyConfig, folder: StudyFolder) -> Iterator[Callable[[], None]]:
    """Yield the study's work in order: every space's search, the same with other seeds of the search, fresh seeds.

    Fresh seeds are of what the first search of a space won: `to_confirm`.
    """
    for name, space in study.spaces.items():
        yield partial(SearchStage(config, folder, SEARCH, name, study.objectives).search, space)
    for number in range(2, config.searches + 1):
        for name, space in study.spaces.items():
            if space.params:
                seed = derive(config.seed, "search again", number)
                again = SearchStage(config, folder, REPEAT, f"{name}.{number}", study.objectives, seed)
                yield partial(again.search, space)
    for name in study.spaces if config.confirm_seeds else ():
        for own, settings in to_confirm(name, folder.finished(SEARCH, name), study.objectives, config.confirm_top):
            yield partial(SearchStage(config, folder, CONFIRM, own, study.objectives).confirm, settings)


def to_confirm(space: str, trials: Sequence[Trial], objectives: Sequence[str], top: int) -> list[tuple[str, Settings]]:
    """The configurations of one space that get fresh seeds, each with the name that its seeds have.

    With one objective, the winner under the space's name and the next best `top - 1` trials under their own; with
    several, at most `CONFIRMED` members of the front under their own.
    """
    if len(objectives) > 1:
        return [(member.name, member.config) for member in spread(front(trials, objectives), CONFIRMED)]
    measured = [trial for trial in trials if best_epoch(trial.history, objectives[0])]
    ranked = sorted(measured, key=lambda trial: (-best_score(trial.history, objectives[0]), trial.number))
    return [(trial.name if at else space, trial.config) for at, trial in enumerate(ranked[:top])]


def tidy(folder: StudyFolder, config: StudyConfig) -> None:
    """Delete what finished trials went on from, where that could not be done at once."""
    storage = Storage(folder.storage(config))
    finished = {trial.trial_id for stage in (SEARCH, REPEAT, CONFIRM) for trial in folder.finished(stage)}
    finished |= {trial.trial_id for trial in folder.trials(REPLACED)}
    for name in finished.intersection(storage.names("")):
        storage.delete(name)


def attempt(work: Callable[[], None]) -> str | None:
    """Do a stage's work; why it failed, if every trial of it did.

    Raises:
        OutboxError, OSError: its record or its reports cannot be kept on disk.
    """
    try:
        work()
    except TrialsFailedError as error:
        return str(error)
    except TuneError as error:  # Ray puts what a callback raised into its own error's text
        raise behind(error, OutboxError, OSError) from None
    return None


def behind(error: BaseException, *kinds: type[Exception]) -> BaseException:
    """The error of one of some kinds during whose handling this one was raised, or else this one."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, kinds):
        found = found.__context__
    return found or error


def plan(config: StudyConfig, recorded: Path | None = None) -> Plan:
    """Check a study before its first trial starts.

    Args:
        config: the study's options.
        recorded: folder of the recorded spaces, if the study has begun.

    Raises:
        BgbiasError: an option, a space or the data is wrong.
    """
    loaded = {label(name): load_space(name, recorded) for name in config.spaces}
    check_scopes(config.settings, loaded)
    settings = {name: of_space(name, config.settings) for name in loaded}
    spaces = {name: space.pinned(settings[name], config.dataset) for name, space in loaded.items()}
    if len(spaces) < len(config.spaces):
        raise SettingError(f"two spaces of {', '.join(config.spaces)} have the same name: rename one")
    for setting in config.settings:
        scope, _, name = setting.rpartition(":")
        if not any(name in space.fixed for own, space in spaces.items() if scope in ("", own)):
            raise SettingError(f"no method of this study has the setting '{setting}': leave it out")
    check_tracking(config.tracking_uri)
    if config.address is None:
        choose_device(config.device)
    runs = {name: check_space(space, config) for name, space in spaces.items()}
    dataset = next(iter(runs.values())).dataset
    whole = cached_dataset(dataset, config.data)
    sample = whole.head(1)
    check_classes(config, sample)
    for run in runs.values():
        pretraining.check(run, sample.classes)
        check_masks(run.method, sample)
        run.model.checksum()
    known = {name: known_metrics(space, runs[name], sample) for name, space in spaces.items()}
    every = (variant_of(metric) for metrics in known.values() for metric in metrics)
    check_family(config.family, spaces, list(dict.fromkeys(variant for variant in every if variant)))
    objectives = choose_objectives(spaces, config)
    for name, metrics in known.items():
        check_known(name, objectives, metrics)
    return Plan(dataset, spaces, objectives, sample.classes, fingerprint(whole))


def say_changes(config: StudyConfig, recorded: Path | None) -> None:
    """Print which spaces have changed since the study recorded them."""
    for name in config.spaces:
        change = change_since(name, recorded) if recorded else None
        if change is not None:
            notice = f"the space {name} {change}: the study continues with the recorded one"
            show_line(f"[yellow]{escape(notice)}[/]")


def check_classes(config: StudyConfig, dataset: Dataset) -> None:
    """Check that the data has the classes that the study recorded.

    Raises:
        SettingError: a study that has begun has other classes than its data.
    """
    if config.classes is not None and config.classes != dataset.classes:
        raise SettingError(
            f"a study keeps its classes, but it began with {', '.join(config.classes)} and "
            f"{config.data or dataset.name} has {', '.join(dataset.classes)}: give the data of its start"
        )


def choose_objectives(spaces: Mapping[str, SearchSpace], config: StudyConfig) -> tuple[str, ...]:
    """Choose the objectives of every search: the study's own, or else those of the spaces, or of the dataset.

    Raises:
        SettingError: spaces differ, an objective cannot be one, or early stopping is asked for with several.
    """
    own = {tuple(map(metric_of, space.objectives)) for space in spaces.values()}
    if len(own) > 1 and not config.objectives:
        raise SettingError(f"the spaces {', '.join(spaces)} must have the same objectives: give --objective")
    asked = tuple(map(metric_of, config.objectives)) or own.pop() or objectives_of(config)
    check_objectives(asked)
    if len(asked) > 1 and config.early_stopping:
        raise SettingError(f"early stopping takes one objective, but got {', '.join(asked)}: give --no-early-stopping")
    return asked


def check_scopes(settings: Settings, spaces: Collection[str]) -> None:
    """Check the settings that are for one space alone.

    Raises:
        SettingError: there is no such space, or the setting is the same for all of them.
    """
    for setting in settings:
        scope, _, name = setting.rpartition(":")
        if scope and scope not in spaces:
            raise SettingError(f"'{setting}' is for a space that this study has not: choose among {', '.join(spaces)}")
        if scope and name.startswith(SHARED):
            raise SettingError(f"'{setting}' is the same for all spaces of a study: leave '{scope}:' out")


def check_space(space: SearchSpace, config: StudyConfig) -> RunConfig:
    """A configuration of the space in this study.

    Raises:
        SettingError: the space decides what is the study's own to decide, or a value breaks its rule.
    """
    for setting in config.base():
        if setting in {*space.fixed, *space.params}:
            raise SettingError(f"'{setting}' is the same for all trials of a study: give it by the option of its name")
    return space.check({**config.base(), **space.fixed})


def known_metrics(space: SearchSpace, run: RunConfig, sample: Dataset) -> list[str]:
    """List the validation metrics that some trial of the space has, by evaluating an untrained linear classifier.

    Args:
        space: with every choice of its settings.
        run: the settings that all trials share.
        sample: the dataset with a few pictures of each variant.
    """
    head = nn.Linear(math.prod(sample.image_shape), len(sample.classes))
    linear = Learner(Classifier(nn.Flatten(), head), nn.Module())
    found: dict[str, None] = {}
    for example in space.examples():
        checked = space.check({**run.to_flat(), **example})
        prepared = checked.method.prepare(sample, stream(run.seed, "prepare"))
        kept = {name: each if len(each) else sample.validation[name] for name, each in prepared.validation.items()}
        prepared = replace(prepared, validation=kept)
        found |= dict.fromkeys(evaluate(Erm(), linear, prepared, checked.evaluation.chosen(), [VALIDATION]).metrics)
    return list(found)


@contextmanager
def sending(config: StudyConfig, folder: StudyFolder, *, beside_trials: bool = True) -> Iterator[Sender]:
    """Send reports to MLflow while the study runs, and the rest at the end.

    Unsent reports of an earlier run are dropped: the study's record holds them.

    Raises:
        ReportsMissingError: at the end, if nothing else failed: MLflow lacks some reports.
    """
    if config.tracking_uri is None:
        relocate(folder.store, folder.own_artifacts)
    with closing(Outbox(folder.outbox)) as outbox, outbox.refilled():
        pass
    target = (folder.tracking_uri(config), folder.artifacts(config), config.mlflow_experiment)
    sender = Sender(folder.outbox, *target, beside_trials=beside_trials)
    sender.start()
    try:
        yield sender
    except BaseException:
        missing = finish(sender, folder)
        if missing and not stopping.received():
            show_line(f"[yellow]{escape(missing)}[/]")
        raise
    missing = finish(sender, folder)
    if missing:
        raise ReportsMissingError(missing)


def finish(sender: Sender, folder: StudyFolder) -> str | None:
    """Send what is left; what is missing then, or None."""
    with console.status("sending the last results to MLflow"):
        count = sender.finish()
    if not count:
        return None
    return (
        f"{count} reports are missing in MLflow ({sender.problem or sender.refusal}): the study's record holds them, "
        f"and `{command_line('report', '--send', folder.root)}` sends them again"
    )


@contextmanager
def reporting(config: StudyConfig, folder: StudyFolder) -> Iterator[Reporter]:
    """The study's own run in MLflow, from its start to its end, and below it all trials that are recorded already."""
    lists = {"spaces": ", ".join(config.spaces), "objectives": ", ".join(objectives_of(config))}
    params = {**lists, "trials": config.trials, **config.base(), **config.settings}
    tags = {"study": folder.name, "stage": "study", "dataset": config.dataset, **origin()}
    folder.record_end(StudyEnd())
    with closing(Reporter(folder.outbox, config.mlflow_experiment, config.study_id)) as reporter:
        with reporter.anew():
            reporter.study(folder.name, params, tags)
            report_all(reporter, folder)
        try:
            yield reporter
        except BaseException:
            reporter.end_study("KILLED")
            raise


def publish(folder: StudyFolder, reporter: Reporter, dataset: str) -> None:
    """Upload the report and every winner's checkpoint to MLflow.

    The best checkpoint of each variant is registered as a model under the dataset's name, and notes describe the runs.
    """
    rows = winners(folder.finished(SEARCH))
    for row in rows:
        reporter.trial_artifacts(row.trial, folder.checkpoint(row), f"best/{row.variant}")
    for trial in dict.fromkeys(row.trial for row in rows):
        reporter.tag_trial(trial, {"winner": ", ".join(row.variant for row in rows if row.trial == trial)})
    for replaced in folder.trials(REPLACED):
        reporter.tag_trial(replaced.trial_id, {"stage": REPLACED})
    report = write_report(folder)
    for member in report.front if len(report.objectives) > 1 else ():
        reporter.trial_artifacts(member.trial, folder.checkpoint(member), "best/front")
        reporter.tag_trial(member.trial, {"front": ", ".join(report.objectives)})
    reporter.study_artifacts(folder.report, "report")
    for variant in dict.fromkeys(row.variant for row in rows):
        best = max((row for row in rows if row.variant == variant), key=lambda row: row.val_accuracy)
        reporter.champion(dataset, best, f"best/{variant}")
    describe(report, reporter)


def describe(report: Report, reporter: Reporter) -> None:
    """Notes on the study and its experiment."""
    reporter.tag_study({NOTE: study_note(report)})
    reporter.tag_experiment({NOTE: experiment_note(report)})
