"""The `dataset` section: where the photos come from, and how folders or a table label them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from boatyard.params.types import Count, RelativePath, Section, Sha256


class FoldersLayout(Section):
    """One folder per class; photos at any depth below it."""

    kind: Literal["folders"]
    root: RelativePath = Field(examples=["."])


class TableLayout(Section):
    """A table that gives each photo's path and its label, one row a photo."""

    kind: Literal["table"]
    root: RelativePath = Field(examples=["."])
    file: RelativePath = Field(examples=["labels.csv"])
    delimiter: Literal["comma", "semicolon", "tab", "whitespace"]
    header: bool
    path: str | Count = Field(examples=["path"])
    label: list[str | Count] = Field(min_length=1, examples=[["label"]])
    rename: dict[str, str] = Field(examples=[{}])

    @model_validator(mode="after")
    def _columns(self) -> Self:
        columns = [self.path, *self.label]
        if not self.header and any(isinstance(column, str) for column in columns):
            raise ValueError("header is false, so path and label must be column numbers, counted from 0")
        return self


class SplitFoldersLayout(Section):
    """Already split: train/, val/ (or validation/, valid/) and test/, each with one folder per class."""

    kind: Literal["split_folders"]
    root: RelativePath = Field(examples=["."])


Layout = Annotated[FoldersLayout | TableLayout | SplitFoldersLayout, Field(discriminator="kind")]


class PypiDataset(Section):
    """Photos inside a PyPI package's wheel, fetched with this machine's own pip configuration."""

    source: Literal["pypi"]
    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["elpv-dataset"])
    version: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9.!+_-]*$", examples=["1.0.0.post1"])
    sha256: Sha256 = Field(examples=["<the wheel's sha256>"])
    licence: str = Field(examples=["CC BY 4.0"])
    layout: Layout


class FolderDataset(Section):
    """One's own photos, under data/incoming/."""

    source: Literal["folder"]
    licence: str = Field(examples=["private"])
    layout: Layout


Dataset = Annotated[PypiDataset | FolderDataset, Field(discriminator="source")]
