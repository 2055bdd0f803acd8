"""A Plotly figure as HTML that needs nothing else: no network, no other cell, no extension of JupyterLab.

Plotly's own code (4.8 MB) travels compressed in each figure (2 MB), because a notebook shows its cells in any order and
people copy single ones; a page unpacks it once.
"""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_ROWS = 16
_CODE = re.compile(r'<script type="text/plain" id="pic4ser-[0-9a-f]{12}-code">[^<]*</script>')
_FIGURE = re.compile(r"[-+.:\d]+|no samples")

# What the page runs: get Plotly (once a page), take the page's own text colour, draw, and follow a change of theme.
_SCRIPT = """
(() => {
  const box = document.getElementById("ID"), figure = FIGURE;
  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    new Function("module", "exports", "define", "require", text).call(window);
    return window.Plotly;
  };
  const plotly = () => window.pic4serPlotly ||= unpack(document.getElementById("ID-code").textContent.trim());
  const theme = () => ({ "font.color": getComputedStyle(box.parentElement).color });
  plotly().then((Plotly) => {
    figure.layout.font.color = theme()["font.color"];
    Plotly.newPlot(box, figure.data, figure.layout, { responsive: true, displaylogo: false });
    new MutationObserver(() => Plotly.relayout(box, theme())).observe(document.body, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Plotly.relayout(box, theme()));
  }).catch((error) => { box.textContent = "This figure cannot be drawn here: " + error; });
})();
"""


def page_part(figure: Figure) -> str:
    """A piece of HTML that draws the figure, in the page's own text colour."""
    name = f"pic4ser-{uuid.uuid4().hex[:12]}"
    drawn = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    drawn["layout"].pop("width", None)  # as wide as the page
    script = _SCRIPT.replace("ID", name).replace("FIGURE", _in_script(drawn))
    height = int(drawn["layout"]["height"])
    return (
        f'<div style="max-width:1200px"><div id="{name}" style="width:100%;height:{height}px"></div>'
        f'<script type="text/plain" id="{name}-code">{_packed()}</script><script>{script}</script></div>'
    )


def has_figure(part: str) -> bool:
    """Whether a piece of HTML holds a figure of ours."""
    return bool(_CODE.search(part))


def without_code(part: str) -> str:
    """The piece without Plotly's own code, for a page on which an earlier figure has brought it."""
    return _CODE.sub("", part)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows as an HTML table; text from machines is escaped, columns of figures stand right."""
    sides = ["right" if all(_FIGURE.fullmatch(row[i]) for row in rows) else "left" for i in range(len(head))]
    heads = _cells("th", head, sides)
    body = "".join(f"<tr>{_cells('td', row, sides)}</tr>" for row in rows)
    made = f'<table style="border-collapse:collapse"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return made if len(rows) <= _ROWS else f"<details><summary>{len(rows)} lines</summary>{made}</details>"


def _cells(tag: str, texts: list[str], sides: list[str]) -> str:
    style = "padding:2px 10px 2px 4px;vertical-align:top;font-variant-numeric:tabular-nums;text-align"
    pairs = zip(texts, sides, strict=True)
    return "".join(f'<{tag} style="{style}:{side}">{html.escape(text)}</{tag}>' for text, side in pairs)


@functools.cache
def _packed() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9)).decode()


def _in_script(data: Any) -> str:
    """JSON that may stand in a script: a machine's text must not end it."""
    return json.dumps(data).replace("</", "<\\/").replace("<!--", "<\\!--")
