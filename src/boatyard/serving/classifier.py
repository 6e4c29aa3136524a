"""A trained model, ready to use: a photo in, the probability of each class out; docs/python.md shows how."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boatyard.core import machine, paths
from boatyard.core.errors import UserError
from boatyard.evaluation.checks import Floats
from boatyard.evaluation.predictions import ranked
from boatyard.evaluation.tta import mean_probabilities
from boatyard.features import inference
from boatyard.images.decoding import as_rgb, open_photo
from boatyard.images.views import View, plain_view
from boatyard.models import model_header
from boatyard.models.engines.base import Engine, Seen
from boatyard.models.engines.onnx_engine import OnnxEngine
from boatyard.models.engines.registry import create

Item = TypeVar("Item")


@dataclass(frozen=True)
class Answer:
    """What a model says of one photo.

    Attributes:
        classes: k names, in the order of the network's outputs.
        log_probabilities: [k], natural logarithms.
    """

    classes: Sequence[str]
    log_probabilities: Floats

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top(1)[0][0]

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return self.top(1)[0][1]

    @property
    def probabilities(self) -> dict[str, float]:
        """Of every class, the most probable first."""
        return dict(self.top(len(self.classes)))

    def top(self, count: int) -> tuple[tuple[str, float], ...]:
        """The most probable classes and their probabilities, the most probable first."""
        return ranked(self.log_probabilities[None], self.classes, count)[0]

    def __str__(self) -> str:
        return ", ".join(f"{label} {100 * probability:.1f} %" for label, probability in self.top(3))


class Classifier:
    """A trained model with its preprocessing.

    Attributes:
        about: its header: classes, backbone, preprocessing, the settings that it was trained with.
    """

    def __init__(self, about: model_header.Header, engine: Engine):
        self.about, self._engine = about, engine

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Read a model file.

        A `.onnx` runs on the CPU and needs no torch. A `.safetensors` runs on the device and engine that
        `boatyard.core.machine` describes: on CUDA where there is one.

        Raises:
            UserError: the file is missing, or is no model that this version of Boatyard wrote.
        """
        path, workers = Path(path), machine.workers()
        if path.suffix == ".onnx":
            from boatyard.export import onnx_file

            model = onnx_file.read(path)
            return cls(model.about, _FileEngine(path, model.network, len(model.about.classes), workers))
        if path.suffix == ".safetensors":
            from boatyard.models import checkpoint

            network, about = checkpoint.load(path)
            here = machine.read()
            graphs = paths.GRAPHS if paths.WORK.is_dir() else None  # elsewhere than in a repository, none is made
            return cls(about, create(network, about.preprocessing.shape, here, graphs))
        raise UserError(f"{path} is neither an .onnx nor a .safetensors file, and no other is read: name one of them")

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the network's outputs."""
        return self.about.classes

    def __call__(self, photo: str | Path | Image.Image | NDArray[np.uint8]) -> Answer:
        """Classify one photo from its plain view, as the stage `evaluate` does.

        Args:
            photo: a file, an image of Pillow's, or RGB pixels, uint8 [height, width, 3].

        Raises:
            UnreadablePhoto: it is no usable photo; the message says why.
            UserError: the model's weights are damaged.
        """
        return self._answer(self._engine(self.plain_view(photo)[None])[0])

    def plain_view(self, photo: str | Path | Image.Image | NDArray[np.uint8]) -> View:
        """The photo as the network sees it: uint8 [3, size, size].

        A large JPEG file is decoded no larger than a view needs, as in the pipeline. The same photo as an image or as
        pixels is taken as it is, and levels of the view may differ a little (docs/performance.md).
        """
        return plain_view(_opened(photo, self.about.preprocessing.short_side), self.about.preprocessing)

    def each(self, items: Sequence[Item], views_of: Callable[[Item], Seen]) -> Iterator[Answer | None]:
        """Classify many photos on all workers; yields their answers in order, None for a photo without views.

        Args:
            items: whatever names a photo.
            views_of: opens a photo: the views whose probabilities are averaged, or what is to be drawn of it; called in
                the worker threads.

        Raises:
            UserError: the model's weights are damaged.
        """
        for outputs in inference.run(self._engine, items, views_of, machine.workers()):
            if not len(outputs):
                yield None
            else:
                yield self._answer(outputs[0] if len(outputs) == 1 else mean_probabilities(outputs[None])[0])

    def _answer(self, log_probabilities: Floats) -> Answer:
        if np.isnan(log_probabilities).any():
            raise UserError("the model's weights are damaged: it gives no numbers; train or fetch it again")
        return Answer(self.classes, log_probabilities)


class _FileEngine(Engine):
    """Runs the graph of an ONNX file. That its shapes fit neither one another nor its header shows only then."""

    batch = OnnxEngine.batch

    def __init__(self, path: Path, network: bytes, classes: int, workers: int):
        self._path, self._classes, self.calls = path, classes, workers
        with self._told():
            self._engine = OnnxEngine(network, workers)

    def __call__(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._told():
            outputs = self._engine(inputs)
            if outputs.shape != (len(inputs), self._classes):
                raise ValueError(f"it names {self._classes} classes, and answers with the shape {list(outputs.shape)}")
        return outputs

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # onnxruntime's own, a class for each of its status codes
            # Some have no text: what protobuf refuses, by the version of Python.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{self._path} can't be run ({reason}): export or fetch it again") from None


def _opened(photo: str | Path | Image.Image | NDArray[np.uint8], short_side: int) -> Image.Image:
    if isinstance(photo, str | Path):
        return open_photo(Path(photo), short_side)
    if isinstance(photo, Image.Image):
        return as_rgb(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"a photo as an array is uint8 [height, width, 3], not {photo.dtype} {list(photo.shape)}")
    return Image.fromarray(photo)
