"""One page of all figures, which needs nothing but itself: plotly.js stands in it once. The figures as PNG files."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go
from plotly import io
from plotly.offline import get_plotlyjs
from rich.markup import escape as escape_markup

from bgbias.metrics import label_of
from study.display import console
from study.record.objectives import is_plain
from study.report import comparing, searching, training
from study.report.drawing import spaces
from study.report.statistics import units
from study.report.tables import Report
from study.report.text import front_title

OVERVIEW = "overview.html"
"""The page's file in a report's folder."""
CONFIG = {"responsive": True, "displaylogo": False}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1240px; padding: 0 16px 40px; color: #222 }
nav { position: sticky; top: 0; background: #fff; padding: 8px 0; border-bottom: 1px solid #ddd; z-index: 2 }
nav a { margin-right: 14px; white-space: nowrap; color: #1f77b4; text-decoration: none; font-size: 14px }
h1 { font-size: 22px; margin: 14px 0 2px } h2 { font-size: 18px; margin: 28px 0 2px; scroll-margin-top: 60px }
h3 { font-size: 15px; margin: 16px 0 0 } p { margin: 2px 0 6px; color: #555 }
"""


class Section(NamedTuple):
    """A heading, what its figures show, and the figures, each under its own title or none."""

    key: str
    title: str
    text: str
    figures: list[tuple[str, go.Figure | None]]


def write(report: Report, folder: Path) -> Path:
    """Draw everything into one HTML file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / OVERVIEW
    path.write_text(page(report))
    return path


def write_pictures(report: Report, folder: Path) -> None:
    """Write every figure as a PNG file into `folder`, if plotly's exporter Kaleido is there with its browser."""
    try:
        for section in sections(report):
            for at, (_, figure) in enumerate(section.figures):
                if figure is not None:
                    figure.write_image(folder / f"{section.key}-{at}.png", scale=2)
    except (ImportError, ValueError, RuntimeError) as error:
        reason = escape_markup(str(error).strip().partition("\n")[0].rstrip(".,"))
        console.print(f"[dim]no PNG figures ({reason}): install the extra `png` and Chrome[/]", soft_wrap=True)


def page(report: Report) -> str:
    """The HTML of all figures."""
    shown = sections(report)
    links = " ".join(f'<a href="#{section.key}">{escape(section.title)}</a>' for section in shown)
    config = report.config
    about = (
        f"{len(report.trials)} finished trials on {config.dataset}, at most {config.epochs} epochs, seed {config.seed}"
    )
    body = "".join(_section(section) for section in shown)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(report.name)}</title>'
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>"
        f"<h1>{escape(report.name)}</h1><p>{escape(about)}. Checkpoints and winners are chosen on validation data.</p>"
        f"<nav>{links}</nav>{body}</body></html>"
    )


def _section(section: Section) -> str:
    figures = "".join(_figure(f"{section.key}-{at}", *named) for at, named in enumerate(section.figures))
    return (
        f'<section><h2 id="{section.key}">{escape(section.title)}</h2><p>{escape(section.text)}</p>{figures}</section>'
    )


def _figure(key: str, title: str, figure: go.Figure | None) -> str:
    head = f"<h3>{escape(title)}</h3>" if title else ""
    if figure is None:
        return f"{head}<p>Nothing to show: too few trials, or nothing that differs between them.</p>"
    drawn: str = io.to_html(figure, config=CONFIG, include_plotlyjs=False, full_html=False, div_id=key)
    return head + drawn


def sections(report: Report) -> list[Section]:
    """Every section that has something to say about a report."""
    shifted = report.shifted
    found = [
        Section(
            "ranking",
            "Ranking on every variant",
            "Test accuracy [%] of the winners; with ±, mean and standard deviation of the winner's configuration on "
            "fresh seeds, and black lines its 95 % interval. Hover for the hyper-parameters.",
            [("", comparing.ranking(report))],
        ),
        _trade_off(report),
        *_of_each_space(report),
        Section(
            "training",
            "How the winners trained",
            "Validation drawn through, test dotted; a ring where the checkpoint was taken.",
            [("", training.learning_curves(report)), (f"Training loss, winners on {shifted}", training.losses(report))],
        ),
    ]
    differences = comparing.differences(report)
    if differences is not None:
        baseline = report.comparisons[0].baseline
        text = " ".join(
            [
                f"Test accuracy on fresh seeds, points above {baseline}, and 95 % intervals over seeds and images.",
                "Full circle (*): significant over seeds; dotted (°): over images alone; open: not.",
                *(f"{line[0].upper()}{line[1:]}." for line in units(report.comparisons)),
            ]
        )
        found.insert(1, Section("differences", f"Differences to {baseline}", text, [("", differences)]))
    tables = training.tables(report)
    if tables:
        text = "What the winners reported at the epoch of their checkpoint."
        found.append(Section("tables", "Tables", text, [*tables]))
    votes = training.vote_curves(report)
    if votes is not None:
        text = "Test accuracy of the winners at every number of samples, from one pass; larger: validation's choice."
        found.append(Section("samples", "Number of samples", text, [("", votes)]))
    return found


def _trade_off(report: Report) -> Section:
    x, y = map(label_of, report.pair)
    text = (
        f"Every trial at its epoch that is best for {x} on validation data, which places the dots; hover for test. "
        "Ringed: no other trial is at least as good on both."
    )
    tables = [] if is_plain(report.objectives) else [(front_title(report), comparing.front_table(report))]
    return Section("trade-off", f"{y} against {x}", text, [("", comparing.trade_off(report)), *tables])


def _of_each_space(report: Report) -> Iterable[Section]:
    names = spaces(report)
    yield Section(
        "effects",
        "What each hyper-parameter does",
        "Highest validation accuracy of each trial on every variant. Trials that were stopped early stand where they "
        "stopped.",
        [(space, searching.effects(report, space)) for space in names],
    )
    yield Section(
        "parallel",
        "Parallel coordinates",
        "A line is a trial; variants are shown that all trials were evaluated on. Drag along an axis to choose trials, "
        "and drag an axis's name to move it.",
        [(space, searching.parallel_coordinates(report, space)) for space in names],
    )
    yield Section(
        "importance",
        "Which hyper-parameters matter",
        "Share of the variance of validation accuracy that each one explains (fANOVA). Few trials make it imprecise.",
        [(space, searching.importance(report, space)) for space in names],
    )
