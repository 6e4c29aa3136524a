"""The throughput of a GPU with several ways of running the network.

It prints JSON, for each batch size, in views per second:

    eager        the network as the engine runs it: channels_last, autocast, one kernel at a time
    compiled     after `torch.compile`, without its CUDA graphs
    graph        the eager kernels in one CUDA graph, replayed
    engine       eager, with views from the host's memory and outputs copied back
    drawing      a plain view of each photo, copied to the device and drawn there

    python benchmarks/gpu.py --backbone resnet50
    python benchmarks/gpu.py --backbone resnet50 --device cpu --batch 2 --seconds 0.1    # try it without a GPU
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from boatyard.core import errors, machine
from boatyard.images.views import plain_views
from boatyard.models import backbones
from boatyard.models.engines.torch_engine import TorchEngine, autocast
from boatyard.models.network import embedder

PHOTO = (300, 200)  # pixels, of a photo of Caltech-101


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50", help="with random weights")
    parser.add_argument("--device", default=None, help="default: BOATYARD_DEVICE")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128, 256], help="batch sizes")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each figure, after a warm-up")
    arguments = parser.parse_args()
    device = arguments.device or machine.device()
    precision = machine.precision(device)
    backbone = backbones.create(arguments.backbone, "none")
    network = embedder(backbone, backbone.preprocessing).to(device).to(memory_format=torch.channels_last)
    size = backbone.preprocessing.size
    generator = np.random.default_rng(0)
    result: dict[str, dict[str, float]] = {}
    for batch in arguments.batch:
        engine = TorchEngine(network, device, precision, batch, draws=True)
        views = generator.integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
        on_device = torch.from_numpy(views).to(device).contiguous(memory_format=torch.channels_last)
        photos = generator.integers(0, 256, (batch, PHOTO[1], PHOTO[0], 3), dtype=np.uint8)
        opened = [engine.open(plain_views(Image.fromarray(photo), backbone.preprocessing)) for photo in photos]
        ways: dict[str, Callable[[], object]] = {
            "eager": runner(network, on_device, device, precision),
            "compiled": runner(torch.compile(network), on_device, device, precision),
            "engine": partial(answers, engine, list(views)),
            "drawing": partial(engine.views, opened),
        }
        if torch.device(device).type == "cuda":
            ways["graph"] = graph(network, on_device, device, precision)
        result[f"batch {batch}"] = {
            name: batch * per_second(way, device, arguments.seconds) for name, way in ways.items()
        }
    print(json.dumps({"device": name_of(device), "precision": precision, "backbone": arguments.backbone} | result))


def answers(engine: TorchEngine, views: Sequence[NDArray[np.uint8]]) -> object:
    return engine.start(views)()


def runner(network: Callable[[Tensor], Tensor], views: Tensor, device: str, precision: str) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def run() -> Tensor:
        with autocast(device, precision):
            return network(views)

    return run


def graph(network: nn.Module, views: Tensor, device: str, precision: str) -> Callable[[], None]:
    run, captured = runner(network, views, device, precision), torch.cuda.CUDAGraph()
    warm_up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    warm_up.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(warm_up):  # what the first runs set up must not be recorded
        for _ in range(3):
            run()
    torch.cuda.current_stream(device).wait_stream(warm_up)
    with torch.cuda.graph(captured):
        run()
    return captured.replay


def per_second(run: Callable[[], object], device: str, seconds: float) -> float:
    """Runs per second, including the work of the device."""

    def wait() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        run()
    wait()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(5):
            run()
        count += 5
        wait()
    return count / (time.perf_counter() - started)


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


if __name__ == "__main__":
    errors.run(main)
