"""An adapter whose framework is not installed says how to install it."""

import importlib
import sys
from collections.abc import Iterator

import pytest

from ragqa.errors import MissingExtraError, install_command

ADAPTERS = {
    "langchain": ("langchain_core", "the adapter for LangChain", "langchain"),
    "llama_index": ("llama_index", "the adapter for LlamaIndex", "llama-index"),
    "haystack": ("haystack", "the adapter for Haystack", "haystack"),
    "postgres": ("psycopg", "an index in PostgreSQL", "postgres"),
    "qdrant": ("qdrant_client", "an index in Qdrant", "qdrant"),
}


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Leave the imported modules as they were."""
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_missing_framework_is_told_with_the_line_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, adapter, extra = ADAPTERS[name]
    for module in [one for one in sys.modules if one.split(".")[0] == package or one == f"ragqa.integrations.{name}"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"ragqa.integrations.{name}")
    assert str(caught.value) == f"{adapter} needs more packages: {install_command(extra)}"
