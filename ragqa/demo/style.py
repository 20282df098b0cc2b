"""How the page looks, and the little that it does by itself in the browser."""

from pathlib import Path
from typing import Any

SYSTEM_FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]


# as part of the page's head, since Gradio rewrites the selectors of its option `css`, and breaks those with commas in them
HEAD = f"<style>{(Path(__file__).parent / 'page.css').read_text(encoding='utf8')}</style>"
PANEL = (Path(__file__).parent / "panel.js").read_text(encoding="utf8")

SHOW_QUESTION = (Path(__file__).parent / "chat.js").read_text(encoding="utf8")


def theme() -> Any:
    """Gradio's default theme in one colour, with the fonts that the reader's system has: none are loaded."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]
    )
