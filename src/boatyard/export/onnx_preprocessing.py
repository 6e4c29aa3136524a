"""The plain view as an ONNX function that equals `boatyard.images.views.plain_view` bit by bit.

Pillow resizes in two passes, along the rows and then along the columns, with weights that are rounded to 22 binary
digits and with integer sums (its `Resample.c`). Here a pass is a matrix product in float64, which represents such sums
exactly, so that the two agree in every pixel. A matrix has a row for each pixel of the view and a column for each pixel
of the photo.

One limit: if a photo is over 100 times as tall as wide, Pillow resizes the columns first. This does not, and pixel
values then differ by some tens.
"""

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing

DOMAIN, NAME = "boatyard", "PlainView"

# Weight of a pixel at the distance x ≥ 0, in pixels of the smaller image, and the distance from which on it is 0.
_KERNELS = {
    "bilinear": (
        1.0,
        """
        falling = Sub(one, x)
        weight = Max(falling, zero)
        """,
    ),
    # Keys 1981 with a = −1/2: (1.5 x − 2.5) x² + 1 up to 1, then −0.5 (((x − 5) x + 8) x − 4) up to 2.
    "bicubic": (
        2.0,
        """
        near_3 = Constant <value = double {1.5}> ()
        near_2 = Constant <value = double {2.5}> ()
        near_a = Mul(near_3, x)
        near_b = Sub(near_a, near_2)
        near_c = Mul(near_b, x)
        near_d = Mul(near_c, x)
        near = Add(near_d, one)
        far_2 = Constant <value = double {5.0}> ()
        far_1 = Constant <value = double {8.0}> ()
        far_0 = Constant <value = double {4.0}> ()
        a = Constant <value = double {-0.5}> ()
        far_a = Sub(x, far_2)
        far_b = Mul(far_a, x)
        far_c = Add(far_b, far_1)
        far_d = Mul(far_c, x)
        far_e = Sub(far_d, far_0)
        far = Mul(far_e, a)
        is_near = Less(x, one)
        is_far = Less(x, two)
        beyond_near = Where(is_far, far, zero)
        weight = Where(is_near, near, beyond_near)
        """,
    ),
    # sinc(x) sinc(x / 3) up to 3.
    "lanczos": (
        3.0,
        """
        pi = Constant <value = double {3.141592653589793}> ()
        three = Constant <value = double {3.0}> ()
        angle = Mul(x, pi)
        sine = Sin(angle)
        wave = Div(sine, angle)
        third = Div(x, three)
        third_angle = Mul(third, pi)
        third_sine = Sin(third_angle)
        window = Div(third_sine, third_angle)
        product = Mul(wave, window)
        at_centre = Equal(x, zero)
        inside_lobes = Where(at_centre, one, product)
        is_lobe = Less(x, three)
        weight = Where(is_lobe, inside_lobes, zero)
        """,
    ),
}

_SIDE = """
        short_side = Min(height_double, width_double)
        crop = Constant <value = double {{{crop!r}}}> ()
        side = Mul(crop, short_side)
"""


def functions(preprocessing: Preprocessing, opset: int) -> str:
    """The function `PlainView`, and two that it calls, in ONNX's textual syntax.

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
    support, kernel = _KERNELS[preprocessing.interpolation]
    # The sides of `Preprocessing.box`, which is in the centre of the photo.
    if preprocessing.crop == "squash":
        sides, across, down = "", "width_double", "height_double"
    else:
        sides, across, down = _SIDE.format(crop=preprocessing.crop), "side", "side"
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {opset}, "{DOMAIN}" : 1]>'
    return f"""
    {header}
    {NAME} (photo) => (views)
    {{
        shape = Shape(photo)
        first = Constant <value = int64 {{0}}> ()
        second = Constant <value = int64 {{1}}> ()
        height = Gather(shape, first)
        width = Gather(shape, second)
        height_double = Cast <to = {_DOUBLE}> (height)
        width_double = Cast <to = {_DOUBLE}> (width)
        {sides}
        column_weights, left, right = {DOMAIN}.Weights(width, {across})
        row_weights, top, bottom = {DOMAIN}.Weights(height, {down})
        starts = Concat <axis = 0> (top, left)
        ends = Concat <axis = 0> (bottom, right)
        middle = Slice(photo, starts, ends)
        planes = Transpose <perm = [2, 0, 1]> (middle)
        pixels = Cast <to = {_DOUBLE}> (planes)
        by_column = Transpose <perm = [1, 0]> (column_weights)
        row_sums = MatMul(pixels, by_column)
        rows = {DOMAIN}.Levels(row_sums)
        column_sums = MatMul(row_weights, rows)
        columns = {DOMAIN}.Levels(column_sums)
        view = Cast <to = {_UINT8}> (columns)
        axes = Constant <value = int64[1] {{0}}> ()
        views = Unsqueeze(view, axes)
    }}
    {header}
    Levels (sums) => (levels)
    {{
        half = Constant <value = double {{{_ONE / 2!r}}}> ()
        one = Constant <value = double {{{_ONE!r}}}> ()
        black = Constant <value = double {{0.0}}> ()
        white = Constant <value = double {{255.0}}> ()
        shifted = Add(sums, half)
        scaled = Div(shifted, one)
        whole = Floor(scaled)
        levels = Clip(whole, black, white)
    }}
    {header}
    Weights (length, side) => (weights, start, end)
    {{
        zero = Constant <value = double {{0.0}}> ()
        half = Constant <value = double {{0.5}}> ()
        one = Constant <value = double {{1.0}}> ()
        two = Constant <value = double {{2.0}}> ()
        size = Constant <value = double {{{float(preprocessing.size)!r}}}> ()
        axis = Constant <value = int64 {{1}}> ()
        axes = Constant <value = int64[1] {{1}}> ()
        outer_axes = Constant <value = int64[1] {{0}}> ()
        last_column = Constant <value = int64[1] {{-1}}> ()
        beyond = Constant <value = int64[1] {{{2**63 - 1}}}> ()
        long = Cast <to = {_DOUBLE}> (length)

        margins = Sub(long, side)
        margin = Div(margins, two)
        far_edge = Add(margin, side)
        low_double = Max(margin, zero)
        high_double = Min(far_edge, long)
        low_float = Cast <to = {_FLOAT}> (low_double)
        high_float = Cast <to = {_FLOAT}> (high_double)
        span_float = Sub(high_float, low_float)
        span = Cast <to = {_DOUBLE}> (span_float)
        low = Cast <to = {_DOUBLE}> (low_float)

        scale = Div(span, size)
        stretch = Max(scale, one)
        reach = Constant <value = double {{{support!r}}}> ()
        support = Mul(reach, stretch)
        outputs = Range(zero, size, one)
        outputs_middle = Add(outputs, half)
        offsets = Mul(outputs_middle, scale)
        centres_flat = Add(low, offsets)
        centres = Unsqueeze(centres_flat, axes)
        first_a = Sub(centres, support)
        first_b = Add(first_a, half)
        first_c = Floor(first_b)
        first = Max(first_c, zero)
        last_a = Add(centres, support)
        last_b = Add(last_a, half)
        last_c = Floor(last_b)
        last = Min(last_c, long)

        inputs = Range(zero, long, one)
        distances_a = Sub(inputs, centres)
        distances_b = Add(distances_a, half)
        shrink = Div(one, stretch)
        distances = Mul(distances_b, shrink)
        x = Abs(distances)
        {kernel}
        before = Less(inputs, first)
        not_before = Not(before)
        not_after = Less(inputs, last)
        inside = And(not_before, not_after)
        raw = Where(inside, weight, zero)
        sums = CumSum(raw, axis)
        total = Slice(sums, last_column, beyond, axes)
        shares = Div(raw, total)
        one_fixed = Constant <value = double {{{_ONE!r}}}> ()
        scaled = Mul(shares, one_fixed)
        sizes = Abs(scaled)
        sizes_half = Add(sizes, half)
        rounded = Floor(sizes_half)
        signs = Sign(scaled)
        whole = Mul(signs, rounded)

        start_double = ReduceMin <keepdims = 0> (first)
        end_double = ReduceMax <keepdims = 0> (last)
        start_scalar = Cast <to = {_INT64}> (start_double)
        end_scalar = Cast <to = {_INT64}> (end_double)
        start = Unsqueeze(start_scalar, outer_axes)
        end = Unsqueeze(end_scalar, outer_axes)
        weights = Slice(whole, start, end, axes)
    }}
    """


# Pillow's fixed-point 1: weights have 32 − 8 − 2 binary digits after the point.
_ONE = float(2**22)
# onnx.TensorProto's numbers of the types.
_FLOAT, _UINT8, _INT64, _DOUBLE = 1, 2, 7, 11
