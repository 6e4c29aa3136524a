"""A trained model, ready to use: from a photo to the probability of each class; see docs/python.md."""

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
from boatyard.models.engines import registry
from boatyard.models.engines.base import Engine, PhotoInput
from boatyard.models.engines.onnx_engine import OnnxEngine
from boatyard.models.model_header import Header

Item = TypeVar("Item")


@dataclass(frozen=True)
class Classification:
    """The probabilities of a photo's classes."""

    classes: Sequence[str]  # k names, in the order of the network's outputs
    log_probabilities: Floats  # [k], natural logarithms

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top(1)[0][0]

    @property
    def probability(self) -> float:
        """The probability of the most probable class."""
        return self.top(1)[0][1]

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of every class, the most probable first."""
        return dict(self.top(len(self.classes)))

    def top(self, count: int) -> tuple[tuple[str, float], ...]:
        """The `count` most probable classes and their probabilities, the most probable first."""
        return ranked(self.log_probabilities[None], self.classes, count)[0]

    def __str__(self) -> str:
        return ", ".join(f"{label} {100 * probability:.1f} %" for label, probability in self.top(3))


class Classifier:
    """A trained model with its preprocessing. `header` has its classes and the settings of its training."""

    def __init__(self, header: Header, engine: Engine):
        self.header, self._engine = header, engine

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Read a model file.

        A `.onnx` file runs on the CPU and needs no torch. A `.safetensors` file runs on the device and the engine that
        the environment sets (`boatyard.core.machine`): by default on CUDA if there is one.

        Raises:
            UserError: the file is missing, or was not written by this version of Boatyard.
        """
        path = Path(path)
        if path.suffix == ".onnx":
            from boatyard.export import onnx_file

            exported = onnx_file.read(path)
            classes = len(exported.header.classes)
            return cls(exported.header, _FileEngine(path, exported.network, classes, machine.workers()))
        if path.suffix == ".safetensors":
            from boatyard.models import model_file

            settings = registry.read_machine()
            model = model_file.read(path)
            graphs = paths.GRAPHS if paths.WORK.is_dir() else None  # outside a repository, no folder is created
            shape = model.header.preprocessing.shape
            return cls(model.header, registry.for_views(model.backbone, model.head, shape, settings, graphs))
        raise UserError(f"{path} is neither an .onnx nor a .safetensors file: name one of these")

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the network's outputs."""
        return self.header.classes

    def __call__(self, photo: str | Path | Image.Image | NDArray[np.uint8]) -> Classification:
        """Classify one photo from its plain view, as the stage `evaluate` does.

        Args:
            photo: a file, a Pillow image, or RGB pixels, uint8 [height, width, 3].

        Raises:
            UnreadablePhoto: it is not a usable photo; the message says why.
            UserError: the model's weights are damaged.
        """
        return self._classification(self._engine(self.plain_view(photo)[None])[0])

    def plain_view(self, photo: str | Path | Image.Image | NDArray[np.uint8]) -> View:
        """The photo as the network sees it: uint8 [3, size, size].

        A large JPEG file is decoded no larger than a view needs, as in the pipeline. Of the same photo as an image or
        as pixels, the values of the view may differ a little (docs/performance.md).
        """
        if isinstance(photo, str | Path):
            image = open_photo(Path(photo), self.header.preprocessing.short_side)
        elif isinstance(photo, Image.Image):
            image = as_rgb(photo)
        elif photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3:
            image = Image.fromarray(photo)
        else:
            given = f"{photo.dtype} {list(photo.shape)}"
            raise ValueError(f"a photo as an array must be uint8 [height, width, 3], not {given}")
        return plain_view(image, self.header.preprocessing)

    def each(self, items: Sequence[Item], views_of: Callable[[Item], PhotoInput]) -> Iterator[Classification | None]:
        """Classify many photos with all workers; yields the results in order, None for a photo without views.

        The probabilities of the views that `views_of` returns for an item are averaged; `inference.run` calls it.

        Raises:
            UserError: the model's weights are damaged.
        """
        for outputs in inference.run(self._engine, items, views_of, machine.workers()):
            if not len(outputs):
                yield None
            else:
                yield self._classification(outputs[0] if len(outputs) == 1 else mean_probabilities(outputs[None])[0])

    def _classification(self, log_probabilities: Floats) -> Classification:
        if np.isnan(log_probabilities).any():
            raise UserError("the model's weights are damaged: its outputs are NaN; train or fetch it again")
        return Classification(self.classes, log_probabilities)


class _FileEngine(Engine):
    """Runs the graph of an ONNX file. That it is invalid or does not match its header only shows when it runs."""

    batch = OnnxEngine.batch

    def __init__(self, path: Path, network: bytes, classes: int, workers: int):
        self._path, self._classes, self.calls = path, classes, workers
        with self._errors():
            self._engine = OnnxEngine(network, workers)

    def __call__(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._errors():
            outputs = self._engine(inputs)
            if outputs.shape != (len(inputs), self._classes):
                raise ValueError(f"it has {self._classes} classes, but outputs of shape {list(outputs.shape)}")
        return outputs

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # onnxruntime has a class for each of its status codes
            # Depending on the version of Python, protobuf's errors have no text.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{self._path} can't be run ({reason}): export or fetch it again") from None
