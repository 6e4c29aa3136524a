"""A command that runs while a test looks on, and that can be stopped in the ways that people and machines stop one."""

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

MARK = "STARTED_BY_TEST"  # an environment variable, by which all that a command started is found


@dataclass
class Background:
    """A running command and what it has written to its terminal."""

    process: subprocess.Popen[bytes]
    terminal: int
    mark: str
    written: bytearray = field(default_factory=bytearray)

    @property
    def output(self) -> str:
        """Without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.written.decode(errors="replace").replace("\r\n", "\n"))

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def wait_until(self, moment: Callable[[], object], seconds: float = 300) -> None:
        """Look for the moment until it has come; the command must not be over before."""
        end = time.monotonic() + seconds
        over = self.over
        while not moment():
            assert not over, f"over before the moment came:\n{self.output[-3000:]}"
            assert time.monotonic() < end, f"the moment never came:\n{self.output[-3000:]}"
            time.sleep(0.005)
            over = self.over

    def wait_for(self, text: str) -> None:
        """Wait until the command has written this."""
        self.wait_until(lambda: text in self.output)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the command is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def ctrl_c(self) -> None:
        """Press it: the terminal sends SIGINT to all processes of the command."""
        os.write(self.terminal, b"\x03")

    def kill(self) -> None:
        """SIGKILL the command and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def processes(self, script: str = "") -> list[psutil.Process]:
        """Those of the command that live, or those of them that run a script."""
        return [process for process in psutil.process_iter() if self._is_ours(process, script)]

    def _is_ours(self, process: psutil.Process, script: str) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARK) == self.mark
                and (not script or script in process.cmdline())
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def has_loaded(self, library: str, script: str = "") -> bool:
        """Whether one of the command's processes has mapped a library."""
        for process in self.processes(script):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(library in mapped.path for mapped in process.memory_maps()):
                    return True
        return False


@contextlib.contextmanager
def started(clone: Clone, *command: str, **environment: str) -> Iterator[Background]:
    """Run a command in the clone, alone in a session with a terminal of its own; nothing of it outlives the block."""
    terminal, its_end = os.openpty()
    termios.tcsetwinsize(its_end, (50, 150))  # progress bars need room
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command,
        cwd=clone.folder,
        env=clone.environment() | {"PYTHONUNBUFFERED": "1", MARK: mark} | environment,
        preexec_fn=lambda: os.login_tty(its_end),
    )
    os.close(its_end)
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
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while content := os.read(background.terminal, 1 << 16):
            background.written += content
