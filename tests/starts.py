"""Counts the work that a start does: `python tests/starts.py COUNTS.json COMMAND…` runs `ragqa COMMAND…` and writes the counts.

Without a command it runs `Retriever.open()`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CODE = (".py", ".pyc", ".pth", ".so", "entry_points.txt")


@dataclass
class Start:
    """`texts` are those that a model read: passages, questions, pairs. `files` are read by Python and hold no code.

    `learning` counts modules of `ragqa.training` and `ragqa.evaluation`.
    """

    texts: int = 0
    compiled: int = 0
    files: int = 0
    modules: int = 0
    learning: int = 0


def count_files(start: Start) -> None:
    """Count the files that Python opens for reading from now on, each once. Modules and metadata of packages do not count."""
    seen: set[str] = set()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str) or arguments[0].endswith(CODE):
            return
        path, mode, _ = arguments
        if mode and not set(mode) & set("wax+") and path not in seen and "/proc/" not in path:
            seen.add(path)
            start.files += 1

    sys.addaudithook(audit)


def count_models(start: Start) -> None:
    """Count the texts that models read and the models that are compiled rather than read from the cache folder."""
    from ragqa import process
    from ragqa.models import compiled, openvino

    run, load = openvino.OpenVinoModel.run, process.import_openvino

    def counting_run(model: Any, texts: Any, progress: Any = None) -> Any:
        start.texts += len(texts)
        return run(model, texts, progress)

    def counting_load() -> Any:
        library = load()
        if not hasattr(library.Core, "counted"):
            library.Core.counted, library.Core.compile_model = True, counting_compile(library.Core.compile_model)
        return library

    def counting_compile(compile_model: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            start.compiled += 1
            return compile_model(*arguments, **named)

        return counting

    model: Any = openvino.OpenVinoModel
    model.run = counting_run
    vars(compiled)["import_openvino"] = counting_load


def main() -> int:
    """Run one start and write what it did."""
    out, *command = sys.argv[1:]
    start = Start()
    before = len(sys.modules)
    count_files(start)
    count_models(start)
    status = run(command)
    start.modules = len(sys.modules) - before
    start.learning = sum(name.startswith(("ragqa.training", "ragqa.evaluation")) for name in sys.modules)
    Path(out).write_text(json.dumps(asdict(start)), encoding="utf8")
    return status


def run(command: list[str]) -> int:
    """Run a command, or open the starter corpus."""
    if command:
        from ragqa.cli import main as ragqa

        return ragqa(command)
    from ragqa import Retriever

    Retriever.open()
    return 0


if __name__ == "__main__":
    sys.exit(main())
