"""One passage for each text, and one clear line for texts, metadata and ids that do not fit."""

from typing import Any

import pytest

from ragqa import Passage
from ragqa.errors import InputError
from ragqa.text.texts import passages_from_texts


def test_ids_are_positions_that_sort_as_the_texts_do() -> None:
    ids = [passage.id for passage in passages_from_texts(map(str, range(101)))]
    assert (ids[0], ids[7], ids[100]) == ("000", "007", "100")
    assert ids == sorted(ids)
    assert passages_from_texts(["a"])[0] == Passage("0", "", end=1, text="a")
    assert passages_from_texts([]) == ()


def test_metadata_become_fields_and_the_end_follows_from_the_start() -> None:
    row = {"title": "T", "section": "S", "start": 7, "url": "https://a.example", "about": "https://b.example"}
    (passage,) = passages_from_texts(["text"], [row], ["x"])
    assert passage == Passage("x", "T", "S", 7, 11, "text", "https://a.example", (), "https://b.example")


def test_other_keys_become_metadata_and_the_input_stays_as_it_is() -> None:
    row = {"title": "T", "year": 2024, "tags": ["a", "b"], "draft": False, "unknown": None}
    (passage,) = passages_from_texts(["text"], [row])
    assert passage.metadata == {"year": 2024, "tags": ("a", "b"), "draft": False}
    assert row["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a text",), "texts is a single string; give a list of texts"),
        ((["a", 2],), "texts[1] is int, not str"),
        ((["a"], []), "there are 1 texts and 0 metadatas; give one for each text"),
        ((["a"], None, ["x", "y"]), "there are 1 texts and 2 ids; give one for each text"),
        ((["a"], [None]), "metadatas[0] is NoneType, not a mapping"),
        (
            (["a", "b"], [{}, {"id": "x"}]),
            "text 1: the metadata key 'id' is the name of a field of passages; choose another name",
        ),
        (
            (["a"], [{"tags": {"x"}}]),
            "text 0: metadata 'tags' is set, not str, int, float, bool or a list of str",
        ),
        ((["a"], [{"title": 3}]), "text 0: 'title' is int, not str"),
        ((["a"], None, [3]), "text 0: 'id' is int, not str"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        passages_from_texts(*arguments)
    assert str(caught.value) == message
