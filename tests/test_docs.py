"""The README and docs/: every code block runs or is checked against the real parsers, and the site builds without a warning.

A Python block runs as a program. A console block runs, and its output must be the one shown ("…" stands for any text). A bash
block runs in a folder with small files of the names that the pages use, except for the commands in `ONLY_PARSED`.
"""

import bz2
import gzip
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import reference
from demo_server import ANSWER, QUESTION
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

import ragqa
from ragqa.index.database import open_store, push_index
from ragqa.index.folder import build_index, open_index
from ragqa.models.embedder import Embedder
from ragqa.records import Page
from ragqa.storage.json_lines import write_json_lines
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import split

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASUREMENTS = [*sorted((ROOT / "benchmarks").glob("*.md")), *sorted((ROOT / "corpus").glob("*/README.md"))]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]["optional-dependencies"]
MAKE_TARGETS = set(
    re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE)
)

# Commands that do not run here, by their first words, and why. Their arguments are checked: `check_command`.
ONLY_PARSED = {
    "pip install": "it would change this environment",
    "make": "it installs packages, or measures for minutes to hours",
    "ragqa crawl": "it needs the network",
    "ragqa index pages.jsonl --out chinese/ --embedder": "it needs a model of the hub",
    'ragqa ask "怎样避免过拟合？"': "it needs pages in Chinese, or models of the hub",
    "ragqa publish": "it needs the network and an account",
    "accelerate launch": "it takes minutes to hours",
    "ragqa demo": "it serves until it is stopped",
    "ragqa index notes/ --out index/ --watch": "it runs until it is stopped",
    "ragqa serve": "it serves until it is stopped",
    "ragqa mcp": "it serves until it is stopped",
    "ragqa push index/ qdrant://localhost": "it needs a server",
    "ragqa push index/ 'postgresql": "it needs a server",
    "claude mcp add": "it needs Claude Code",
    "RAGQA_API_KEYS=": "it serves until it is stopped",
    "docker": "it needs a container builder and a registry; tests/test_deploy.py checks the files",
    "printf '%s\\n' \"$(openssl": "it makes a key",
    'curl -H "Authorization: Bearer $(cat deploy/api-keys)"': "it needs the container",
    "python3 -m venv /opt/ragqa": "it would change this machine",
    "install -": "it would change this machine",
    "curl http://127.0.0.1:8080": "it needs the server of `ragqa serve`",
    "ragqa train": "it takes minutes to hours",
    'ragqa ask "What is cluster analysis?"': "it needs the model that a training makes",
    'ragqa ask "what is a medoid?"': "it needs pages that were crawled",
    "ragqa ask --write": "it needs a language model",
    "ragqa dataset --passages passages.jsonl --writer": "it needs a language model",
    "ragqa export": "it needs the model that a training makes",
    "ragqa calibrate": "it needs the model that a training makes",
    "ragqa evaluate --judged starter": "it takes minutes to an hour, depending on the CPU",
    "ragqa evaluate --judged ../shared/data": "it needs data that the repository does not hold",
    "ragqa dataset --recipe": "it needs data that the repository does not hold",
}
DRAWINGS = ("",)  # languages of blocks that show no code
SERVED = "http://127.0.0.1:7860/"  # blocks with this address run against a small chat of the tests
SERVED_API = "http://127.0.0.1:8080"  # Python blocks with this address run against a small API server of the tests
# options of gunicorn, curl, dumpBackup.php, torchrun and podman
OTHER_PROGRAMS = {"--preload", "--user-agent", "--current", "--full", "--nproc-per-node", "--format"}
FRAMEWORKS = {"haystack": "haystack", "langchain": "langchain_core", "llama_index": "llama_index.core"}  # by adapter
ALL_STARTER, FEW_PAGES = "--pages starter ", "--pages pages.jsonl "  # the same in seconds
NUMBER = r"\d+(?:\.\d+)?"


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(pages: list[Path]) -> Iterator[Block]:
    for page in pages:
        for token in MarkdownIt().parse(page.read_text(encoding="utf8")):
            if token.type == "fence":
                yield Block(page, (token.map or [0])[0] + 1, token.info, token.content)


BLOCKS = list(read_blocks(PAGES))


def blocks_in(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files of the names that the pages use."""
    folder = tmp_path_factory.mktemp("docs")
    starts = [replace(page, text=page.text[:1500]) for page in list(read_pages(starter_folder()))[:8]]
    pages = [*starts, Page("A page that is gone", text="Nobody needs this page.")]
    passages = [passage for page in pages for passage in split(page)]
    write_json_lines(folder / "pages.jsonl", pages)
    write_json_lines(folder / "passages.jsonl", passages)
    write_json_lines(folder / "changed.jsonl", split(Page(pages[0].title, text="This page is new.")))
    build_index(folder / "index", passages, embedder=Embedder.load())
    for name in ("raw.jsonl.gz", "pages.jsonl.gz"):
        (folder / name).write_bytes(gzip.compress((folder / "pages.jsonl").read_bytes()))
    (folder / "handbook").mkdir()
    (folder / "handbook" / "backups.md").write_text("# Backups\n\nBackups run at night. They take an hour.\n")
    (folder / "faq.csv").write_text("question,reply,year\nHow long do backups take?,They take an hour.,2026\n")
    (folder / "titles.txt").write_text("Perceptron\n")
    write_dump(folder / "enwiki-latest-pages-articles-multistream.xml.bz2")
    if find_spec("qdrant_client"):
        store = open_store(f"qdrant://{folder}/store/wiki")
        push_index(*open_index(folder / "index"), store)
        store.close()
    if find_spec("libzim"):  # its blocks need the package too
        from zims import article, write_zim

        articles = {title: article(title, f"<p>A {title} is a model.</p>") for title in ("Perceptron", "Forest")}
        write_zim(folder / "wikipedia_en_computer_maxi.zim", articles)
    for name in ("scifact", "arguana"):
        write_judged(folder / name)
    (folder / "other.trec").write_text("q1 Q0 d1 1 2.0 other\nq1 Q0 d2 2 1.0 other\n")
    return folder


def write_dump(path: Path) -> None:
    page = (
        "<page><title>{}</title><ns>0</ns><id>{}</id><revision><id>{}</id><timestamp>2026-01-01T00:00:00Z</timestamp>"
        "<text>A {} is a model.\n\n[[Category:Machine learning]]</text></revision></page>"
    )
    pages = "".join(page.format(title, 10 + i, 20 + i, title) for i, title in enumerate(("Perceptron", "Forest")))
    namespaces = '<namespace key="0" /><namespace key="14">Category</namespace>'
    info = f"<base>https://en.wikipedia.org/wiki/Main_Page</base><namespaces>{namespaces}</namespaces>"
    xmlns = "http://www.mediawiki.org/xml/export-0.11/"
    head = f'<mediawiki xmlns="{xmlns}" version="0.11" xml:lang="en"><siteinfo>{info}</siteinfo>'
    path.write_bytes(bz2.compress(f"{head}{pages}</mediawiki>".encode()))


def write_judged(folder: Path) -> None:
    texts = {"d1": "A gravel bike has wide tyres for rough roads.", "d2": "A tent needs pegs in strong wind."}
    queries = {"q1": "which bike has wide tyres?", "q2": "what does a tent need?"}
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", texts), ("queries", queries)):
        write_json_lines(folder / f"{name}.jsonl", ({"_id": key, "text": text} for key, text in rows.items()))
    for split_name in ("test", "dev"):
        (folder / "qrels" / f"{split_name}.tsv").write_text("q1\td1\t1\nq2\td2\t1\n")


@pytest.fixture
def workplace(files: Path, tmp_path: Path) -> Path:
    """A copy of these files that a block may change."""
    return Path(shutil.copytree(files, tmp_path / "workplace"))


def run(arguments: list[str], folder: Path) -> str:
    """Run a program in a folder and return its output; its errors are shown if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bash(script: str, folder: Path) -> str:
    return run(["bash", "-euo", "pipefail", "-c", script], folder)


def lines_of(script: str) -> list[str]:
    """The commands of a script as they stand, one an item, without comments of their own line."""
    joined = script.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.startswith("#")]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command in a line: split at pipes and `&&`; a process substitution counts as a file name."""
    lexer = shlex.shlex(re.sub(r"<\([^)]*\)", "FILE", line), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def only_parsed(line: str) -> str | None:
    """The entry of `ONLY_PARSED` for a line, or None if it runs."""
    return next((start for start in ONLY_PARSED if line.startswith(start)), None)


def skip_without_framework(code: str) -> None:
    """Skip a block that uses an adapter whose framework is not installed."""
    for adapter in re.findall(r"ragqa\.integrations\.(\w+)", code):
        if adapter == "haystack" and sys.version_info < (3, 11):
            pytest.skip("haystack-ai needs Python 3.11")
        pytest.importorskip(FRAMEWORKS[adapter])


def check_command(words: list[str]) -> None:
    """Check the arguments of ragqa, pip and make; leave other programs alone."""
    if words[:2] == ["accelerate", "launch"]:  # its last option before the module's is -m
        words = words[words.index("-m") + 1 :]
    if words[:1] == ["ragqa"]:
        reference.parser().parse_args(words[1:])
    elif words[:2] == ["pip", "install"]:
        for argument in words[2:]:
            name, _, extras = argument.removesuffix("]").partition(".[")
            assert set(filter(None, extras.split(","))) <= EXTRAS.keys()
            assert argument == "." or not name or Requirement(argument)
    elif words[:1] == ["make"]:
        assert {word for word in words[1:] if "=" not in word} <= MAKE_TARGETS
    elif words[:1] == ["python"] and words[1].startswith("benchmarks/"):
        source = (ROOT / words[1]).read_text(encoding="utf8")
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z][a-z0-9-]*", source))


def test_every_language_is_run_or_named_here() -> None:
    assert {block.language for block in BLOCKS} == {"python", "console", "bash", "nginx", "json", *DRAWINGS}


@pytest.fixture(scope="module")
def api_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("prometheus_client", reason="pip install prometheus-client")
    from serve_server import running

    with running(tmp_path_factory.mktemp("api")) as server:
        yield server.address


@pytest.mark.parametrize("block", blocks_in("python"), ids=str)
def test_python_blocks_run(block: Block, workplace: Path, address: str, request: pytest.FixtureRequest) -> None:
    skip_without_framework(block.code)
    code = block.code.replace(SERVED, address)
    if SERVED_API in code:
        code = code.replace(SERVED_API, request.getfixturevalue("api_address"))
    served = code != block.code
    printed = run(
        [sys.executable, "-c", code.replace("Why does dropout help?", QUESTION) if served else code], workplace
    )
    assert (ANSWER in printed) == served


@pytest.mark.parametrize("block", blocks_in("console"), ids=str)
def test_console_blocks_print_what_they_show(block: Block, workplace: Path) -> None:
    _, *shown = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
    assert shown
    for command, _, expected in (part.partition("\n") for part in shown):
        for words in simple_commands(command):
            check_command(words)
        printed = bash(command, workplace)
        assert is_as_shown(printed, expected), printed


@pytest.mark.parametrize("block", blocks_in("bash"), ids=str)
def test_bash_blocks_run_or_are_checked(block: Block, workplace: Path, address: str) -> None:
    for line in lines_of(block.code):
        for words in simple_commands(line):
            check_command(words)
    lines = [line for line in lines_of(block.code) if only_parsed(line) is None]
    script = "\n".join(lines).replace(SERVED, address).replace(ALL_STARTER, FEW_PAGES)
    served = SERVED in "\n".join(lines)
    printed = bash(script.replace("Why does dropout help?", QUESTION) if served else script, workplace)
    assert (ANSWER in printed) == served


@pytest.mark.parametrize("block", [*read_blocks(MEASUREMENTS)], ids=str)
def test_commands_of_the_measurements_are_checked(block: Block) -> None:
    assert block.language == "bash"
    for line in lines_of(block.code):
        for words in simple_commands(line):
            check_command(words)


@pytest.mark.parametrize("block", blocks_in("json"), ids=str)
def test_json_blocks_name_commands_that_exist_or_are_pages(block: Block, tmp_path: Path) -> None:
    shown = json.loads(block.code)
    if "text" in shown:
        (tmp_path / "pages.jsonl").write_text(block.code, encoding="utf8")
        (page,) = read_pages(tmp_path / "pages.jsonl")
        assert json.loads(json.dumps(dict(page.metadata))) == shown["metadata"]
        return
    (servers,) = shown.values()
    for server in servers.values():
        check_command([server["command"], *server["args"]])


@pytest.mark.parametrize("block", blocks_in("nginx"), ids=str)
def test_nginx_blocks_are_valid(block: Block, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not nginx:
        pytest.skip("nginx is not installed")
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\nserver {{\nlisten 127.0.0.1:8081;\n{block.code}}}\n}}\n"
    )
    run([nginx, "-t", "-e", "stderr", "-c", str(config)], tmp_path)


def test_every_rule_for_commands_that_do_not_run_is_needed() -> None:
    lines = [line for block in blocks_in("bash") for line in lines_of(block.code)]
    needless = ONLY_PARSED.keys() - {only_parsed(line) for line in lines}
    assert needless <= {"ragqa dataset --recipe"}  # a recipe may be removed


def is_as_shown(printed: str, shown: str) -> bool:
    """Compare output with what a page shows: "…" is any text, and numbers may differ by 3 %, as they do on other CPUs."""
    parts = re.split(rf"(…|{NUMBER})", shown.rstrip())
    pattern = "".join(
        ".*?" if part == "…" else f"({NUMBER})" if re.fullmatch(NUMBER, part) else re.escape(part) for part in parts
    )
    found = re.fullmatch(pattern, printed.rstrip(), re.DOTALL)
    numbers = re.findall(NUMBER, shown)
    return found is not None and all(
        math.isclose(float(a), float(b), rel_tol=0.03) for a, b in zip(numbers, found.groups(), strict=True)
    )


def test_output_is_compared_with_what_is_shown() -> None:
    assert is_as_shown("a 5.60 b\nc\nd\n", "a 5.56 b\n…\nd\n")
    assert not is_as_shown("a 6.60 b\nc\nd\n", "a 5.56 b\n…\nd\n")
    assert not is_as_shown("a 5.56 b\nc\ne\n", "a 5.56 b\n…\nd\n")


def test_commands_that_do_not_exist_are_found() -> None:
    for line in ("ragqa ask", "ragqa fly", "ragqa index --passages p --out i --none 1"):
        with pytest.raises(SystemExit):
            check_command(line.split())
    for line in ("pip install .[none]", "make none", "python benchmarks/users.py --none"):
        with pytest.raises(AssertionError):
            check_command(line.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_exist(page: Path) -> None:
    known = {option for parser in reference.parsers().values() for option in parser._option_string_actions}
    inline = [
        child.content
        for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf8"))
        for child in token.children or ()
        if child.type == "code_inline"
    ]
    named = {option for code in inline for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", code)}
    assert named - known - OTHER_PROGRAMS == set()


@pytest.mark.parametrize("page", [*PAGES, *MEASUREMENTS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf8"))
    wrong = [link for link in links if not re.match(r"https?:", link) and not (page.parent / link).exists()]
    assert wrong == []


def test_the_readme_is_short_and_shows_a_picture_and_both_tables() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    assert len(readme.split()) < 900
    assert "](docs/chat.png)" in readme
    assert {"## Install", "## Ask", "## How good is it", "## How fast is it", "## Size", "## Licence"} <= set(
        readme.splitlines()
    )


def test_the_notebooks_and_pages_are_found_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"](notebooks/{notebook.name})" in readme


def test_the_reference_lists_every_command_and_every_public_name() -> None:
    commands, names = "".join(reference.commands()), "".join(reference.python())
    for name, parser in reference.parsers().items():
        assert f"\n## ragqa {name}\n" in commands
        assert all(option in commands for option in parser._option_string_actions)
    for name in ragqa.__all__:
        assert f"\n### {name}\n" in names
    assert "#### Retriever.search\n" in names
    assert "Raises `InputError` for `k` below 1" in names


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the site needs more packages: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-d", str(folder / "trees")]
    run([sys.executable, "-m", "sphinx", *options, "-c", str(ROOT / "docs"), str(ROOT), str(folder / "html")], ROOT)
    return folder / "html"


def test_the_site_builds_without_a_warning_and_holds_every_page(site: Path) -> None:
    for page in (*PAGES, *MEASUREMENTS):
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file()
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()
    assert "ragqa import-dump" in (site / "docs" / "commands.html").read_text(encoding="utf8")


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    loading = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^>]*")
    for page in site.rglob("*.html"):
        assert loading.findall(page.read_text(encoding="utf8")) == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"@import[^;]*|url\([\"']?(?:https?:)?//[^)]*", style.read_text(encoding="utf8")) == [], style
