"""Commands among mounts that nobody else sees and that are gone with them, and commands of another user."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest


@cache
def _can_mount() -> bool:
    if not shutil.which("unshare") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def in_mounts(
    mounts: Iterable[Sequence[object]], commands: Iterable[Sequence[object]]
) -> "subprocess.CompletedProcess[str]":
    """Run commands one after the other, until one fails, where `mount` was called with these arguments before."""
    if not _can_mount():
        pytest.skip("mounting needs root and unshare")
    lines = [["mount", *mount] for mount in mounts] + [*commands]
    script = " && ".join(shlex.join(map(str, line)) for line in lines)
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=300
    )


def as_another_user(command: Sequence[object], **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user who owns nothing."""
    if not shutil.which("setpriv") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("becoming another user needs root and setpriv")
    whole = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *map(str, command)]
    packages = [str(Path(__file__).parent.parent), *(path for path in sys.path if path.endswith("site-packages"))]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(packages), **environment}
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env=known, timeout=300)
    if done.returncode == 126 or any(
        name in done.stderr for name in ("failed to execute", "ImportError", "ModuleNotFound")
    ):
        pytest.skip("this Python is not for other users")
    return done
