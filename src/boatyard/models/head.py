"""A trained head as plain arrays, for code that runs without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class HeadWeights:
    """The weights of a `network.head`: Linear – ReLU – Linear – Temperature – LogSoftmax, or without the first two.

    Attributes:
        weights: float32 arrays by name: classes.weight [k, width] and classes.bias [k]; with a hidden layer of h units,
            hidden.weight [h, width], hidden.bias [h] and classes.weight [k, h].
        temperature: the logits are divided by it.
    """

    weights: Mapping[str, NDArray[np.float32]]
    temperature: float

    @property
    def width(self) -> int:
        """The dimension of the embeddings that it takes."""
        return int(self.weights["hidden.weight" if self.hidden else "classes.weight"].shape[1])

    @property
    def hidden(self) -> int:
        """Units of the hidden layer; 0 without one."""
        return len(self.weights["hidden.bias"]) if "hidden.bias" in self.weights else 0

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.weights["classes.bias"])
