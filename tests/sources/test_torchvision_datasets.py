import gzip
import hashlib
import importlib.util
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from small_disk import small_disk
from sources_drawing import photo, silent, tarred, tree, write
from sources_server import Resource, Site, certificate, encrypted, serving, trust
from torchvision import datasets

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import TorchvisionDataset, TorchvisionLayout
from boatyard.sources import http, torchvision_datasets


def fetch(
    tmp_path: Path,
    name: str,
    kind: str = "folders",
    download: bool = False,
    layout: TorchvisionLayout | None = None,
    **options: Any,
) -> sources.Fetched:
    asked = TorchvisionDataset(
        source="torchvision",
        name=name,
        options=options,
        download=download,
        licence="CC0",
        layout=layout or TorchvisionLayout(kind=kind),  # type: ignore[arg-type]
    )
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


Patch = pytest.MonkeyPatch


@dataclass
class Drawn:
    """A data set drawn in the folders that torchvision expects, and the expected data/raw."""

    files: dict[str, bytes]
    raw: dict[str, bytes]  # with the layout `split_folders` if the data set has splits
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "split_folders"
    finish: Callable[[Path, Patch], None] = lambda folder, patch: None


def flowers(folder: Path, patch: Patch) -> None:
    """The lists of Flowers102, whose md5 torchvision knows."""
    base = folder / "flowers-102"
    savemat(base / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 102, 102, 2]])})
    savemat(base / "setid.mat", {"trnid": np.array([[1, 2]]), "valid": np.array([[3, 5]]), "tstid": np.array([[4, 6]])})
    names = {"image": "102flowers.tgz", "label": "imagelabels.mat", "setid": "setid.mat"}
    lists = {key: (name, md5(base / name) if key != "image" else "") for key, name in names.items()}
    patch.setattr(datasets.Flowers102, "_file_dict", lists)


def cars(folder: Path, patch: Patch) -> None:
    base = folder / "stanford_cars"
    kind = [("fname", object), ("class", np.uint8)]
    savemat(base / "devkit/cars_train_annos.mat", {"annotations": np.array([("1.jpg", 2), ("2.jpg", 1)], kind)})
    savemat(base / "cars_test_annos_withlabels.mat", {"annotations": np.array([("1.jpg", 1), ("2.jpg", 1)], kind)})
    names = np.array(["AM General Hummer", "Ram C/V Van"], object)
    savemat(base / "devkit/cars_meta.mat", {"class_names": names})


def places(folder: Path, patch: Patch) -> None:
    known = datasets.Places365._FILE_LIST_META
    lists = {split: (known[split][0], md5(folder / known[split][0])) for split in ("train-standard", "val")}
    patch.setattr(datasets.Places365, "_FILE_LIST_META", lists)
    categories = "categories_places365.txt"
    patch.setattr(datasets.Places365, "_CATEGORIES_META", (categories, md5(folder / categories)))


def omniglot(folder: Path, patch: Patch) -> None:
    base = folder / "omniglot-py"
    sums = {part: md5(base / f"{part}.zip") for part in ("images_background", "images_evaluation")}
    patch.setattr(datasets.Omniglot, "zips_md5", sums)


SCENES = b'{"scenes": [{"image_filename": "%s.png", "objects": [{}, {}, {}]}]}'

DRAWN = {
    "Caltech101": Drawn(
        {
            "caltech101/101_ObjectCategories/crab/image_0001.jpg": photo(1, "JPEG"),
            "caltech101/101_ObjectCategories/crab/image_0002.jpg": photo(2, "JPEG"),
            "caltech101/101_ObjectCategories/ant/image_0001.jpg": photo(3, "JPEG"),
            "caltech101/101_ObjectCategories/BACKGROUND_Google/image_0001.jpg": photo(4, "JPEG"),
        },
        {
            "ant/image_0001.jpg": photo(3, "JPEG"),
            "crab/image_0001.jpg": photo(1, "JPEG"),
            "crab/image_0002.jpg": photo(2, "JPEG"),
        },
        kind="folders",
    ),
    "Caltech256": Drawn(
        {
            "caltech256/256_ObjectCategories/001.ak47/001_0001.jpg": photo(1, "JPEG"),
            "caltech256/256_ObjectCategories/198.spider/198_0002.jpg": photo(2, "JPEG"),
            "caltech256/256_ObjectCategories/198.spider/RENAME2": b"no photo",
        },
        {"001.ak47/001_0001.jpg": photo(1, "JPEG"), "198.spider/198_0002.jpg": photo(2, "JPEG")},
        kind="folders",
    ),
    "CLEVRClassification": Drawn(
        {
            "clevr/CLEVR_v1.0/images/train/a.png": photo(1),
            "clevr/CLEVR_v1.0/images/val/b.png": photo(2),
            "clevr/CLEVR_v1.0/scenes/CLEVR_train_scenes.json": SCENES % b"a",
            "clevr/CLEVR_v1.0/scenes/CLEVR_val_scenes.json": SCENES % b"b",
        },
        {"3/train__a.png": photo(1), "3/validation__b.png": photo(2)},
    ),
    "Country211": Drawn(
        {
            "country211/train/AD/1.jpg": photo(1),
            "country211/valid/AD/2.jpg": photo(2),
            "country211/test/AE/3.jpg": photo(3),
        },
        {"AD/train__1.jpg": photo(1), "AD/validation__2.jpg": photo(2), "AE/test__3.jpg": photo(3)},
    ),
    "DTD": Drawn(
        {
            "dtd/dtd/images/dotted/a.jpg": photo(1),
            "dtd/dtd/images/woven/b.jpg": photo(2),
            "dtd/dtd/images/woven/c.jpg": photo(3),
            "dtd/dtd/labels/train2.txt": b"dotted/a.jpg\n",
            "dtd/dtd/labels/val2.txt": b"woven/b.jpg\n",
            "dtd/dtd/labels/test2.txt": b"woven/c.jpg\n",
        },
        {"dotted/train__a.jpg": photo(1), "woven/validation__b.jpg": photo(2), "woven/test__c.jpg": photo(3)},
        {"partition": 2},
    ),
    "EuroSAT": Drawn(
        {"eurosat/2750/River/River_1.jpg": photo(1), "eurosat/2750/Forest/Forest_1.jpg": photo(2)},
        {"River/River_1.jpg": photo(1), "Forest/Forest_1.jpg": photo(2)},
        kind="folders",
    ),
    "FGVCAircraft": Drawn(
        {
            "fgvc-aircraft-2013b/data/images/1.jpg": photo(1),
            "fgvc-aircraft-2013b/data/images/2.jpg": photo(2),
            "fgvc-aircraft-2013b/data/images/3.jpg": photo(3),
            "fgvc-aircraft-2013b/data/variants.txt": b"747-100\nF/A-18\n",
            "fgvc-aircraft-2013b/data/images_variant_train.txt": b"1 747-100\n",
            "fgvc-aircraft-2013b/data/images_variant_val.txt": b"2 F/A-18\n",
            "fgvc-aircraft-2013b/data/images_variant_test.txt": b"3 747-100\n",
        },
        {"747-100/train__1.jpg": photo(1), "F-A-18/validation__2.jpg": photo(2), "747-100/test__3.jpg": photo(3)},
    ),
    "Flowers102": Drawn(
        {f"flowers-102/jpg/image_0000{number}.jpg": photo(number) for number in range(1, 7)},
        {
            "pink primrose/train__image_00001.jpg": photo(1),
            "hard-leaved pocket orchid/train__image_00002.jpg": photo(2),
            "pink primrose/validation__image_00003.jpg": photo(3),
            "blackberry lily/test__image_00004.jpg": photo(4),
            "blackberry lily/validation__image_00005.jpg": photo(5),
            "hard-leaved pocket orchid/test__image_00006.jpg": photo(6),
        },
        finish=flowers,
    ),
    "Food101": Drawn(
        {
            "food-101/images/pizza/1.jpg": photo(1),
            "food-101/images/sushi/2.jpg": photo(2),
            "food-101/images/sushi/3.jpg": photo(3),
            "food-101/meta/train.json": b'{"pizza": ["pizza/1"], "sushi": ["sushi/2"]}',
            "food-101/meta/test.json": b'{"pizza": [], "sushi": ["sushi/3"]}',
        },
        {"pizza/train__1.jpg": photo(1), "sushi/train__2.jpg": photo(2), "sushi/test__3.jpg": photo(3)},
    ),
    "GTSRB": Drawn(
        {
            "gtsrb/GTSRB/Training/00000/00000_00000.ppm": photo(1, "PPM"),
            "gtsrb/GTSRB/Training/00001/00000_00000.ppm": photo(2, "PPM"),
            "gtsrb/GTSRB/Final_Test/Images/00000.ppm": photo(3, "PPM"),
            "gtsrb/GT-final_test.csv": b"Filename;Width;ClassId\n00000.ppm;8;1\n",
        },
        {
            "0/train__00000_00000.ppm": photo(1, "PPM"),
            "1/train__00000_00000.ppm": photo(2, "PPM"),
            "1/test__00000.ppm": photo(3, "PPM"),
        },
    ),
    "Imagenette": Drawn(
        {
            "imagenette2-160/train/n01440764/a.jpeg": photo(1),
            "imagenette2-160/val/n01440764/b.jpeg": photo(2),
            "imagenette2-160/train/n02102040/c.jpeg": photo(3),
            "imagenette2-160/val/n02102040/d.jpeg": photo(4),
        },
        {
            "tench/train__a.jpeg": photo(1),
            "tench/validation__b.jpeg": photo(2),
            "English springer/train__c.jpeg": photo(3),
            "English springer/validation__d.jpeg": photo(4),
        },
        {"size": "160px"},
    ),
    "INaturalist": Drawn(
        {
            "2021_valid/00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_friendi/a.jpg": photo(1),
            "2021_valid/00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Sabella_pavonina/a.jpg": photo(2),
        },
        {
            "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_friendi/a.jpg": photo(1),
            "00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Sabella_pavonina/a.jpg": photo(2),
        },
        {"version": "2021_valid"},
        kind="folders",
    ),
    "Omniglot": Drawn(
        {
            "omniglot-py/images_background.zip": b"",
            "omniglot-py/images_evaluation.zip": b"",
            "omniglot-py/images_background/Greek/character01/1.png": photo(1),
            "omniglot-py/images_evaluation/Tibetan/character01/2.png": photo(2),
        },
        {"Greek-character01/1.png": photo(1), "Tibetan-character01/2.png": photo(2)},
        kind="folders",
        finish=omniglot,
    ),
    "OxfordIIITPet": Drawn(
        {
            "oxford-iiit-pet/images/Abyssinian_1.jpg": photo(1),
            "oxford-iiit-pet/images/american_bulldog_1.jpg": photo(2),
            "oxford-iiit-pet/images/Abyssinian_2.jpg": photo(3),
            "oxford-iiit-pet/images/american_bulldog_2.jpg": photo(4),
            "oxford-iiit-pet/annotations/trainval.txt": b"Abyssinian_1 1 1 1\namerican_bulldog_1 2 2 1\n",
            "oxford-iiit-pet/annotations/test.txt": b"Abyssinian_2 1 1 1\namerican_bulldog_2 2 2 1\n",
        },
        {
            "Abyssinian/train__Abyssinian_1.jpg": photo(1),
            "Abyssinian/test__Abyssinian_2.jpg": photo(3),
            "American Bulldog/train__american_bulldog_1.jpg": photo(2),
            "American Bulldog/test__american_bulldog_2.jpg": photo(4),
        },
    ),
    "Places365": Drawn(
        {
            "categories_places365.txt": b"/a/airfield 0\n/a/apartment_building/outdoor 1\n",
            "places365_train_standard.txt": b"/a/airfield/1.jpg 0\n",
            "places365_val.txt": b"Places365_val_1.jpg 1\n",
            "data_256_standard/a/airfield/1.jpg": photo(1),
            "val_256/Places365_val_1.jpg": photo(2),
        },
        {
            "airfield/train__1.jpg": photo(1),
            "apartment_building-outdoor/validation__Places365_val_1.jpg": photo(2),
        },
        {"small": True},
        finish=places,
    ),
    "RenderedSST2": Drawn(
        {
            f"rendered-sst2/{split}/{label}/{number}.png": photo(number)
            for number, (split, label) in enumerate(
                (split, label) for split in ("train", "valid", "test") for label in ("negative", "positive")
            )
        },
        {
            "negative/train__0.png": photo(0),
            "positive/train__1.png": photo(1),
            "negative/validation__2.png": photo(2),
            "positive/validation__3.png": photo(3),
            "negative/test__4.png": photo(4),
            "positive/test__5.png": photo(5),
        },
    ),
    "StanfordCars": Drawn(
        {
            "stanford_cars/cars_train/1.jpg": photo(1),
            "stanford_cars/cars_train/2.jpg": photo(2),
            "stanford_cars/cars_test/1.jpg": photo(3),
            "stanford_cars/cars_test/2.jpg": photo(4),
            "stanford_cars/devkit/README.txt": b"",
        },
        {
            "Ram C-V Van/train__1.jpg": photo(1),
            "AM General Hummer/train__2.jpg": photo(2),
            "AM General Hummer/test__1.jpg": photo(3),
            "AM General Hummer/test__2.jpg": photo(4),
        },
        finish=cars,
    ),
    "SUN397": Drawn(
        {
            "SUN397/ClassName.txt": b"/a/abbey\n/a/apartment_building/outdoor\n",
            "SUN397/a/abbey/sun_a.jpg": photo(1),
            "SUN397/a/apartment_building/outdoor/sun_b.jpg": photo(2),
        },
        {"abbey/sun_a.jpg": photo(1), "apartment_building-outdoor/sun_b.jpg": photo(2)},
        kind="folders",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_original_files_in_class_folders(tmp_path: Path, monkeypatch: Patch, name: str) -> None:
    drawn = DRAWN[name]
    drawn.finish(write(tmp_path / "incoming", drawn.files), monkeypatch)
    before = tree(tmp_path / "incoming")
    fetched = fetch(tmp_path, name, drawn.kind, **drawn.options)
    assert tree(tmp_path / "raw") == drawn.raw
    assert (fetched.source, fetched.version, fetched.notes) == (f"torchvision {name}", "", ())
    assert tree(tmp_path / "incoming") == before


def test_splits_joined(tmp_path: Path) -> None:
    write(tmp_path / "incoming", DRAWN["Food101"].files)
    fetch(tmp_path, "Food101")
    assert list(tree(tmp_path / "raw")) == ["pizza/1.jpg", "sushi/2.jpg", "sushi/3.jpg"]


def test_one_split_alone(tmp_path: Path) -> None:
    write(tmp_path / "incoming", DRAWN["Food101"].files)
    fetch(tmp_path, "Food101", split="train")
    assert list(tree(tmp_path / "raw")) == ["pizza/1.jpg", "sushi/2.jpg"]


def test_classes_are_renamed_and_the_order_of_their_files_stays(tmp_path: Path) -> None:
    """The split by counts takes the first files of each class."""
    write(tmp_path / "incoming", DRAWN["Caltech256"].files | {
        "caltech256/256_ObjectCategories/009.bear/009_0002.jpg": photo(3, "JPEG"),
        "caltech256/256_ObjectCategories/009.bear/009_0001.jpg": photo(4, "JPEG"),
    })  # fmt: skip
    layout = TorchvisionLayout(kind="folders", rename={"009.bear": "bear", "198.spider": "spider"})
    fetch(tmp_path, "Caltech256", layout=layout)
    raw = tmp_path / "raw"
    assert list(tree(raw)) == ["001.ak47/001_0001.jpg", "bear/009_0001.jpg", "bear/009_0002.jpg", "spider/198_0002.jpg"]
    layout = TorchvisionLayout(kind="folders", rename={"009.bears": "bear"})
    with pytest.raises(UserError, match=r"torchvision's Caltech256 has no '009\.bears'; did you mean '009\.bear'\?$"):
        fetch(tmp_path, "Caltech256", layout=layout)


# Data sets of arrays.


def idx(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """An array in the format of MNIST's files."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def mnist(folder: Path, name: str, train: list[int], test: list[int], prefix: str = "") -> np.ndarray[Any, Any]:
    """Three photos for training and one for testing, of 28×28 random pixels; returns the four."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(train) + len(test), 28, 28), np.uint8)
    halves = {"train": (pixels[: len(train)], train), "t10k" if not prefix else "test": (pixels[len(train) :], test)}
    for half, (images, labels) in halves.items():
        stem = f"{name}/raw/{prefix}{half}"
        write(folder, {f"{stem}-images-idx3-ubyte": idx(images)})
        write(folder, {f"{stem}-labels-idx1-ubyte": idx(np.array(labels, np.uint8))})
    return pixels


def pixels_of(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_arrays_become_png_without_loss(tmp_path: Path) -> None:
    pixels = mnist(tmp_path / "incoming", "FashionMNIST", [0, 9, 0], [9])
    fetched = fetch(tmp_path, "FashionMNIST", "split_folders")
    paths = [
        "Ankle boot/test__test_000000.png",
        "Ankle boot/train__train_000001.png",
        "T-shirt-top/train__train_000000.png",
        "T-shirt-top/train__train_000002.png",
    ]
    assert list(tree(tmp_path / "raw")) == paths
    for path, number in zip(paths, [3, 1, 0, 2], strict=True):
        assert (pixels_of(tmp_path / "raw" / path) == pixels[number]).all()
    assert fetched.notes == (
        "the 4 photos of torchvision's FashionMNIST are arrays: written as PNG files, without loss",
    )


def test_class_names_that_differ_only_in_case(tmp_path: Path) -> None:
    mnist(tmp_path / "incoming", "EMNIST", [10, 36, 1], [1], prefix="emnist-byclass-")
    fetch(tmp_path, "EMNIST", split="byclass")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["1", "A (10)", "a (36)"]


def test_colours_of_arrays(tmp_path: Path, monkeypatch: Patch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
    base = tmp_path / "incoming/cifar-10-batches-py"
    batches = {
        "data_batch_1": {"data": pixels[:1].reshape(1, -1), "labels": [1]},
        "test_batch": {"data": pixels[1:].reshape(1, -1), "labels": [0]},
        "batches.meta": {"label_names": ["airplane", "automobile"]},
    }
    write(base, {name: pickle.dumps(batch) for name, batch in batches.items()})
    sums = {name: md5(base / name) for name in batches}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [("data_batch_1", sums["data_batch_1"])])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [("test_batch", sums["test_batch"])])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    fetch(tmp_path, "CIFAR10")
    assert (pixels_of(tmp_path / "raw/automobile/train_000000.png") == pixels[0].transpose(1, 2, 0)).all()
    assert (pixels_of(tmp_path / "raw/airplane/test_000000.png") == pixels[1].transpose(1, 2, 0)).all()


# Errors.


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("Flower102", {}, "has no image-classification data set 'Flower102'; did you mean Flowers102?"),
        ("VOCDetection", {}, "has no image-classification data set 'VOCDetection'; "),
        ("Food101", {"size": "160px"}, "dataset.options: torchvision's Food101 has no option 'size'; it has split"),
        ("Food101", {"root": "/"}, "dataset.options: torchvision's Food101 has no option 'root'"),
        ("Food101", {"split": "valid"}, "torchvision's Food101: Unknown value 'valid' for argument split."),
        ("DTD", {}, "torchvision's DTD: Dataset not found."),
    ],
)
def test_settings_that_do_not_match_the_data_set(
    tmp_path: Path, name: str, options: dict[str, Any], problem: str
) -> None:
    write(tmp_path / "incoming", DRAWN["Food101"].files)
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, name, **options)
    assert problem in str(caught.value)
    assert not (tmp_path / "raw").exists()


def test_split_folders_need_published_splits(tmp_path: Path) -> None:
    write(tmp_path / "incoming", DRAWN["EuroSAT"].files)
    with pytest.raises(UserError, match="torchvision's EuroSAT is not published in splits"):
        fetch(tmp_path, "EuroSAT", "split_folders")


def test_a_listed_photo_that_does_not_exist(tmp_path: Path) -> None:
    write(tmp_path / "incoming", DRAWN["Food101"].files)
    (tmp_path / "incoming/food-101/images/sushi/3.jpg").unlink()
    with pytest.raises(
        UserError, match=r"lists photos that are not in .*: 1 \(the first: food-101/images/sushi/3\.jpg\)"
    ):
        fetch(tmp_path, "Food101")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("StanfordCars", "torchvision's StanfordCars: The original URL is broken"),
        ("FER2013", "torchvision can't download FER2013: get it from its web page, put its files under data/incoming"),
    ],
)
def test_what_torchvision_can_not_download(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, name, download=True)
    assert problem in str(caught.value)
    assert "dataset.download: false" in str(caught.value)


def test_every_listed_class_exists_in_torchvision() -> None:
    assert [
        name
        for name in torchvision_datasets.PUBLISHED
        if not issubclass(getattr(datasets, name), datasets.VisionDataset)
    ] == []


# Downloads.

ARCHIVE = tarred(DRAWN["Food101"].files | {"food-101/images/pizza/big.jpg": np.random.default_rng(0).bytes(200_000)})
DOWNLOADED = ["pizza/1.jpg", "sushi/2.jpg", "sushi/3.jpg"]


@pytest.fixture
def site(monkeypatch: Patch) -> Iterator[Site]:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        monkeypatch.setattr(datasets.Food101, "_URL", f"{site.address}/food-101.tar.gz")
        monkeypatch.setattr(datasets.Food101, "_MD5", hashlib.md5(ARCHIVE).hexdigest())
        yield site


def spans(site: Site) -> list[str]:
    """The Range of each request."""
    return [span for _, span in site.requests]


def test_a_download_is_resumed_and_cached(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE, stops=[90_000])}
    fetch(tmp_path, "Food101", download=True)
    assert spans(site) == ["", "bytes=90000-"]
    assert list(tree(tmp_path / "raw")) == DOWNLOADED
    site.requests.clear()
    fetch(tmp_path, "Food101", download=True)
    assert site.requests == []
    assert list(tree(tmp_path / "raw")) == DOWNLOADED


def test_the_next_run_resumes(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE, stops=[90_000, 0, 0, 0])}
    with pytest.raises(UserError, match=r"food-101\.tar\.gz can't be downloaded: the server stopped after 90,000 of"):
        fetch(tmp_path, "Food101", download=True)
    there, site.resources = site.resources, {}
    with pytest.raises(UserError, match="404"):
        fetch(tmp_path, "Food101", download=True)
    site.resources = there
    site.requests.clear()
    fetch(tmp_path, "Food101", download=True)
    assert spans(site) == ["bytes=90000-"]


def test_a_partly_unpacked_folder_is_not_mistaken_for_a_complete_one(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE)}
    fetch(tmp_path, "Food101", download=True)
    (whole,) = (tmp_path / "downloads").iterdir()
    whole = whole.rename(whole.with_name(f"{whole.name}.part"))  # as if killed
    (whole / "food-101/images/sushi/3.jpg").unlink()
    site.requests.clear()
    fetch(tmp_path, "Food101", download=True)
    assert list(tree(tmp_path / "raw")) == DOWNLOADED
    assert site.requests == []  # the archive was complete


def test_a_different_archive(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(tarred({"food-101/other": b"x"}))}
    with pytest.raises(UserError, match=r"^torchvision's Food101: File not found or corrupted"):
        fetch(tmp_path, "Food101", download=True)
    assert tree(tmp_path / "downloads") == {}


PARTIAL = "torchvision-Food101-44136fa3.part/food-101.tar.gz.partial"


def test_partial_files_survive_a_server_that_fails(tmp_path: Path, site: Site, monkeypatch: Patch) -> None:
    write(tmp_path / "downloads", {PARTIAL: ARCHIVE[:90_000]})
    monkeypatch.setattr(http, "TIMEOUT", 0.2)
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE, waits=0.5)}
    with pytest.raises(UserError, match=r"^torchvision's Food101: .* \(timed out\); the first 90,000 bytes are kept"):
        fetch(tmp_path, "Food101", download=True)
    assert tree(tmp_path / "downloads") == {PARTIAL: ARCHIVE[:90_000]}
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(datasets.Food101, "_URL", f"http://127.0.0.1:{server.getsockname()[1]}/food-101.tar.gz")

        def hang_up() -> None:
            for _ in range(http.ATTEMPTS):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UserError, match="the first 90,000 bytes are kept") as caught:
            fetch(tmp_path, "Food101", download=True)
        thread.join()
    assert "dataset.options" not in str(caught.value)
    assert tree(tmp_path / "downloads") == {PARTIAL: ARCHIVE[:90_000]}


def test_a_redirect_is_followed_but_not_out_of_https(tmp_path: Path, site: Site, monkeypatch: Patch) -> None:
    there = {"/b.tar.gz": Resource(ARCHIVE)}
    site.resources = there | {"/food-101.tar.gz": Resource(status=302, headers={"Location": "/b.tar.gz"})}
    fetch(tmp_path / "followed", "Food101", download=True)
    assert [path for path, _ in site.requests] == ["/food-101.tar.gz", "/b.tar.gz"]
    site.requests.clear()
    proof = certificate(tmp_path)
    trust(proof, monkeypatch)
    with serving(encrypted(proof)) as safe:
        leads = {"Location": f"{site.address}/b.tar.gz"}
        safe.resources = {"/food-101.tar.gz": Resource(status=302, headers=leads)}
        monkeypatch.setattr(datasets.Food101, "_URL", f"{safe.address}/food-101.tar.gz")
        with pytest.raises(UserError, match="which is not encrypted"):
            fetch(tmp_path, "Food101", download=True)
    assert site.requests == []


def test_partial_files_survive_if_all_mirrors_fail(tmp_path: Path, site: Site, monkeypatch: Patch) -> None:
    """torchvision replaces the errors of MNIST's mirrors by one of its own."""
    packed = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (500, 28, 28), np.uint8)))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{site.address}/a/", f"{site.address}/b/"])
    monkeypatch.setattr(datasets.MNIST, "resources", [("train-images-idx3-ubyte.gz", hashlib.md5(packed).hexdigest())])
    site.resources = {"/a/train-images-idx3-ubyte.gz": Resource(packed, stops=[90_000, 0, 0, 0])}
    with pytest.raises(UserError, match=r"^torchvision's MNIST: .*/b/.* 404 Not Found.*; or put its files") as caught:
        fetch(tmp_path, "MNIST", download=True)
    assert "dataset.options" not in str(caught.value)
    assert [len(content) for content in tree(tmp_path / "downloads").values()] == [90_000]


def test_a_full_disk_while_an_archive_is_unpacked(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE)}
    with small_disk(tmp_path / "downloads", 16) as disk:
        disk.leave(len(ARCHIVE) + 80_000)
        with pytest.raises(UserError, match=r"^[^ ]* can't be written \(No space left on device\): free space, or fix"):
            fetch(tmp_path, "Food101", download=True)
        disk.clear()
        assert list(tree(tmp_path / "downloads").values()) == [ARCHIVE]  # and no partly unpacked files
        site.requests.clear()
        assert fetch(tmp_path, "Food101", download=True).images == 3
    assert site.requests == []


def test_a_full_disk_while_an_archive_is_fetched(tmp_path: Path, site: Site) -> None:
    site.resources = {"/food-101.tar.gz": Resource(ARCHIVE)}
    with small_disk(tmp_path / "downloads", 16) as disk:
        disk.leave(100_000)
        with pytest.raises(
            UserError, match=r"^[^ ]*\.partial can't be written \(No space left on device\): free space"
        ):
            fetch(tmp_path, "Food101", download=True)
        disk.clear()
        assert list(tree(tmp_path / "downloads")) == [PARTIAL]


def test_a_damaged_archive_is_not_kept(tmp_path: Path, site: Site, monkeypatch: Patch) -> None:
    """Its md5 is right, or torchvision has none: only unpacking shows the damage."""
    packed = gzip.compress(bytes(1000))
    packed = packed[:-8] + bytes(4) + packed[-4:]  # another checksum
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{site.address}/"])
    monkeypatch.setattr(datasets.MNIST, "resources", [("a-idx3-ubyte.gz", hashlib.md5(packed).hexdigest())])
    site.resources = {"/a-idx3-ubyte.gz": Resource(packed)}
    with pytest.raises(UserError, match=r"^torchvision's MNIST: CRC check failed"):
        fetch(tmp_path, "MNIST", download=True)
    assert tree(tmp_path / "downloads") == {}


@pytest.mark.skipif(importlib.util.find_spec("gdown") is not None, reason="gdown is installed")
def test_torchvision_itself_downloads_from_google_drive(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(datasets.Food101, "_URL", "https://drive.google.com/file/d/1a2b3c/view")
    with pytest.raises(UserError, match="To download files from GDrive, 'gdown' is required"):
        fetch(tmp_path, "Food101", download=True)


@pytest.mark.parametrize("name", ["downloads", "downloads/torchvision-Food101-44136fa3"])
def test_a_file_where_the_folder_is_needed(tmp_path: Path, site: Site, name: str) -> None:
    write(tmp_path, {name: b"x"})
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, "Food101", download=True)
    assert str(caught.value) == f"{tmp_path / name} is not a directory, and one is needed there: move it away"
