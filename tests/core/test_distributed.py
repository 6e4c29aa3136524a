import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import distributed_case
import psutil
import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from boatyard.core import distributed
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine


def test_one_process_is_a_plain_call():
    called: list[Machine] = []
    distributed.run(called.append, Machine())
    assert called == [Machine()]
    assert (distributed.size(), distributed.rank()) == (1, 0)


def test_a_user_error_in_one_process_is_raised_and_ends_the_others():
    with pytest.raises(UserError, match=r"^discs/7\.jpg can't be opened: take it out$"):
        distributed.run(distributed_case.mistake, Machine(processes=2))
    assert multiprocessing.active_children() == []


def test_another_error_keeps_its_traceback():
    with pytest.raises(ProcessRaisedException, match="ZeroDivisionError"):
        distributed.run(distributed_case.bug, Machine(processes=2))


def test_the_processes_end_with_the_one_that_started_them(tmp_path: Path):
    code = "import distributed_case; from boatyard.core import distributed; from boatyard.core.machine import Machine; "
    code += "distributed.run(distributed_case.wait, Machine(processes=2))"
    environment = os.environ | {"FOLDER": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    starter = subprocess.Popen([sys.executable, "-c", code], env=environment)
    end = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2:
        assert starter.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    started = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]

    starter.kill()
    starter.wait()

    assert psutil.wait_procs(started, timeout=10)[1] == []
