"""`boatyard summary`: the layers of a trained network."""

from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.models import model_file
from boatyard.params.schema import Finetune


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
    rows += [(row.name, row.kind, row.output, f"{row.parameters:,}", f"{row.trained:,}") for row in layers]
    rows.append(("total", "", "", f"{total:,}", f"{trained:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, kind, output, parameters, changed in rows:
        print(
            f"{name:{widths[0]}}  {kind:{widths[1]}}  {output:{widths[2]}}  "
            f"{parameters:>{widths[3]}}  {changed:>{widths[4]}}"
        )
    size = header.preprocessing.size
    print(f"{header.backbone}; output shapes for one view of {size} × {size} pixels")
    return 0
