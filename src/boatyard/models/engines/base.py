"""What every engine does: it runs a network, without gradients, over views.

On a CPU that is ONNX Runtime, one view and one thread a call, as many calls at once as there are workers. On two cores
that is faster than larger batches with shared threads, and a view's result depends on nothing but the view: not on its
batch, its place in it, or the number of workers. On CUDA it is PyTorch in batches of one fixed size, the last one
filled up, for the same reason; views are drawn there too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.images.views import PhotoViews, View

# A photo's views: drawn already, or to be drawn where the engine draws them.
Seen = Sequence[View] | PhotoViews


class Engine(ABC):
    """Runs a network that maps n inputs to float32 [n, d]: uint8 views [n, 3, s, s], or float32 embeddings [n, width].

    `inference.run` takes a photo through `open`, in the thread that decoded it, then, in one thread, many at a time
    through `views`, and those in batches through `start`. Here Pillow draws, in `open`, and `start` ends when the
    network has answered.

    Attributes:
        batch: inputs of one call; a call with fewer is allowed and costs as much.
        calls: calls that may be under way at once.
        queued: batches that `start` may have begun before the first of them is asked for.
        ahead: photos per thread that may be open before their turn; fewer where they are held whole.
    """

    batch: int
    calls: int
    queued = 0
    ahead = 8

    @abstractmethod
    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]: ...

    def open(self, seen: Seen) -> Any:
        """What `views` takes of a photo: it has a `len`, of views, and `nbytes`."""
        views = seen.views() if isinstance(seen, PhotoViews) else seen
        return np.stack(views) if views else np.empty(0, np.uint8)

    def views(self, opened: Sequence[Any]) -> list[Any]:
        """The views of photos, in order, as `start` takes them."""
        return [view for views in opened for view in views]

    def start(self, views: Sequence[Any]) -> Callable[[], NDArray[np.float32]]:
        """Run the network on up to `batch` views; what it returns waits for the outputs, float32 [n, d]."""
        outputs = self(np.stack(views))
        return lambda: outputs
