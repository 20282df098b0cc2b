"""Many people at once: each asks the chat's endpoint question after question and looks whether the answer is theirs.

ragqa demo --port 7860 &
python benchmarks/users.py http://127.0.0.1:7860/ --users 50 --seconds 60 --pid $!
"""

import argparse
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragqa.demo.examples import EXAMPLES

QUESTIONS = (*EXAMPLES, "What is the kernel trick?", "How is a random forest trained?")
PATIENCE_S = 120


@dataclass
class Report:
    """What all of them saw."""

    seconds: list[float] = field(default_factory=list)  # one for each answer
    errors: list[str] = field(default_factory=list)
    mixed_up: list[str] = field(default_factory=list)  # questions that got another answer than alone
    memory_mb: list[float] = field(default_factory=list)  # of the server, each second

    def summary(self, elapsed: float) -> dict[str, Any]:
        """The figures."""
        ordered = sorted(self.seconds) or [0.0]
        return {
            "answers": len(self.seconds),
            "errors": len(self.errors),
            "mixed up": len(self.mixed_up),
            "answers per second": round(len(self.seconds) / elapsed, 1),
            "median s": round(statistics.median(ordered), 2),
            "95th percentile s": round(ordered[int(0.95 * (len(ordered) - 1))], 2),
            "memory MB, first and last fifth": self._memory(),
        }

    def _memory(self) -> list[float]:
        fifth = max(1, len(self.memory_mb) // 5)
        parts = (self.memory_mb[:fifth], self.memory_mb[-fifth:])
        return [round(statistics.mean(part), 1) for part in parts if part]


def ask(address: str, question: str) -> dict[str, Any]:
    """One question, as Gradio documents it: post, then read the event's outcome."""
    body = json.dumps({"question": question, "k": 3}).encode()
    request = urllib.request.Request(f"{address}gradio_api/call/v2/ask", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/ask/{event}", timeout=PATIENCE_S) as response:
        lines = response.read().decode().strip().split("\n")[-2:]
    name, data = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
    if name != "complete":
        raise RuntimeError(f"{name}: {data}")
    answer: dict[str, Any] = data[0]
    return answer


def crowd(
    address: str, users: int, seconds: float, questions: Sequence[str] = QUESTIONS, pid: int | None = None
) -> Report:
    """Let so many users ask for so long; those who wait for an answer then still get it."""
    expected = {question: ask(address, question) for question in questions}
    report, end = Report(), time.monotonic() + seconds

    def use(number: int) -> None:
        turn = number
        while time.monotonic() < end:
            question, turn = questions[turn % len(questions)], turn + 1
            started = time.monotonic()
            try:
                answer = ask(address, question)
            except (OSError, RuntimeError, ValueError) as error:
                report.errors.append(str(error))
                continue
            report.seconds.append(time.monotonic() - started)
            if (answer["question"], answer["text"]) != (expected[question]["question"], expected[question]["text"]):
                report.mixed_up.append(question)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if pid is not None:
            report.memory_mb.append(resident_mb(pid))
        time.sleep(min(1.0, seconds / 10))
    return report


def resident_mb(pid: int) -> float:
    """The memory that a process of Linux has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pid", type=int, help="of the server, to watch its memory")
    options = parser.parse_args()
    started = time.monotonic()
    report = crowd(options.address, options.users, options.seconds, pid=options.pid)
    print(json.dumps(report.summary(time.monotonic() - started), indent=1))


if __name__ == "__main__":
    main()
