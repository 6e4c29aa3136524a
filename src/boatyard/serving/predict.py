"""`boatyard predict`: classify photos with a trained model."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from tqdm import tqdm

from boatyard.core import files, paths
from boatyard.core.errors import DamagedFile, UserError
from boatyard.evaluation import tta
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.images.views import PhotoViews, plain_views
from boatyard.models.engines.base import PhotoInput
from boatyard.models.model_header import Header
from boatyard.params.tta_policies import POLICIES
from boatyard.serving import find_photos, output_formats
from boatyard.serving.classifier import Classification, Classifier
from boatyard.serving.known_classes import KnownClasses

# Views per photo under the policy 'random', if tta_evaluate has not chosen a number.
RANDOM_VIEWS = 5


def run(
    names: Sequence[str],
    *,
    model: Path,
    topk: int,
    output_format: str,
    output: Path | None,
    policy: str | None,
    pictures: Path | None,
) -> int:
    """Classify photos, with the options of the command line (`boatyard predict --help`).

    Returns:
        The exit status: 1 if a file could not be read, else 0.

    Raises:
        UserError: there is no photo or no such model, or the output can't be written.
    """
    photos = find_photos.find(names, sys.stdin)
    classifier = Classifier.load(model)
    open_ = views_of(classifier.header, policy)
    unreadable: dict[Path, str] = {}
    class_of, used = KnownClasses(), set[str]()  # names of pictures

    def views(photo: Path) -> PhotoInput:
        try:
            return open_(photo)
        except UnreadablePhoto as error:
            unreadable[photo] = str(error)
            return []

    def results() -> Iterator[output_formats.Result]:
        progress = tqdm(classifier.each(photos, views), "classifying", len(photos), unit=" photos", disable=None)
        for photo, classification in zip(photos, progress, strict=True):
            if classification is None:
                name = output_formats.printable(name_of(photo))
                progress.write(f"error: {name}: {unreadable[photo]}; skipped", sys.stderr)
                continue
            if pictures:
                picture = pictures / _free_name(photo.stem, used)
                _draw(picture, photo, classification, topk, class_of(photo))
            yield name_of(photo), classification

    names = [name_of(photo) for photo in photos]
    lines = output_formats.lines(output_format, results(), topk, names, classifier.classes)
    if output:
        with files.replacing(output) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        for line in lines:
            print(line, end="", flush=True)
    if unreadable:
        print(f"{len(unreadable):,} of {len(photos):,} files could not be read", file=sys.stderr)
    return 1 if unreadable else 0


def name_of(path: Path) -> str:
    """A path as text, with replacement characters for bytes that are not UTF-8."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def views_of(header: Header, policy: str | None) -> Callable[[Path], PhotoViews]:
    """A function that opens a photo for the views that the stages evaluate and tta_evaluate would draw of it.

    The policy is one of `POLICIES`; None for the plain view alone; or 'chosen' for what tta_evaluate chose.

    Raises:
        UserError: the policy is 'chosen', but tta_evaluate has not run; it needs flips, but the model was trained
            without any; or the model's header lacks its augmentation.
    """
    if policy is None:
        return lambda photo: plain_views(open_photo(photo, header.preprocessing.short_side), header.preprocessing)
    views = RANDOM_VIEWS
    if policy == "chosen":
        if not paths.TTA_METRICS.exists():
            raise UserError(
                f"--tta needs the policy in {paths.TTA_METRICS}, which does not exist: "
                f"use --tta-policy {' or --tta-policy '.join(POLICIES)}"
            )
        chosen = files.read_json(paths.TTA_METRICS)
        try:
            policy, views = str(chosen["policy"]), int(chosen["views"])
        except (KeyError, ValueError, TypeError):
            raise DamagedFile(f"{paths.TTA_METRICS} has no policy", files.REGENERATE) from None
        if policy not in POLICIES:
            raise DamagedFile(f"{paths.TTA_METRICS} has the unknown policy {policy!r}", files.REGENERATE)
    recipe = header.recipe()
    plan = tta.plan([policy], views, recipe.augment)
    if len(plan.numbers) == 1 and views > 1:
        raise UserError(f"--tta-policy {policy}: the model was trained without flips; use another policy")

    def open_views(photo: Path) -> PhotoViews:
        decoded = open_photo(photo, recipe.preprocessing.short_side)
        return recipe.plan(decoded, files.sha256_of(photo), plan.numbers)

    return open_views


def _draw(path: Path, photo: Path, classification: Classification, topk: int, actual: str | None) -> None:
    """Draw a photo with its most probable classes, and with its own if that is known, into a PNG."""
    from boatyard.report.figures import sheets

    top = list(classification.top(topk))
    if actual and actual in classification.classes and actual not in dict(top):
        top.append((actual, classification.probabilities[actual]))
    files.write_bytes(path, sheets.png(sheets.answer(open_photo(photo), photo.name, top, actual)))


def _free_name(stem: str, used: set[str]) -> str:
    """The name of a picture: `stem`, with a number if another photo has that name. It is added to `used`."""
    numbered = (f"{stem} {number}" for number in count(2))
    name = next(name for name in chain([stem], numbered) if name not in used)
    used.add(name)
    return f"{name}.png"
