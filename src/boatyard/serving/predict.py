"""`boatyard predict`: a trained model on photos that nobody has labelled."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from boatyard.core import files, paths
from boatyard.core.errors import DamagedFile, UserError
from boatyard.evaluation import tta
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.images.views import PhotoViews, plain_views
from boatyard.models.engines.base import Seen
from boatyard.models.model_header import Header
from boatyard.params.tta_policies import POLICIES
from boatyard.serving import find_photos, output_formats
from boatyard.serving.classifier import Answer, Classifier

# Views of a photo under the policy 'random', where no stage has chosen how many.
RANDOM_VIEWS = 5


def run(
    names: Sequence[str],
    *,
    model: Path,
    top: int,
    form: str,
    output: Path | None,
    policy: str | None,
    pictures: Path | None,
) -> int:
    """Classify photos; the exit status: 1 if a file could not be read, else 0.

    Args:
        names: of the photos, as `photos_named.find` takes them.
        model: an .onnx or .safetensors file of ours.
        top: how many classes to name.
        form: one of `answers.FORMATS`.
        output: file to write the answers to; None: standard output.
        policy: of test-time augmentation, as `views_of` takes it.
        pictures: folder to draw the answers into, if any.

    Raises:
        UserError: there is no photo or no such model, or the output can't be written.
    """
    photos = find_photos.find(names, sys.stdin)
    classifier = Classifier.load(model)
    open_ = views_of(classifier.about, policy)
    unread: dict[Path, str] = {}

    def views(photo: Path) -> Seen:
        try:
            return open_(photo)
        except UnreadablePhoto as error:
            unread[photo] = str(error)
            return []

    def answered() -> Iterator[output_formats.Answered]:
        progress = tqdm(classifier.each(photos, views), "classifying", len(photos), unit=" photos", disable=None)
        for photo, answer in zip(photos, progress, strict=True):
            if answer is None:
                progress.write(
                    f"error: {output_formats.printable(name_of(photo))}: {unread[photo]}; skipped", sys.stderr
                )
                continue
            if picture:
                picture(photo, answer)
            yield name_of(photo), answer

    picture = _Pictures(pictures, top) if pictures else None
    lines = output_formats.lines(form, answered(), top, [name_of(photo) for photo in photos], classifier.classes)
    if output:
        with files.replacing(output) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        for line in lines:
            print(line, end="", flush=True)
    if unread:
        print(f"{len(unread):,} of {len(photos):,} files could not be read", file=sys.stderr)
    return 1 if unread else 0


def name_of(path: Path) -> str:
    """A file's name as text; what is no UTF-8 in it is shown as a mark."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def views_of(about: Header, policy: str | None) -> Callable[[Path], PhotoViews]:
    """How to open a photo for the views that the stages evaluate and tta_evaluate would draw of it.

    Args:
        about: of the model.
        policy: of the registry `POLICIES`; None for the plain view alone; 'chosen' for what tta_evaluate chose.

    Raises:
        UserError: 'chosen', and nothing says what; the policy needs flips, and the model was trained without any; the
            model's header does not say how it was trained.
    """
    if policy is None:
        return lambda photo: plain_views(open_photo(photo, about.preprocessing.short_side), about.preprocessing)
    count = RANDOM_VIEWS
    if policy == "chosen":
        if not paths.TTA_METRICS.exists():
            raise UserError(
                f"--tta: {paths.TTA_METRICS} is not here to say which views were chosen: "
                f"use --tta-policy {' or --tta-policy '.join(POLICIES)}"
            )
        chosen = files.read_json(paths.TTA_METRICS)
        try:
            policy, count = str(chosen["policy"]), int(chosen["views"])
        except (KeyError, ValueError, TypeError):
            raise DamagedFile(f"{paths.TTA_METRICS} names no policy", files.REGENERATE) from None
        if policy not in POLICIES:
            raise DamagedFile(f"{paths.TTA_METRICS} names the unknown policy {policy!r}", files.REGENERATE)
    recipe = about.recipe()
    plan = tta.plan([policy], count, recipe.augment)
    if len(plan.numbers) == 1 and count > 1:
        raise UserError(f"--tta-policy {policy}: the model was trained without flips; use another policy")

    def opened(photo: Path) -> PhotoViews:
        decoded = open_photo(photo, recipe.preprocessing.short_side)
        return recipe.plan(decoded, files.sha256_of(photo), plan.numbers)

    return opened


class _Pictures:
    """Draws answers into a folder, a PNG each, under the photo's name."""

    def __init__(self, folder: Path, top: int):
        self._folder, self._top = folder, top
        self._taken: set[str] = set()

    def __call__(self, photo: Path, answer: Answer) -> None:
        from boatyard.report.figures import sheets

        name, number = photo.stem, 1
        while name in self._taken:
            number += 1
            name = f"{photo.stem} {number}"
        self._taken.add(name)
        drawn = sheets.png(sheets.answer(open_photo(photo), photo.name, answer.top(self._top)))
        files.write_bytes(self._folder / f"{name}.png", drawn)
