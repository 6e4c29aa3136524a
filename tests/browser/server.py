"""The command `boatyard serve` in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Whom Python code of the server asks or wants to ask is printed.
SERVE = """
import sys

def note(event, args):
    if event == "socket.connect" or (event == "socket.getaddrinfo" and args[0] != "127.0.0.1"):
        print("asks", *args, file=sys.stderr)

sys.addaudithook(note)
from boatyard.cli import main
main()
"""


@dataclass
class Server:
    """A running `boatyard serve`; `complaints` holds what it wrote on standard error so far."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str]
    temporary: Path
    complaints: list[str] = field(default_factory=list)

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(root: Path, temporary: Path) -> Iterator[Server]:
    """Run the command in `root`, on any free port, with `temporary` as its temporary folder."""
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--port", "0"],
        cwd=root,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    first = process.stdout.readline()
    if not first:
        pytest.fail(process.stderr.read())
    server = Server(process, first.split()[0], [first], temporary)
    reader = threading.Thread(target=lambda: server.complaints.extend(process.stderr or []), daemon=True)
    reader.start()
    try:
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        reader.join(10)
        server.lines += process.stdout.readlines()
        process.stdout.close()
        process.stderr.close()
