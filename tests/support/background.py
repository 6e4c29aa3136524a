"""A command that runs in the background of a test, and the ways in which people and machines stop one."""

import contextlib
import os
import re
import signal
import subprocess
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
from clone import Clone

MARK = "STARTED_BY_TEST"  # an environment variable that identifies all processes that a command started


@dataclass
class Background:
    """A running command and its output on its terminal so far."""

    process: subprocess.Popen[bytes]
    terminal: int
    mark: str
    written: bytearray = field(default_factory=bytearray)

    @property
    def output(self) -> str:
        """Without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.written.decode(errors="replace").replace("\r\n", "\n"))

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_until(self, moment: Callable[[], object], seconds: float = 300) -> None:
        """Poll until `moment()` is true. Fail if the command ends first, or after `seconds`."""
        end = time.monotonic() + seconds
        ended = self.ended
        while not moment():
            assert not ended, f"ended too early:\n{self.output[-3000:]}"
            assert time.monotonic() < end, f"timed out:\n{self.output[-3000:]}"
            time.sleep(0.005)
            ended = self.ended

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed `text`."""
        self.wait_until(lambda: text in self.output)

    def wait(self, seconds: float) -> None:
        """Wait `seconds`, or until the command ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def ctrl_c(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to all processes of the command."""
        os.write(self.terminal, b"\x03")

    def kill(self) -> None:
        """Send SIGKILL to the command and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def processes(self, script: str = "") -> list[psutil.Process]:
        """The live processes of the command, or those of them that run `script`."""
        return [process for process in psutil.process_iter() if self._started(process, script)]

    def _started(self, process: psutil.Process, script: str) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARK) == self.mark
                and (not script or script in process.cmdline())
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def has_loaded(self, library: str, script: str = "") -> bool:
        """Whether a process of the command has mapped a library."""
        for process in self.processes(script):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(library in mapped.path for mapped in process.memory_maps()):
                    return True
        return False


@contextlib.contextmanager
def started(clone: Clone, *command: str, **environment: str) -> Iterator[Background]:
    """Run a command in the clone, in its own session and terminal. None of its processes outlives the block."""
    terminal, command_end = os.openpty()
    termios.tcsetwinsize(command_end, (50, 150))  # progress bars need room
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command,
        cwd=clone.folder,
        env=clone.environment() | {"PYTHONUNBUFFERED": "1", MARK: mark} | environment,
        preexec_fn=lambda: os.login_tty(command_end),
    )
    os.close(command_end)
    background = Background(process, terminal, mark)
    reader = threading.Thread(target=_read, args=(background,))
    reader.start()
    try:
        yield background
    finally:
        for left in [process, *background.processes()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait()
        reader.join()
        os.close(terminal)


def _read(background: Background) -> None:
    with contextlib.suppress(OSError):  # EIO: no process has the terminal open any more
        while content := os.read(background.terminal, 1 << 16):
            background.written += content
