"""The plots of dvc.yaml, as `dvc plots` draws them."""

import json
from typing import Any

from clone import Clone

PLOTS = {
    *("Loss", "Top-1", "plots/history.csv", "plots/layers.csv"),
    *("plots/class_counts.csv", "plots/image_sizes.csv", "plots/per_class.csv", "plots/reliability.csv"),
    *("plots/predictions.csv", "plots/tta_predictions.csv", "plots/tta_per_class.csv"),
}


def plots(clone: Clone, *command: str) -> dict[str, list[dict[str, Any]]]:
    """What `dvc plots` would draw, by name. It must not miss a plot."""
    shown = json.loads(clone.dvc("plots", *command, "--json", "--out", str(clone.home / "plots")))
    assert "errors" not in shown
    return shown["data"]
