"""The articles' recipe as written: what their notebooks do with a backbone, on a split of ours.

Kept as it was published, mistakes included: the frozen backbone is run anew over every photo in every epoch, in train
mode, so that its batch norm statistics drift; ImageNet's mean and std whatever the backbone was trained with; random
views for training; the head Linear 256 – ReLU – Dropout 0.4 – Linear – LogSoftmax with Adam at 0.001; early stopping
after 3 epochs without a lower validation loss. What would make its figures wrong is not kept: validation is the
validation photos, and the weights reported are the best epoch's. Nor, unless asked for, is PyTorch's usual layout of
images in memory: channels last gives the same sums in half the time on a CPU.

Run as a script, in a folder where the stages up to `split` have run, it prints the outcome as JSON. Backbone and
weights are those of params.yaml. As many processes load photos as BOATYARD_WORKERS says, on BOATYARD_DEVICE; on a GPU
it computes in PyTorch's fp32, as the notebooks do.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from boatyard.core import errors, files, machine, paths
from boatyard.core.splits import Sample, read_splits
from boatyard.models import backbones
from boatyard.models.network import head

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM = transforms.Compose(
    [
        transforms.RandomResizedCrop(256, scale=(0.8, 1.0)),
        transforms.RandomRotation(15),
        transforms.ColorJitter(),
        transforms.RandomHorizontalFlip(),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(_MEAN, _STD),
    ]
)
PLAIN = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(_MEAN, _STD)]
)


@dataclass(frozen=True)
class Outcome:
    """Fractions, of the test photos where nothing else is said; losses in nats.

    Attributes:
        epochs: how many were trained.
        validation_loss, validation_top1: of the epoch whose weights are kept.
        top1, top5, loss: from the plain view.
        tta_top1: from five random views, as the article averages them.
        epoch_seconds: of each epoch, its validation included.
        test_seconds: of the plain view and the five random ones.
    """

    epochs: int
    validation_loss: float
    validation_top1: float
    top1: float
    top5: float
    loss: float
    tta_top1: float
    epoch_seconds: tuple[float, ...]
    test_seconds: float


class Photos(Dataset[tuple[Tensor, int]]):
    def __init__(self, rows: Sequence[Sample], raw: Path, classes: Sequence[str], transform: transforms.Compose):
        self.rows, self.raw, self.classes, self.transform = rows, raw, list(classes), transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        row = self.rows[place]
        with Image.open(self.raw / row.path) as photo:
            return self.transform(photo.convert("RGB")), self.classes.index(row.label)


def run(
    rows: Sequence[Sample],
    folder: Path,
    backbone: str,
    weights: str,
    batch_size: int,
    seed: int,
    device: str,
    epochs: int = 100,
    layout: torch.memory_format = torch.channels_last,
    start_method: str | None = None,
) -> Outcome:
    """Train and test by the recipe, on the photos below `folder`/data/raw.

    Args:
        start_method: how the loaders' processes start, in multiprocessing's words; None: as PyTorch starts them. It
            changes no figure.
    """
    torch.manual_seed(seed)
    classes = sorted({row.label for row in rows})

    def loader(split: str, transform: transforms.Compose, shuffle: bool = False) -> DataLoader[tuple[Tensor, int]]:
        photos = Photos([row for row in rows if row.split == split], folder / paths.RAW, classes, transform)
        workers = machine.workers()
        return DataLoader(photos, batch_size, shuffle, num_workers=workers, multiprocessing_context=start_method)

    body = backbones.create(backbone, weights, folder / paths.WEIGHTS)
    body.network.requires_grad_(False)
    network = nn.Sequential(body.network, head(body.width, 256, 0.4, len(classes)))
    network.to(device).to(memory_format=layout)
    optimizer = torch.optim.Adam(network[1].parameters())
    best, best_top1, best_state, waited = float("inf"), 0.0, copy.deepcopy(network.state_dict()), 0
    seconds: list[float] = []
    while len(seconds) < epochs and waited < 3:
        started = time.perf_counter()
        network.train()
        for images, labels in loader("train", RANDOM, shuffle=True):
            optimizer.zero_grad()
            nn.functional.nll_loss(network(images.to(device)), labels.to(device)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        outputs, labels = _answers(network, loader("validation", PLAIN), device)
        loss = nn.functional.nll_loss(outputs, labels).item()
        if loss < best:
            best, best_top1 = loss, (outputs.argmax(1) == labels).float().mean().item()
            best_state, waited = copy.deepcopy(network.state_dict()), 0
        else:
            waited += 1
        seconds.append(time.perf_counter() - started)
        print(f"recipe epoch {len(seconds)}: validation loss {loss:.4f}, {seconds[-1]:.1f} s", file=sys.stderr)
    started = time.perf_counter()
    network.load_state_dict(best_state)
    outputs, labels = _answers(network, loader("test", PLAIN), device)
    views = torch.stack([_answers(network, loader("test", RANDOM), device)[0].exp() for _ in range(5)]).mean(0)
    top5 = (outputs.topk(min(5, len(classes)), 1).indices == labels[:, None]).any(1)
    return Outcome(
        len(seconds),
        best,
        best_top1,
        (outputs.argmax(1) == labels).float().mean().item(),
        top5.float().mean().item(),
        nn.functional.nll_loss(outputs, labels).item(),
        (views.argmax(1) == labels).float().mean().item(),
        tuple(seconds),
        time.perf_counter() - started,
    )


@torch.inference_mode()
def _answers(network: nn.Module, photos: DataLoader[tuple[Tensor, int]], device: str) -> tuple[Tensor, Tensor]:
    network.eval()
    batches = [(network(images.to(device)).cpu(), labels) for images, labels in photos]
    return torch.cat([outputs for outputs, _ in batches]), torch.cat([labels for _, labels in batches])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=100, help="at most")
    parser.add_argument("--as-written", action="store_true", help="with PyTorch's usual layout, not channels last")
    arguments = parser.parse_args()
    settings = files.read_yaml(paths.PARAMS)
    layout = torch.contiguous_format if arguments.as_written else torch.channels_last
    outcome = run(
        read_splits(paths.SPLITS),
        Path(),
        settings["model"]["backbone"],
        settings["model"]["weights"],
        arguments.batch,
        settings["seed"],
        machine.device(),
        arguments.epochs,
        layout,
    )
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    errors.run(main)
