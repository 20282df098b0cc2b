"""A GGUF file in, a language model's server on loopback out: llama.cpp's, in a child process that ends with this one.

The child reads its stdin, a pipe from this process, and ends when the pipe is closed, also if this process was killed.
"""

import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread
from typing import IO, Any
from urllib.parse import urlsplit

from ragqa.errors import InputError, MissingExtraError, WriterError, first_line

CONTEXT = 8192  # tokens of prompt and answer together; a prompt of ten passages has about 2,500
START_S = 120.0  # longest time to load a model
STOP_S = 5.0
_HOST = "127.0.0.1"
_MAGIC = b"GGUF"
_TEMPLATE, _HEADER_BYTES = b"tokenizer.chat_template", 64 << 20  # a key of the metadata, which come first in the file
_MORE_THAN_FILE = 1.2  # memory that a model takes, relative to its file, besides `_CONTEXT_BYTES`
_CONTEXT_BYTES = 400 << 20


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running server. `url` is its base URL for `Writer`; `about` tells memory and speed in one line."""

    url: str
    about: str
    _process: "subprocess.Popen[bytes]"

    def __enter__(self) -> "ModelServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server. Answers that it is writing are lost."""
        _end(self._process)


def start_model(path: str | Path) -> ModelServer:
    """Start a server for a model file, with as many threads as this process may use cores, and wait until it answers.

    Raises `InputError` for a file that is no model, has no chat template, or needs more memory than is free, `WriterError` if
    the server does not start, and `MissingExtraError` without the extra `write`.
    """
    path = Path(path)
    _check_file(path)
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("running a language model", "write") from error
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", __name__, str(path.resolve()), str(_cores())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)  # noqa: S603
        try:
            url = _read_address(process, path, log)
            about = f"{path.name}: ready in {time.monotonic() - started:.0f} s{_memory_of(process)}{_speed(url)}"
        except BaseException:
            _end(process)
            raise
    return ModelServer(url, about, process)


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"{path} is not a GGUF file; give the .gguf file of a chat model")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if data.find(_TEMPLATE, 0, _HEADER_BYTES) < 0:
                    raise InputError(f"{path} has no chat template: it is a base model; give a chat or instruct model")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    free, needed = _free_bytes(), int(path.stat().st_size * _MORE_THAN_FILE) + _CONTEXT_BYTES
    if free is not None and free < needed:
        raise InputError(
            f"{path} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; give a smaller model"
        )


def _free_bytes() -> int | None:
    """Return the free memory in bytes; None if the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_address(process: "subprocess.Popen[bytes]", path: Path, log: IO[bytes]) -> str:
    """Return the base URL that the child prints once its model is loaded. Raises `WriterError` if it ends or takes too long."""
    printed: list[bytes] = []
    Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True).start()
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        for line in tuple(printed):
            with suppress(ValueError, KeyError, TypeError):
                return str(json.loads(line)["address"]).rstrip("/") + "/v1"
        if process.poll() is not None:
            raise WriterError(f"{path} cannot be loaded: {_last_line(log)}")
        time.sleep(0.05)
    raise WriterError(f"{path} was not loaded within {START_S:g} seconds")


def _last_line(log: IO[bytes]) -> str:
    """Return the last line of the log that tells of an error, or the last one."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.casefold()] or lines or ["it gives no reason"]
    return told[-1][:200]


def _memory_of(process: "subprocess.Popen[bytes]") -> str:
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        resident = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
        return f", {resident / 1e9:.1f} GB of memory"
    return ""


def _speed(url: str) -> str:
    """Return the speeds of a short answer, which also warms the model up."""
    messages = [{"role": "user", "content": "Name the colours of the rainbow. " * 8}]
    body = json.dumps({"messages": messages, "max_tokens": 16, "temperature": 0})
    place = urlsplit(url)
    try:
        with closing(HTTPConnection(str(place.hostname), place.port, timeout=START_S)) as connection:
            connection.request("POST", f"{place.path}/chat/completions", body, {"Content-Type": "application/json"})
            timings = json.loads(connection.getresponse().read()).get("timings", {})
    except (OSError, HTTPException, ValueError) as error:
        raise WriterError(f"the model's server does not answer: {first_line(error)}") from error
    if not {"prompt_per_second", "predicted_per_second"} <= timings.keys():
        return ""
    return f", reads {timings['prompt_per_second']:.0f} and writes {timings['predicted_per_second']:.0f} tokens/s"


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()  # the child ends
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _run(path: str, threads: int) -> None:
    """Serve a model until stdin ends; print the address as JSON. Run by the child."""
    import xllamacpp

    Thread(target=_end_with_stdin, daemon=True).start()
    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.model_alias = {Path(path).name}  # the name of the model, which would be the whole path
    parameters.hostnames, parameters.port = [_HOST], 0
    parameters.n_ctx, parameters.n_parallel = CONTEXT, 1
    parameters.cache_ram_mib = 0  # by default the server keeps the states of earlier prompts, up to 8 GB
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    with Path(os.devnull).open("wb") as nowhere:  # the log tells why a model cannot be loaded; later it would only grow
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    print(json.dumps({"address": server.listening_address}), flush=True)
    while True:
        time.sleep(3600)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
