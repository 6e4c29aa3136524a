"""`boatyard summary`: the layers of a trained network."""

import re
from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.models import model_file
from boatyard.params.schema import Finetune

# The part of the network that a layer is in: a line of its own, so that the layers' names are short.
_PART = re.compile(r"(backbone\.networks\.\d+|[^.]+)\.")


def run(model: Path, *, every_layer: bool) -> int:
    """Print a table of the layers with output shapes and parameters; the exit status, 0.

    Raises:
        UserError: the model file is missing or damaged, or its header lacks the settings of its training.
    """
    from boatyard.training import trained_layers

    network, header = model_file.load(model)
    try:
        finetune = Finetune.model_validate(header.params["finetune"])
    except (KeyError, ValueError):
        raise UserError(f"{model} does not say whether its backbone was fine-tuned: train it again") from None
    layers = trained_layers.layers(network, finetune, every_layer=every_layer)
    total, trained = (sum(values) for values in zip(*((row.parameters, row.trained) for row in layers), strict=True))
    rows = [("layer", "kind", "output", "parameters", "trained")]
    part = ""
    for row in layers:
        found = _PART.match(row.name)
        if found and found[1] != part:
            part = found[1]
            rows.append((part, "", "", "", ""))
        name = f"  {row.name.removeprefix(part + '.')}"
        rows.append((name, row.kind, row.output.replace(" ", ""), f"{row.parameters:,}", f"{row.trained:,}"))
    rows.append(("total", "", "", f"{total:,}", f"{trained:,}"))
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if any(row[1:])), strict=True)]
    for name, kind, output, parameters, changed in rows:
        line = (
            f"{name:{widths[0]}}  {kind:{widths[1]}}  {output:{widths[2]}}  "
            f"{parameters:>{widths[3]}}  {changed:>{widths[4]}}"
        )
        print(line.rstrip())
    size = header.preprocessing.size
    print(f"{header.backbone}\noutput shapes for one view of {size} × {size} pixels")
    return 0
