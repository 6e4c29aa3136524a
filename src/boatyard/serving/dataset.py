"""`boatyard.dataset`: a split of the pipeline as a PyTorch data set, for your own training loop (docs/python.md)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from boatyard import params
from boatyard.core import paths, splits
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample
from boatyard.images.views import FIRST_TTA_VIEW, PLAIN, Recipe
from boatyard.models import frozen_backbone

Views = Literal["plain", "random"]

_DRAWN = -1  # instead of an epoch: each view's number is drawn


def dataset(split: str = "train", views: Views = "plain", *, uint8: bool = False) -> "PhotoDataset":
    """A split of the current repository, with the views and the normalisation of params.yaml.

    Args:
        split: 'train', 'validation' or 'test'.
        views: 'plain' (resized and cropped), or 'random' (augmented as well).
        uint8: views as they are stored, instead of normalised.

    Raises:
        UserError: params.yaml is missing or wrong, or a stage has not run.
    """
    if split not in splits.SPLITS:
        raise ValueError(f"split must be one of {', '.join(splits.SPLITS)}, not {split!r}")
    if views not in get_args(Views):
        raise ValueError(f"views must be plain or random, not {views!r}")
    settings = params.read(paths.PARAMS)
    samples = splits.read_splits(paths.SPLITS)
    if not paths.RAW.is_dir():
        raise UserError(f"{paths.RAW} does not exist: run `dvc repro download`, or `dvc pull` to fetch it")
    _, preprocessing = frozen_backbone.published(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe = Recipe(preprocessing, settings.augment, settings.seed)
    chosen = [sample for sample in samples if sample.split == split]
    return PhotoDataset(chosen, splits.class_names(samples), paths.RAW, recipe, views, uint8=uint8)


class PhotoDataset(Dataset[tuple[Tensor, int]]):
    """Views of photos and the indices of their classes, with the attributes of torchvision's `ImageFolder`.

    An item is a view and a class index. The view is float32 [3, size, size], normalised for the backbone, or uint8.
    A random view is a pure function of the photo's sha256, a view number and `seed` of params.yaml. The number is drawn
    from torch's generator, so that every epoch sees other views, and `torch.manual_seed` repeats them. After
    `set_epoch` it is the epoch, which needs no seed; view n is then the one on which the pipeline trains too.

    Attributes:
        classes: names, in the order of their indices; those of all splits.
        class_to_idx: the index of each name.
        paths: of the photos' files.
        targets: the class index of each photo.
    """

    def __init__(
        self, photos: Sequence[Sample], classes: list[str], raw: Path, recipe: Recipe, views: Views, *, uint8: bool
    ):
        self.classes, self.class_to_idx = classes, {label: index for index, label in enumerate(classes)}
        self.paths = [raw / photo.path for photo in photos]
        self.targets: list[int] = splits.labels(photos, classes).tolist()
        self._sha256, self._recipe, self._views, self._uint8 = [p.sha256 for p in photos], recipe, views, uint8
        mean, std = recipe.preprocessing.mean, recipe.preprocessing.std
        self._mean, self._std = (255 * torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        # Shared, so that a DataLoader's persistent workers see a change.
        self._epoch = torch.tensor(_DRAWN).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Show random view `epoch` of each photo, from 0, until the next call; as in `DistributedSampler`."""
        if not 0 <= epoch < FIRST_TTA_VIEW:
            raise ValueError(f"epoch must be from 0 to {FIRST_TTA_VIEW - 1}, not {epoch}")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        number = PLAIN
        if self._views == "random":
            epoch = int(self._epoch)
            number = int(torch.randint(FIRST_TTA_VIEW, ())) if epoch == _DRAWN else epoch
        (drawn,) = self._recipe.open(self.paths[index], self._sha256[index], [number]).views()
        view = torch.from_numpy(drawn)
        # Normalised as in `boatyard.models.network.Embedder`.
        return view if self._uint8 else (view - self._mean) / self._std, self.targets[index]
