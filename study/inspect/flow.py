"""Quality of a checkpoint's flow, and accuracy of votes over its samples on every test variant."""

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from bgbias.components import make
from bgbias.errors import CheckpointError, SettingError
from bgbias.evaluation.statistics import rejected
from bgbias.methods.combined import SEPARATOR, part_of
from bgbias.methods.flow.method import FlowEmbedding
from bgbias.methods.flow.module import FlowModule
from bgbias.methods.flow.quality import Curve, FlowQuality, measure, sampling_curve
from bgbias.methods.method import own_of
from bgbias.progress import tracked_by
from study.display import percent, progress_bar
from study.record.analyses import FlowResult
from study.record.folder import SEARCH, StudyFolder
from study.record.objectives import objectives_of
from study.record.selection import front, score
from study.training.single import LoadedModel

FLOW_SEED = 0


@dataclass(frozen=True)
class FlowReport:
    """The quality of a checkpoint's flow, and the accuracy of its votes.

    method: the checkpoint's
    samples: the number of samples, chosen on validation data
    quality: of its flow
    curves: by test variant, the accuracy of each vote
    """

    method: FlowEmbedding
    dataset: str
    classes: tuple[str, ...]
    samples: int
    quality: FlowQuality
    curves: dict[str, Curve]


def find_checkpoint(folder: Path) -> Path:
    """The folder itself if it is no study; of a study, the winner of its flow's search on the first objective.

    Raises:
        SettingError: the study has no finished trial with a flow.
    """
    study = StudyFolder(folder)
    if not study.config_file.exists():
        return folder
    config = study.read_config()
    objectives = objectives_of(config)
    own = FlowEmbedding.name()
    flows = [trial for trial in study.finished(SEARCH) if own in trial.config["method/name"].split(SEPARATOR)]
    candidates = front(flows, objectives)
    if not candidates:
        raise SettingError(
            f"a study must have a finished trial of {FlowEmbedding.name()}, but {folder} has none: "
            "give another study or a checkpoint"
        )
    return study.checkpoint(max(candidates, key=lambda found: score(found.values, objectives[0])))


def analyse(
    checkpoint: Path, trained: LoadedModel, samples: int, count: int, temperature: float | None = None
) -> FlowReport:
    """Measure a checkpoint's flow on at most `count` images of each test variant, with progress.

    Args:
        samples: of the largest vote, a power of two.
        temperature: > 0, of the votes' samples; None is the checkpoint's own.

    Raises:
        CheckpointError: the checkpoint has no flow.
        SettingError: `samples` is no power of two, or the temperature not positive.
    """
    found = part_of(trained.config.method, trained.learner.eval(), FlowEmbedding)
    if found is None:
        raise CheckpointError(
            f"a flow's quality needs a checkpoint of {FlowEmbedding.name()}, but {checkpoint} is of "
            f"{trained.config.method.name()}: give another"
        )
    method, learner = found
    if samples < 1 or samples & (samples - 1):
        raise SettingError(f"--samples must be a power of two, 1 or more, but got {samples}")
    if temperature is not None:
        method = make(FlowEmbedding, {**vars(method), "temperature": temperature}, "method")
    variants = {name: variant.spread(count) for name, variant in trained.dataset.test.items()}
    bar = progress_bar(variants.items(), "votes over samples", len(variants))
    curves = {name: sampling_curve(method, learner, variant, samples) for name, variant in bar}
    with tracked_by(progress_bar):
        quality = measure(learner, trained.dataset, method.swaps, count, FLOW_SEED)
    return FlowReport(
        method, trained.dataset.name, trained.dataset.classes, int(own_of(learner, FlowModule).samples), quality, curves
    )


def to_json(report: FlowReport) -> FlowResult:
    """Plain values; what is known of single examples is left to the page."""
    quality = report.quality
    return {
        "dataset": report.dataset,
        "samples": report.samples,
        "vote": report.method.vote,
        "bits_per_dimension": dict(quality.bits),
        "base": {
            "dimensions_rejected": rejected(quality.normality.dimension_p.tolist()),
            "dimensions": len(quality.normality.dimension_p),
            "radius_p": quality.normality.radius_p,
        },
        "classes": {report.classes[label]: asdict(found) for label, found in quality.classes.items()},
        "density": quality.density,
        "coverage": quality.coverage,
        "agreement": quality.agreement,
        "accuracy_sampled": quality.accuracy_sampled,
        "accuracy_true": quality.accuracy_true,
        "inversion_error": quality.inversion_error,
        "accuracy": {
            variant: {
                "images": curve.images,
                "backbone": curve.backbone,
                **{vote: {str(n): value for n, value in found.items()} for vote, found in curve.votes.items()},
            }
            for variant, curve in report.curves.items()
        },
    }


def tables(report: FlowReport) -> list[Table]:
    """Accuracy at every number of samples by the method's vote, and the flow's quality."""
    vote, curves, quality = report.method.vote, report.curves.values(), report.quality
    accuracy = Table("samples", *map(escape, report.curves), title=f"test accuracy, vote {vote}")
    accuracy.add_row("frozen backbone", *(percent(curve.backbone) for curve in curves))
    for n in next(iter(curves)).votes[vote]:
        name, style = (f"{n} (chosen)", "bold") if n == report.samples else (str(n), None)
        accuracy.add_row(name, *(percent(curve.votes[vote][n]) for curve in curves), style=style)
    measured = Table("measure", "value", title="how well the flow knows the moves of held-out embeddings")
    for name, bits in quality.bits.items():
        measured.add_row(f"bits per dimension, {name}", f"{bits:.3f}")
    p = quality.normality.dimension_p.tolist()
    measured.add_row("dimensions whose noise is not normal (Holm)", f"{rejected(p)} of {len(p)}")
    measured.add_row("squared length of the noise, p", f"{quality.normality.radius_p:.2g}")
    for label, tests in quality.classes.items():
        found = f"{percent(tests.classifier.accuracy)} (p {tests.classifier.p_value:.2g}), {tests.kernel.p_value:.2g}"
        measured.add_row(f"{escape(report.classes[label])}: classifier's accuracy, MMD p", found)
    for name in ("density", "coverage", "agreement", "accuracy_sampled", "accuracy_true", "inversion_error"):
        measured.add_row(name.replace("_", " "), f"{getattr(quality, name):.3g}")
    return [accuracy, measured]
