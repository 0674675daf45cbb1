"""The page of an audit: one HTML file that needs nothing but itself, from 360 pixels of width on."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from bgbias.data.photographs import layout
from bgbias.files import atomically
from study.display import finite, percent
from study.inspect.audit_pictures import AuditPictures, Shown
from study.inspect.audit_result import Audit, AuditedChallenge, Estimate, Look
from study.picture_grid import picture_of

PAGE, RECORD = "audit.html", "audit.json"
SIDE, QUALITY = 160, 85
"""Of the pictures in the page: pixels, and JPEG's quality."""
ABOUT = {
    layout.ORIGINAL: "the picture as it is",
    layout.MIXED_SAME: "the object on a background of its own class",
    layout.MIXED_RAND: "on a background of a random class",
    layout.MIXED_NEXT: "on a background of the next class",
    layout.ONLY_FG: "the object on black",
    layout.NO_FG: "the object's shape blacked",
    layout.ONLY_BG_B: "the object's box blacked",
    layout.ONLY_BG_T: "background alone, the box filled with it",
}
TITLES = {
    layout.ORIGINAL: "Original",
    layout.MIXED_SAME: "Mixed-Same",
    layout.MIXED_RAND: "Mixed-Rand",
    layout.MIXED_NEXT: "Mixed-Next",
    layout.ONLY_FG: "Only-FG",
    layout.NO_FG: "No-FG",
    layout.ONLY_BG_B: "Only-BG-B",
    layout.ONLY_BG_T: "Only-BG-T",
}
WITHOUT_OBJECT = (layout.NO_FG, layout.ONLY_BG_B, layout.ONLY_BG_T)
"""Variants on which a high accuracy shows that backgrounds are read."""
MOST_CELLS = 40
"""Classes above this number have no class x place table on the page; the JSON file holds it."""
STYLE = """
:root { color-scheme: light; --ink: #1c2530; --soft: #5c6773; --line: #dde2e8; --good: #1f77b4; --bad: #c2491d;
  --card: #f6f8fa }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; margin: 0 auto; max-width: 1080px;
  padding: 0 16px 48px; color: var(--ink); background: #fff }
h1 { font-size: 24px; line-height: 1.25; margin: 24px 0 4px; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 36px 0 6px } p { margin: 4px 0 10px } .soft { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 16px 0 }
.card { background: var(--card); border-radius: 8px; padding: 10px 14px } .card b { display: block; font-size: 26px }
.card span { display: block; font-size: 14px } .card small { color: var(--soft) }
ol.next { margin: 8px 0; padding-left: 22px } ol.next li { margin: 6px 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: 7px 10px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-size: 13px; color: var(--soft); font-weight: 600 } td.n, th.n { text-align: right; white-space: nowrap }
td small { color: var(--soft); display: block; font-size: 13px }
svg.bar { display: block; width: 100%; min-width: 110px; height: 22px }
table.cells { width: auto; font-size: 14px }
table.cells td { text-align: center; min-width: 52px; border: 1px solid #fff; padding: 6px }
table.cells th { min-width: 64px; border: 0; vertical-align: bottom }
table.cells tbody th { text-align: right; position: sticky; left: 0; background: #fff; vertical-align: middle }
table.cells thead th { text-align: center } table.cells td small { font-size: 11px; color: inherit; opacity: .75 }
.shots { display: grid; grid-template-columns: repeat(8, 1fr); gap: 10px; margin: 10px 0 22px }
.shots.fooled { grid-template-columns: repeat(auto-fill, minmax(116px, 1fr)) } .i { white-space: nowrap }
@media (max-width: 720px) { .shots { grid-template-columns: repeat(4, 1fr); gap: 8px } }
figure { margin: 0 } figure img { width: 100%; display: block; border-radius: 6px; border: 3px solid var(--good) }
figure.wrong img { border-color: var(--bad) } figcaption { font-size: 13px; line-height: 1.35; overflow-wrap: anywhere }
figure.wrong figcaption b { color: var(--bad) } figcaption b { color: var(--good) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 8px 0; font-size: 14px }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 520px) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: 8px }
  th, td { padding: 6px } .hide { display: none } figcaption { font-size: 12px }
  .shots.fooled { grid-template-columns: repeat(3, 1fr) } }
"""


def write(found: Audit, pictures: AuditPictures, folder: Path) -> Path:
    """Write the page and the JSON file of an audit into a folder, each whole or not at all; the page's path."""
    record = json.dumps(finite(found.to_json()), indent=1, allow_nan=False)
    for name, text in ((RECORD, record), (PAGE, page(found, pictures))):
        with atomically(folder / name) as partial:
            partial.write_text(text)
    return folder / PAGE


def page(found: Audit, pictures: AuditPictures) -> str:
    """The HTML of an audit."""
    sections = [
        _cards(found),
        _section("What to do next", _next(found.advice)),
        _section("Accuracy on every variant", _variants(found)),
        _objects(pictures.objects),
        _section("Class and place", _places(found)),
        _section("How often the background alone decides", _alone(found)),
        _section("Where it looks", _looks(found.looks)),
        _section("The Background Challenge", _challenge(found.challenge, pictures.fooled)),
        _section("How this was measured", _about(found)),
    ]
    title = f"Audit of {_text(found.model['name'])}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
        '<p class="soft">How much it leans on the background. Accuracies in percent, with 95 % intervals.</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _next(advice: Sequence[str]) -> str:
    return f'<ol class="next">{"".join(f"<li>{_text(line)}</li>" for line in advice)}</ol>'


def _text(value: object) -> str:
    return escape(str(value))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f}"


def _span(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _cards(found: Audit) -> str:
    original, rand = (found.variants[name].accuracy for name in (layout.ORIGINAL, layout.MIXED_RAND))
    cards = [
        (_share(original), "right as they are", _span(original)),
        (_share(rand), "right on a random background", _span(rand)),
        (f"{100 * found.bg_gap.value:+.1f}", "BG-Gap, Mixed-Same - Mixed-Rand", _span(found.bg_gap)),
        (_share(found.alone.right), "right on the background alone", f"chance {100 * found.alone.chance:.1f}"),
    ]
    if found.challenge is not None:
        robust = found.challenge.robust
        cards.append((_share(robust), f"right on all {found.challenge.backgrounds} backgrounds", _span(robust)))
    body = "".join(
        f'<div class="card"><b>{number}</b><span>{_text(what)}</span><small>{_text(more)}</small></div>'
        for number, what, more in cards
    )
    return f'<div class="cards">{body}</div>'


def _variants(found: Audit) -> str:
    rows = "".join(
        f"<tr><td>{TITLES[name]}<small>{ABOUT[name]}</small></td>"
        f'<td class="hide">{_bar(one.accuracy, found.alone.chance, name in WITHOUT_OBJECT)}</td>'
        f'<td class="n">{_share(one.accuracy)}<small>{_span(one.accuracy)}</small></td>'
        f"<td>{_text(one.worst_class)} {_share(one.worst_class_accuracy)}"
        f'<small class="i">{_span(one.worst_class_accuracy)}</small></td></tr>'
        for name, one in found.variants.items()
    )
    images = max(one.images for one in found.variants.values())
    return (
        f'<p class="soft">{images:,} pictures; the grey line is chance. Orange: without the object a high bar '
        'means that backgrounds are read.</p><div class="scroll"><table><thead><tr><th>variant</th>'
        f'<th class="hide" style="width:34%"></th><th class="n">accuracy</th><th>worst class</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _bar(estimate: Estimate, chance: float, without_object: bool) -> str:
    """A bar of an accuracy, its interval, and chance."""
    color = "var(--bad)" if without_object else "var(--good)"
    value, low, high, line = (100 * share for share in (estimate.value, estimate.low, estimate.high, chance))
    return (
        '<svg class="bar" viewBox="0 0 100 22" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="5" width="100" height="12" fill="#eef1f4"/>'
        f'<rect x="0" y="5" width="{value:.2f}" height="12" fill="{color}" opacity=".75"/>'
        f'<line x1="{low:.2f}" x2="{high:.2f}" y1="11" y2="11" stroke="#1c2530" stroke-width="2"/>'
        f'<line x1="{line:.2f}" x2="{line:.2f}" y1="1" y2="21" stroke="#8a94a0" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def _objects(rows: Sequence[Sequence[Shown]]) -> str:
    if not rows:
        return ""
    body = "".join(
        f"<p><b>{_text(row[0].label)}</b></p>{_shots((TITLES[shown.title], shown) for shown in row)}" for row in rows
    )
    note = '<p class="soft">Blue frames: predicted correctly. Orange: what it said instead.</p>'
    return _section("The same object on other backgrounds", note + body)


def _shots(titled: Iterable[tuple[str, Shown]], kind: str = "") -> str:
    figures = "".join(
        f'<figure class="{"" if shown.right else "wrong"}"><img alt="{_text(shown.label)}, {_text(title)}" '
        f'src="{_jpeg(shown.image)}"><figcaption>{_text(title)}<br><b>{_text(shown.prediction)}</b></figcaption></figure>'
        for title, shown in titled
    )
    return f'<div class="shots {kind}">{figures}</div>'


def _jpeg(image: Tensor) -> str:
    """A picture [1 or 3, H, W] in [0, 1] as a data address."""
    picture = picture_of(image.numpy())
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _places(found: Audit) -> str:
    note = (
        '<p class="soft">Accuracy of each class (row) on backgrounds of each class (column), over Mixed-Same, '
        "Mixed-Rand and Mixed-Next; below it, how many pictures. A model that looks at objects has "
        "rows of one colour.</p>"
    )
    if len(found.classes) > MOST_CELLS:
        return f"{note}<p>{len(found.classes)} classes are too many to show: {RECORD} holds the table.</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in found.places.columns)
    rows = "".join(
        f"<tr><th>{_text(name)}</th>{''.join(_cell(*cell) for cell in zip(values, counts, strict=True))}</tr>"
        for name, values, counts in zip(found.places.rows, found.places.values, found.counts.values, strict=True)
    )
    return (
        f'{note}<div class="scroll"><table class="cells"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(accuracy: float, count: float) -> str:
    if count == 0:
        return '<td class="soft">-</td>'
    ink = "#fff" if accuracy > 0.55 else "#1c2530"
    return (
        f'<td style="background:rgba(31,119,180,{0.08 + 0.92 * accuracy:.2f});color:{ink}">{100 * accuracy:.0f}'
        f"<small>{count:.0f}</small></td>"
    )


def _alone(found: Audit) -> str:
    alone = found.alone
    lines = [
        f"Without the object (Only-BG-T) it still names the object's class in <b>{_share(alone.right)} %</b> of "
        f"pictures ({_span(alone.right)}); guessing gives {100 * alone.chance:.1f} %."
    ]
    if alone.followed is not None:
        lines.append(
            f"An object on a background of another class is taken for that class in <b>{_share(alone.followed)} %</b> "
            f"({_span(alone.followed)})."
        )
    if alone.flipped is not None:
        lines.append(
            f"Of the objects that are right as they were photographed, <b>{_share(alone.flipped)} %</b> "
            f"({_span(alone.flipped)}) are wrong on a background of the next class."
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _looks(found: Mapping[str, Look]) -> str:
    if not found:
        return "<p>This kind of model gives no gradients, so where it looks was not measured.</p>"
    lines = "".join(
        f"<p>{TITLES[name]}: <b>{percent(look.share, 0)}</b> of the input gradient lies inside the objects, which "
        f"cover {percent(look.area, 0)} of the pictures ({look.images} pictures).</p>"
        for name, look in found.items()
    )
    return f'{lines}<p class="soft">A map without structure would put the share of the area there.</p>'


def _challenge(found: AuditedChallenge | None, fooled: Sequence[Shown]) -> str:
    if found is None:
        return "<p>Not run: the same command with --challenge puts every object on every background.</p>"
    head = (
        f"<p><b>{_share(found.robust)} %</b> ({_span(found.robust)}) of {found.objects:,} objects are right on all "
        f"{found.backgrounds:,} backgrounds; one that fools the model was found for each of the others.</p>"
    )
    shots = _shots(((f"{shown.label} {shown.title}", shown) for shown in fooled), "fooled")
    return head + (shots if fooled else "")


def _about(found: Audit) -> str:
    items = {**found.model, "variants": found.data}
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in items.items() if value)
    return (
        f"<dl>{rows}</dl>"
        '<p class="soft">Variants and challenge: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994). '
        "Intervals: Wilson for accuracies, bootstrap over objects for BG-Gap. Backgrounds are "
        "Only-BG-T of the same pictures.</p>"
    )
