"""Published results as data, to stand beside a study's own where dataset and metric are the same.

Each row says what it rests on: most differences between papers come from the starting point, the selection rule and the
budget, not from the method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bgbias.metrics import TEST, WORST_GROUP_ACCURACY, accuracy, variant_metric
from study.report.tables import QuantityRow, Report, SeedRow

NOT_STATED = "not stated"
STUDY_2022 = "prokotg/RobOptWUST, 2022"
XIAO = "Xiao et al., 2020 (arXiv 2006.09994)"
CLAD = "Wang et al., 2022 (arXiv 2210.02748)"
CRAYON = "CRAYON, 2024 (arXiv 2410.22312)"
SUBPOP = "SubpopBench, 2023 (arXiv 2302.12254)"
IDRISSI = "Idrissi et al., 2021 (arXiv 2110.14503)"
LAD = "LAD, 2020 (arXiv 2011.11486)"

SCRATCH, IMAGENET, IN9L = "from scratch", "ImageNet weights", "an IN-9L model, at most 10 epochs of fine-tuning"
RESNET, SMALL = "resnet50", "small_cnn"
ORIGINAL, MIXED_RAND, ONLY_FG, MIXED_SAME, SHUFFLED, CHALLENGE = (
    accuracy(TEST, variant) for variant in ("original", "mixed_rand", "only_fg", "mixed_same", "shuffled", "challenge")
)
WORST_GROUP = variant_metric(TEST, "original", WORST_GROUP_ACCURACY)


CLASSES = {"imagenet9": 9, "waterbirds": 2}
"""Numbers of classes of the published data; a folder in the same layout with others is another dataset."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published number.

    dataset: our name of it; metric: ours of the same quantity
    value, spread: fractions in [0, 1]; the spread is the source's own, over its seeds
    model, start: the architecture and what it began from
    seeds: how many runs; None where it is not stated
    rule: how the epoch and the configuration were chosen, in words
    """

    dataset: str
    method: str
    metric: str
    value: float
    source: str
    spread: float | None = None
    model: str = RESNET
    start: str = SCRATCH
    seeds: int | None = 1
    rule: str = NOT_STATED


def _rows(
    dataset: str, source: str, metrics: Sequence[str], found: dict[str, tuple[float, ...]], **more: object
) -> list[Published]:
    """Rows of a table in percent, one method a line."""
    return [
        Published(dataset=dataset, method=method, metric=metric, value=value / 100, source=source, **more)  # type: ignore[arg-type]
        for method, values in found.items()
        for metric, value in zip(metrics, values, strict=True)
    ]


def _with_spread(source: str, found: dict[str, tuple[float, float | None]], **more: object) -> list[Published]:
    """Rows of worst-group accuracies on Waterbirds with their spread where it is stated, in percent."""
    return [
        Published(
            dataset="waterbirds", method=method, metric=WORST_GROUP, value=value / 100,
            spread=None if spread is None else spread / 100, source=source, start=IMAGENET, **more,  # type: ignore[arg-type]
        )
        for method, (value, spread) in found.items()
    ]  # fmt: skip


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        "imagenet9",
        STUDY_2022,
        (MIXED_RAND, ONLY_FG, ORIGINAL),
        {
            "erm": (57.06, 62.94, 87.72),
            "dynamic_replacement, p = 0.2": (71.57, 82.39, 89.39),
            "dynamic_replacement, p = 0.6": (73.72, 85.11, 89.34),
            "static_replacement (read off a plot)": (80.8, 80.1, 77.7),
        },
        rule="last epoch, p chosen on the test variants; the uncleaned 4,185 images",
    ),
    *_rows(
        "imagenet9",
        XIAO,
        (MIXED_RAND, MIXED_SAME, ONLY_FG, ORIGINAL),
        {"trained on Original": (53.58, 73.80, 63.23, 85.95), "trained on Mixed-Rand": (71.53, 71.33, 74.89, 73.23)},
    ),
    *_rows(
        "imagenet9",
        CLAD,
        (MIXED_RAND, MIXED_SAME, ONLY_FG, ORIGINAL),
        {"erm": (75.1, 88.2, 86.4, 96.2), "clad": (88.8, 91.0, 94.4, 95.8), "clad+": (89.0, 90.6, 94.4, 94.5)},
        start=IMAGENET,
        rule="the last epoch, though the best on Mixed-Rand validation is saved",
    ),
    *_rows(
        "imagenet9",
        CRAYON,
        (MIXED_RAND,),
        {
            "the model before": (78.3,),
            "crayon": (81.7,),
            "rrr": (80.1,),
            "grad_mask": (80.1,),
            "act_diff": (75.8,),
            "jtt": (77.6,),
            "mask_tune": (78.1,),
        },
        start=IN9L,
        seeds=None,
    ),
    *_rows(
        "imagenet9", XIAO, (CHALLENGE,), {"IN-9L": (12.0,), "ImageNet": (22.3,)}, start="IN-9L or ImageNet", seeds=1
    ),
    *_rows(
        "imagenet9",
        STUDY_2022,
        (CHALLENGE,),
        {"static_replacement": (33.7,), "dynamic_replacement": (34.8,)},
        rule="chosen on the test variants; the 34.8 equals an ImageNet-pretrained frozen backbone to the image",
    ),
    *_rows(
        "colored-mnist",
        STUDY_2022,
        (SHUFFLED,),
        {"gradient_penalty": (45.0,), "gradient_penalty, dilated mask": (85.0,)},
        model=SMALL,
        rule="the best epoch on the images reported",
    ),
    *_rows("colored-mnist", LAD, (SHUFFLED,), {"lad": (88.0,)}, model=SMALL, seeds=None),
    *_rows(
        "one-pixel-mnist",
        STUDY_2022,
        (SHUFFLED,),
        {"erm": (11.0,), "gradient_penalty": (95.0,)},
        model=SMALL,
        rule="the best epoch on the images reported",
    ),
    *_with_spread(
        SUBPOP,
        {"erm": (69.1, 4.7), "group_dro": (78.6, 1.0), "jtt": (71.2, 0.5), "dfr": (91.0, 0.3)},
        seeds=3,
        rule="worst class of the validation data (DFR: with attributes), 16 random configurations",
    ),
    *_with_spread(
        IDRISSI,
        {"erm": (85.5, 1.0), "group_dro": (87.1, 3.4), "jtt": (85.6, 0.2), "subg": (89.1, 1.1), "rwg": (87.6, 1.6)},
        seeds=5,
        rule="worst group of the validation data, 50 configurations",
    ),
    *_with_spread("DFR, 2022 (arXiv 2204.02937)", {"erm": (74.9, 2.4), "dfr": (92.9, 0.2)}, seeds=5),
    *_with_spread(
        "Sagawa et al., 2019 (arXiv 1911.08731)",
        {"erm": (60.0, None), "group_dro": (91.4, 1.1)},
        seeds=None,
        rule="ERM by average accuracy, Group DRO by the worst group of the validation data",
    ),
    *_with_spread(
        "JTT, 2021 (arXiv 2107.09044)",
        {"erm": (72.6, None), "jtt": (86.7, None)},
        seeds=None,
        rule="worst group of the validation data",
    ),
    *_with_spread(
        "MEDRO (as quoted elsewhere)",
        {"erm": (23.5, 3.8), "group_dro": (84.1, 2.4)},
        seeds=None,
        rule="strong L2 penalty",
    ),
    *_with_spread(
        "MaskTune, 2022 (arXiv 2210.00055)",
        {"erm": (80.8, 1.3), "group_dro": (89.3, 3.1)},
        seeds=None,
        rule="on a corrected copy of the dataset",
    ),
    *_with_spread(
        CRAYON,
        {
            "erm": (28.4, None),
            "jtt": (46.9, None),
            "rrr": (54.0, None),
            "grad_mask": (58.4, None),
            "act_diff": (64.6, None),
            "crayon": (72.3, None),
        },
        seeds=None,
        rule="all fine-tuned for at most 10 epochs from the ERM model of 28.4",
    ),
    *_with_spread(
        "AFR, 2023 (arXiv 2306.11074)", {"afr": (90.4, 1.1)}, seeds=None, rule="worst group of the validation data"
    ),
    *_with_spread(
        "LaBonte et al., 2023 (arXiv 2309.08534)",
        {"cb_last_layer": (92.6, 0.8), "self": (93.0, 0.3), "dfr": (92.4, 0.9)},
        seeds=None,
    ),
)
"""Every number with its protocol. Percentages are the sources'."""


@dataclass(frozen=True)
class Beside:
    """A published row beside ours of the same dataset and metric; `differences` in the protocol are in words."""

    published: Published
    ours: dict[str, float]
    differences: str


def beside(report: Report, rows: Sequence[Published] = PUBLISHED) -> list[Beside]:
    """The published rows whose dataset and metric a study has, with our figures.

    Ours are means of fresh seeds where there are any, or else the winners' own. The dataset is the study's, or its
    experiment's name, such as `waterbirds` for a folder that was built as such; with other classes it is another.
    """
    names = {report.config.dataset, report.config.mlflow_experiment}
    classes = report.config.classes
    found = []
    for row in rows:
        same = row.dataset in names and (classes is None or len(classes) == CLASSES.get(row.dataset, len(classes)))
        ours = _ours(report, row.metric) if same else {}
        if ours:
            found.append(Beside(row, ours, _differences(report, row)))
    return found


def _ours(report: Report, metric: str) -> dict[str, float]:
    """Our value of a test metric, of every space, at the epoch that was chosen on the metric's variant."""
    variant = metric.split("/")[1]
    seeds = _means(report, metric)
    trials = {trial.trial_id: trial for trial in report.trials}
    found = {}
    for row in report.rows:
        value = trials[row.trial].history[row.epoch - 1].get(metric) if row.variant == variant else None
        if value is not None:
            found[row.space] = seeds[row.space].mean if row.space in seeds else value
    return found


def _means(report: Report, metric: str) -> Mapping[str, SeedRow | QuantityRow]:
    """By space what fresh seeds gave of a test metric; nothing of a metric that the study did not select on."""
    plain = {row.space: row for row in report.seed_rows if accuracy(TEST, row.variant) == metric}
    return plain or {row.space: row for row in report.quantity_rows if row.metric == metric}


def _differences(report: Report, row: Published) -> str:
    configs = [found.config for found in report.rows]
    models = sorted({str(c.get("model/architecture") or c.get("model/name")) for c in configs})
    pretrained = {str(c.get("model/weights")) not in ("None", "none", "") for c in configs}
    start = " and ".join(IMAGENET if found else SCRATCH for found in sorted(pretrained))
    seeds = max((len(found.seeds) for found in _means(report, row.metric).values()), default=1)
    frozen = all(c.get("training/body_rate") == 0 for c in configs)
    said = [
        *([f"model {row.model}, ours {', '.join(models)}"] if models != [row.model] else []),
        *([f"start {row.start}, ours {start}"] if row.start != start else []),
        *(["ours a head on a frozen body"] if frozen else []),
        *([f"{row.seeds or 'unstated'} runs, ours {seeds}"] if row.seeds != seeds else []),
        f"chosen: {row.rule}; ours by validation-{row.metric.split('/')[1]}",
    ]
    return "; ".join(said)
