"""The second phase: the last blocks of the backbone, or all of it, trained end to end with the head at a low rate.

The published advice is to train the head first, on the frozen backbone, and then to unfreeze (Howard and Ruder 2018,
whose discriminative rates are used here as well: each block back from the head learns at a lower rate).

Several processes share a batch: each takes a part of it, gradients are averaged (DistributedDataParallel), and every
process ends an epoch with the same weights. What a batch is does not depend on how many processes there are; dropout
does, since each process draws its own.
"""

import math
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torchvision.models import maxvit, vision_transformer

from boatyard.core import distributed
from boatyard.core.errors import UserError
from boatyard.core.files import replacing
from boatyard.core.machine import Machine, kind
from boatyard.core.splits import Sample, labels
from boatyard.images.views import PLAIN, Recipe, View
from boatyard.models.backbones import load_state
from boatyard.models.concatenated import ConcatenatedBackbones
from boatyard.models.engines.torch_engine import autocast, channels_last
from boatyard.models.network import Network
from boatyard.params.schema import Finetune
from boatyard.training.history import Epoch
from boatyard.training.optimisation import EarlyStopping, Loss, epoch_seed, optimiser, rate

# What holds blocks one after another, and is none.
_OPENED = (nn.Sequential, nn.ModuleList, nn.ModuleDict, vision_transformer.Encoder, maxvit.MaxVitBlock)


@dataclass(frozen=True)
class Photos:
    """Photos and what they show.

    Attributes:
        rows: n photos, below the folder `raw`.
        labels: their class numbers, int64 [n].
        recipe: how views are drawn of them.
    """

    rows: Sequence[Sample]
    labels: Tensor
    raw: Path
    recipe: Recipe


def blocks(backbone: nn.Module) -> Sequence[list[nn.Parameter]]:
    """A backbone's parameters, each once, in blocks from the input to the head.

    timm's models say what their blocks are (`group_matcher`). Of others each part with parameters is one, containers
    opened, so that ResNet-50 has a stem and sixteen bottlenecks rather than four stages, and ViT-B/16 a stem and twelve
    layers. A norm belongs to what is before it. Of networks side by side, blocks as far from the head are one.
    """
    if isinstance(backbone, ConcatenatedBackbones):
        depths = zip_longest(*(blocks(network)[::-1] for network in backbone.networks), fillvalue=[])
        return [list(chain(*parts)) for parts in depths][::-1]
    if callable(matcher := getattr(backbone, "group_matcher", None)):
        parts = group_parameters(backbone, matcher(coarse=False), return_values=True).values()
    else:
        parts = _parts(backbone)
    found: list[list[nn.Parameter]] = []
    for part in parts:
        if found and all(parameter.ndim < 2 for parameter in part):
            found[-1] += part
        else:
            found.append(part)
    return found


def _parts(network: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters of each part, containers opened; what a container holds itself comes with its first part.

    Such are a vision transformer's class token and positions.
    """
    own = list(network.parameters(recurse=False))
    for child in network.children():
        for part in _parts(child) if isinstance(child, _OPENED) else [list(child.parameters())]:
            if part:
                yield own + part
                own = []
    if own:
        yield own


def photos(rows: Sequence[Sample], classes: Sequence[str], split: str, raw: Path, recipe: Recipe) -> Photos:
    """The photos of a split."""
    mine = [row for row in rows if row.split == split]
    return Photos(mine, torch.from_numpy(labels(mine, classes)), raw, recipe)


def chosen(network: Network, settings: Finetune) -> Sequence[list[nn.Parameter]]:
    """The blocks of the backbone that are trained, from the head back: their parameters."""
    parts = blocks(network.embedder.backbone)[::-1]
    return parts if settings.blocks == "all" else parts[: settings.blocks]


def lay_out(network: nn.Module, device: str) -> None:
    """Lay a network's weights out with channels last, in place, which trains faster and is what half precision wants.

    Not where a CPU would get a gradient wrong: that of a 1×1 convolution with a stride and few channels, as FastViT's
    stem has. With PyTorch 2.15 on x86 with AVX2, 2 to 6 channels die or hang in backward, 7 get a wrong one, and 8 and
    more, as many as a vector register holds, a right one; AVX-512's hold 16. Other devices were not tried.
    """
    wrong = (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and max(part.stride) > 1
        and part.in_channels // part.groups < 16
        for part in network.modules()
    )
    if kind(device) == "cuda" or (kind(device) == "cpu" and not any(wrong)):
        channels_last(network)


def fit(
    network: Network,
    train: Photos,
    validation: Photos,
    loss: Loss,
    settings: Finetune,
    seed: int,
    before: Epoch,
    machine: Machine,
    state: Path,
) -> Iterator[Epoch]:
    """Fine-tune `network` in place; yields every epoch as it ends, those of a resumed run first.

    Epoch e sees random view e − 1 of every training photo, so no view is seen twice.

    Once the last epoch has been taken, the network has the weights of the one with the lowest validation loss, or those
    it came with if none is below `before`'s. Batch norm stays in eval mode: its statistics remain the published ones.

    Args:
        network: a trained head on a frozen backbone.
        train: what it learns from.
        validation: what decides when to stop.
        loss: the loss to minimise; validation is judged by plain negative log-likelihood.
        settings: of the optimiser and the stopping rule.
        seed: of the order of the photos and of dropout.
        before: the epoch of head training whose weights the network has; the epochs here count on from it.
        machine: where it runs; its workers open photos.
        state: a file with what a killed run needs to go on; the caller removes it when all is saved.

    Raises:
        UserError: the loss is not finite.
    """
    device = machine.device
    lay_out(network.to(device), device)
    optimizer = optimiser(settings.optimiser, _unfreeze(network, settings), settings.weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(enabled=machine.precision == "fp16")
    stopping = EarlyStopping(settings.patience)
    stopping.better(0, before.validation_loss, network)
    history = _resume(state, network, optimizer, scaler, stopping)
    yield from history
    parallel: nn.Module = DistributedDataParallel(network) if distributed.size() > 1 else network
    with ThreadPoolExecutor(machine.workers) as pool:
        load = _Loader(pool, device)
        while len(history) < settings.epochs and not stopping.over(len(history)):
            epoch = len(history) + 1
            factor = rate(settings.schedule, epoch, settings.epochs, settings.warmup)
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * factor
            torch.manual_seed(epoch_seed(seed, epoch))  # dropout; a resumed epoch draws the same
            step = _Step(parallel, optimizer, scaler, loss, settings.clip, machine)
            batches = _batches(len(train.rows), settings.batch_size, seed, epoch)
            train_loss, train_top1 = _train(network, train, batches, load, epoch - 1, step)
            validation_loss, validation_top1 = _judge(network, validation, load, settings.batch_size, machine)
            if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
                raise UserError(
                    f"fine-tuning: the loss is not finite in epoch {epoch}; lower finetune.lr ({settings.lr})"
                )
            stopping.better(epoch, validation_loss, network)
            figures = train_loss, validation_loss, train_top1, validation_top1, settings.lr * factor
            history.append(Epoch(before.epoch + epoch, "finetune", *figures))
            if distributed.rank() == 0:
                _keep(state, network, optimizer, scaler, stopping, history)
            yield history[-1]
    network.load_state_dict(stopping.best_state)
    network.cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(False)


def _train(
    network: nn.Module, photos: Photos, batches: Sequence[Tensor], load: "_Loader", view: int, step: "_Step"
) -> tuple[float, float]:
    """One epoch; mean loss (nats) and top-1 over its batches."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    # A last batch smaller than the number of processes leaves some without a photo; such a one takes part with the
    # batch's first photo at weight 0, since gradients are averaged over all.
    shares = [distributed.share(batch) for batch in batches]
    mine = [share if len(share) else batch[:1] for share, batch in zip(shares, batches, strict=True)]
    for batch, share, own, views in zip(batches, shares, mine, load(photos, mine, view), strict=True):
        part, right = step(views, photos.labels[own], photos.labels[batch], weight=float(len(share) > 0))
        sums += torch.tensor([part * len(batch), right], dtype=torch.float64)
    loss, top1 = (distributed.summed(sums) / len(photos.rows)).tolist()
    return loss, top1


@dataclass(frozen=True)
class _Step:
    """One step of the optimiser on this process's part of a batch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    clip: float
    machine: Machine

    def __call__(self, views: Tensor, own: Tensor, whole: Tensor, weight: float) -> tuple[float, float]:
        """Learn from a part of a batch; its share of the batch's mean loss, and how many of its photos were right.

        Args:
            views: of this process's photos, uint8 [m, 3, s, s], on the device.
            own: their labels [m].
            whole: the labels of the whole batch [n].
            weight: 0 where another process has these photos.
        """
        own = own.to(views.device)
        with autocast(self.machine.device, self.machine.precision):
            log_probabilities = self.network(views).float()
        # Every process divides by the whole batch's weight; the average of gradients, times the number of processes,
        # is then the gradient of the whole batch's mean.
        part = weight * self.loss.total(log_probabilities, own) / self.loss.weight(whole)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(part * distributed.size()).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.requires_grad], self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return part.item(), weight * (log_probabilities.argmax(1) == own).sum().item()


class _Loader:
    """Opens photos and draws a view of each, a batch ahead of the network."""

    def __init__(self, pool: ThreadPoolExecutor, device: str):
        self._pool, self._device = pool, device

    def __call__(self, photos: Photos, batches: Sequence[Tensor], number: int) -> Iterator[Tensor]:
        """Yield batches of view `number` of photos by place, on the device: uint8 [n, 3, s, s]."""

        def view(row: Sample) -> View:
            return photos.recipe.draw(photos.raw / row.path, row.sha256, [number])[0]

        def submit(batch: Tensor) -> Iterator[View]:
            return self._pool.map(view, [photos.rows[place] for place in batch.tolist()])

        waiting = deque(submit(batch) for batch in batches[:1])
        for following in [*batches[1:], None]:
            if following is not None:
                waiting.append(submit(following))
            yield torch.from_numpy(np.stack(list(waiting.popleft()))).to(self._device)


def _unfreeze(network: Network, settings: Finetune) -> list[dict[str, Any]]:
    """Parameter groups and rates: the head and the last block at `lr`, each block before at `block_decay` of that."""
    network.requires_grad_(False)
    groups: list[dict[str, Any]] = [{"params": list(network.head.parameters()), "lr": settings.lr}]
    for depth, part in enumerate(chosen(network, settings)):
        groups.append({"params": part, "lr": settings.lr * settings.block_decay**depth})
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return groups


def _batches(count: int, size: int, seed: int, epoch: int) -> Sequence[Tensor]:
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    return torch.split(torch.randperm(count, generator=generator), size)


@torch.inference_mode()
def _judge(network: nn.Module, photos: Photos, load: _Loader, size: int, machine: Machine) -> tuple[float, float]:
    """Mean negative log-likelihood (nats) and top-1 on plain views."""
    network.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    batches = [part for part in torch.split(distributed.share(torch.arange(len(photos.rows))), size) if len(part)]
    for batch, views in zip(batches, load(photos, batches, PLAIN), strict=True):
        with autocast(machine.device, machine.precision):
            log_probabilities = network(views).float().cpu()
        own = photos.labels[batch]
        sums[0] -= log_probabilities[torch.arange(len(own)), own].double().sum()
        sums[1] += (log_probabilities.argmax(1) == own).sum()
    loss, top1 = (distributed.summed(sums) / len(photos.rows)).tolist()
    return loss, top1


def _keep(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    stopping: EarlyStopping,
    history: Sequence[Epoch],
) -> None:
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "best": [stopping.best_loss, stopping.best_epoch, stopping.best_state],
        "history": [asdict(epoch) for epoch in history],
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # a full disk; torch goes on, and fails with a riddle
                raise error.__context__ from None
            raise


def _resume(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    stopping: EarlyStopping,
) -> list[Epoch]:
    """Take up the state of a killed run, if there is one; its epochs."""
    if not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as file:
            whole = file.testzip() is None  # torch does not look at its file's checksums
        content = torch.load(path, map_location="cpu", weights_only=True)
        load_state(network, content["network"])
        optimizer.load_state_dict(content["optimizer"])
        scaler.load_state_dict(content["scaler"])
        stopping.best_loss, stopping.best_epoch, stopping.best_state = content["best"]
        history = [Epoch(**epoch) for epoch in content["history"]]
    except torch.OutOfMemoryError:
        raise
    except Exception:  # torch and zipfile have a dozen ways to say so
        whole = False
    if not whole:
        raise UserError(f"{path}, the state of a run that was killed, is damaged: delete it")
    return history
