"""Every section of params.yaml except `dataset`, and the file as a whole.

Every key must be in params.yaml: the file is the one record of what a run did. So no field has a default, except for
`dataset.layout.rename`; its first example is what an error message suggests where the key is missing. A field's
description is its comment in the presets (`make presets`); `{range}` in it is replaced by the numbers or words that the
field accepts.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from boatyard.params.dataset import Dataset
from boatyard.params.tta_policies import POLICIES
from boatyard.params.types import (
    Count,
    Fraction,
    Names,
    Pair,
    PositiveCount,
    Probability,
    Section,
    Strength,
    possible,
    unique,
)

# Keys that have a new name, old to new, both with their sections: an error for an old key names the new one.
RENAMED: dict[str, str] = {}


class Filter(Section):
    min_images: PositiveCount = Field(examples=[20], description="{range} photos · classes with fewer are left out")
    keep: Names = Field(examples=[[]], description="class names · empty: all")
    drop: Names = Field(examples=[[]], description="class names to leave out")

    @model_validator(mode="after")
    def _keep_or_drop(self) -> Self:
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise ValueError(f"class {both[0]!r} is in both keep and drop; remove it from one of them")
        return self


class StratifiedSplit(Section):
    """Each class is split by the same fractions, in an order that depends only on the photos' content and the seed."""

    method: Literal["stratified"] = Field(description="by fraction")
    train: Fraction = Field(examples=[0.6], description="{range} · fraction of each class; the three add up to 1")
    validation: Fraction = Field(examples=[0.2], description="{range}")
    test: Fraction = Field(examples=[0.2], description="{range}")
    near_duplicates: Annotated[int, Field(ge=0, le=47)] = Field(
        examples=[24],
        description="{range} of 256 bits · photos with hashes this close, mirrored or not, stay in the same split",
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test is {total:g}; make the three add up to 1")
        return self


class CountsSplit(Section):
    """Per class, in file-name order: the first `train` photos, the next `validation` photos, the rest for test."""

    method: Literal["counts"] = Field(description="by number, in file-name order")
    train: PositiveCount = Field(examples=[60], description="{range} · the first photos of each class")
    validation: PositiveCount = Field(examples=[10], description="{range} · the next; the rest is for test")


class FoldersSplit(Section):
    """The split that the data set was published with (dataset.layout.kind: split_folders)."""

    method: Literal["folders"] = Field(description="as published")


Split = Annotated[StratifiedSplit | CountsSplit | FoldersSplit, Field(discriminator="method")]


class Image(Section):
    size: Literal["backbone"] | Annotated[int, Field(ge=32, le=1024)] = Field(
        examples=["backbone"], description="{range} pixels · backbone: the size it was trained with"
    )
    crop: Literal["backbone", "squash"] | Annotated[float, Field(ge=0.5, le=1)] = Field(
        examples=["backbone"],
        description="{range} of the short side, from the middle · squash: the whole photo · backbone: its own",
    )


class Augment(Section):
    scale: Pair[Annotated[float, Field(gt=0, le=1)]] = Field(
        examples=[[0.8, 1.0]], description="{range} · area of the random crop, as a fraction of the photo's"
    )
    aspect: Pair[Annotated[float, Field(ge=0.1, le=10)]] = Field(
        examples=[[0.75, 1.3333]],
        description="{range} · width / height of the crop; with squash, times the photo's own",
    )
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        examples=[15], description="{range} degrees, in either direction"
    )
    horizontal_flip: bool = Field(examples=[True], description="in half of the views")
    vertical_flip: bool = Field(examples=[False], description="in half of the views")
    brightness: Strength = Field(examples=[0.0], description="{range} · the factor is drawn from 1 ± this")
    contrast: Strength = Field(examples=[0.0], description="{range} · likewise")
    saturation: Strength = Field(examples=[0.0], description="{range} · likewise")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        examples=[0.0], description="{range} of the colour circle, in either direction"
    )


class Features(Section):
    views: Annotated[int, Field(ge=0, le=1000)] = Field(
        examples=[4], description="{range} random views of each training photo · 0: train on the plain view"
    )


class Head(Section):
    hidden: Annotated[int, Field(ge=0, le=16384)] = Field(
        examples=[256], description="{range} hidden units · 0: a single linear layer"
    )
    dropout: Probability = Field(examples=[0.4])


def _file_name(weights: str) -> str:
    if "/" in weights:
        raise ValueError("write only the file's name, and put the file into models/weights/, which DVC tracks")
    for name in weights.split("+"):
        possible(name)
    return weights


class Model(Section):
    backbone: str = Field(
        min_length=1,
        examples=["efficientnet_lite0"],
        description="a name that `boatyard backbones` lists · timm/<name> · several, joined by +",
    )
    weights: Annotated[str, AfterValidator(_file_name)] = Field(
        min_length=1,
        examples=["default"],
        description="default · a published name (IMAGENET1K_V1) · weights or a model in models/weights/ · none: random",
    )
    head: Head


Optimiser = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]
Rate = Annotated[float, Field(gt=0, le=10)]
Decay = Annotated[float, Field(ge=0, le=1)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]

_OPTIMISER = "{range} (Nesterov momentum 0.9)"
_SCHEDULE = "{range}: the learning rate falls to 0 over the epochs"
_PATIENCE = "{range} epochs without a better validation loss before training stops"
_WARMUP = "{range} epochs in which the learning rate rises; fewer than epochs"


S = TypeVar("S", "Train", "Finetune")


def _warmup_ends(section: S) -> S:
    if 0 < section.epochs <= section.warmup:
        raise ValueError(f"warmup is {section.warmup} of {section.epochs} epochs; make it less than epochs")
    return section


class Train(Section):
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(examples=[100], description="{range} at most")
    patience: PositiveCount = Field(examples=[10], description=_PATIENCE)
    batch_size: BatchSize = Field(examples=[128], description="{range} photos")
    optimiser: Optimiser = Field(examples=["adam"], description=_OPTIMISER)
    lr: Rate = Field(examples=[0.001], description="{range} · learning rate")
    schedule: Schedule = Field(examples=["constant"], description=_SCHEDULE)
    warmup: Count = Field(examples=[0], description=_WARMUP)
    weight_decay: Decay = Field(examples=[0.0])
    label_smoothing: Probability = Field(
        examples=[0.0], description="{range} of each label's probability, spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        examples=["none"], description="{range}: every class has the same weight, however rare"
    )

    _ends = model_validator(mode="after")(_warmup_ends)


class Finetune(Section):
    epochs: Annotated[int, Field(ge=0, le=100_000)] = Field(
        examples=[0], description="{range} at most · 0: the backbone stays as published"
    )
    patience: PositiveCount = Field(examples=[3], description=_PATIENCE)
    batch_size: BatchSize = Field(examples=[32], description="{range} photos")
    blocks: Literal["all"] | PositiveCount = Field(
        examples=["all"], description="all · {range}: the last blocks of the backbone"
    )
    optimiser: Optimiser = Field(examples=["adamw"], description=_OPTIMISER)
    lr: Rate = Field(examples=[0.0001], description="{range} · learning rate of the head and the last block")
    block_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        examples=[0.9], description="{range} · layer decay: each earlier block's learning rate is multiplied by this"
    )
    schedule: Schedule = Field(examples=["cosine"], description=_SCHEDULE)
    warmup: Count = Field(examples=[0], description=_WARMUP)
    weight_decay: Decay = Field(examples=[0.01])
    clip: Annotated[float, Field(gt=0)] = Field(
        examples=[1.0], description="{range} · gradient clipping: the largest norm"
    )

    _ends = model_validator(mode="after")(_warmup_ends)


class Evaluate(Section):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(
        examples=[2000], description="{range} bootstrap resamples of the test photos, for the 95 % intervals"
    )
    bins: Annotated[int, Field(ge=2, le=100)] = Field(
        examples=[15], description="{range} confidence bins of the calibration error"
    )


def _known_policy(name: str) -> str:
    if name not in POLICIES:
        raise PydanticCustomError("unknown_policy", "Input should be " + " or ".join(map(repr, POLICIES)))
    return name


class Tta(Section):
    policies: Annotated[
        list[Annotated[str, AfterValidator(_known_policy)]], Field(min_length=1), AfterValidator(unique)
    ] = Field(
        examples=[["random"]], description=" · ".join(f"{name}: {each.description}" for name, each in POLICIES.items())
    )
    views: Annotated[int, Field(ge=2, le=100)] = Field(
        examples=[5], description="{range} views of each photo under 'random', including the plain view"
    )


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        examples=[0], description="{range} · decides the split, the random views and the head's initial weights"
    )
    dataset: Dataset
    filter: Filter
    split: Split
    image: Image
    augment: Augment = Field(description="random views of a photo")
    features: Features
    model: Model
    train: Train = Field(description="the head, on cached features")
    finetune: Finetune = Field(description="then the backbone's last blocks and the head, end to end")
    evaluate: Evaluate
    tta: Tta = Field(description="test-time augmentation: flips, or random views")

    @model_validator(mode="after")
    def _flips_allowed(self) -> Self:
        flips = range((1 + self.augment.horizontal_flip) * (1 + self.augment.vertical_flip) - 1)
        for name in self.tta.policies:
            if not POLICIES[name].choose(flips, range(self.tta.views - 1)):
                raise ValueError(f"tta.policies has {name!r}, but augment allows no flip; remove it or allow one")
        return self

    @model_validator(mode="after")
    def _split_fits_layout(self) -> Self:
        if self.split.method == "folders" and self.dataset.layout.kind != "split_folders":
            raise ValueError("split.method is 'folders', which needs dataset.layout.kind: split_folders; change either")
        return self
