import pickle

import pytest

from ragqa import errors
from ragqa.errors import IndexStoreError, InputError, MissingExtraError, RagqaError, RecordError


def _classes() -> list[type[BaseException]]:
    return [
        c
        for c in vars(errors).values()
        if isinstance(c, type) and issubclass(c, Exception) and not issubclass(c, Warning)
    ]


@pytest.mark.parametrize("error", _classes())
def test_every_error_is_caught_by_the_root_and_drawn_in_the_tree(error: type[BaseException]) -> None:
    assert issubclass(error, RagqaError)
    assert f"{error.__name__} " in (errors.__doc__ or "").replace("\n", " ")
    assert error.__doc__


@pytest.mark.parametrize(
    "error",
    [
        RecordError("pages.jsonl", 7, "not JSON"),
        MissingExtraError("training", "train"),
        IndexStoreError("index/ is damaged", "build it again"),
    ],
)
def test_errors_cross_between_processes(error: RagqaError) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert (str(copied), copied.flaw, copied.remedy) == (str(error), error.flaw, error.remedy)


def test_an_error_tells_what_is_wrong_and_what_to_do() -> None:
    error = IndexStoreError("index/a;b is damaged", "build it again")
    assert (str(error), error.flaw) == ("index/a;b is damaged; build it again", "index/a;b is damaged")


def test_bad_input_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^pages\.jsonl, line 7: not JSON$") as caught:
        raise RecordError("pages.jsonl", 7, "not JSON")
    assert isinstance(caught.value, InputError)


def test_a_missing_extra_can_be_caught_as_an_import_error_and_says_what_to_install() -> None:
    with pytest.raises(ImportError, match=r"^training needs more packages: pip install .+\[train\]'?$"):
        raise MissingExtraError("training", "train")
