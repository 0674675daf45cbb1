"""The protocol in one table: what each method is given, what it costs, and what it reaches on average and at worst."""

from collections.abc import Sequence
from dataclasses import dataclass

from bgbias.data.dataset import ORIGINAL
from bgbias.errors import BgbiasError
from bgbias.methods import methods
from bgbias.metrics import ACCURACY, TEST, WORST_CLASS_ACCURACY, WORST_GROUP_ACCURACY, variant_metric
from study.record.selection import Trial, best_epoch, best_value, by_space
from study.report.fairness import Budget, budgets, epoch_costs
from study.report.tables import Report

MEASURES = {ACCURACY: "", WORST_CLASS_ACCURACY: " worst class", WORST_GROUP_ACCURACY: " worst group"}
"""Metrics of a variant, and what their columns say after the variant's name."""


@dataclass(frozen=True)
class ProtocolRow:
    """One space.

    supervision: what its method is given beside labels; None where the method is not known here
    cost: of an epoch, as a multiple of the baseline's; None where no passes were counted
    reached: test metrics in [0, 1] of each fresh seed, or of the search's winner alone, at the epoch with the highest
        validation value of the first objective; by the column's name
    """

    budget: Budget
    supervision: str | None
    cost: float | None
    reached: dict[str, list[float]]


def protocol_rows(report: Report) -> dict[str, ProtocolRow]:
    """One row for each space."""
    spent = budgets(report)
    costs, trials = epoch_costs(spent, report.baseline), by_space(report.trials)
    return {
        row.space: ProtocolRow(
            row, supervision(trials[row.space][0]), costs.get(row.space), reached(report, runs(report, row.space))
        )
        for row in spent
    }


def supervision(trial: Trial) -> str | None:
    """Supervision of a trial's method beside labels; None where it is not among the methods here."""
    try:
        return ", ".join(methods.find(str(trial.config["method/name"])).supervision()) or "none"
    except BgbiasError:
        return None


def runs(report: Report, space: str) -> list[Trial]:
    """The winner's fresh seeds, or where there are none, the winner."""
    seeds = [row for row in report.seed_rows if row.space == space]
    again = [trial for trial in report.confirmed if trial.space == space and seeds and seeds[0].repeats(trial.config)]
    objective = report.objectives[0]
    evaluated = [trial for trial in by_space(report.trials)[space] if best_epoch(trial.history, objective)]
    return again or sorted(evaluated, key=lambda trial: best_value(trial.history, objective))[-1:]


def reached(report: Report, found: Sequence[Trial]) -> dict[str, list[float]]:
    """Test metrics of runs on `original` and on the shifted variant, by the column's name."""
    columns: dict[str, list[float]] = {}
    for trial in found:
        epoch = best_epoch(trial.history, report.objectives[0])
        metrics = trial.history[epoch - 1] if epoch else {}
        for variant in dict.fromkeys((ORIGINAL, report.shifted)):
            for measure, said in MEASURES.items():
                value = metrics.get(variant_metric(TEST, variant, measure))
                if value is not None:
                    columns.setdefault(f"{variant}{said}", []).append(value)
    return columns
