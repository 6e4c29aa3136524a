from pathlib import PurePath

import pytest
from PIL import Image

from boatyard.images import formats


def test_the_suffixes_are_those_that_pillow_knows_for_the_formats() -> None:
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in {*formats.FORMATS, "MPO"}}
    assert sorted(known) == sorted(suffix for suffixes in formats.FORMATS.values() for suffix in suffixes)
    assert not known & set(formats.UNSUPPORTED)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JPG", True), ("b/a.heic", True), ("a.jpg.txt", False), ("jpg", False), (".jpg", False)]
)
def test_whether_a_name_looks_like_a_photos(name: str, expected: bool) -> None:
    assert formats.has_photo_suffix(PurePath(name)) == expected
