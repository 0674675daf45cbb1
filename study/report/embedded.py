"""Figures inside a page: their data and plotly.js are compressed; the page's own script unpacks and draws them."""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from io import BytesIO
from typing import Any

import plotly.graph_objects as go
from PIL import Image
from plotly import io
from plotly.offline import get_plotlyjs

DIGITS = 4
"""Significant digits of a number in a figure."""
TEMPLATE = "plotly_white"
TEXTS = "hovertext"
"""The lists of a trace whose texts stand in the page once, however many points share them."""
WIDEST, QUALITY, COLORS = 1100, 82, 256
"""Of a picture in the page: pixels, JPEG's quality, and the colours of a PNG file."""
CONFIG = {"responsive": True, "displaylogo": False}
SCRIPT = """
const places = [...document.querySelectorAll('.drawing')];
const night = matchMedia('(prefers-color-scheme: dark)');
let stored = null, printing = false;
const narrow = 640, paper = 1040;  // pixels: below the first, panels are stacked; of a printed page, as in the style
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
}
function template() {
  const dark = night.matches && !printing, layout = { ...stored.template.layout };
  const line = dark ? '#3a3d44' : '#e4e4e4';
  layout.font = { ...layout.font, color: dark ? '#e6e6e6' : '#222' };
  for (const axis of ['xaxis', 'yaxis'])
    layout[axis] = { ...layout[axis], gridcolor: line, zerolinecolor: line, linecolor: line };
  return { ...stored.template, layout };
}
// On a narrow screen panels stand below each other: as many as have a title, each as high as before.
function stacked(layout) {
  const name = (letter, at) => `${letter}axis${at ? at + 1 : ''}`;
  const titles = layout.annotations || [], all = Object.keys(layout).filter(key => /^xaxis[0-9]*$/.test(key)).length;
  if (all < 2 || titles.length < 2) return layout;
  const count = Math.min(all, titles.length), [low, high] = layout.yaxis.domain, { t, b } = layout.margin;
  const before = layout.height - t - b, row = (high - low) * before, step = row + 75, inside = count * step - 75;
  const found = { ...layout, height: inside + t + b, annotations: titles.map(title => ({ ...title })) };
  found.legend = { ...layout.legend, y: layout.legend.y * before / inside };
  for (let at = 0; at < all; at++) {
    const top = 1 - at * step / inside, visible = at < count;
    const domain = visible ? [Math.max(0, top - row / inside), top] : [0, 1];
    found[name('x', at)] = { ...layout[name('x', at)], domain: [0, 1], visible };
    found[name('y', at)] = { ...layout[name('y', at)], domain, visible, showticklabels: true };
    if (visible) Object.assign(found.annotations[at], { x: 0.5, y: top });
  }
  return found;
}
function draw(place) {
  if (place.dataset.drawn) return;
  place.dataset.drawn = 'yes';
  const { data, layout } = stored.figures[place.id];
  for (const trace of data)
    if (Array.isArray(trace.hovertext)) trace.hovertext = trace.hovertext.map(at => stored.texts[at] ?? at);
  const width = printing ? { width: paper } : {}, shown = innerWidth < narrow && !printing ? stacked(layout) : layout;
  place.style.height = `${shown.height || 450}px`;
  Plotly.newPlot(place, data, { ...shown, ...width, template: template() }, stored.config);
}
const needsWebgl = place => stored.figures[place.id].data.some(trace => trace.type === 'parcoords');
function watch(entries) {
  for (const { target, isIntersecting } of entries)
    if (isIntersecting) draw(target);
    else if (target.dataset.drawn && needsWebgl(target)) {  // browsers allow few WebGL canvases at a time
      Plotly.purge(target);
      delete target.dataset.drawn;
    }
}
function repaint(change) {
  if (!stored) return;
  for (const place of places) if (place.dataset.drawn) Plotly.relayout(place, { ...change, template: template() });
}
async function start() {
  const open = document.createElement('iframe');  // until it is closed the page counts as loading: nobody prints before
  open.hidden = true;
  document.body.append(open);
  open.contentDocument.open();
  try {
    const [library, figures] = await Promise.all([unpacked('plotly-js'), unpacked('figures')]);
    const script = document.createElement('script');
    script.textContent = library;
    document.head.append(script);
    stored = JSON.parse(figures);
  } catch (error) {
    for (const place of places) place.textContent = `No figures: this browser cannot unpack them (${error.message}).`;
    return;
  } finally {
    open.contentDocument.close();
  }
  const watcher = new IntersectionObserver(watch, { rootMargin: '600px' });
  places.forEach(place => watcher.observe(place));
  if (printing) places.forEach(draw);
}
night.addEventListener('change', () => repaint({}));
addEventListener('beforeprint', () => {
  printing = true;
  repaint({ width: paper });
  if (stored) places.filter(place => !needsWebgl(place)).forEach(draw);
});
addEventListener('afterprint', () => { printing = false; repaint({ width: null, autosize: true }); });
start();
"""


class Figures:
    """The figures of one page, in the order in which they are added."""

    def __init__(self) -> None:
        self._figures: dict[str, dict[str, Any]] = {}
        self._texts: dict[str, int] = {}

    def place(self, key: str, figure: go.Figure) -> str:
        """Add a figure under an id of its own; the HTML of where it will be drawn."""
        self._figures[key] = self._compact(figure)
        height = int(figure.layout.height or 450)
        return f'<div class="drawing" id="{escape(key)}" style="height: {height}px"></div>'

    def scripts(self) -> str:
        """HTML at the end of the page that draws the figures; empty if there is none."""
        if not self._figures:
            return ""
        stored = {
            "template": _plain(io.templates[TEMPLATE].to_plotly_json()), "texts": list(self._texts), "config": CONFIG,
            "figures": self._figures,
        }  # fmt: skip
        text = json.dumps(stored, separators=(",", ":"), allow_nan=False)
        return (
            "<noscript><p>The figures need JavaScript; all tables are here.</p></noscript>"
            f'<script type="text/plain" id="plotly-js">{_library()}</script>'
            f'<script type="text/plain" id="figures">{packed(text)}</script><script>{SCRIPT}</script>'
        )

    def _compact(self, figure: go.Figure) -> dict[str, Any]:
        found = _plain(json.loads(figure.to_json()))
        found["layout"].pop("template", None)
        for trace in found["data"]:
            if isinstance(trace.get(TEXTS), list):
                trace[TEXTS] = [self._texts.setdefault(text, len(self._texts)) for text in trace[TEXTS]]
        return {"data": found["data"], "layout": found["layout"]}


def packed(text: str) -> str:
    """A text as the base64 of its gzip file, the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def _library() -> str:
    return packed(get_plotlyjs())


def _plain(value: Any) -> Any:
    """JSON values with numbers of four significant digits; what is not finite is null, which plotly.js leaves out."""
    if isinstance(value, float):
        shown = float(f"{value:.{DIGITS}g}")
        return int(shown) if shown.is_integer() else shown if shown == shown else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value


def picture(file: bytes) -> str:
    """A picture file as a small data address: a PNG file of few colours or a JPEG file, whichever is smaller."""
    found = Image.open(BytesIO(file)).convert("RGB")
    found.thumbnail((WIDEST, 10 * WIDEST))
    files = {"jpeg": BytesIO(), "png": BytesIO()}
    found.save(files["jpeg"], "JPEG", quality=QUALITY, optimize=True)
    found.quantize(COLORS).save(files["png"], "PNG", optimize=True)
    kind, smallest = min(files.items(), key=lambda one: len(one[1].getvalue()))
    return f"data:image/{kind};base64,{base64.b64encode(smallest.getvalue()).decode()}"
