"""Near duplicates: photos whose perceptual hashes differ in few bits, as they are or as mirror images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from boatyard.curation import hash_index
from boatyard.curation.perceptual_hash import words

# Photos within so many of 256 bits count as near duplicates, unless params.yaml says otherwise. Copies scaled to 0.35
# and recompressed, mirrored or not, are within it 99 times in 100; cropped by 1 % on each side 50 to 97 times, by 2 % 0
# to 19 times (250 photos of each of two data sets).
DISTANCE = 24

# How one photo may be mirrored relative to another: left to right, top to bottom, both (rotated 180°).
FLIPS = ("plain", "horizontal", "vertical", "both")

# Pairs compared at a time: few enough for a core's cache.
_BLOCK = 1 << 17
# A photo for which the index finds more than this fraction of all others as candidates is compared with all of them.
_DENSE = 1 / 16
# With this many photos under one key it pays to skip those that are linked already.
_MANY = 32


def group(hashes: Sequence[str], distance: int) -> NDArray[np.int64]:
    """Group photos that are linked by pairs of hashes at most `distance` bits apart, under any of `FLIPS`.

    Exact: the groups are the same as if every pair were compared. An index (`hash_index`) finds candidate pairs, and
    each is compared: about 1 pair in 700 for dissimilar photos, 1 in 100 for solar cells. All pairs are compared if
    that costs less, with few photos or distances above about 32; and photos with too many candidates are compared with
    all others. So the cost is never much more than that of comparing all pairs.
    `benchmarks/near_duplicates.py --hashes N` measures it.

    Returns:
        int64 [n]: the group of each hash of `perceptual_hash.phash`, numbered in order of first appearance.
    """
    if not hashes:
        return np.empty(0, np.int64)
    unique, node = np.unique(words(hashes), axis=0, return_inverse=True)
    component = _link(np.ascontiguousarray(unique.T), distance)[node.ravel()]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _link(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The connected component of each of n distinct hashes [4, n]: int64 [n]."""
    count = hashes.shape[1]
    links = _Links(count)
    parts = hash_index.choose_parts(count, count, count * (count - 1) // 2, distance)
    dense = np.zeros(count, bool) if parts else np.ones(count, bool)
    candidates = np.zeros(count, np.int64)  # that the index has found for each photo
    for part in parts:
        _link_many(hashes, distance, part, links)
    for part in parts:
        _link_by_part(hashes, distance, part, links, candidates)
        dense = candidates > _DENSE * count

    component = links.components()
    # The dense ones first, by component: each is compared with those after it that are not linked to it already.
    order = np.lexsort((component, ~dense))
    start, last = 0, int(dense.sum())
    while start < last:
        end = min(last, start + max(1, _BLOCK // (count - start)))
        some, others = order[start:end], order[start:]
        if component[some[0]] == component[some[-1]]:
            others = others[component[others] != component[some[0]]]
        bits = _bits(hashes[:, some, None], hashes[:, None, others])
        left, right = np.nonzero(np.minimum.reduce(bits) <= distance)
        links.add(some[left], others[right])
        start = end
    return links.components()


def _link_many(hashes: NDArray[np.uint64], distance: int, part: hash_index.Part, links: "_Links") -> None:
    """If many hashes share a key, link the first of them to the candidates that its look-up finds.

    This links most of many similar photos, such as the frames of a film, and linked photos are not compared again.
    """
    keys = part.keys(hashes)
    order = np.argsort(keys, kind="stable")
    first = part.first(keys)
    many = np.flatnonzero(np.diff(first) >= _MANY)
    for change in part.changes:
        key = many ^ change
        for left, right in hash_index.pairs_of_ranges(first[many], first[key], first[key + 1], _BLOCK):
            left, right, _ = _near(hashes, hashes, *links.apart(order[left], order[right]), distance)
            links.add(left, right)
        links.components()


def _link_by_part(
    hashes: NDArray[np.uint64],
    distance: int,
    part: hash_index.Part,
    links: "_Links",
    candidates: NDArray[np.int64],
) -> None:
    """Link the near pairs of n hashes [4, n] that agree in a part, except for dense ones; count up `candidates`."""
    count = hashes.shape[1]
    keys = part.keys(hashes)
    component = links.components()
    order = np.lexsort((component, keys))
    ordered, keys, component = hashes[:, order], keys[order], component[order]
    first, linked = part.first(keys), keys * count + component
    for change in part.changes:
        changed = keys ^ change
        # Of two keys that find each other, one is looked up.
        rows = np.flatnonzero((keys <= changed) & (candidates[order] <= _DENSE * count))
        start, stop = first[changed[rows]], first[changed[rows] + 1]
        if change:
            # Skip those that are linked to the photo already, if there are many.
            many = np.flatnonzero(stop - start >= _MANY)
            own = changed[rows[many]] * count + component[rows[many]]
            low, high = np.searchsorted(linked, own, side="left"), np.searchsorted(linked, own, side="right")
            rows, start, stop = np.r_[rows, rows[many]], np.r_[start, high], np.r_[stop, stop[many]]
            stop[many] = low
        else:
            start = np.searchsorted(linked, linked[rows], side="right")
        np.add.at(candidates, order[rows], stop - start)
        sparse = candidates[order[rows]] <= _DENSE * count
        for left, right in hash_index.pairs_of_ranges(rows[sparse], start[sparse], stop[sparse], _BLOCK):
            left, right, _ = _near(ordered, ordered, left, right, distance)
            links.add(order[left], order[right])


class _Links:
    """The connected components of n photos while links between them are added."""

    def __init__(self, count: int):
        self._component = np.arange(count)
        self._pending: list[NDArray[np.int64]] = []
        self._capacity = max(count, _BLOCK)

    def apart(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs, of p, that are not yet known to be in one component."""
        apart = self._component[left] != self._component[right]
        return left[apart], right[apart]

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Link each of p pairs of photos."""
        new = np.stack(self.apart(left, right))
        if new.size:
            self._pending.append(new)
            self._capacity -= new.shape[1]
            if self._capacity < 0:
                self.components()

    def components(self) -> NDArray[np.int64]:
        """Each photo's component so far, int64 [n]."""
        if self._pending:
            count = len(self._component)
            left, right = self._component[np.concatenate(self._pending, axis=1)]
            links = coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
            merged = connected_components(links, directed=False)[1].astype(np.int64)
            self._component = merged[self._component]
            self._pending, self._capacity = [], max(count, _BLOCK)
        return self._component


class Match(NamedTuple):
    """The nearest of the other photos: its number, how many bits differ, and under which of `FLIPS`."""

    other: int
    bits: int
    flip: str


def nearest(hashes: Sequence[str], others: Sequence[str], distance: int) -> list[Match | None]:
    """For each of n photos the nearest of some others, or None if none is within `distance` bits under any flip.

    Ties go to the first, and to the first flip. Exact, and with the same index as `group`; but frames of one film in
    `hashes` and in `others` cost as much as all pairs of them, since each pair may be the nearest.
    """
    if not hashes or not others:
        return [None] * len(hashes)
    unique = np.sort(np.unique(words(others), axis=0, return_index=True)[1])  # the first of equal ones
    left, right = (np.ascontiguousarray(some.T) for some in (words(hashes), words(others)[unique]))
    cells = len(unique) * len(FLIPS)
    # Bits, index and flip in one number: the smallest one is the match.
    best = np.full(len(hashes), (distance + 1) * cells)
    parts = hash_index.choose_parts(len(hashes), len(unique), len(hashes) * len(unique), distance)
    dense = np.zeros(len(hashes), bool) if parts else np.ones(len(hashes), bool)
    candidates = np.zeros(len(hashes), np.int64)
    for part in parts:
        left_keys, right_keys = part.keys(left), part.keys(right)
        order = np.argsort(right_keys, kind="stable")
        ordered, first = right[:, order], part.first(right_keys)
        for change in part.changes:
            rows = np.flatnonzero(~dense)
            key = left_keys[rows] ^ change
            start, stop = first[key], first[key + 1]
            candidates[rows] += stop - start
            dense = candidates > _DENSE * len(unique)
            sparse = ~dense[rows]
            for row, column in hash_index.pairs_of_ranges(rows[sparse], start[sparse], stop[sparse], _BLOCK):
                row, column, bits = _near(left, ordered, row, column, distance)
                cell = order[column] * len(FLIPS)
                for flip, differing in enumerate(bits):
                    np.minimum.at(best, row, differing * cells + cell + flip)

    step = max(1, _BLOCK // len(unique))
    rows = np.flatnonzero(dense)
    for some in np.split(rows, range(step, len(rows), step)):
        flat = np.stack(_bits(left[:, some, None], right[:, None]), axis=2).reshape(len(some), cells)
        cell = flat.argmin(axis=1)
        best[some] = np.take_along_axis(flat, cell[:, None], axis=1)[:, 0] * np.int64(cells) + cell
    found, nearest_cell = np.divmod(best, cells)
    index, mirrored = np.divmod(nearest_cell, len(FLIPS))
    matches = map(Match, unique[index].tolist(), found.tolist(), [FLIPS[number] for number in mirrored])
    return [match if match.bits <= distance else None for match in matches]


def _near(
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    distance: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """The pairs, of p, that are near under any of `FLIPS`: hash `rows[k]` of [4, n] and hash `columns[k]` of [4, m].

    Returns q rows, q columns, and for each flip the number of differing bits, int64 [q].
    """
    # No flip changes the first word, which excludes most pairs.
    likely = np.bitwise_count(left[0, rows] ^ right[0, columns]) <= distance
    rows, columns = rows[likely], columns[likely]
    bits = _bits(left[:, rows], right[:, columns])
    near = np.minimum.reduce(bits) <= distance
    return rows[near], columns[near], [some[near].astype(np.int64) for some in bits]


def _bits(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> list[NDArray[np.int16]]:
    """Differing bits between hashes [4, …] and hashes [4, …], int16 […], under each of `FLIPS`.

    The words contain frequencies of one parity each (see `phash`); a flip inverts all bits of two of them.
    """
    a, b, c, d = (np.bitwise_count(mine ^ theirs).astype(np.int16) for mine, theirs in zip(left, right, strict=True))
    return [a + b + c + d, 128 + a - b + c - d, 128 + a + b - c - d, 128 + a - b - c + d]
