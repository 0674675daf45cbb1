"""One page of all figures, which needs nothing but itself. The figures as PNG files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go
from plotly import io

from bgbias.errors import SettingError
from bgbias.metrics import label_of
from study.record.objectives import is_plain
from study.report import across, comparing, searching, training
from study.report.drawing import spaces
from study.report.embedded import Figures, picture
from study.report.inspected import saliency_pictures
from study.report.layout import Grid
from study.report.reading import CHALLENGE, FLOW, SALIENCY, merged, parts, question
from study.report.statistics import units
from study.report.tables import Report

OVERVIEW = "overview.html"
"""The page's file in a report's folder."""
PNG_WIDTH = 1100
"""Of a figure's PNG file: pixels, at half its resolution."""
STYLE = """
:root { --ink: #222; --soft: #555; --paper: #fff; --line: #ddd; --link: #0072b2; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #b0b0b0; --paper: #16181c; --line: #3a3d44; --link: #7cc0ee }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1240px; padding: 0 16px 40px;
  color: var(--ink); background: var(--paper) }
nav { position: sticky; top: 0; background: var(--paper); padding: 8px 0; border-bottom: 1px solid var(--line);
  z-index: 2; overflow-x: auto; white-space: nowrap }
nav a { margin-right: 14px; color: var(--link); text-decoration: none; font-size: 14px }
h1 { font-size: 22px; margin: 14px 0 2px } h2 { font-size: 18px; margin: 28px 0 2px; scroll-margin-top: 60px }
h3 { font-size: 15px; margin: 16px 0 4px } p, li { margin: 2px 0 6px; color: var(--soft); overflow-wrap: anywhere }
.wide { overflow-x: auto } .panels1 > div { min-width: 300px }
@media (min-width: 640px) { .panels2 > div { min-width: 680px } .panels3 > div { min-width: 980px } }
.interactive .wide > div { min-width: 900px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th, td { white-space: nowrap } td.long { white-space: normal; min-width: 300px; text-align: left }
th:first-child { text-align: left; font-weight: normal } tr:first-child th { font-weight: 600 }
img { max-width: 100%; background: #fff }
@page { size: A4; margin: 14mm 12mm }
@media print {
  nav, .interactive, .modebar { display: none !important }
  body { width: 1040px; max-width: none; padding: 0; color: #000; background: #fff; font-size: 18px }
  .wide { overflow: visible } .wide > div { min-width: 0 !important } table, .figure { break-inside: avoid }
  h2, h3, section > p { break-after: avoid } p, li { color: #333 }
}
"""


INTRODUCTIONS = {
    CHALLENGE: "Every test object on every test background: right only where none of them fools the model.",
    SALIENCY: "Mean share of the map of the label's score that lies on the object; a map without structure would have "
    "the object's share of the area. The baseline is what was before, the other methods what came after.",
    FLOW: "Test accuracy of votes over samples of the flow, against their number.",
}


class Section(NamedTuple):
    """A heading, what its figures show, the figures, each under its own title or none, and tables and lines.

    interactive: whether it says nothing on paper; pictures: files
    """

    key: str
    title: str
    text: str
    figures: list[tuple[str, go.Figure | None]]
    grids: Sequence[Grid] = ()
    lines: Sequence[str] = ()
    interactive: bool = False
    pictures: Sequence[bytes] = ()


def write_pngs(shown: Iterable[Section], folder: Path) -> None:
    """Write every figure of some sections into a folder, as `<section>-<number>.png`.

    Raises:
        SettingError: plotly's exporter Kaleido is missing, or the browser that it uses.
    """
    found = {
        folder / f"{section.key}-{at}.png": go.Figure(figure).update_layout(paper_bgcolor="white")
        for section in shown
        for at, (_, figure) in enumerate(section.figures)
        if figure is not None
    }
    heights = [figure.layout.height for figure in found.values()]
    try:
        io.write_images(list(found.values()), list(found), scale=2, width=PNG_WIDTH, height=heights)
    except (ImportError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".,")
        raise SettingError(
            f"--png needs the extra `png` and Chrome or Chromium ({reason}): install both, or leave --png out"
        ) from None


def page(reports: Sequence[Report], more: Sequence[Grid] = (), pictures: Mapping[str, bytes] | None = None) -> str:
    """The HTML of all figures and tables of one study or several, which needs nothing else.

    Args:
        more: tables that stand first; pictures: picture files by a report's name, of its dataset's variants.
    """
    single = len(reports) == 1 and not more
    title = ", ".join(report.name for report in reports) or "MLflow"
    first = together(reports, more)
    figures = Figures()
    body = "".join(section_html(section, figures) for section in first)
    links = {section.key: section.title for section in first}
    for at, report in enumerate(reports):
        mine = sections(report, "" if single else f"-s{at}")
        body += f"<h1>{escape(report.name)}</h1><p>{escape(question(report))} Checkpoints and winners are chosen on "
        body += f"validation data.</p>{_picture((pictures or {}).get(report.name), 'every variant of the dataset')}"
        body += "".join(section_html(section, figures) for section in mine)
        links |= {section.key: section.title for section in mine} if single else {mine[0].key: report.name}
    return document(title, links, body, figures)


def together(reports: Sequence[Report], more: Sequence[Grid] = ()) -> list[Section]:
    """The section of several studies, if there are several or further tables."""
    grids = [*([merged(reports)] if len(reports) > 1 else []), *more]
    return [Section("together", "All studies", "", [*across.figures(reports)], grids)] if grids else []


def document(title: str, links: Mapping[str, str], body: str, figures: Figures) -> str:
    """A whole page around sections.

    Args:
        links: by a section's id, what the link to it says; body: the sections' HTML; figures: those that stand in it.
    """
    shown = " ".join(f'<a href="#{escape(key)}">{escape(name)}</a>' for key, name in links.items())
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><nav>{shown}</nav>{body}{figures.scripts()}</body></html>"
    )


def _picture(file: bytes | None, what: str) -> str:
    return "" if file is None else f'<img alt="{escape(what)}" src="{picture(file)}">'


def section_html(section: Section, figures: Figures) -> str:
    """A section's HTML; its figures are added to those of the page."""
    drawn = "".join(_figure(f"{section.key}-{at}", *named, figures) for at, named in enumerate(section.figures))
    grids = "".join(grid.html() for grid in section.grids if grid.rows)
    lines = "".join(f"<li>{_marked_up(line)}</li>" for line in section.lines)
    shown = "".join(_picture(file, section.title) for file in section.pictures)
    said = f"<p>{escape(section.text)}</p>" if section.text else ""
    kind = ' class="interactive"' if section.interactive else ""
    return (
        f'<section{kind}><h2 id="{section.key}">{escape(section.title)}</h2>{said}{grids}'
        f"{f'<ul>{lines}</ul>' if lines else ''}{shown}{drawn}</section>"
    )


def _marked_up(line: str) -> str:
    """A line of Markdown whose commands between backticks and whose links are shown as such."""
    linked = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', escape(line))
    return re.sub("`([^`]+)`", r"<code>\1</code>", linked)


def _figure(key: str, title: str, figure: go.Figure | None, figures: Figures) -> str:
    head = f"<h3>{escape(title)}</h3>" if title else ""
    if figure is None:
        return f"{head}<p>Nothing to show: too few trials, or nothing that differs between them.</p>"
    panels = min(3, sum(name.startswith("xaxis") for name in figure.layout.to_plotly_json()) or 1)
    return f'<div class="figure">{head}<div class="wide panels{panels}">{figures.place(key, figure)}</div></div>'


def sections(report: Report, end: str = "") -> list[Section]:
    """Every section that has something to say about a report; its key ends in `end`."""
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
                "Full circle (*): significant over seeds; full diamond (°): over images alone; open: not.",
                *(f"{line[0].upper()}{line[1:]}." for line in units(report.comparisons)),
            ]
        )
        found.insert(1, Section("differences", f"Differences to {baseline}", text, [("", differences)]))
    tables = training.tables(report)
    if tables:
        text = "What the winners reported at the epoch of their checkpoint."
        found.append(Section("tables", "Tables", text, [*tables]))
    groups = training.group_maps(report)
    if groups:
        text = f"Test accuracy [%] of every class on every place, on {shifted}, at the winners' epochs."
        found.append(Section("groups", "Class by place", text, [*groups]))
    votes = training.vote_curves(report)
    if votes is not None:
        text = "Test accuracy of the winners at every number of samples, from one pass; larger: validation's choice."
        found.append(Section("samples", "Number of samples", text, [("", votes)]))
    points = comparing.on_the_line(report)
    if points is not None:
        text = f"Test accuracy of every trial, at its epoch that is best on original's validation data: {shifted} "
        text += "against original. Where all trials lie on one line, robustness is not measured."
        found.append(Section("line", "In-distribution against shifted", text, [("", points)]))
    told = [
        Section(f"table-{title.lower().replace(' ', '-')}", title, INTRODUCTIONS.get(title, ""), [], grids, lines)
        for title, grids, lines in parts(report)
    ]
    told = [_illustrated(section, report) for section in told]
    return [part._replace(key=f"{part.key}{end}") for part in (*told[:1], *found, *told[1:])]


def _illustrated(section: Section, report: Report) -> Section:
    """A section of tables with what is drawn of it."""
    if section.title == SALIENCY:
        return section._replace(pictures=saliency_pictures(report.inspected))
    if section.title == FLOW:
        return section._replace(figures=training.flow_curves(report))
    return section


def _trade_off(report: Report) -> Section:
    x, y = map(label_of, report.pair)
    text = (
        f"Every trial at its epoch that is best for {x} on validation data, which places the dots; hover for test. "
        "Ringed: no other trial is at least as good on both."
    )
    grids = [] if is_plain(report.objectives) else [comparing.front_with_settings(report)]
    return Section("trade-off", f"{y} against {x}", text, [("", comparing.trade_off(report))], grids)


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
        interactive=True,
    )
    yield Section(
        "importance",
        "Which hyper-parameters matter",
        "Share of the variance of validation accuracy that each one explains (fANOVA). Few trials make it imprecise.",
        [(space, searching.importance(report, space)) for space in names],
    )
