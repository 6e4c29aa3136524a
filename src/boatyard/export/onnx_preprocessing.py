"""The plain view as an ONNX function that equals `boatyard.images.views.plain_view` bit by bit.

Pillow resizes in two passes, along the rows and then along the columns, with weights that are rounded to 22 binary
digits and with integer sums (its `Resample.c`). Here a pass is a matrix product in float64, which represents such sums
exactly, so that the two agree in every pixel. A matrix has a row for each pixel of the view and a column for each pixel
of the photo.

One limit: if a photo is over 100 times as tall as wide, Pillow resizes the columns first. This does not, and pixel
values then differ by some tens.
"""

import math
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
from onnx import FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing

DOMAIN, NAME = "boatyard", "PlainView"

_ONE = float(2**22)  # Pillow's fixed-point 1: weights have 32 − 8 − 2 binary digits after the point


class _Value:
    """A value of an ONNX function. `op` and the operators append a node to the function and return its output."""

    def __init__(self, nodes: list[NodeProto], name: str):
        self.nodes, self.name = nodes, name

    def op(self, kind: str, *others: Any, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Of this value and others; a float is a float64 constant, an integer or a list of them an int64 one."""
        inputs = [value if isinstance(value, _Value) else self.constant(value) for value in (self, *others)]
        results = [_Value(self.nodes, f"{kind}_{len(self.nodes)}_{number}") for number in range(outputs)]
        arguments, names = ([value.name for value in values] for values in (inputs, results))
        self.nodes.append(helper.make_node(kind, arguments, names, None, None, domain, **attributes))
        return results[0] if outputs == 1 else results

    def constant(self, value: float | list[int]) -> Any:
        tensor = numpy_helper.from_array(np.array(value))
        name = f"constant_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return _Value(self.nodes, name)

    def to(self, kind: int) -> Any:
        return self.op("Cast", to=kind)

    __add__, __sub__ = partialmethod(op, "Add"), partialmethod(op, "Sub")
    __mul__, __truediv__ = partialmethod(op, "Mul"), partialmethod(op, "Div")
    __lt__ = partialmethod(op, "Less")


def _bilinear(x: _Value) -> Any:
    return (x.constant(1.0) - x).op("Max", 0.0)


def _bicubic(x: _Value) -> Any:
    """Keys 1981 with a = −1/2."""
    near = (x * 1.5 - 2.5) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return (x < 1.0).op("Where", near, (x < 2.0).op("Where", far, 0.0))


def _lanczos(x: _Value) -> Any:
    """sinc(x) sinc(x / 3)."""
    angle, third = x * math.pi, x / 3.0 * math.pi
    product = angle.op("Sin") / angle * (third.op("Sin") / third)
    return (x < 3.0).op("Where", x.op("Equal", 0.0).op("Where", 1.0, product), 0.0)


# Weight of a pixel at the distance x ≥ 0, in pixels of the smaller image, and the distance from which on it is 0.
_KERNELS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


def functions(preprocessing: Preprocessing, opset: int) -> list[FunctionProto]:
    """The function `PlainView`, and two that it calls.

    It maps a photo, uint8 [height, width, 3], to a view, uint8 [1, 3, size, size].

    Args:
        preprocessing: the view's size, crop and interpolation.
        opset: version of ONNX's operators, 18 or later: that of the model which the functions go into.

    Raises:
        UserError: the interpolation can't be written as ONNX.
    """
    if preprocessing.interpolation not in _KERNELS:
        known = ", ".join(_KERNELS)
        raise UserError(
            f"a backbone that resizes by {preprocessing.interpolation!r} can't be exported to ONNX, only by {known}; "
            "choose another model.backbone"
        )
    kernel, reach = _KERNELS[preprocessing.interpolation]
    size = float(preprocessing.size)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]

    def function(name: str, inputs: list[str], body: Callable[..., list[Any]]) -> FunctionProto:
        nodes: list[NodeProto] = []
        outputs = [output.name for output in body(*(_Value(nodes, input) for input in inputs))]
        return helper.make_function(DOMAIN, name, inputs, outputs, nodes, opsets)

    return [
        function(NAME, ["photo"], lambda photo: [_plain_view(photo, preprocessing.crop)]),
        function("Levels", ["sums"], lambda sums: [_levels(sums)]),
        function("Weights", ["length", "side"], lambda length, side: _weights(length, side, size, kernel, reach)),
    ]


def _plain_view(photo: _Value, crop: float | str) -> Any:
    shape = photo.op("Shape")
    height, width = shape.op("Gather", 0), shape.op("Gather", 1)
    down, across = height.to(TensorProto.DOUBLE), width.to(TensorProto.DOUBLE)
    if crop != "squash":  # as `Preprocessing.box`
        down = across = down.op("Min", across) * crop
    column_weights, left, right = width.op("Weights", across, outputs=3, domain=DOMAIN)
    row_weights, top, bottom = height.op("Weights", down, outputs=3, domain=DOMAIN)
    middle = photo.op("Slice", top.op("Concat", left, axis=0), bottom.op("Concat", right, axis=0))
    pixels = middle.op("Transpose", perm=[2, 0, 1]).to(TensorProto.DOUBLE)
    rows = pixels.op("MatMul", column_weights.op("Transpose", perm=[1, 0])).op("Levels", domain=DOMAIN)
    columns = row_weights.op("MatMul", rows).op("Levels", domain=DOMAIN)
    return columns.to(TensorProto.UINT8).op("Unsqueeze", [0])


def _levels(sums: Any) -> Any:
    """Sums of pixels with fixed-point weights, rounded to the levels 0 … 255."""
    return ((sums + _ONE / 2) / _ONE).op("Floor").op("Clip", 0.0, 255.0)


def _weights(length: _Value, side: Any, size: float, kernel: Callable[[Any], Any], reach: float) -> list[Any]:
    """The fixed-point weights [size, end − start] of the pixels that a view of `side` pixels in the centre shows.

    Returns:
        The weights, and the first of these pixels and that after the last, int64 [1].
    """
    long = length.to(TensorProto.DOUBLE)
    margin = (long - side) / 2.0
    # Pillow's box is in float32.
    low, high = (edge.to(TensorProto.FLOAT) for edge in (margin.op("Max", 0.0), (margin + side).op("Min", long)))
    scale = (high - low).to(TensorProto.DOUBLE) / size
    stretch = scale.op("Max", 1.0)
    support = stretch * reach
    outputs = long.constant(0.0).op("Range", size, 1.0)
    centres = (low.to(TensorProto.DOUBLE) + (outputs + 0.5) * scale).op("Unsqueeze", [1])
    first = (centres - support + 0.5).op("Floor").op("Max", 0.0)
    last = (centres + support + 0.5).op("Floor").op("Min", long)

    inputs = long.constant(0.0).op("Range", long, 1.0)
    weight = kernel(((inputs - centres + 0.5) * (long.constant(1.0) / stretch)).op("Abs"))
    inside = (inputs < first).op("Not").op("And", inputs < last)
    raw = inside.op("Where", weight, 0.0)
    # The last of the running sums: added in Pillow's order.
    total = raw.op("CumSum", 1).op("Slice", [-1], [2**63 - 1], [1])
    fixed = raw / total * _ONE
    rounded = fixed.op("Sign") * (fixed.op("Abs") + 0.5).op("Floor")

    start, end = (
        edge.to(TensorProto.INT64).op("Unsqueeze", [0])
        for edge in (first.op("ReduceMin", keepdims=0), last.op("ReduceMax", keepdims=0))
    )
    return [rounded.op("Slice", start, end, [1]), start, end]
