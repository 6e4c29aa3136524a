"""How a stage begins and ends.

A stage's script imports this module before all others (ruff's import order holds it there), for importing torch takes
seconds in which Ctrl-C must work too. From then on Ctrl-C ends the process by the signal's default action: at once,
wherever it is, in an import, in a step of a large network, while threads decode. Nothing is tidied up, for nothing need
be: a stage can be killed at any moment (docs/robustness.md).
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Not where Ctrl-C is ignored already, as in what a script has put into the background.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# On a full disk, Python before 3.12.8 leaves bytecode cut off in __pycache__, which no later run can import.
_disk = os.statvfs(__file__)
sys.dont_write_bytecode |= _disk.f_bavail * _disk.f_frsize < 16 << 20


def run_stage(main: Callable[[], None]) -> None:
    """Run the `main` of a stage's script, alone in this folder; `errors.run` tells of mistakes."""
    import inspect  # after the lines above, as all that takes time

    from boatyard.core import errors, locking, paths

    name = Path(inspect.getfile(main)).stem

    def alone() -> None:
        with locking.lock(name, paths.LOCKS / name):
            main()

    # Of the processes that torchrun starts, the first has the lock for all.
    errors.run(alone if os.environ.get("RANK", "0") == "0" else main)
