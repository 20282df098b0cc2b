"""Ratios of speeds, kept in `ratios.json` beside the tables, to find what got slower since the last run."""

import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORSE = 0.85  # of the ratio before: a lead that shrank by more than 15 % is reported

_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2")  # for int8, the best first
_CPU_INFO = Path("/proc/cpuinfo")


def kind_of_machine(cores: int) -> str:
    """The processor's architecture, its best instructions for int8, and the number of cores used."""
    flags = set(re.findall(r"\w+", _CPU_INFO.read_text(encoding="utf8"))) if _CPU_INFO.is_file() else set()
    best = next((name for name in _INSTRUCTIONS if name in flags), "")
    return " ".join(filter(None, [platform.machine(), best, f"{cores} cores"]))


def compare(folder: Path, name: str, run: Mapping[str, Any], ratios: Mapping[str, float]) -> list[str]:
    """Store the ratios of a comparison, and return a line for each that is worse than the stored one of an equal run.

    Runs are equal if they have the same kind of machine and the same options, as `run` lists them. A worse ratio is not stored,
    so that the next run reports it too; to accept it, remove the old one from the file.
    """
    path = folder / "ratios.json"
    stored = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    before = stored.get(name, {})
    known = before.get("ratios", {}) if before.get("run") == run else {}
    worse = {other for other, ratio in ratios.items() if ratio < WORSE * known.get(other, 0)}
    kept = known | {other: round(ratio, 3) for other, ratio in ratios.items() if other not in worse}
    stored[name] = {"run": run, "ratios": kept}
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    return [f"{name}: {ratios[o]:.2f} times as fast as {o}, before {known[o]:.2f}" for o in ratios if o in worse]
