"""The model card: what a model is, what it was trained and tested on, how good it is, and how to use it.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. All figures are the pipeline's own.
"""

from boatyard.evaluation import comparison
from boatyard.models.model_header import Header
from boatyard.report import standalone_code
from boatyard.report.formatting import NBSP, count, interval, percent
from boatyard.report.markdown import classes_table, escape, headline_table
from boatyard.report.run import Run

# How many classes are named in a sentence, and how many of those with the lowest top-1; the table has all.
MOST_NAMES, WORST = 20, 3


def render(run: Run, about: Header) -> str:
    """models/MODEL_CARD.md, in GitHub's Markdown with the metadata block that model hubs read.

    Args:
        run: the run that made the model.
        about: the model's header.
    """
    test, training = run.test, run.training
    name = escape(run.name)
    view = about.preprocessing
    shown = "all of a photo, squeezed to a square" if view.crop == "squash" else "the middle square of a photo"
    head = f"a layer of {about.hidden} units and one" if about.hidden else "one layer"
    lines = [
        "---",
        "pipeline_tag: image-classification",
        "tags: [image-classification, pytorch, onnx, safetensors]",
        "---",
        "",
        f"# Image classifier: {name}",
        "",
        f"It names the class of a photo, one of {len(about.classes):,}: {_names(about.classes)}.",
        "",
        "| | |",
        "|---|---|",
        f"| test top-1 | **{percent(test['top1'])}**, 95 % interval {interval(test['top1_low'], test['top1_high'])}, "
        f"on {count(test['images'], 'photo')} that it was not trained on |",
        f"| network | {escape(about.backbone)}, then {head} for the classes; {training['parameters']:,} parameters, "
        f"of which {training['parameters_trained']:,} were trained here |",
        f"| sees | {shown}, {view.size} × {view.size} pixels, RGB |",
        f"| trained on | {count(run.splitting['train'], 'photo')} of {name}; licence of the data: "
        f"{escape(run.download['licence'])} |",
        "",
        "## What it is for",
        "",
        "- It was made for photos like those that it was tested on: the same classes, taken in the same way. What it "
        "does on photos from elsewhere was not measured.",
        f"- It always names one of its {len(about.classes):,} classes, of a photo of anything else too. Let a person "
        "look where the probability is low, and do not let it decide alone where a mistake does harm.",
        f"- Its probabilities are {percent(test['ece'])} off on average: the calibration error on the test photos.",
        _worst(run),
        "",
        "## Data",
        "",
        f"{name}, {count(run.filtering['images'], 'photo')}; {run.filtering['kept']:,} in "
        f"{count(run.filtering['classes'], 'class', 'classes')} were used: {run.splitting['train']:,} to train, "
        f"{run.splitting['validation']:,} to choose the best epoch, {run.splitting['test']:,} to test. "
        f"Licence: {escape(run.download['licence'])}; it binds what is done with the model too, if it says so. "
        "The backbone's published weights have a licence of their own.",
        "",
        *([f"SHA-256 of what was fetched: `{run.download['sha256']}`.", ""] if run.download["sha256"] else []),
        "## How good it is",
        "",
        *headline_table(run),
        "",
        f"Several views of a photo ({run.tta['policy']}, {run.tta['views']}): {comparison.verdict(run.comparison)}",
        "",
        *classes_table(run),
        "",
        "## How to use it",
        "",
        'With Boatyard: `boatyard predict photo.jpg`, or `Classifier.load("model.onnx")("photo.jpg")`. Without:',
        "",
        "```python",
        standalone_code.onnx(),
        "```",
        "",
        "The ONNX file does all but open the photo. The same with PyTorch, where the model is to be trained on:",
        "",
        "```python",
        standalone_code.torch(about),
        "```",
        "",
        "## How to make it again",
        "",
        f"`dvc repro` in the repository that this file comes from, with `seed: {run.settings['seed']}`. All "
        "settings are in the header of both files, under the key `boatyard`.",
    ]
    return "\n".join(lines).replace(NBSP, " ") + "\n"


def _names(classes: list[str]) -> str:
    shown = ", ".join(escape(name) for name in classes[:MOST_NAMES])
    more = len(classes) - MOST_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown


def _worst(run: Run) -> str:
    """The classes of which fewer than half of the test photos are named right; the worst one where there is none."""
    rows = sorted(run.results, key=lambda row: (row.top1, row.label))
    poor = [row for row in rows if row.top1 < 0.5] or rows[:1]
    named = "; ".join(
        f"{escape(row.label)}, {percent(row.top1)} (95 % interval {interval(row.top1_low, row.top1_high)}, "
        f"{count(row.test_images, 'test photo')})"
        for row in poor[:WORST]
    )
    more = f"; and {len(poor) - WORST:,} more" if len(poor) > WORST else ""
    return f"- It is at its worst with {named}{more}."
