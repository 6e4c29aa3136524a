"""Every section of params.yaml but `dataset`, and the whole of it.

Every key must be written in params.yaml: the file is the one place that says what a run did.
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
    PositiveCount,
    Probability,
    Range,
    Section,
    Strength,
    possible,
    unique,
)


class Filter(Section):
    min_images: PositiveCount = Field(examples=[20])
    keep: Names = Field(examples=[[]])
    drop: Names = Field(examples=[[]])

    @model_validator(mode="after")
    def _keep_or_drop(self) -> Self:
        both = sorted(set(self.keep) & set(self.drop))
        if both:
            raise ValueError(f"class {both[0]!r} stands in both keep and drop; take it out of one of them")
        return self


class StratifiedSplit(Section):
    """Each class cut by the same fractions, in an order that only the photos' content and the seed decide."""

    method: Literal["stratified"]
    train: Fraction = Field(examples=[0.6])
    validation: Fraction = Field(examples=[0.2])
    test: Fraction = Field(examples=[0.2])
    near_duplicates: Annotated[int, Field(ge=0, le=47)] = Field(examples=[24])

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test is {total:g}; make the three add up to 1")
        return self


class CountsSplit(Section):
    """Per class, in file-name order: the first `train` photos, the next `validation`, the rest for test."""

    method: Literal["counts"]
    train: PositiveCount = Field(examples=[60])
    validation: PositiveCount = Field(examples=[10])


class FoldersSplit(Section):
    """The split that the data set came with (dataset.layout.kind: split_folders)."""

    method: Literal["folders"]


Split = Annotated[StratifiedSplit | CountsSplit | FoldersSplit, Field(discriminator="method")]


class Image(Section):
    size: Literal["backbone"] | Annotated[int, Field(ge=32, le=1024)] = Field(examples=["backbone"])
    crop: Literal["backbone", "squash"] | Annotated[float, Field(ge=0.5, le=1)] = Field(examples=["backbone"])


class Augment(Section):
    scale: Annotated[Range, Field(examples=[[0.8, 1.0]])]
    aspect: Annotated[Range, Field(examples=[[0.75, 1.3333]])]
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(examples=[15])
    horizontal_flip: bool = Field(examples=[True])
    vertical_flip: bool = Field(examples=[False])
    brightness: Strength = Field(examples=[0.0])
    contrast: Strength = Field(examples=[0.0])
    saturation: Strength = Field(examples=[0.0])
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(examples=[0.0])

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not (self.scale[0] > 0 and self.scale[1] <= 1):
            raise ValueError(f"scale is {self.scale}, a range of fractions of the photo's area; keep it in (0, 1]")
        if not (self.aspect[0] >= 0.1 and self.aspect[1] <= 10):
            raise ValueError(f"aspect is {self.aspect}, a range of width over height; keep it in [0.1, 10]")
        return self


class Features(Section):
    views: Annotated[int, Field(ge=0, le=1000)] = Field(examples=[4])


class Head(Section):
    hidden: Annotated[int, Field(ge=0, le=16384)] = Field(examples=[256])
    dropout: Probability = Field(examples=[0.4])


def _file_name(weights: str) -> str:
    if "/" in weights:
        raise ValueError("write the file's name alone, and put it into models/weights/, where DVC sees it change")
    for name in weights.split("+"):
        possible(name)
    return weights


class Model(Section):
    backbone: str = Field(min_length=1, examples=["efficientnet_lite0"])
    weights: Annotated[str, AfterValidator(_file_name)] = Field(min_length=1, examples=["default"])
    head: Head


Optimiser = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]
Rate = Annotated[float, Field(gt=0, le=10)]
Decay = Annotated[float, Field(ge=0, le=1)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]


class Train(Section):
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(examples=[100])
    patience: PositiveCount = Field(examples=[10])
    batch_size: BatchSize = Field(examples=[128])
    optimiser: Optimiser = Field(examples=["adam"])
    lr: Rate = Field(examples=[0.001])
    schedule: Schedule = Field(examples=["constant"])
    warmup: Count = Field(examples=[0])
    weight_decay: Decay = Field(examples=[0.0])
    label_smoothing: Probability = Field(examples=[0.0])
    class_weights: Literal["none", "balanced"] = Field(examples=["none"])

    @model_validator(mode="after")
    def _warm_in_time(self) -> Self:
        return _warm_in_time(self, self.epochs, self.warmup)


class Finetune(Section):
    epochs: Annotated[int, Field(ge=0, le=100_000)] = Field(examples=[0])
    patience: PositiveCount = Field(examples=[3])
    batch_size: BatchSize = Field(examples=[32])
    blocks: Literal["all"] | PositiveCount = Field(examples=["all"])
    optimiser: Optimiser = Field(examples=["adamw"])
    lr: Rate = Field(examples=[0.0001])
    block_decay: Annotated[float, Field(gt=0, le=1)] = Field(examples=[0.9])
    schedule: Schedule = Field(examples=["cosine"])
    warmup: Count = Field(examples=[0])
    weight_decay: Decay = Field(examples=[0.01])
    clip: Annotated[float, Field(gt=0)] = Field(examples=[1.0])

    @model_validator(mode="after")
    def _warm_in_time(self) -> Self:
        return _warm_in_time(self, self.epochs, self.warmup) if self.epochs else self


S = TypeVar("S", bound=Section)


def _warm_in_time(section: S, epochs: int, warmup: int) -> S:
    if warmup >= epochs:
        raise ValueError(f"warmup is {warmup} of {epochs} epochs; make it less than epochs")
    return section


class Evaluate(Section):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(examples=[2000])
    bins: Annotated[int, Field(ge=2, le=100)] = Field(examples=[15])


def _known_policy(name: str) -> str:
    if name not in POLICIES:
        raise PydanticCustomError("unknown_policy", "Input should be " + " or ".join(map(repr, POLICIES)))
    return name


class Tta(Section):
    policies: Annotated[
        list[Annotated[str, AfterValidator(_known_policy)]], Field(min_length=1), AfterValidator(unique)
    ] = Field(examples=[["random"]])
    views: Annotated[int, Field(ge=2, le=100)] = Field(examples=[5])


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(examples=[0])
    dataset: Dataset
    filter: Filter
    split: Split
    image: Image
    augment: Augment
    features: Features
    model: Model
    train: Train
    finetune: Finetune
    evaluate: Evaluate
    tta: Tta

    @model_validator(mode="after")
    def _flips_allowed(self) -> Self:
        flips = range((1 + self.augment.horizontal_flip) * (1 + self.augment.vertical_flip) - 1)
        for name in self.tta.policies:
            if not POLICIES[name].choose(flips, range(self.tta.views - 1)):
                raise ValueError(f"tta.policies has {name!r}, but augment allows no flip; take it out or allow one")
        return self

    @model_validator(mode="after")
    def _split_fits_layout(self) -> Self:
        if self.split.method == "folders" and self.dataset.layout.kind != "split_folders":
            raise ValueError("split.method is 'folders', which needs dataset.layout.kind: split_folders; change either")
        return self
