"""How the page looks, and the little that it does by itself in the browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ragqa.errors import warn_of_fallback

SYSTEM_FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf8")


def draw_formulas() -> str:
    """KaTeX's style and the script that draws formulas, from the files that Gradio serves; nothing without Gradio."""
    gradio = find_spec("gradio")
    if gradio is None or gradio.origin is None:
        return ""
    assets = Path(gradio.origin).parent / "templates" / "frontend" / "assets"
    script, style = (next((path.name for path in assets.glob(f"katex-*.{kind}")), "") for kind in ("js", "css"))
    if not (script and style):
        warn_of_fallback(f"formulas are shown as TeX: there is no KaTeX in {assets}; install another version of gradio")
        return ""
    code = _read("formulas.js").replace("KATEX", f"assets/{script}")
    return f'<link rel="stylesheet" href="assets/{style}"><script type="module">{code}</script>'


# as part of the page's head, since Gradio rewrites the selectors of its option `css`, and breaks those with commas in them
HEAD = f"<style>{_read('page.css')}</style>{draw_formulas()}"
PANEL, SHOW_QUESTION = _read("panel.js"), _read("chat.js")


def theme() -> Any:
    """Gradio's default theme in one colour, with the fonts that the reader's system has: none are loaded."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]
    )
