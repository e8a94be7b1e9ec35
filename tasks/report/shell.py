"""The frame of every page: style, scripts, pictures and data inside one HTML file that needs nothing from outside."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from tasks import terms
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
    environment.filters["words"] = terms.corruption
    environment.filters["slug"] = slug
    environment.filters["slice_words"] = wording.slice_name
    environment.filters["strength"] = lambda level: wording.strength(level[1], level[2])
    data = {"figures": charts, "templates": figures.templates(), "config": CONFIG, "overlays": overlays}
    packed = packing.pack(data)
    text = environment.get_template(template).render(
        **content,
        pictures=list(pictures.inside()),
        # A folder's page lies one level below the files that the report comes with.
        up="" if pictures.beside is None else "../",
        media=media,
        data=embed({"shared": packed["shared"], **packed["value"]}),
        style=Markup(_asset("dataTables.dataTables.min.css") + _asset("report.css")),
        scripts=[_in_ascii(script) for script in (_plotly(), _asset("dataTables.min.js"), _asset("report.js"))],
    )
    # One byte a character: a browser decodes and reads that in half the time.
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def embed(data: Any) -> Markup:
    """`data` as JSON that is safe inside a script element, whatever names it holds.

    Examples:
        >>> print(embed({"name": "</script><b>"}))
        {"name":"\\u003c/script\\u003e\\u003cb\\u003e"}
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _in_ascii(script: str) -> Markup:
    return Markup(re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], script))


def _plotly() -> str:
    """plotly.js without the function around it that serves module loaders, and not started: calling `Plotly` does that.

    A browser reads code again for each function that it stands in; with developer tools open also for each error that
    is caught while the function runs, and some of the modules try things out. So the function that holds them all has
    ended before the first of them starts, as the first chart is drawn.
    """
    text = _asset("plotly-cartesian.min.js")
    start, end = r"\"use strict\";var Plotly=\(\(\)=>\{", r"\(\);\}\)\(\);"
    found = re.match(rf"(/\*.*?\*/).*?({start}.*;return \w+){end}(.*)window\.Plotly = Plotly;", text, re.DOTALL)
    if found is None:
        raise ValueError("plotly-cartesian.min.js is not made as that of plotly.js 4.1 is")
    licence, modules, licences = found.groups()
    return f"{licence}\n{modules};}})();{licences}"


def _asset(name: str) -> str:
    text = (ASSETS / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would close the element that it is placed in")
    return text
