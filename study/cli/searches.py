"""The searches of a study, read together."""

import warnings

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from bgbias.errors import SettingError
from study.record.folder import StudyFolder


def gathered(folder: StudyFolder) -> BaseStorage:
    """All searches of a study as they stand, in one storage in memory: Optuna's dashboard shows one storage.

    Raises:
        SettingError: no search of the study has begun.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    together = InMemoryStorage()
    for journal in folder.journals():
        storage = JournalStorage(JournalFileBackend(str(journal)))
        for name in optuna.get_all_study_names(storage):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=together)
    if not together.get_all_studies():
        raise SettingError(
            f"no search of {folder.root} has begun: nothing is searched, or start it with `study resume`"
        )
    return together
