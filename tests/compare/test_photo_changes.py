from collections import Counter

from boatyard.compare.photo_changes import compare_photos
from boatyard.core.splits import Sample


def rows(*described):
    """'cat/1 train A': a path, a split and a content."""
    found = []
    for text in described:
        path, split, sha256 = text.split()
        found.append(Sample(path, path.split("/")[0], split, sha256))
    return found


BEFORE = rows("cat/1 train A", "cat/2 train B", "cat/3 test C", "dog/1 train D", "dog/2 test E")


def test_nothing():
    changes = compare_photos(BEFORE, list(reversed(BEFORE)))
    assert not changes.any
    assert (changes.before, changes.after, changes.labels) == (5, 5, [])


def test_everything_at_once():
    after = rows(
        "cat/1 test A",  # another split
        "cat/two train B",  # another name
        "dog/3 test C",  # another label
        "dog/1 train X",  # the same name for another photo: one removed, one added
        "elk/1 train F",
        "elk/0 test G",
    )
    changes = compare_photos(BEFORE, after)
    assert changes.any
    assert [row.path for row in changes.added] == ["dog/1", "elk/0", "elk/1"]
    assert [row.path for row in changes.removed] == ["dog/1", "dog/2"]
    assert [(old.path, new.path) for old, new in changes.relabelled] == [("cat/3", "dog/3")]
    assert changes.renamed == 1
    assert changes.moved == Counter({("train", "test"): 1})
    assert changes.labels == [("dog", 1, 2), ("elk", 2, 0)]
