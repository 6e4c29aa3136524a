"""The `dataset` section: where the photos come from, and how folders or a table label them.

A new source is a subclass of `DatasetSection`, a module of `boatyard.sources` with a function `fetch`, and one entry of
`SOURCES` that names both.
"""

import re
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, Field, field_validator, model_validator

from boatyard.params.types import Count, Licence, PositiveCount, RelativePath, Section, Sha256, possible

# A column in a table's path pattern: train/{id}.jpg
COLUMN = re.compile(r"\{([^{}]+)\}")


# May be left out: then every name stays.
Rename = Annotated[dict[str, str], Field(examples=[{}], description="class names, and what to call them")]


class FoldersLayout(Section):
    """A folder per class, with photos at any depth."""

    kind: Literal["folders"] = Field(description="one per class")
    root: RelativePath = Field(examples=["."])
    rename: Rename = Field(default={})


class TableLayout(Section):
    """A table with each photo's path and label, one row per photo.

    `path` is the column with the path, or a pattern with columns in braces where no column has the whole path.
    """

    kind: Literal["table"] = Field(description="a file of paths and labels")
    root: RelativePath = Field(examples=["."], description="the folder that the table's paths are relative to")
    file: RelativePath = Field(examples=["labels.csv"])
    delimiter: Literal["comma", "semicolon", "tab", "whitespace"] = Field(examples=["comma"])
    header: bool = Field(examples=[True], description="true: the first row names the columns")
    path: str | Count = Field(
        examples=["path"],
        description="column of the photo's path, by name or number from 0 · or a pattern: train/{id}.jpg",
    )
    label: list[str | Count] = Field(
        min_length=1, examples=[["label"]], description="columns of the label, joined by '-' after renaming"
    )
    rename: dict[str, str] = Field(
        default={}, examples=[{}], description="values of the label columns, and what to call them"
    )

    @model_validator(mode="after")
    def _columns(self) -> Self:
        if not self.header and any(isinstance(column, str) for column in (*self.path_columns, *self.label)):
            raise ValueError("header is false, so path and label must be column numbers, counted from 0")
        return self

    @field_validator("path")
    @classmethod
    def _balanced(cls, path: str | int) -> str | int:
        if isinstance(path, str) and set("{}") & set(COLUMN.sub("", path)):
            raise ValueError("write each column of the pattern in a pair of braces, as in train/{id}.jpg")
        return path

    @property
    def path_columns(self) -> list[str | int]:
        """The columns that make up a photo's path."""
        if isinstance(self.path, int):
            return [self.path]
        names = COLUMN.findall(self.path) or [self.path]
        return names if self.header else [int(name) if name.isdecimal() else name for name in names]


class SplitFoldersLayout(Section):
    """Already split: train/, val/ (or validation/, valid/) and test/, each with a folder per class."""

    kind: Literal["split_folders"] = Field(description="train/, val/, test/")
    root: RelativePath = Field(examples=["."])
    rename: Rename = Field(default={})


Layout = Annotated[FoldersLayout | TableLayout | SplitFoldersLayout, Field(discriminator="kind")]


class TorchvisionLayout(Section):
    """Whether to join the published splits of the data set or to keep them."""

    kind: Literal["folders", "split_folders"]
    rename: Rename = Field(default={})


class DatasetSection(Section):
    """The base of every source's section. `source` is a `Literal` with the name that selects the section."""

    if TYPE_CHECKING:  # each section declares its own, in the order of params.yaml
        source: str
        licence: str
        layout: Layout | TorchvisionLayout


class PypiDataset(DatasetSection):
    """Photos inside a PyPI package's wheel, fetched with this machine's own pip configuration."""

    source: Literal["pypi"]
    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["elpv-dataset"])
    version: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9.!+_-]*$", examples=["1.0.0.post1"])
    sha256: Sha256 = Field(examples=["<the wheel's sha256>"])
    licence: Licence = Field(examples=["CC BY 4.0"])
    layout: Layout


class FolderDataset(DatasetSection):
    """Your own photos, under data/incoming/."""

    source: Literal["folder"] = Field(description="your photos in data/incoming")
    licence: Licence = Field(examples=["private"])
    layout: Layout


def _with_scheme(url: str) -> str:
    if not (scheme := re.match("[A-Za-z][A-Za-z0-9+]*://(?=.)", url)):
        raise ValueError("write the whole address, as in https://…, file:///… or s3://…")
    url = scheme[0].lower() + url[scheme.end() :]
    # Other addresses are checked where they are fetched: an error raised here would show a password in the address.
    if url.startswith("file://"):
        possible(unquote(url))
    return url


def _owner_and_name(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]+/[A-Za-z0-9_-]+", name):
        raise ValueError("write owner/name, as in the address of the data set's page")
    return name


class Archive(Section):
    """A zip or tar archive. `url` is http(s), file, or what fsspec opens: s3, gs, …"""

    url: Annotated[str, AfterValidator(_with_scheme)] = Field(examples=["https://example.org/photos.zip"])
    sha256: Sha256 = Field(examples=["<the archive's sha256>"])


class UrlDataset(DatasetSection):
    """Photos inside archives, all unpacked into one folder."""

    source: Literal["url"] = Field(description="archives")
    archives: list[Archive] = Field(min_length=1, examples=[[{"url": "https://…", "sha256": "…"}]])
    licence: Licence = Field(examples=["CC BY 4.0"])
    layout: Layout


class TorchvisionDataset(DatasetSection):
    """One of torchvision's image-classification data sets, by the name of its class.

    `options` are arguments of the class. With `download: false` the data set must be under data/incoming, in the
    folders that torchvision expects.
    """

    source: Literal["torchvision"]
    name: str = Field(pattern="^[A-Za-z0-9]+$", examples=["Flowers102"], description="a class of torchvision.datasets")
    options: dict[str, str | int | bool] = Field(examples=[{}], description="arguments of that class")
    download: bool = Field(examples=["true"], description="false: it is in data/incoming, in torchvision's folders")
    licence: Licence = Field(examples=["see the data set's page"])
    layout: TorchvisionLayout


class KaggleDataset(DatasetSection):
    """A Kaggle data set, fetched by the package kagglehub."""

    source: Literal["kaggle"]
    name: Annotated[str, AfterValidator(_owner_and_name)] = Field(examples=["clorichel/boat-types-recognition"])
    version: PositiveCount = Field(examples=[1])
    licence: Licence = Field(examples=["CC0"])
    layout: Layout


# The registry of sources: each section, and the module of boatyard.sources that fetches what it describes. It is named,
# not imported, because every stage imports this file, and a change to a source must rerun no stage but download.
SOURCES: dict[type[DatasetSection], str] = {
    PypiDataset: "pypi",
    FolderDataset: "folder",
    UrlDataset: "url",
    TorchvisionDataset: "torchvision_datasets",
    KaggleDataset: "kaggle",
}

if TYPE_CHECKING:
    Dataset = DatasetSection
else:
    Dataset = Annotated[reduce(or_, SOURCES), Field(discriminator="source")]
