"""The folder of a dataset or a model in, a repository on the Hugging Face hub out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, MissingExtraError, RagqaError, first_line
from ragqa.models.folders import find_weights, is_exported, may_be_hub_id
from ragqa.process import REASON, is_offline
from ragqa.storage.checksums import SEAL, find_flaw, is_sealed, read_seal, reseal
from ragqa.storage.folders import DATASET_MARK
from ragqa.training.card import UNKNOWN

_CARD = "README.md"
_RESULTS = ".eval_results/ragqa.yaml"


@dataclass(frozen=True, slots=True)
class Upload:
    """What `publish` uploads.

    `kind` is "dataset" or "model", `repository` is `owner/name`. `files` maps the names in the repository to sizes in bytes.
    `licences` are those of the card. `results` is the text of the file of results, empty if there is none.
    """

    folder: Path
    kind: str
    repository: str
    files: dict[str, int]
    licences: tuple[str, ...]
    results: str = ""

    @property
    def url(self) -> str:
        """The address of the repository."""
        from huggingface_hub.constants import ENDPOINT

        return f"{ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.repository}"


def plan(folder: str | Path, repository: str, *, benchmark: str | None = None) -> Upload:
    """Check a folder that is to be published, without the network.

    The card must name a licence and must not name a path of this machine. Files must be as they were written; only the card
    may have been edited. `benchmark` is a dataset of the hub that is registered as a benchmark: the metrics of a model's card
    are added as results on it, in the format of `.eval_results/`. Raises `InputError` if something is wrong, and
    `MissingExtraError` without the hub's library.
    """
    folder = Path(folder)
    _check_repository(repository)
    if benchmark:
        _check_repository(benchmark)
    kind = _kind_of(folder)
    card, front = _read_card(folder)
    _check_paths(folder / _CARD, card)
    files = {name: (folder / name).stat().st_size for name in _names(folder)}
    results = _results(front, folder / _CARD, benchmark) if benchmark else ""
    if results:
        files[_RESULTS] = len(results.encode())
    return Upload(folder, kind, repository, files, _licences(front, folder / _CARD, kind), results)


def publish(upload: Upload, *, private: bool = False) -> str:
    """Upload a folder in one commit, and return the address of the commit. An edited card gets a new checksum.

    Makes the repository if it does not exist; `private` is the visibility of a new one. The hub's library finds the token of
    the user (`hf auth login` or `HF_TOKEN`). Raises `InputError` without one, and `RagqaError` if the hub refuses or cannot be
    reached.
    """
    if is_offline():
        raise InputError(f"nothing can be uploaded: {REASON}")
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise InputError("the hub needs a token: run `hf auth login` or set HF_TOKEN")
    if is_sealed(upload.folder) and find_flaw(upload.folder, [_CARD]):
        reseal(upload.folder, _CARD)
    added = {name: upload.folder / name for name in upload.files if name != _RESULTS}
    operations = [CommitOperationAdd(name, path) for name, path in added.items()]
    if upload.results:
        operations.append(CommitOperationAdd(_RESULTS, upload.results.encode()))
    hub = HfApi(library_name="ragqa")
    try:
        hub.create_repo(upload.repository, repo_type=upload.kind, private=private, exist_ok=True)
        commit = hub.create_commit(
            upload.repository, operations, commit_message="Upload with ragqa", repo_type=upload.kind
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RagqaError(f"{upload.url} was not written: {first_line(error)}") from error
    return str(commit.commit_url)


def _check_repository(name: str) -> None:
    if "/" not in name or not may_be_hub_id(name):
        raise InputError(f"{name!r} is not a name of the hub: give owner/name")


def _kind_of(folder: Path) -> str:
    if (folder / DATASET_MARK).is_file():
        return "dataset"
    if folder.is_dir() and (is_exported(folder) or find_weights(folder)):
        return "model"
    raise InputError(f"{folder} holds neither a dataset nor a model; `ragqa dataset`, `train` and `export` make them")


def _read_card(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a card and its front matter."""
    try:
        from huggingface_hub.repocard import metadata_load
    except ImportError as error:
        raise MissingExtraError("publishing", "train") from error
    path = folder / _CARD
    if not path.is_file():
        raise InputError(f"{folder} has no {_CARD}, which the hub shows and which names the licence")
    try:
        return path.read_text(encoding="utf8"), metadata_load(path) or {}
    except Exception as error:  # the YAML library's own errors too
        raise InputError(f"the front matter of {path} cannot be read: {first_line(error)}") from error


def _licences(front: dict[str, Any], card: Path, kind: str) -> tuple[str, ...]:
    stated = front.get("license") or ()
    licences = (stated,) if isinstance(stated, str) else tuple(map(str, stated))
    if not licences or UNKNOWN in licences:
        remedy = " or make the dataset again with --licence" if kind == "dataset" else ""
        raise InputError(f"{card} names no licence: write `license:` into its front matter{remedy}")
    return licences


def _check_paths(path: Path, card: str) -> None:
    """Refuse a card that names the folder it lies in, or the user's home folder."""
    private = {str(path.parent.resolve().parent), str(Path.home())} - {"/"}
    for number, line in enumerate(card.splitlines(), 1):
        for folder in private:
            if f"{folder}/" in line:
                raise InputError(f"line {number} of {path} names a folder of this machine, {folder}: edit the card")


def _names(folder: Path) -> list[str]:
    """Return the names of the files to upload: those with checksums, or all that are not hidden."""
    if not is_sealed(folder):
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    written = sorted(set(read_seal(folder)) - {_CARD})
    if flaw := find_flaw(folder, written):
        raise InputError(f"{flaw}; make the folder again")
    return sorted([*written, _CARD, SEAL])


def _results(front: dict[str, Any], card: Path, benchmark: str) -> str:
    """Return the metrics of a card as results on a benchmark, each on the task with the name of the metric."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    metrics = [
        metric
        for model in front.get("model-index") or ()
        for result in model.get("results", ())
        for metric in result.get("metrics", ())
    ]
    if not metrics:
        raise InputError(f"{card} states no results for {benchmark}: its front matter has no model-index")
    entries = [EvalResultEntry(benchmark, str(metric["type"]), metric["value"]) for metric in metrics]
    return json.dumps(eval_result_entries_to_yaml(entries), indent=1) + "\n"  # JSON is YAML
