"""The files in deploy/: what they say exists in the code, and their commands run as in the container."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import reference

from ragqa import __version__
from ragqa.errors import _MODULES
from ragqa.serve import VARIABLE
from ragqa.serve.server import STOP_S

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf8")
UNIT = (DEPLOY / "ragqa.service").read_text(encoding="utf8")
USER = 10001


def instructions(word: str) -> list[str]:
    """What follows an instruction of the Containerfile, one an item."""
    joined = CONTAINER.replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def start_command() -> list[str]:
    (entry,), (arguments,) = map(instructions, ("ENTRYPOINT", "CMD"))
    return [*json.loads(entry), *json.loads(arguments)]


def health_command() -> list[str]:
    (check,) = instructions("HEALTHCHECK")
    command: list[str] = json.loads(check.partition("CMD ")[2])
    return command


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def check_command(words: list[str]) -> None:
    assert Path(words[0]).name == "ragqa"
    reference.parser().parse_args(words[1:])


def test_the_registry_file_fits_the_package_and_its_command() -> None:
    server = json.loads((DEPLOY / "server.json").read_text(encoding="utf8"))
    (package,) = server["packages"]
    assert server["version"] == package["version"] == PROJECT["version"] == __version__
    assert package["identifier"] == PROJECT["name"]
    assert package["transport"] == {"type": "stdio"}
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"])
    assert 1 <= len(server["description"]) <= 100
    (extra,) = package["runtimeArguments"]
    assert (extra["name"], extra["value"]) == ("--with", f"ragqa[mcp]=={__version__}")
    command, option = package["packageArguments"]
    check_command([package["identifier"], command["value"], option["name"], "index/"])


def test_the_image_installs_what_the_build_needs_and_extras_that_exist() -> None:
    copied = {source for line in instructions("COPY") for source in line.split()[:-1] if not line.startswith("--from")}
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "corpus/starter", "ragqa"}
    assert all((ROOT / source).exists() for source in copied)
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= copied
    (extras,) = re.findall(r"pip install --no-cache-dir \"\.\[([\w,-]+)\]\"", CONTAINER)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_the_image_runs_the_server_as_a_user_and_ends_it_in_order() -> None:
    check_command(start_command())
    assert instructions("USER") == [str(USER)]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert f"--uid {USER} " in CONTAINER
    assert {"RAGQA_CACHE", "RAGQA_OFFLINE"} <= variables().keys()
    compile(health_command()[2], "health check", "exec")


def test_compose_starts_the_image_with_a_read_only_root_and_keys() -> None:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf8"))
    service = compose["services"]["ragqa"]
    check_command(["ragqa", *service["command"]])
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DEPLOY / "Containerfile")
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["tmpfs"][0].startswith(f"{variables()['RAGQA_CACHE']}:uid={USER},")
    (secret,) = service["secrets"]
    assert service["environment"] == {VARIABLE: f"@/run/secrets/{secret}"}
    assert secret in compose["secrets"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S


def test_the_unit_starts_the_server() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    check_command(line.split())
    assert f"SuccessExitStatus={128 + signal.SIGTERM}" in UNIT
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(seconds) > STOP_S
    assert not re.search(r"^MemoryDenyWriteExecute", UNIT, re.MULTILINE)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "ragqa.service"
    unit.write_text(UNIT.replace("/opt/ragqa/bin/ragqa", sys.executable))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


AS_IN_THE_CONTAINER = f"""
ip link set lo up
mount --make-rprivate /
mount --bind / /media && mount -o remount,bind,ro /media
mount -t tmpfs -o mode=700,uid={USER} tmpfs /media/mnt
mount -t tmpfs -o mode=1777 tmpfs /media/tmp
mount -t proc proc /media/proc
mount --bind /dev /media/dev
exec chroot /media setpriv --reuid {USER} --clear-groups --bounding-set=-all --no-new-privs "$@"
"""


@contextmanager
def started(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a command as in the container, but with the cache in /mnt: process 1, no capabilities, only tmpfs writable."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
    env |= {**variables(), "PATH": os.environ["PATH"], "RAGQA_CACHE": "/mnt", "RAGQA_API_KEYS": "one"}
    inside = ["bash", "-euc", AS_IN_THE_CONTAINER, "bash", *command]
    outside = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
    with subprocess.Popen([*outside, *inside], env=env, stdout=-1, stderr=-1, text=True) as process:
        yield process
        process.kill()


def can_mount() -> bool:
    tools = all(map(shutil.which, ("unshare", "setpriv", "nsenter", "chroot", "ip")))
    return tools and os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "mount", "--bind", "/", "/media"], capture_output=True, check=False
    ).returncode == 0  # fmt: skip


@pytest.mark.skipif(not can_mount(), reason="namespaces and mounts need root on Linux")
def test_the_start_command_works_as_in_the_container_and_ends_on_sigterm() -> None:
    if not all(map(importlib.util.find_spec, _MODULES["serve"])):
        pytest.skip("pip install '.[serve]'")
    program, *arguments = start_command()
    with started([sys.executable, "-m", program, *arguments]) as process:
        assert process.stdout
        assert process.stdout.readline() == "ragqa serve on http://localhost:8080/ (Ctrl-C ends it)\n"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        status = Path(f"/proc/{child}/status").read_text()
        assert re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE)
        assert re.search(rf"^Uid:\t{USER}\t", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
        _, *check = health_command()
        subprocess.run(["nsenter", "--target", child, "--net", sys.executable, *check], check=True)
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.skipif(not can_mount(), reason="namespaces and mounts need root on Linux")
def test_the_root_file_system_of_that_test_is_read_only() -> None:
    script = "touch /mnt/a /tmp/a && ! touch /var/tmp/a && ! touch /a"
    with started(["bash", "-c", script]) as process:
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_install_command_of_the_image_installs_what_the_start_command_needs(tmp_path: Path) -> None:
    if subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "-d", tmp_path / "any", "tqdm"], check=False
    ).returncode:
        pytest.skip("no package index can be reached")
    source = tmp_path / "source"
    for line in instructions("COPY"):
        *names, _ = line.split()
        for name in names if not line.startswith("--from") else ():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    install = instructions("RUN")[0].replace("/opt/ragqa", str(tmp_path / "env"))
    subprocess.run(["bash", "-euc", install], cwd=source, check=True)
    command = [str(tmp_path / "env" / "bin" / "ragqa"), "serve", "--port", "0"]
    env = {"PATH": os.environ["PATH"], "RAGQA_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=-1, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("ragqa serve on http://127.0.0.1:")
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
