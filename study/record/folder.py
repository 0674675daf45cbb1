"""A study's folder: its files, and the record of each trial.

study.json                 the study's options
spaces/<space>.py          each search space when the study began, with a checksum
data.json                  a fingerprint of the data
study.lock                 locked by the process that runs the study
ended.json                 the end of the study: its status and the time
place.txt                  the folder's own path when the study ran last
search/<space>.journal     Optuna's storage
checkpoints/<trial>/       states from which unfinished trials continue, unless another storage was given
trials/<trial>/            trial.json, history.jsonl (one line per epoch), error.txt if it failed
best/<stage>/<space>/<trial>/<epoch>/   the winners' checkpoints
reports.sqlite             messages that are not sent to MLflow yet
mlflow.db, mlartifacts/    MLflow's store, unless a tracking URI was given
report/                    tables and figures
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bgbias.data.fingerprint import FILE, SHA256
from bgbias.errors import SettingError
from bgbias.files import atomically, verify_checksums, write_checksums
from study.record import sqlite_uri
from study.record.config import StudyConfig, new_id
from study.record.epoch import EpochReport, history_from_json, history_to_json
from study.record.json_record import JsonRecord, json_record
from study.record.keeper import StudyKeeper
from study.record.lock import is_unused, locked
from study.record.provenance import now, origin, weights_checksum
from study.record.selection import Candidate, Row, Trial, TrialRecord, further_searches
from study.record.storage import joined
from study.settings import Settings
from study.space import label, space_files

SEARCH, CONFIRM, REPLACED, REPEAT = "search", "confirm", "replaced", "repeat"
"""The stages of trials: a search; its winners on fresh seeds; former winners on fresh seeds; a repeated search."""
DATA, ENDED, PLACE, ARTIFACTS = "data.json", "ended.json", "place.txt", "mlartifacts"


KILLED = "KILLED"
"""Status of a study without a recorded end."""


@json_record
class StudyEnd(JsonRecord):
    """The end of a study.

    status: FINISHED, FAILED or KILLED
    at: milliseconds since 1970; None if the end was not recorded
    """

    status: str = KILLED
    at: int | None = None


class StudyFolder:
    """Reads and writes one study's folder. It keeps no state except the path."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def name(self) -> str:
        """The study's name, which is its folder's."""
        return self.root.name

    @property
    def config_file(self) -> Path:
        """File of the study's options."""
        return self.root / "study.json"

    @property
    def report(self) -> Path:
        """Folder of tables and figures."""
        return self.root / "report"

    @property
    def outbox(self) -> Path:
        """Database of the messages that MLflow has not received yet."""
        return self.root / "reports.sqlite"

    @property
    def store(self) -> Path:
        """The study's own MLflow store."""
        return self.root / "mlflow.db"

    @property
    def own_artifacts(self) -> Path:
        """Folder of the files in the study's own MLflow store."""
        return self.root / ARTIFACTS

    def journal(self, space: str) -> Path:
        """Optuna's storage of one space's search."""
        return self.root / "search" / f"{space}.journal"

    def journals(self) -> list[Path]:
        """Optuna's storages of all searches that have begun."""
        return sorted((self.root / "search").glob("*.journal"))

    def keeper(self, stage: str) -> StudyKeeper:
        """The winners' checkpoints of one stage."""
        return StudyKeeper(self.root / "best" / stage)

    def checkpoint(self, row: Row | Candidate, stage: str = SEARCH) -> Path:
        """Folder of a selected checkpoint: a winner, a member of the front, or a trial on a fresh seed."""
        return self.keeper(stage).path(row.space, row.trial, row.epoch)

    def storage(self, config: StudyConfig) -> str:
        """Path or URI of the checkpoints of unfinished trials: in the study's `--storage`, or in this folder."""
        return joined(config.storage, config.study_id) if config.storage else str(self.root / "checkpoints")

    def tracking_uri(self, config: StudyConfig) -> str:
        """The tracking URI asked for, or the study's own SQLite store."""
        return config.tracking_uri or sqlite_uri.uri_of(self.store)

    def artifacts(self, config: StudyConfig) -> Path:
        """The folder of MLflow's files if its store is a database.

        It is beside the file of an SQLite store. For a database server it is beside the study's folder, where other
        studies may use it too.
        """
        if config.tracking_uri is None:
            return self.own_artifacts
        return (sqlite_uri.file_of(config.tracking_uri) or self.root).parent / ARTIFACTS

    @contextmanager
    def begun(self, config: StudyConfig) -> Iterator[None]:
        """Start a study here, as `create` does, and lock it until the block ends.

        Raises:
            SettingError: the folder holds something else or another study, or another process is running one in it.
        """
        self._check_own()
        self.root.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self.create(config)
            yield

    def create(self, config: StudyConfig) -> None:
        """Start a study here; a study without any trial is replaced.

        Raises:
            SettingError: the folder holds something else, or another study.
        """
        self._check_own()
        if (self.root / "trials").exists():
            raise SettingError(
                f"{self.root} already holds a study: continue it with `study resume`, or give another --output"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self._clear()
        self.write_config(config)
        (self.root / PLACE).write_text(str(self.root))
        self._spaces.mkdir()
        for file in (file for name in config.spaces for file in space_files(name)):
            (self._spaces / file.name).write_bytes(file.read_bytes())
        write_checksums(self._spaces)

    @property
    def _spaces(self) -> Path:
        return self.root / "spaces"

    def spaces(self) -> Path | None:
        """The folder of the spaces' files that were recorded when the study began; None in an older version's record.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        if not self._spaces.exists():
            return None
        verify_checksums(self._spaces)
        return self._spaces

    def check_trials(self, config: StudyConfig) -> None:
        """Check that no space has more trials than the options allow.

        Raises:
            SettingError: more trials of a space have begun than the options allow.
        """
        begun = max((len(self.trials(SEARCH, label(name))) for name in config.spaces), default=0)
        if config.trials < begun:
            raise SettingError(
                f"--trials counts all trials of each space, of which {begun} have begun, but got {config.trials}: "
                f"give {begun} or more"
            )

    def check_data(self, fingerprint: dict[str, str]) -> None:
        """Compare the study's data with those it began with, or record them when it begins.

        Args:
            fingerprint: of each part of the dataset.

        Raises:
            SettingError: they differ.
        """
        file = self.root / DATA
        if not file.exists():
            with atomically(file) as partial:
                partial.write_text(json.dumps(fingerprint, indent=1))
            return
        before = json.loads(file.read_text())
        differing = [part for part in {**before, **fingerprint} if before.get(part) != fingerprint.get(part)]
        if differing:
            raise SettingError(
                f"a study keeps its data, but {', '.join(differing)} differ from those it began with: give the folder "
                "of the same data by --data, or begin another study"
            )

    def write_config(self, config: StudyConfig) -> None:
        """Record the study's options from now on."""
        with atomically(self.config_file) as partial:
            partial.write_bytes(TypeAdapter(StudyConfig).dump_json(config, indent=1))

    def _check_own(self) -> None:
        if not (self.config_file.exists() or is_unused(self.root)):
            raise SettingError(f"{self.root} is not empty and holds no study: give another --output")

    def _clear(self) -> None:
        stores = (*self.root.glob("reports.sqlite*"), *self.root.glob("mlflow.db*"))
        for file in (self.config_file, self.root / ENDED, self.root / DATA, *stores):
            file.unlink(missing_ok=True)
        for folder in (self.own_artifacts, self._spaces, self.root / "search", self.root / "checkpoints"):
            shutil.rmtree(folder, ignore_errors=True)

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other process from running the study until the block ends.

        Raises:
            SettingError: another process is running it, or the folder cannot be written.
        """
        return locked(self.root)

    def settled(self, config: StudyConfig) -> StudyConfig:
        """Record where the folder is now.

        A copied study gets its own id if the original still exists and both would write into the same MLflow store or
        storage. So the copy does not change the original's runs and checkpoints.
        """
        place = self.root / PLACE
        before = Path(place.read_text()) if place.exists() else self.root
        shared = config.tracking_uri is not None or config.storage is not None
        if shared and before != self.root and StudyFolder(before).holds(config.study_id):
            config = replace(config, study_id=new_id())
            self.write_config(config)
        place.write_text(str(self.root))
        return config

    def holds(self, study_id: str) -> bool:
        """Return True if this folder holds the study with this id."""
        try:
            return self.read_config().study_id == study_id
        except SettingError:
            return False

    def record_end(self, end: StudyEnd) -> None:
        """Record the study's end."""
        with atomically(self.root / ENDED) as partial:
            partial.write_text(end.to_json())

    def end(self) -> StudyEnd:
        """Read the study's end; KILLED if none was recorded."""
        try:
            return StudyEnd.from_json((self.root / ENDED).read_text())
        except FileNotFoundError:
            return StudyEnd()

    def read_config(self) -> StudyConfig:
        """Read the study's options.

        Raises:
            SettingError: there is no study here, or its file is damaged.
        """
        try:
            return TypeAdapter(StudyConfig).validate_json(self.config_file.read_bytes())
        except OSError:
            raise SettingError(f"no study at {self.root}: give the --output folder of a `study run`") from None
        except ValidationError as error:
            extra = [str(item["loc"][-1]) for item in error.errors() if item["type"] == "unexpected_keyword_argument"]
            if extra:
                raise SettingError(
                    f"{self.config_file} has options that this version does not know ({', '.join(extra)}): use the "
                    "version that the study was begun with, or begin another study"
                ) from None
            reason = "; ".join(item["msg"] for item in error.errors())
            raise SettingError(f"{self.config_file} is damaged ({reason}): give another study") from None

    def _trial(self, trial_id: str) -> Path:
        return self.root / "trials" / trial_id

    def next_number(self) -> int:
        """The number of the trial that starts next, counted from 1 over all of the study."""
        return 1 + sum(1 for _ in (self.root / "trials").glob("*/trial.json"))

    def start_trial(self, trial_id: str, number: int, space: str, stage: str, config: Settings) -> None:
        """Record a trial before it begins, together with its origin and the SHA-256 of its files."""
        self._trial(trial_id).mkdir(parents=True, exist_ok=True)
        began = {**origin(), **weights_checksum(config), **self._file_checksums()}
        self._write(trial_id, TrialRecord(number, space, stage, config, started=now(), origin=began))

    def _file_checksums(self) -> dict[str, str]:
        """`sha256/<name>` of the files that describe the study's data."""
        file = self.root / DATA
        recorded: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        files = {part.removeprefix(FILE): digest for part, digest in recorded.items() if part.startswith(FILE)}
        return {f"sha256/{name}": digest.removeprefix(SHA256) for name, digest in files.items()}

    def searched_again(self) -> list[list[Trial]]:
        """List the finished trials of each repeated search, under the spaces' own names, in order."""
        return further_searches(self.finished(REPEAT, tables=False))

    def repair_trial(self, trial_id: str) -> None:
        """Drop a last line of a trial's history that was cut short when the process was killed."""
        lines = self._trial(trial_id) / "history.jsonl"
        if lines.exists():
            whole, newline, _ = lines.read_bytes().rpartition(b"\n")
            lines.write_bytes(whole + newline)

    def add_epoch(self, trial_id: str, report: EpochReport) -> None:
        """Record an epoch; of an epoch that is recorded twice, the later record counts."""
        with (self._trial(trial_id) / "history.jsonl").open("a") as lines:
            lines.write(history_to_json([report]))

    def finish_trial(self, trial_id: str, at: int | None = None) -> None:
        """Record the end of a trial, `at` in milliseconds since 1970; None is now."""
        (self._trial(trial_id) / "error.txt").unlink(missing_ok=True)
        self._write(trial_id, replace(self._read(trial_id), finished=True, ended=now() if at is None else at))

    def replace_trial(self, trial_id: str) -> None:
        """Leave a trial on a fresh seed out of every table, because another trial has won the search since then."""
        self._write(trial_id, replace(self._read(trial_id), stage=REPLACED))

    def fail_trial(self, trial_id: str, reason: str) -> None:
        """Record the reason why a trial failed."""
        (self._trial(trial_id) / "error.txt").write_text(reason)

    def has_failed(self, trial_id: str) -> bool:
        """Return True if a trial failed the last time it ran."""
        return (self._trial(trial_id) / "error.txt").exists()

    def _read(self, trial_id: str) -> TrialRecord:
        return TrialRecord.from_json((self._trial(trial_id) / "trial.json").read_text())

    def _write(self, trial_id: str, record: TrialRecord) -> None:
        with atomically(self._trial(trial_id) / "trial.json") as partial:
            partial.write_text(record.to_json())

    def trial(self, trial_id: str, *, tables: bool = True) -> Trial:
        """Read the record of one trial, with or without the tables of its epochs."""
        lines = self._trial(trial_id) / "history.jsonl"
        epochs = history_from_json(lines.read_text(), tables=tables) if lines.exists() else []
        return Trial(trial_id=trial_id, epochs=epochs, **vars(self._read(trial_id)))

    def trials(self, stage: str, space: str | None = None, *, tables: bool = True) -> list[Trial]:
        """List the recorded trials of a stage, and of one space if given, in the order of their start."""
        names = (file.parent.name for file in (self.root / "trials").glob("*/trial.json"))
        records = {name: self._read(name) for name in names}
        mine = [name for name, found in records.items() if found.stage == stage and space in (None, found.space)]
        return [self.trial(name, tables=tables) for name in sorted(mine, key=lambda name: records[name].number)]

    def finished(self, stage: str, space: str | None = None, *, tables: bool = True) -> list[Trial]:
        """List the finished trials: winners are chosen among them, and their checkpoints may be kept."""
        return [trial for trial in self.trials(stage, space, tables=tables) if trial.finished]
