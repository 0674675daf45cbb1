"""What commands print on standard output."""

import json
import math
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Column, Table

from bgbias.metrics import OBJECT_SALIENCY
from study.display import command_line, percent, results, show_table
from study.record.folder import StudyFolder

if TYPE_CHECKING:
    from study.report.tables import Report


def show_report(found: "Report", folder: StudyFolder, as_json: bool) -> None:
    """A report's tables, and where everything lies; or its JSON object."""
    from study.report import text
    from study.report.layout import laid_out

    if as_json:
        print_json(found.to_json())
        return
    show_table(laid_out(text.main_table(found)))
    if found.seed_rows:
        show_table(laid_out(text.seed_table(found)))
    if found.comparisons:
        show_table(laid_out(text.comparison_table(found)))
    lines = f"outputs: {folder.root}\nfigures: {folder.report}\ndashboard: {command_line('ui', folder.root)}"
    results.print(escape(lines), soft_wrap=True)


def print_json(found: dict[str, Any]) -> None:
    """One JSON object."""
    print(json.dumps(finite(found), allow_nan=False))


def finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_metrics(metrics: dict[str, float], title: str) -> None:
    """A table of metrics."""
    table = Table("metric", "value", title=escape(title))
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4g}")
    show_table(table)


def print_challenge(found: dict[str, Any]) -> None:
    """The Background Challenge by class, given `study.inspect.challenge.to_json`'s values."""
    low, high = found["interval"]
    table = Table("foregrounds", "robust", title="Background Challenge: robust on every background")
    for name, accuracy in found["classes"].items():
        table.add_row(escape(name), percent(accuracy))
    table.add_row("all", f"{percent(found['accuracy'])}  (95 %: {percent(low)} to {percent(high)})", style="bold")
    show_table(table)
    pairs = found["foregrounds"] * found["backgrounds"]
    results.print(
        f"{found['passes']} of {pairs} pairs answered, {found['gradients']} of them with their gradient; "
        f"{found['fewest_passes']} could prove it at best"
    )


def print_saliency(found: dict[str, Any]) -> None:
    """The share of saliency on the object by variant, given the JSON object of `study saliency`."""
    checkpoints = [found, *([found["against"]] if "against" in found else [])]
    kinds = list(next(iter(found["variants"].values()))[OBJECT_SALIENCY])
    columns: list[str | Column] = ["variant", "images", "object's\narea", Column("method", no_wrap=True)]
    columns += [kind.replace("_", "\n") for kind in kinds]
    table = Table(*columns, title=f"share of saliency on the object, test variants of {found['dataset']}")
    for name, shown in found["variants"].items():
        table.add_section()
        area = percent(shown["mask_area"])
        for one in checkpoints:
            shares = one["variants"][name][OBJECT_SALIENCY]
            table.add_row(name, str(shown["images"]), area, one["method"], *(percent(shares[kind]) for kind in kinds))
    show_table(table)


def print_flow(found: dict[str, Any]) -> None:
    """Accuracy at every number of samples, and the flow's quality, given `study.inspect.flow.to_json`'s values."""
    accuracy = found["accuracy"]
    table = Table("samples", *map(escape, accuracy), title=f"test accuracy, vote {found['vote']}")
    table.add_row("frozen backbone", *(percent(curve["backbone"]) for curve in accuracy.values()))
    for n in next(iter(accuracy.values()))[found["vote"]]:
        shown = [percent(curve[found["vote"]][n]) for curve in accuracy.values()]
        chosen = int(n) == found["samples"]
        table.add_row(f"{n} (chosen)" if chosen else n, *shown, style="bold" if chosen else None)
    show_table(table)
    quality = Table("measure", "value", title="how well the flow knows the moves of held-out embeddings")
    for name, bits in found["bits_per_dimension"].items():
        quality.add_row(f"bits per dimension, {name}", f"{bits:.3f}")
    base = found["base"]
    quality.add_row(
        "dimensions whose noise is not normal (Holm)", f"{base['dimensions_rejected']} of {base['dimensions']}"
    )
    quality.add_row("squared length of the noise, p", f"{base['radius_p']:.2g}")
    for name, tests in found["classes"].items():
        told = f"{percent(tests['classifier']['accuracy'])} (p {tests['classifier']['p_value']:.2g})"
        quality.add_row(f"{escape(name)}: classifier tells samples, MMD p", f"{told}, {tests['kernel']['p_value']:.2g}")
    for name in ("density", "coverage", "agreement", "accuracy_sampled", "accuracy_true", "inversion_error"):
        quality.add_row(name.replace("_", " "), f"{found[name]:.3g}")
    show_table(quality)
