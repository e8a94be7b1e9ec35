"""The frame of every page: style, scripts, pictures and data inside one HTML file that needs nothing from outside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from tasks.layout import slug
from tasks.report import cards, figures, packing, wording

ASSETS: Final = Path(__file__).parent / "assets"
TEMPLATES: Final = Path(__file__).parent / "templates"

CONFIG: Final[dict[str, Any]] = {
    "displaylogo": False,
    "responsive": True,
    # plotly's "Share chart" button uploads the data; nothing of a report leaves the machine.
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d"],
    "showSendToCloud": False,
}
"""plotly's settings for every chart."""


def render(
    template: str,
    content: Mapping[str, Any],
    *,
    charts: Mapping[str, figures.Figure],
    pictures: cards.Pictures,
    overlays: Mapping[str, Any],
    media: bool = False,
) -> str:
    """A page as text.

    Args:
        template: of templates/; it extends shell.html.
        content: what the template shows.
        charts: by id.
        pictures: those that the content refers to.
        overlays: as `cards.overlays` gives them.
        media: whether videos lie beside the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = wording.corruption
    environment.filters["slug"] = slug
    environment.filters["slice_words"] = wording.slice_name
    environment.filters["strength"] = lambda level: wording.strength(level[1], level[2])
    data = {"figures": charts, "templates": figures.templates(), "config": CONFIG, "overlays": overlays}
    packed = packing.pack(data)
    return environment.get_template(template).render(
        **content,
        pictures=list(pictures.inside()),
        # A folder's page lies one level below the files that the report comes with.
        up="" if pictures.beside is None else "../",
        media=media,
        data=embed({"shared": packed["shared"], **packed["value"]}),
        style=_asset("dataTables.dataTables.min.css") + _asset("report.css"),
        scripts=[_asset("plotly-cartesian.min.js"), _asset("dataTables.min.js"), _asset("report.js")],
    )


def embed(data: Any) -> Markup:
    """`data` as JSON that is safe inside a script element, whatever names it holds.

    Examples:
        >>> print(embed({"name": "</script><b>"}))
        {"name":"\\u003c/script\\u003e\\u003cb\\u003e"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _asset(name: str) -> Markup:
    text = (ASSETS / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would close the element that it is placed in")
    return Markup(text)
