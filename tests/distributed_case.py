"""What the processes of tests/test_distributed.py do; another process must be able to import it."""

import os
import time
from pathlib import Path

import torch

from boatyard.errors import UserError
from boatyard.model import distributed


def mistake(device: str) -> None:
    if distributed.rank() == 1:
        raise UserError("discs/7.jpg can't be opened: take it out")
    distributed.summed(torch.zeros(1))  # waits for the other


def bug(device: str) -> None:
    if distributed.rank() == 1:
        raise ZeroDivisionError
    distributed.summed(torch.zeros(1))


def wait(device: str) -> None:
    Path(os.environ["FOLDER"], str(os.getpid())).touch()
    time.sleep(600)
