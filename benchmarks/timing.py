"""Running a command with a clock beside it, and reading what the stages and DVC say of themselves."""

import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import scratch

from boatyard.core.errors import UserError


@dataclass(frozen=True)
class Ran:
    """A command that has ended well.

    Attributes:
        seconds: from its start to its end.
        peak: memory of the largest of its processes, MB.
        lines: of its standard output, each with the seconds from the start to it.
    """

    seconds: float
    peak: float
    lines: list[tuple[float, str]]

    @property
    def text(self) -> str:
        return "".join(line for _, line in self.lines)


def run(folder: Path, *command: str | Path) -> Ran:
    """Run a command of Python's in `folder`; one that fails has said why, and its exit status becomes ours."""
    started, lines = time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=scratch.environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    for line in process.stdout:
        lines.append((time.perf_counter() - started, line))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(process.returncode)
    kilobytes = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return Ran(time.perf_counter() - started, kilobytes / 1000, lines)


def stages(ran: Ran) -> dict[str, float]:
    """Seconds of each stage that `dvc repro` ran, with what DVC does after it: to the next stage, or the end."""
    found = [(seconds, re.match(r"(?:Running s|S)tage '(\w+)'( didn't change)?", line)) for seconds, line in ran.lines]
    starts = [(seconds, match) for seconds, match in found if match]
    ends = [seconds for seconds, _ in starts[1:]] + [ran.seconds]
    return {match[1]: end - start for (start, match), end in zip(starts, ends, strict=True) if not match[2]}


def head_seconds(ran: Ran) -> float:
    """Seconds that the stage train spent on the head's epochs.

    The first one's beginning is not told, so it is taken to last as long as the mean of the others.
    """
    ends = [seconds for seconds, line in ran.lines if line.startswith("head epoch")]
    if len(ends) < 2:
        raise UserError(
            "the head was trained for one epoch, which has no beginning to measure from: raise train.epochs"
        )
    return (ends[-1] - ends[0]) * len(ends) / (len(ends) - 1)


def views(ran: Ran) -> tuple[int, int]:
    """How many views featurize computed, of how many."""
    match = re.search(r"([\d,]+) of ([\d,]+) views went through", ran.text)
    assert match, ran.text
    return int(match[1].replace(",", "")), int(match[2].replace(",", ""))


def machine() -> str:
    """What is measured on, in a line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.+)$", known, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "pillow", "dvc"))
    return (
        f"{cores} cores of {model[1] if model else platform.machine()}, {memory:.0f} GB of memory, "
        f"{platform.system()}, Python {platform.python_version()}, {libraries}"
    )
