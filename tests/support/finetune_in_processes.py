"""Fine-tune a small random network on drawn photos in several processes. Arguments: photos, history, processes."""

import sys
from pathlib import Path

import torch
from finetuning_case import fine_tune

from boatyard.core import distributed, tables
from boatyard.core.machine import Machine
from boatyard.training.history import Epoch


def work(machine: Machine) -> None:
    network, history = fine_tune(Path(sys.argv[1]), Path(sys.argv[2]).with_suffix(".pt"))
    if distributed.rank() == 0:
        tables.write_rows(Path(sys.argv[2]), Epoch, history)
        torch.save(network.state_dict(), Path(sys.argv[2]).with_suffix(".weights"))


if __name__ == "__main__":
    distributed.run(work, Machine(processes=int(sys.argv[3])))
