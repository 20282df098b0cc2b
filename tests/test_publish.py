"""Uploads to the hub: what would be uploaded, what is refused, and uploads by the hub's library to a server on loopback."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ragqa.errors import InputError
from ragqa.models.reranker import BUNDLED
from ragqa.records import Pair
from ragqa.storage.checksums import find_flaw
from ragqa.training.card import licence_of_model, write_dataset
from ragqa.training.dataset import PairConfig
from ragqa.training.publish import plan

yaml = pytest.importorskip("yaml")
hub_library = pytest.importorskip("huggingface_hub")

PAIRS = {
    "train": [Pair("What is bagging?", "Bagging averages.", 1.0), Pair("What is bagging?", "Trees split.", 0.0)],
    "eval": [Pair("Why use dropout?", "Dropout helps.", 1.0)],
    "test": [],
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data", "cc-by-sa-4.0")


def make_dataset(folder: Path, licence: str) -> Path:
    write_dataset(PAIRS, folder, title="Toy", sources=["made here"], licence=licence, config=PairConfig())
    return folder


class Hub(ThreadingHTTPServer):
    """What the hub's library asks for when it uploads small files; keeps the files of each repository."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, dict[str, bytes]] = {}
        self.made: list[dict[str, object]] = []
        self.refused = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def reply(self, body: object, status: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.reply({"id": "ada/toy", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refused or self.headers["Authorization"] != "Bearer hf_token":
            self.reply({"error": "You may not write here."}, 403)
        elif self.path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            self.reply({"url": f"{self.server.address}/ada/toy"})
        elif self.path == "/api/validate-yaml":
            self.reply({"warnings": [], "errors": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self.reply({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        else:
            self.commit([json.loads(line) for line in body.splitlines()])

    def commit(self, rows: list[dict[str, object]]) -> None:
        repository = self.path.removeprefix("/api/").partition("/commit/")[0]
        files = [row["value"] for row in rows if row["key"] == "file"]
        self.server.files[repository] = {f["path"]: base64.b64decode(f["content"]) for f in files}  # type: ignore[index]
        self.reply({"success": True, "commitOid": "1" * 40, "commitUrl": f"{self.server.address}/ada/toy/commit/1"})


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run(hub: Hub, *arguments: object, token: str = "hf_token", **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RAGQA_OFF"))},
        "HF_ENDPOINT": hub.address,
        "HF_TOKEN": token,
        **more,
    }
    command = [sys.executable, "-m", "ragqa", "publish", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_dry_run_prints_what_would_be_uploaded(dataset: Path, hub: Hub) -> None:
    done = run(hub, dataset, "ada/toy", "--dry-run")
    assert done.returncode == 0
    assert [line.split()[-1] for line in done.stdout.splitlines()[:-2]] == sorted(p.name for p in dataset.iterdir())
    assert done.stdout.splitlines()[-2].endswith("dataset, licence: cc-by-sa-4.0")
    assert done.stdout.splitlines()[-1].endswith(f"it goes to {hub.address}/datasets/ada/toy")
    assert not hub.made
    assert not hub.files


def test_a_dataset_is_uploaded_in_one_commit(dataset: Path, hub: Hub) -> None:
    done = run(hub, dataset, "ada/toy", "--private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.address}/ada/toy/commit/1"
    assert hub.files == {"datasets/ada/toy": {path.name: path.read_bytes() for path in dataset.iterdir()}}
    assert [(repo["name"], repo["type"], repo["visibility"]) for repo in hub.made] == [("toy", "dataset", "private")]


def test_an_edited_card_is_uploaded_with_its_checksum(dataset: Path, hub: Hub, tmp_path: Path) -> None:
    card = dataset / "README.md"
    card.write_text(f"{card.read_text()}\nEdited.\n")
    assert run(hub, dataset, "ada/toy").returncode == 0
    for name, content in hub.files["datasets/ada/toy"].items():
        (tmp_path / name).write_bytes(content)
    assert (tmp_path / "README.md").read_bytes() == card.read_bytes()
    assert find_flaw(tmp_path) == ""


def test_a_hub_that_refuses_ends_in_one_line(dataset: Path, hub: Hub) -> None:
    done = run(hub, dataset, "ada/toy", token="hf_other")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{hub.address}/datasets/ada/toy was not written: " in done.stderr
    assert "hf_other" not in done.stderr


def test_a_missing_token_is_told_before_anything_is_sent(dataset: Path, hub: Hub, tmp_path: Path) -> None:
    done = run(hub, dataset, "ada/toy", token="", HF_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "ragqa: the hub needs a token: run `hf auth login` or set HF_TOKEN\n")
    assert not hub.made


def test_nothing_is_uploaded_offline(dataset: Path, hub: Hub) -> None:
    done = run(hub, dataset, "ada/toy", "--offline")
    assert done.returncode == 1
    assert "nothing can be uploaded: ragqa is offline" in done.stderr
    assert not hub.made


def test_only_files_of_the_folder_as_written_are_uploaded(dataset: Path) -> None:
    (dataset / ".env").write_text("SECRET=1")
    (dataset / "notes.txt").write_text("mine")
    assert {".env", "notes.txt"}.isdisjoint(plan(dataset, "ada/toy").files)
    (dataset / "README.md").write_text("---\nlicense: mit\n---\n\n# Edited\n")
    assert plan(dataset, "ada/toy").licences == ("mit",)
    (dataset / "train.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"train\.jsonl is missing or cut short; make the folder again"):
        plan(dataset, "ada/toy")


def test_hidden_files_of_a_model_without_checksums_stay_here(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model")
    (tmp_path / "model" / "checksums.json").unlink()
    (tmp_path / "model" / ".git").mkdir()
    (tmp_path / "model" / ".git" / "config").write_text("token")
    upload = plan(tmp_path / "model", "ada/model")
    assert upload.kind == "model"
    assert upload.files["openvino/openvino_model.bin"] > 10**7
    assert ".git/config" not in upload.files


@pytest.mark.parametrize("name", ["toy", "ada/", "ada/t/oy", "ada/to y", "https://hub.example/ada/toy"])
def test_names_that_the_hub_does_not_take(dataset: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a name of the hub: give owner/name"):
        plan(dataset, name)
    with pytest.raises(InputError, match="is not a name of the hub: give owner/name"):
        plan(dataset, "ada/toy", benchmark=name)


def test_a_licence_must_be_stated(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "data", "unknown")
    with pytest.raises(InputError, match=r"README\.md names no licence: .* or make the dataset again with --licence"):
        plan(folder, "ada/toy")
    (folder / "README.md").unlink()
    with pytest.raises(InputError, match=r"data has no README\.md"):
        plan(folder, "ada/toy")
    with pytest.raises(InputError, match="holds neither a dataset nor a model"):
        plan(tmp_path, "ada/toy")


@pytest.mark.parametrize("front", ["license: [", "- mit", "license: mit\n\tx: 1"])
def test_front_matter_that_is_no_mapping(dataset: Path, front: str) -> None:
    (dataset / "README.md").write_text(f"---\n{front}\n---\n")
    with pytest.raises(InputError, match=r"README\.md"):
        plan(dataset, "ada/toy")


def test_a_card_names_no_folder_of_this_machine(dataset: Path) -> None:
    with (dataset / "README.md").open("a") as card:
        card.write(f"base model: {dataset.parent.resolve()}/models/base\n")
    with pytest.raises(InputError, match=r"line \d+ of .*README\.md names a folder of this machine"):
        plan(dataset, "ada/toy")


def test_the_bundled_models_could_be_published() -> None:
    for name in ("reranker", "embedder", "selector"):
        assert plan(BUNDLED.parent / name, f"ada/{name}").licences == ("cc-by-sa-4.0",)


def test_metrics_of_a_card_become_results_on_a_benchmark(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder)
    with pytest.raises(InputError, match=r"states no results for ada/bench: its front matter has no model-index"):
        plan(folder, "ada/model", benchmark="ada/bench")
    metrics = [{"type": "ndcg@10", "value": 0.5}, {"type": "map", "value": 0.25}]
    front = {"license": "mit", "model-index": [{"name": "m", "results": [{"metrics": metrics}]}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(front)}\n---\n")
    upload = plan(folder, "ada/model", benchmark="ada/bench")
    entries = hub_library.parse_eval_result_entries(yaml.safe_load(upload.results))
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("ada/bench", "ndcg@10", 0.5),
        ("ada/bench", "map", 0.25),
    ]
    assert upload.files[".eval_results/ragqa.yaml"] == len(upload.results)


@pytest.mark.parametrize(
    ("base", "texts", "expected"),
    [
        ("apache-2.0", ["cc0-1.0"], "apache-2.0"),
        ("apache-2.0", ["cc-by-sa-4.0, cc0-1.0", "mit"], "cc-by-sa-4.0"),
        ("mit", ["cc-by-sa-4.0", "gfdl"], "other"),
        ("mit", ["cc-by-sa-4.0", "unknown"], None),
        (None, ["cc0-1.0"], None),
    ],
)
def test_the_licence_of_a_model_follows_its_data(
    tmp_path: Path, base: str | None, texts: list[str], expected: str | None
) -> None:
    folders = [make_dataset(tmp_path / str(n), licence) for n, licence in enumerate(texts)]
    assert licence_of_model(base, folders) == expected
