"""The model card: what a model is, what it was trained and tested on, its metrics, and how to use it.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. All numbers are the pipeline's own.
"""

from boatyard.evaluation import comparison
from boatyard.models.model_header import Header
from boatyard.report import standalone_code
from boatyard.report.formatting import NBSP, count, interval, percent
from boatyard.report.markdown import classes_table, metrics_table
from boatyard.report.markdown_blocks import escape, table
from boatyard.report.run import Run

# Classes listed in a sentence, and those with the lowest top-1 named in one; the table has all.
MAX_NAMES, WORST = 20, 3


def render(run: Run, about: Header) -> str:
    """models/MODEL_CARD.md, in GitHub's Markdown with the metadata block that model hubs read.

    Args:
        run: the run that made the model.
        about: the model's header.
    """
    test, training, data = run.test, run.training, run.filtering
    name, licence = escape(run.name), escape(run.download["licence"])
    view = about.preprocessing
    seen = "the whole photo, squeezed to a square" if view.crop == "squash" else "the central square of a photo"
    head = f"a hidden layer of {about.hidden} units and a linear layer" if about.hidden else "one linear layer"
    overview = {
        "test top-1": f"**{percent(test['top1'])}**, 95 % interval {interval(test['top1_low'], test['top1_high'])}, "
        f"on {count(test['images'], 'photo')} not used in training",
        "network": f"{escape(about.backbone)} with {head} on top; {training['parameters']:,} parameters, of which "
        f"{training['parameters_trained']:,} were trained here",
        "input": f"{seen}, {view.size} × {view.size} pixels, RGB",
        "trained on": f"{count(run.splitting['train'], 'photo')} of {name}; data licence: {licence}",
    }
    digest = run.download["sha256"]
    blocks = [
        "---\npipeline_tag: image-classification\ntags: [image-classification, pytorch, onnx, safetensors]\n---",
        f"# Image classifier: {name}",
        f"It assigns a photo to one of {len(about.classes):,} classes: {_names(about.classes)}.",
        table(["", ""], overview.items()),
        "## Intended use",
        "- Photos like those it was tested on: the same classes, taken in the same way. Its accuracy on other photos "
        "was not measured.\n"
        f"- It always predicts one of its {len(about.classes):,} classes, even for a photo of something else. Have a "
        "person check predictions with a low probability, and do not let it decide alone where a mistake does harm.\n"
        f"- Its confidence is off by {percent(test['ece'])} on average (the calibration error on the test photos).\n"
        f"{_worst(run)}",
        "## Data",
        f"{name}, {count(data['images'], 'photo')}; {data['kept']:,} in "
        f"{count(data['classes'], 'class', 'classes')} were used: {run.splitting['train']:,} for training, "
        f"{run.splitting['validation']:,} to choose the best epoch, {run.splitting['test']:,} for testing. Licence: "
        f"{licence}; it may also restrict the use of the model. The backbone's published weights have their own "
        "licence.",
        *([f"SHA-256 of the download: `{digest}`."] if digest else []),
        "## Results",
        metrics_table(run),
        f"Several views of a photo ({run.tta['policy']}, {run.tta['views']}): {comparison.verdict(run.comparison)}",
        *classes_table(run),
        "## How to use it",
        'With Boatyard: `boatyard predict photo.jpg`, or `Classifier.load("model.onnx")("photo.jpg")`. Without:',
        f"```python\n{standalone_code.onnx()}\n```",
        "The ONNX file includes the preprocessing of a decoded photo. It needs model.onnx_data, with most weights, "
        "in the same folder. With PyTorch, to train the model further:",
        f"```python\n{standalone_code.torch(about)}\n```",
        "## How to reproduce it",
        f"`dvc repro` in the repository that this file comes from, with `seed: {run.settings['seed']}`. All "
        "settings are in the header of both files, under the key `boatyard`.",
    ]
    return "\n\n".join(blocks).replace(NBSP, " ") + "\n"


def _names(classes: list[str]) -> str:
    shown = ", ".join(escape(name) for name in classes[:MAX_NAMES])
    more = len(classes) - MAX_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown


def _worst(run: Run) -> str:
    """The classes with a top-1 below one half; the worst one where there is none."""
    poor = [row for row in run.worst_first if row.top1 < 0.5] or run.worst_first[:1]
    named = "; ".join(
        f"{escape(row.label)}, {percent(row.top1)} (95 % interval {interval(row.top1_low, row.top1_high)}, "
        f"{count(row.test_images, 'test photo')})"
        for row in poor[:WORST]
    )
    more = f"; and {len(poor) - WORST:,} more" if len(poor) > WORST else ""
    return f"- It does worst on {named}{more}."
