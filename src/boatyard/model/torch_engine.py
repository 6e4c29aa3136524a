"""The engine that runs a network in PyTorch, on any device that PyTorch has."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class TorchEngine:
    def __init__(self, network: nn.Module, device: str):
        self.batch = 1 if device == "cpu" else 128
        self.calls = 1
        self._device = device
        self._network = network.to(device).to(memory_format=torch.channels_last)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        outputs = [self._run(inputs[start : start + self.batch]) for start in range(0, len(inputs), self.batch)]
        return np.concatenate(outputs)

    @torch.inference_mode()
    def _run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        filled = np.zeros((self.batch, *inputs.shape[1:]), inputs.dtype)
        filled[: len(inputs)] = inputs
        batch = torch.from_numpy(filled).to(self._device)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        output: NDArray[np.float32] = self._network(batch)[: len(inputs)].float().cpu().numpy()
        return output
