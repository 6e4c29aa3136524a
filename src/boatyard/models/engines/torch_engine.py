"""The engine that runs a network in PyTorch, on any of its devices, and draws views on CUDA."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.images import device_views
from boatyard.images.views import PhotoViews, Preprocessing, ViewSpec
from boatyard.models.engines.base import Engine, PhotoInput
from boatyard.models.network import Network


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """A context in which PyTorch computes in 'fp32', or, as far as it thinks that safe, in 'bf16' or 'fp16'."""
    if precision == "fp32":
        return contextlib.nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(torch.device(device).type, dtype)


def channels_last(network: nn.Module) -> nn.Module:
    """Convert the 4-d weights of a network to the channels-last memory format, in place; returns the network."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:  # Module.to would refuse a network that also has 5-d weights
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


@dataclass(frozen=True)
class _Undrawn:
    """A photo on its way to the device: its pixels, uint8 [height, width, 3], and the views to draw of it."""

    pixels: Tensor
    views: Sequence[ViewSpec]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.views)

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes


class TorchEngine(Engine):
    """Runs a network in batches of one fixed size, the last one padded.

    Args:
        network: a `Network`, an embedder or a head, in eval mode.
        device: as torch names it.
        precision: of the backbone: 'fp32', 'bf16' or 'fp16'. A head computes in fp32, as it was trained.
        batch: views per call; None: 1 on the CPU, 128 elsewhere.
        draws: whether photos are sent to the device and their views drawn there; None: on CUDA. On the CPU Pillow is
            faster, and other devices lack float64, which this needs.
    """

    calls = 1

    def __init__(
        self,
        network: nn.Module,
        device: str,
        precision: str = "fp32",
        batch: int | None = None,
        draws: bool | None = None,
    ):
        kind = torch.device(device).type
        self.batch = batch or (1 if kind == "cpu" else 128)
        self._cuda = kind == "cuda"
        # Drawing sends small tables and waits for each. In a separate stream it does not wait for the network.
        self._drawing = torch.cuda.Stream(device) if self._cuda else None  # type: ignore[no-untyped-call]
        self._draws = self._cuda if draws is None else draws
        self.ahead = 2 if self._draws else Engine.ahead
        self.queued = int(self._cuda)  # the next photos are decoded and sent during this batch
        self._device, self._precision = device, precision
        self._network = channels_last(network.to(device))

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        starts = range(0, len(inputs), self.batch)
        return np.concatenate([self.start(list(inputs[start : start + self.batch]))() for start in starts])

    def open(self, photo: PhotoInput) -> Any:
        """A photo's pixels, in pinned memory for a GPU, or drawn views."""
        if not self._draws or not isinstance(photo, PhotoViews):
            return super().open(photo)
        pixels = torch.from_numpy(np.array(photo.photo))
        return _Undrawn(pixels.pin_memory() if self._cuda else pixels, photo.specs, photo.preprocessing)

    @torch.inference_mode()
    def views(self, opened: Sequence[Any]) -> list[Any]:
        """Views as arrays, or, drawn for all photos at once, as tensors on the device."""
        undrawn = [one for one in opened if isinstance(one, _Undrawn)]
        if not undrawn:
            return super().views(opened)
        photos, specs = [one.pixels for one in undrawn], [one.views for one in undrawn]
        with torch.cuda.stream(self._drawing) if self._drawing else contextlib.nullcontext():
            drawn = device_views.draw(photos, specs, undrawn[0].preprocessing, self._device)
        if self._drawing:
            network = torch.cuda.current_stream(self._device)
            network.wait_stream(self._drawing)
            drawn.record_stream(network)
        views = iter(drawn)
        return [view for one in opened for view in (islice(views, len(one)) if isinstance(one, _Undrawn) else one)]

    @torch.inference_mode()
    def start(self, views: Sequence[Any]) -> Callable[[], NDArray[np.float32]]:
        """Run the network on up to `batch` inputs: arrays, or tensors on the device."""
        if any(isinstance(view, Tensor) for view in views):
            inputs = torch.stack([torch.as_tensor(view, device=self._device) for view in views])
        else:
            inputs = torch.from_numpy(np.stack(views)).to(self._device)
        outputs = self._forward(nn.functional.pad(inputs, [0, 0] * (inputs.ndim - 1) + [0, self.batch - len(views)]))
        results = outputs[: len(views)].float().to("cpu", non_blocking=self._cuda)
        arrived = None
        if self._cuda:
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(self._device))

        def wait() -> NDArray[np.float32]:
            if arrived:
                arrived.synchronize()
            array: NDArray[np.float32] = results.numpy()
            if self._precision == "fp16" and not np.isfinite(array).all():
                raise UserError("the network's values are too large for fp16: set BOATYARD_PRECISION to fp32 or bf16")
            return array

        return wait

    def _forward(self, batch: Tensor) -> Tensor:
        if batch.ndim == 2:
            outputs: Tensor = self._network(batch)
            return outputs
        embedder = self._network.embedder if isinstance(self._network, Network) else self._network
        with autocast(self._device, self._precision):
            outputs = embedder(batch.contiguous(memory_format=torch.channels_last))
        return self._network.head(outputs.float()) if isinstance(self._network, Network) else outputs
