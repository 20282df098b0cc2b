"""The reference pages as Markdown, from the code: the commands from their parsers, the Python API from its docstrings."""

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

# the public names by their modules; those of `ragqa` itself come from its `__all__`
OTHERS = {"ragqa.demo": ("build_demo", "mount"), "ragqa.serve": ("ServeConfig", "read_keys", "serve")}
_WIDTH = 88


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    from ragqa.cli.run import _parser

    return _parser()


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command with its options, by the name of the command."""
    (action,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: dict[str, Any] = dict(action.choices)
    for one in found.values():
        one.complete()
    return found


def commands() -> Iterator[str]:
    """A section for each command: what `ragqa COMMAND --help` prints."""
    for name, one in parsers().items():
        one.formatter_class = _Formatter
        yield f"\n## ragqa {name}\n\n```text\n{one.format_help()}```\n"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Formats help for pages of one width, whatever terminal the site is built in."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_WIDTH)


def python() -> Iterator[str]:
    """A section for each public name: its signature and its docstring; for a class also those of its public methods."""
    for module, names in {"ragqa": importlib.import_module("ragqa").__all__, **OTHERS}.items():
        yield f"\n## {module}\n"
        for name in sorted(names):
            yield from _describe(name, getattr(importlib.import_module(module), name), "###")


def _describe(name: str, item: Any, heading: str) -> Iterator[str]:
    yield f"\n{heading} {name}\n"
    if callable(item) and not (inspect.isclass(item) and issubclass(item, Exception)):
        yield f"```python\n{_signature(name, item)}\n```\n"
    yield f"{inspect.getdoc(item) or ''}\n"
    if inspect.isclass(item):
        for attribute, member in vars(item).items():
            if not attribute.startswith("_") and _is_documented(member):
                yield from _describe(f"{name}.{attribute}", getattr(item, attribute), "####")


def _is_documented(member: Any) -> bool:
    return isinstance(member, (property, classmethod, staticmethod)) or inspect.isfunction(member)


def _signature(name: str, item: Any) -> str:
    """The call of a function or class, one parameter a line if one line is too short for it."""
    signature, parts = inspect.signature(item), list[str]()
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts += [str(parameter)] if parameter.name != "self" else []
    returns = "" if inspect.isclass(item) else f" -> {inspect.formatannotation(signature.return_annotation)}"
    parts, returns = [_plain(part) for part in parts], _plain(returns)
    line = f"{name}({', '.join(parts)}){returns}"
    return line if len(line) <= _WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _plain(annotated: str) -> str:
    """An annotation without quotes and without the modules of its names."""
    unquoted = re.sub(r"(: |-> )'([^']+)'", r"\1\2", annotated)
    return re.sub(r"\b(?:ragqa|collections|pathlib)\.(?:\w+\.)*(?=[A-Z])", "", unquoted)
