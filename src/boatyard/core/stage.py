"""How a stage starts and ends.

A stage's script imports this module before all others (ruff's import order enforces it), because importing torch takes
seconds in which Ctrl-C must work too. From then on Ctrl-C ends the process by the signal's default action: at once,
even in an import, in a step of a large network, or while threads decode. No cleanup is needed: a stage can be killed at
any moment (docs/robustness.md).
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Unless Ctrl-C is already ignored, as in a script's background jobs.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# On a full disk, Python before 3.12.8 leaves truncated bytecode in __pycache__, which later runs fail to import.
sys.dont_write_bytecode |= shutil.disk_usage(__file__).free < 16 << 20


def run_stage(main: Callable[[], None]) -> None:
    """Run the `main` of a stage's script, one process at a time; `errors.run` reports errors."""
    import inspect  # after the signal handler is set, as every slow import

    from boatyard.core import errors, locking, paths

    name = Path(inspect.getfile(main)).stem

    def main_alone() -> None:
        with locking.lock(name, paths.LOCKS / name):
            main()

    # The first of the processes that torchrun starts holds the lock for all of them.
    errors.run(main_alone if os.environ.get("RANK", "0") == "0" else main)
