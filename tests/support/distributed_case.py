"""What the processes of tests/core/test_distributed.py do; another process must be able to import it."""

import os
import time
from pathlib import Path

import torch

from boatyard.core import distributed
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine


def mistake(machine: Machine) -> None:
    if distributed.rank() == 1:
        raise UserError("discs/7.jpg can't be opened: take it out")
    distributed.all_sum(torch.zeros(1))  # waits for the other


def bug(machine: Machine) -> None:
    if distributed.rank() == 1:
        raise ZeroDivisionError
    distributed.all_sum(torch.zeros(1))


def wait(machine: Machine) -> None:
    Path(os.environ["FOLDER"], str(os.getpid())).touch()
    time.sleep(600)
