"""The interface of engines, which run a network over views, without gradients.

By default, on a CPU, that is ONNX Runtime: one view and one thread per call, as many calls at once as there are
workers. On two cores that is faster than larger batches with shared threads, and the result of a view depends only on
the view: not on its batch, its position in the batch, or the number of workers. On CUDA it is PyTorch in batches of one
fixed size, the last one padded, for the same reason; views are drawn there too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.images.views import PhotoViews, View

# The views of a photo: drawn already, or to be drawn where the engine draws them.
PhotoInput = Sequence[View] | PhotoViews


class Engine(ABC):
    """Runs a network that maps n inputs to float32 [n, d]: uint8 views [n, 3, s, s], or float32 embeddings [n, width].

    `inference.run` calls `open` for each photo, in the thread that decoded it; then, in one thread, `views` for many
    photos at once, and `start` for each batch of views. By default Pillow draws, in `open`, and `start` returns when
    the network has finished.

    Attributes:
        batch: inputs per call; a call with fewer is allowed and costs as much.
        calls: calls that may run at once.
        queued: batches that may be started before the first of them is waited for.
        ahead: photos per thread that may be open before their turn; fewer if whole photos are kept in memory.
    """

    batch: int
    calls: int
    queued = 0
    ahead = 8

    @abstractmethod
    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]: ...

    def open(self, photo: PhotoInput) -> Any:
        """The form in which `views` takes a photo: `len` of it is the number of views, and it has `nbytes`."""
        views = photo.views() if isinstance(photo, PhotoViews) else photo
        return np.stack(views) if views else np.empty(0, np.uint8)

    def views(self, opened: Sequence[Any]) -> list[Any]:
        """The views of several photos, in order, as `start` takes them."""
        return [view for views in opened for view in views]

    def start(self, views: Sequence[Any]) -> Callable[[], NDArray[np.float32]]:
        """Run the network on up to `batch` views; returns a function that waits for the outputs, float32 [n, d]."""
        outputs = self(np.stack(views))
        return lambda: outputs
