"""Errors of studies."""

from bgbias.errors import BgbiasError


class StudyInterruptedError(BgbiasError):
    """The study was stopped before its end; `study resume` continues."""


class ExtraMissingError(BgbiasError):
    """A command needs an optional package that is not installed."""


class TrialsFailedError(BgbiasError):
    """Not one trial of a space could finish."""


class StorageError(BgbiasError):
    """The study's storage cannot be read or written from here."""


class OutboxError(BgbiasError):
    """A message for MLflow cannot be stored on disk."""


class ReportsMissingError(BgbiasError):
    """MLflow lacks some of a study's reports."""
