"""Measure how fast documents are read, how much memory that takes, and which words are lost.

    python benchmarks/documents.py ~/papers ~/handbooks
    python benchmarks/documents.py --with markitdown ~/papers      # after: pip install 'markitdown[pdf,docx]'

Reads every document of the folders, and prints a row for each format: files, their pages (of PDF) or megabytes, the time of one
thread, and the peak memory of the process. For PDF files, `pdftotext` (poppler-utils) gives the words that a reader sees:
"missing" is the fraction of them that the text lacks, "extra" the fraction of the text's words that are not among them. A word
is at least 3 letters or digits; each is counted as often as it occurs.
"""

import argparse
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Process, Queue
from pathlib import Path
from typing import NamedTuple

from ragqa.errors import InputError
from ragqa.text.document_files import document_format, is_document, read_document

_WORD = re.compile(r"\w{3,}")


class _Row(NamedTuple):
    files: int
    failed: int
    pages: int
    megabytes: float
    seconds: float
    memory: int  # MiB
    missing: float  # fraction of pdftotext's words that the reader lacks
    extra: float  # fraction of the reader's words that pdftotext lacks


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the measurements as a table of Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder with documents, or a document")
    parser.add_argument(
        "--with", dest="reader", choices=sorted(_READERS), default="ragqa", help="reader (default: ragqa)"
    )
    options = parser.parse_args(arguments)
    by_format: dict[str, list[Path]] = {}
    for path in sorted(path for folder in options.folders for path in _files(folder)):
        by_format.setdefault(document_format(path), []).append(path)
    print(
        "| format | files | not read | pages | MB | s | files/s | pages/s | MiB | missing | extra |\n"
        + "|---" * 11
        + "|"
    )
    for kind, paths in by_format.items():
        row = _in_process(options.reader, paths)
        per_s = f"{row.files / row.seconds:.1f} | {row.pages / row.seconds:.0f}"
        shown = f"{row.files} | {row.failed} | {row.pages} | {row.megabytes:.1f} | {row.seconds:.1f} | {per_s} | {row.memory}"
        words = f"{row.missing:.1%} | {row.extra:.1%}" if row.pages else "|"
        print(f"| {kind} | {shown} | {words} |", flush=True)


def _files(folder: Path) -> Iterable[Path]:
    paths = folder.rglob("*") if folder.is_dir() else [folder]
    return (path for path in paths if path.is_file() and is_document(path))


def _in_process(reader: str, paths: list[Path]) -> _Row:
    """Measure one format in a process of its own, whose peak memory is that of the format."""
    rows: Queue[_Row] = Queue()
    process = Process(target=_measure, args=(reader, paths, rows))
    process.start()
    while process.is_alive() and rows.empty():
        time.sleep(0.1)
    if rows.empty():
        sys.exit(f"the reader ended without a result; exit status {process.exitcode}")
    row = rows.get()
    process.join()
    return row


def _measure(reader: str, paths: list[Path], rows: "Queue[_Row]") -> None:
    read = _READERS[reader]()
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    missing = extra = failed = pages = 0
    seconds = 0.0
    for path in paths:
        start = time.process_time()
        try:
            text = read(path)
        except Exception as error:  # readers raise errors of many kinds
            failed += 1
            print(f"{path}: {error}", file=sys.stderr)
            continue
        finally:
            seconds += time.process_time() - start
        if document_format(path) == ".pdf" and shutil.which("pdftotext"):
            visible = _visible(path)
            pages += visible.count("\f")
            theirs, own = Counter(_WORD.findall(visible)), Counter(_WORD.findall(text))
            missing, extra = missing + (theirs - own).total(), extra + (own - theirs).total()
            wanted, found = wanted + theirs, found + own
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = sum(path.stat().st_size for path in paths) / 1e6
    shares = missing / max(wanted.total(), 1), extra / max(found.total(), 1)
    rows.put(_Row(len(paths), failed, pages, size, max(seconds, 1e-9), memory, *shares))


def _visible(path: Path) -> str:
    done = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def _ragqa() -> Callable[[Path], str]:
    def read(path: Path) -> str:
        page = read_document(path)
        if not page.text:
            raise InputError(f"{path}: it holds no text")
        return f"{page.title}\n{page.text}"

    return read


def _markitdown() -> Callable[[Path], str]:
    from markitdown import MarkItDown

    converter = MarkItDown()
    return lambda path: str(converter.convert(path).text_content)


_READERS: dict[str, Callable[[], Callable[[Path], str]]] = {"ragqa": _ragqa, "markitdown": _markitdown}

if __name__ == "__main__":
    main()
