"""A trained head as plain arrays, for whoever does without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Head:
    """A trained head's numbers: Linear – ReLU – Linear – Temperature – LogSoftmax, or without the first two.

    Attributes:
        weights: float32, named as in `network.head`: classes.weight [k, width] and classes.bias [k], or, with a hidden
            layer of h units, hidden.weight [h, width] and hidden.bias [h], and classes.weight [k, h].
        temperature: that the logits are divided by.
    """

    weights: Mapping[str, NDArray[np.float32]]
    temperature: float

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        return int(self.weights["hidden.weight" if self.hidden else "classes.weight"].shape[1])

    @property
    def hidden(self) -> int:
        """Units of the hidden layer; 0: there is none."""
        return len(self.weights["hidden.bias"]) if "hidden.bias" in self.weights else 0

    @property
    def classes(self) -> int:
        """Numbers that come out."""
        return len(self.weights["classes.bias"])
