"""Imports in processes of their own, which are killed again and again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_CODE = "import sys; from ragqa.cli import main; sys.exit(main(sys.argv[1:]))"


def assert_goes_on_where_it_was_killed(command: str, source: Path, out: Path, whole: bytes, least_tries: int) -> None:
    """Kill an import after each fifth of its pages. Each try must add pages, and the last one must write `whole`."""
    journal = Path(f"{out}.partial")
    lengths = [0]
    while not out.exists():
        with subprocess.Popen(
            [sys.executable, "-c", _CODE, command, str(source), "--out", str(out)], stdout=subprocess.DEVNULL
        ) as process:
            least = lengths[-1] + len(whole) // 5
            while process.poll() is None and (not journal.exists() or journal.stat().st_size < least):
                time.sleep(0.002)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
        lengths.append(journal.stat().st_size if journal.exists() else len(whole))
        assert lengths[-1] > lengths[-2]
    assert len(lengths) > least_tries
    assert out.read_bytes() == whole
    assert [path.name for path in out.parent.iterdir()] == [out.name]
