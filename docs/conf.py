"""Settings of Sphinx, which turns the README and the pages in `docs/` into a site: `make docs`.

The sources are the repository itself, so that links between its files work on the site as they do in the repository. The site
loads nothing from other hosts.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).parent.parent
GUIDE = (
    *("install", "ask", "written", "demo", "chat", "serve", "mcp", "deploy", "corpus", "your-data", "crawl", "dump"),
    *(
        "reading",
        "languages",
        "walkthrough",
        "reranker",
        "models",
        "evaluate",
        "books",
        "integrations",
        "databases",
        "growing",
        "files",
    ),
)
ELSEWHERE = ("benchmarks/*.md", "benchmarks/results/README.md", "corpus/*/README.md", "ragqa/**/README.md")
OTHERS = sorted(path.relative_to(ROOT).as_posix() for pattern in ELSEWHERE for path in ROOT.glob(pattern))
CHAPTERS = {
    "Guide": [f"docs/{name}.md" for name in GUIDE if (ROOT / f"docs/{name}.md").is_file()],  # a recipe may be removed
    "Reference": ["docs/commands.md", "docs/python.md", "docs/architecture.md"],
    "Figures and data": ["docs/figures.md", *OTHERS],
}
GENERATED = {"docs/commands": reference.commands, "docs/python": reference.python}

project = "ragqa"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md", "docs/*.md", *OTHERS]
exclude_patterns = [".*", "build", "dist", "site"]
myst_heading_anchors = 4
highlight_language = "text"
html_theme = "furo"
html_title = "ragqa"
html_copy_source = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Connect the functions below with the events of Sphinx."""
    app.connect("source-read", complete)
    app.connect("build-finished", make_first_page)


def complete(app: Any, name: str, source: list[str]) -> None:
    """Add the list of all pages to the README, and to the pages of the reference what the code says."""
    if name == root_doc:
        source[0] += "".join(map(_contents, CHAPTERS))
    elif name in GENERATED:
        source[0] += "\n".join(GENERATED[name]())


def _contents(chapter: str) -> str:
    pages = "\n".join(CHAPTERS[chapter])
    return f"\n```{{toctree}}\n:hidden:\n:caption: {chapter}\n\n{pages}\n```\n"


def make_first_page(app: Any, error: Exception | None) -> None:
    """Show the README at `index.html` too."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")
