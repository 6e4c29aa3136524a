"""Fine-tuning: the last blocks of the backbone, or all of it, trained end to end with the head at a low rate.

The published advice is to train the head first, on the frozen backbone, and then to unfreeze (Howard and Ruder 2018,
as is the layer decay: each block further from the head learns at a lower rate).

Several processes share each batch: gradients are averaged (DistributedDataParallel), and all processes end an epoch
with the same weights. Batches do not depend on the number of processes; dropout does, since each process draws its own.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from boatyard.core.machine import Machine, kind
from boatyard.core.splits import Sample, labels
from boatyard.images.views import PLAIN, Recipe, View
from boatyard.models.backbones import load_state
from boatyard.models.concatenated import ConcatenatedBackbones
from boatyard.models.engines.torch_engine import autocast, channels_last
from boatyard.models.network import Network
from boatyard.params.schema import Finetune
from boatyard.training import finetuning_state
from boatyard.training.finetuning_state import State
from boatyard.training.history import Epoch
from boatyard.training.optimisation import EarlyStopping, Loss, epoch_seed, optimiser, rate, weights

# They contain blocks, and are not blocks themselves.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, vision_transformer.Encoder, maxvit.MaxVitBlock)


@dataclass(frozen=True)
class Photos:
    """Photos and their labels.

    Attributes:
        rows: n photos, with paths relative to `raw`.
        labels: their class indices, int64 [n].
        raw: a folder.
        recipe: how views are drawn.
    """

    rows: Sequence[Sample]
    labels: Tensor
    raw: Path
    recipe: Recipe


def blocks(backbone: nn.Module) -> Sequence[list[nn.Parameter]]:
    """A backbone's parameters, each once, in blocks from the input to the head.

    timm's models define their blocks (`group_matcher`). In other models each submodule with parameters is a block, with
    containers replaced by their children: ResNet-50 has a stem and sixteen bottlenecks rather than four stages,
    ViT-B/16 a stem and twelve layers. A norm belongs to the block before it. In concatenated networks, blocks at the
    same distance from the head are one block.
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
    """The parameters of each submodule, containers replaced by their children.

    A container's own parameters, such as a vision transformer's class token and positions, join its first child's.
    """
    before = list(network.parameters(recurse=False))
    for child in network.children():
        for part in _parts(child) if isinstance(child, _CONTAINERS) else [list(child.parameters())]:
            if part:
                yield before + part
                before = []
    if before:
        yield before


def photos(rows: Sequence[Sample], classes: Sequence[str], split: str, raw: Path, recipe: Recipe) -> Photos:
    """The photos of a split."""
    chosen = [row for row in rows if row.split == split]
    return Photos(chosen, torch.from_numpy(labels(chosen, classes)), raw, recipe)


def blocks_to_train(network: Network, settings: Finetune) -> Sequence[list[nn.Parameter]]:
    """The parameters of the blocks to train, starting with the block next to the head."""
    parts = blocks(network.embedder.backbone)[::-1]
    return parts if settings.blocks == "all" else parts[: settings.blocks]


def use_channels_last(network: nn.Module, device: str) -> None:
    """Convert a network to channels last, in place: it trains faster, and half precision needs it to be fast.

    Except on a CPU if a gradient would be wrong: that of a strided 1×1 convolution with few channels, as in the stem of
    FastViT. With PyTorch 2.15 on x86 with AVX2, backward crashes or hangs with 2 to 6 channels, is wrong with 7, and
    right with 8 (the floats of a vector register) and more; with AVX-512, registers have 16. Devices other than CPU and
    CUDA are untested, and are left alone.
    """
    affected = (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and max(part.stride) > 1
        and part.in_channels // part.groups < 16
        for part in network.modules()
    )
    if kind(device) == "cuda" or (kind(device) == "cpu" and not any(affected)):
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
    start: State,
    path: Path,
) -> Iterator[Epoch]:
    """Fine-tune `network` in place; yields every epoch as it ends, without those of `start`.

    Epoch e uses random view e − 1 of every training photo, so that no view is used twice. Batch norm stays in eval
    mode, with the published statistics.

    Once the generator is exhausted, the network has the weights of the epoch with the lowest validation loss, or its
    initial ones if no epoch is better than `before`.

    Args:
        network: a trained head on a frozen backbone.
        train: the training photos.
        validation: decides when to stop.
        loss: the loss to minimise; the validation loss is the plain negative log-likelihood.
        settings: of the optimiser and the stopping rule.
        seed: of the order of the photos and of dropout.
        before: the epoch of head training whose weights the network has; the numbering of epochs continues from it.
        machine: where it runs; its workers open photos.
        start: where to continue; a state without epochs for a run from the first one.
        path: file for the state after each epoch.

    Raises:
        UserError: the loss is not finite, or `start` is the state of another network.
    """
    device, processes, count = machine.device, distributed.size(), len(train.rows)
    use_channels_last(network.to(device), device)
    groups = _unfreeze(network, settings)
    rates = [group["lr"] for group in groups]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = optimiser(settings.optimiser, groups, settings.weight_decay)
    scaler = torch.amp.GradScaler(enabled=machine.precision == "fp16")
    stopping = EarlyStopping(settings.patience)
    stopping.improves(0, before.validation_loss)
    best, history = weights(network), list(start.history)
    if history:
        stored = _restore(start, network, optimizer, scaler)
        for epoch, figures in enumerate(history, start=1):
            stopping.improves(epoch, figures.validation_loss)
        if stopping.best_epoch:
            best = stored or weights(network)
    parallel: nn.Module = DistributedDataParallel(network) if processes > 1 else network
    with ThreadPoolExecutor(machine.workers) as pool:
        while len(history) < settings.epochs and not stopping.stops_after(len(history)):
            epoch = len(history) + 1
            factor = rate(settings.schedule, epoch, settings.epochs, settings.warmup)
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * factor

            network.train()
            for module in network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
            torch.manual_seed(epoch_seed(seed, epoch))  # for dropout; a resumed epoch draws the same
            order = torch.randperm(count, generator=torch.Generator().manual_seed(epoch_seed(seed, epoch)))
            batches = torch.split(order, settings.batch_size)
            shards = [distributed.shard(batch) for batch in batches]
            # A last batch smaller than the number of processes leaves some without a photo. They take part with the
            # batch's first photo at weight 0, since gradients are averaged over all processes.
            filled = [shard if len(shard) else batch[:1] for shard, batch in zip(shards, batches, strict=True)]
            sums = torch.zeros(2, dtype=torch.float64)  # loss · photos, correct photos
            opened = _views(pool, train, filled, epoch - 1, device)
            for batch, shard, places, views in zip(batches, shards, filled, opened, strict=True):
                labels, weight = train.labels[places].to(device), float(len(shard) > 0)
                with autocast(device, machine.precision):
                    log_probabilities = parallel(views).float()
                # Every process divides by the weight of the whole batch. The average of the gradients, times the
                # number of processes, is then the gradient of the batch's mean.
                part = weight * loss.total(log_probabilities, labels) / loss.weight(train.labels[batch])
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(part * processes).backward()  # type: ignore[no-untyped-call]
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(trained, settings.clip)
                scaler.step(optimizer)
                scaler.update()
                sums[0] += part.item() * len(batch)
                sums[1] += weight * (log_probabilities.argmax(1) == labels).sum().item()
            train_loss, train_top1 = (distributed.all_sum(sums) / count).tolist()

            validation_loss, validation_top1 = _evaluate(network, validation, pool, settings.batch_size, machine)
            if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
                raise UserError(
                    f"fine-tuning: the loss is not finite in epoch {epoch}; lower finetune.lr ({settings.lr})"
                )
            if stopping.improves(epoch, validation_loss):
                best = weights(network)
            lr, number = settings.lr * factor, before.epoch + epoch
            figures = Epoch(number, "finetune", train_loss, validation_loss, train_top1, validation_top1, lr)
            history.append(figures)
            if distributed.rank() == 0:
                kept = best if stopping.best_epoch not in (0, epoch) else None
                state = State(start.run, history, scaler.state_dict())
                finetuning_state.write(path, state, _tensors(network, optimizer, kept))
            yield figures
    network.load_state_dict(best)
    network.cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(False)


def _unfreeze(network: Network, settings: Finetune) -> list[dict[str, Any]]:
    """Parameter groups: the head and the last block at rate `lr`, each block before it at `block_decay` times that."""
    network.requires_grad_(False)
    groups: list[dict[str, Any]] = [{"params": list(network.head.parameters()), "lr": settings.lr}]
    for depth, part in enumerate(blocks_to_train(network, settings)):
        groups.append({"params": part, "lr": settings.lr * settings.block_decay**depth})
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return groups


def _views(
    pool: ThreadPoolExecutor, photos: Photos, batches: Iterable[Tensor], number: int, device: str
) -> Iterator[Tensor]:
    """View `number` of each batch of photos, opened one batch ahead: uint8 [n, 3, s, s], on the device."""

    def view(place: int) -> View:
        row = photos.rows[place]
        return photos.recipe.open(photos.raw / row.path, row.sha256, [number]).views()[0]

    opening = (pool.map(view, batch.tolist()) for batch in batches)
    current = next(opening, None)
    while current is not None:
        following = next(opening, None)
        yield torch.from_numpy(np.stack(list(current))).to(device)
        current = following


@torch.inference_mode()
def _evaluate(
    network: nn.Module, photos: Photos, pool: ThreadPoolExecutor, size: int, machine: Machine
) -> tuple[float, float]:
    """The mean negative log-likelihood (nats) and top-1 on plain views."""
    network.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    batches = [part for part in torch.split(distributed.shard(torch.arange(len(photos.rows))), size) if len(part)]
    for batch, views in zip(batches, _views(pool, photos, batches, PLAIN, machine.device), strict=True):
        with autocast(machine.device, machine.precision):
            log_probabilities = network(views).float().cpu()
        labels = photos.labels[batch]
        sums[0] -= log_probabilities[torch.arange(len(labels)), labels].double().sum()
        sums[1] += (log_probabilities.argmax(1) == labels).sum()
    loss, top1 = (distributed.all_sum(sums) / len(photos.rows)).tolist()
    return loss, top1


def _tensors(
    network: nn.Module, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The tensors of a state, by the names that `finetuning_state` lists; `best`: the weights to store under it."""
    named = list(network.named_parameters(remove_duplicate=False))
    frozen = {name for name, parameter in named if not parameter.requires_grad}
    last = {name: tensor for name, tensor in network.state_dict().items() if name not in frozen}
    tensors = {f"last.{name}": tensor for name, tensor in last.items()}
    if best:
        tensors |= {f"best.{name}": best[name] for name in last}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = value
    return tensors


def _restore(
    state: State, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> dict[str, Tensor]:
    """Give a network and its optimiser the tensors of a state; returns the best weights, if they are among them."""
    parts: dict[str, dict[str, Tensor]] = {"last": {}, "best": {}, "optimiser": {}}
    own, parameters = network.state_dict(), dict(network.named_parameters())
    try:
        for name, tensor in state.tensors().items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        load_state(network, own | parts["last"])
        for name, tensor in parts["optimiser"].items():
            key, _, of = name.partition(".")
            parameter = parameters[of]
            # The number of steps stays on the CPU; the rest has its parameter's device and memory format.
            optimizer.state[parameter][key] = tensor if key == "step" else torch.empty_like(parameter).copy_(tensor)
        scaler.load_state_dict(dict(state.scaler))
    except torch.OutOfMemoryError:
        raise
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{state.file} is not a state of this network ({reason}): delete it") from None
    return parts["best"] and own | parts["best"]
