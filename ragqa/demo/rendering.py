"""What the browser gets from the files in `templates/`: HTML made by Jinja2, the style sheet, the scripts.

Every value that a template shows passes `escape`, unless it is `Markup`.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ragqa.demo.escaping import escape, highlight, link, prose, topic_link
from ragqa.errors import warn_of_fallback
from ragqa.text.passages import heading_path

FOLDER = Path(__file__).parent / "templates"
SYSTEM_FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]


def read_file(name: str) -> str:
    """Return the text of a file in `templates/`."""
    return (FOLDER / name).read_text(encoding="utf8")


@cache
def macros(template: str, *helpers: Callable[..., Any]) -> Any:
    """Return the macros of a template, as functions that return `Markup`. The template may call the `helpers`."""
    named = {helper.__name__: helper for helper in helpers}
    return _environment().get_template(template, globals=named).module


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return value if hasattr(value, "__html__") else Markup(escape(str(value)))  # noqa: S704

    def markup(function: Callable[..., str]) -> Callable[..., Any]:
        return lambda *values: Markup(function(*values))  # noqa: S704

    environment = Environment(
        loader=FunctionLoader(_read_in_one_line), autoescape=True, finalize=shown, undefined=StrictUndefined
    )
    environment.filters |= {"link": markup(link), "topic_link": markup(topic_link)}
    environment.filters |= {"prose": markup(prose), "highlight": markup(highlight)}
    environment.filters |= {"heading_path": heading_path, "percent": "{:.0%}".format, "decimals": "{:.2f}".format}
    return environment


def _read_in_one_line(name: str) -> str:
    """Return a template without line ends and indentation, which would show in preformatted text."""
    return "".join(line.strip() for line in read_file(name).splitlines())


def draw_formulas() -> str:
    """Return the tags of KaTeX's style and of the script that draws formulas with it, or nothing without Gradio.

    Gradio serves KaTeX's files. Warns if they are not there.
    """
    gradio = find_spec("gradio")
    if gradio is None or gradio.origin is None:
        return ""
    assets = Path(gradio.origin).parent / "templates" / "frontend" / "assets"
    script, style = (next((path.name for path in assets.glob(f"katex-*.{kind}")), "") for kind in ("js", "css"))
    if not (script and style):
        warn_of_fallback(f"formulas are shown as TeX: there is no KaTeX in {assets}; install another version of gradio")
        return ""
    code = read_file("formulas.js").replace("KATEX", f"assets/{script}")
    return f'<link rel="stylesheet" href="assets/{style}"><script type="module">{code}</script>'


# in the page's head: Gradio rewrites the selectors of its option `css`, and breaks those with commas in them
HEAD = f"<style>{read_file('page.css')}</style>{draw_formulas()}"


def theme() -> Any:
    """Return Gradio's default theme in one colour, with the system's fonts: no font is loaded."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]
    )
