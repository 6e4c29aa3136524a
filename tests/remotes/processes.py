"""Server programs of this machine, run for one test."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_WITHIN = 60  # seconds


def find(program: str) -> str | None:
    """The path of a program. Servers are in /usr/sbin, which is not in every user's PATH."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def run(program: str, *arguments: str | Path, cwd: Path) -> str:
    """Run a program that must succeed; return its standard output."""
    done = subprocess.run([find(program) or program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{program} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(program: str, *arguments: str | Path, cwd: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a foreground server until the end of the block, which starts when the server is `ready`."""
    log = cwd / f"{program}.log"
    # With --pdeathsig the server ends with the tests, even if they are killed.
    command = ["setpriv", "--pdeathsig", "TERM", find(program) or program, *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + STARTS_WITHIN
        while not ready():
            logged = log.read_text(errors="replace")[-4000:]
            assert process.poll() is None, f"{program} ended with {process.returncode}:\n{logged}"
            assert time.monotonic() < end, f"{program} was not ready after {STARTS_WITHIN} seconds:\n{logged}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
