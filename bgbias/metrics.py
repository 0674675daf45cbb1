"""The names of all metrics, spelled here and nowhere else: the same from the loop to the plot."""

TRAIN, VALIDATION, TEST = "train", "val", "test"
LEARNED = "learned"

ACCURACY = "accuracy"
LOSS = "loss"
WORST_CLASS_ACCURACY = "worst_class_accuracy"
BALANCED_ACCURACY = "balanced_accuracy"
WORST_GROUP_ACCURACY = "worst_group_accuracy"
MEAN_GROUP_ACCURACY = "mean_group_accuracy"
ADJUSTED_ACCURACY = "adjusted_accuracy"
COUNT, CORRECT = "count", "correct"
OBJECT_SALIENCY = "object_saliency"

IMAGES_PER_SECOND = f"{TRAIN}/images_per_second"
FORWARD_PASSES, BACKWARD_PASSES = f"{TRAIN}/forward_passes", f"{TRAIN}/backward_passes"
"""Of an epoch's steps: through the body, one for each example. Not what other stages, features or evaluation take."""


def train_loss(term: str) -> str:
    """`train/loss/<term>`: the mean over an epoch of one named term of a method's loss."""
    return f"{TRAIN}/loss/{term}"


def variant_metric(split: str, variant: str, quantity: str) -> str:
    """`<split>/<variant>/<quantity>`, such as `val/shuffled/accuracy`."""
    return f"{split}/{variant}/{quantity}"


def accuracy(split: str, variant: str) -> str:
    """`<split>/<variant>/accuracy`, a fraction in [0, 1]."""
    return variant_metric(split, variant, ACCURACY)


def gap(split: str, name: str) -> str:
    """`<split>/<name>`: the accuracy on one variant minus that on another, in [-1, 1], as the dataset declares it."""
    return f"{split}/{name}"


def accuracy_at(split: str, variant: str, samples: int) -> str:
    """`<split>/<variant>/accuracy_at/<n>`: the accuracy that a vote over n samples has, in [0, 1]."""
    return f"{variant_metric(split, variant, 'accuracy_at')}/{samples}"


def accuracies_at(metrics: dict[str, float], split: str, variant: str) -> dict[int, float]:
    """By number of samples, rising, every `accuracy_at` of a variant among `metrics`."""
    prefix = accuracy_at(split, variant, 0).removesuffix("0")
    return dict(sorted((int(name.removeprefix(prefix)), metrics[name]) for name in metrics if name.startswith(prefix)))


def learned(what: str) -> str:
    """`learned/<what>`: what a method reports of itself, such as the number of samples it chose on validation data."""
    return f"{LEARNED}/{what}"


def lower_is_better(metric: str) -> bool:
    """Return True if a metric is minimised: a loss, or a gap between two variants. All others are maximised."""
    return metric.rpartition("/")[2] == LOSS or metric.count("/") == 1


def is_share(metric: str) -> bool:
    """Return True if a metric is a share or a difference of shares, shown in percent; False for a loss."""
    return metric.rpartition("/")[2] != LOSS


def label_of(metric: str) -> str:
    """A metric's short name in tables and figures: a variant stands for its accuracy, others go without the split."""
    _, _, name = metric.partition("/")
    return name.removesuffix(f"/{ACCURACY}")


def on_test(metric: str) -> str:
    """The same metric of test data: `test/shuffled/accuracy` of `val/shuffled/accuracy`."""
    return f"{TEST}/{metric.partition('/')[2]}"


def variant_of(metric: str) -> str | None:
    """The variant of `<split>/<variant>/<quantity>`, None of a metric of several variants."""
    parts = metric.split("/")
    return parts[1] if len(parts) > 2 else None


def at_best(metric: str) -> str:
    """Return `best/<metric>`, such as `best/val.shuffled.accuracy`.

    It is an accuracy at the epoch with the highest validation accuracy on its variant, or an objective at its own best
    epoch. With dots, MLflow shows all of them together, in one section.
    """
    return f"best/{metric.replace('/', '.')}"


def at_front(metric: str) -> str:
    """Return `front/<metric>`, such as `front/val.shuffled.accuracy`.

    It is one of several objectives at the epoch that is best for the first of them.
    """
    return f"front/{metric.replace('/', '.')}"


def best_epoch_of(variant: str) -> str:
    """`best/val.<variant>.epoch`: that epoch, from 1."""
    return at_best(variant_metric(VALIDATION, variant, "epoch"))


def variants_in(metrics: dict[str, float], split: str) -> list[str]:
    """The variants of a split that have an accuracy among `metrics`, in their order."""
    parts = (name.split("/") for name in metrics)
    return [part[1] for part in parts if len(part) == 3 and part[0] == split and part[2] == ACCURACY]
