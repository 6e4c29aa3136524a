"""Near duplicates: photos whose perceptual hashes differ in few bits, as they are or as mirror images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from boatyard.curation import hash_index
from boatyard.curation.perceptual_hash import words

# Bits of 256 within which photos are taken for the same, where params.yaml has no say. Copies scaled to 0.35 and
# recompressed, mirrored or not, lie within it 99 times in 100; cut by 1 % at each side 50 to 97 times, by 2 % 0 to 19
# (250 photos of each of two data sets).
DISTANCE = 24

# How one photo may come out of another: left and right exchanged, top and bottom, both (half a turn).
FLIPS = ("plain", "horizontal", "vertical", "both")

# Pairs compared at a time: few enough for a core's cache.
_BLOCK = 1 << 17
# A photo for which the index brings more than this part of all others is compared with all of them.
_CROWDED = 1 / 16
# From so many photos under one key on it pays to look for those that are linked already.
_MANY = 32


def group(hashes: Sequence[str], distance: int) -> NDArray[np.int64]:
    """Group photos that are linked by pairs of hashes at most `distance` bits apart, under any of `FLIPS`.

    Exact: the groups are those that comparing every pair gives. Pairs are looked for in an index (`hash_index`), and
    each one that it brings is compared. It brings about 1 pair in 700 of unlike photos, 1 in 100 of solar cells; where
    it would cost more than comparing every pair, at few photos or at distances above about 32, or brings a large part
    of all others for some photos, these are compared with all. So no photos cost much more than all pairs do.
    `benchmarks/near_duplicates.py --hashes N` measures it.

    Args:
        hashes: one per photo, of `phash.phash`.
        distance: bits; 0 links only equal hashes.

    Returns:
        int64 [n]: each photo's group, numbered by first appearance.
    """
    if not hashes:
        return np.empty(0, np.int64)
    unique, node = np.unique(words(hashes), axis=0, return_inverse=True)
    component = _link(np.ascontiguousarray(unique.T), distance)[node.ravel()]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)


def _link(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The connected component of each of n different hashes, [4, n]: int64 [n]."""
    count = hashes.shape[1]
    links = _Links(count)
    parts = hash_index.parts(count, count, count * (count - 1) // 2, distance)
    crowded = np.zeros(count, bool) if parts else np.ones(count, bool)
    brought = np.zeros(count, np.int64)
    for part in parts:
        _link_crowds(hashes, distance, part, links)
    for part in parts:
        _link_by_part(hashes, distance, part, links, brought)
        crowded = brought > _CROWDED * count

    component = links.components()
    # The crowded ones first, by component: each is compared with those after it that are not linked to it already.
    order = np.lexsort((component, ~crowded))
    start, last = 0, int(crowded.sum())
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


def _link_crowds(hashes: NDArray[np.uint64], distance: int, part: hash_index.Part, links: "_Links") -> None:
    """Link the first of many hashes that share a key to those that a look-up of it brings.

    This links nearly all of many photos that are alike, the frames of a film, and what is linked is not compared again.
    """
    keys = part.keys(hashes)
    order = np.argsort(keys, kind="stable")
    first = part.first(keys)
    many = np.flatnonzero(np.diff(first) >= _MANY)
    for change in part.changes:
        key = many ^ change
        for left, right in hash_index.spread(first[many], first[key], first[key + 1], _BLOCK):
            left, right, _ = _near(hashes, hashes, *links.open(order[left], order[right]), distance)
            links.add(left, right)
        links.components()


def _link_by_part(
    hashes: NDArray[np.uint64],
    distance: int,
    part: hash_index.Part,
    links: "_Links",
    brought: NDArray[np.int64],
) -> None:
    """Link the near ones of n hashes, [4, n], that agree in a part, but for crowded ones.

    `brought` says for each photo how many others the index has brought for it, and grows.
    """
    count = hashes.shape[1]
    keys = part.keys(hashes)
    component = links.components()
    order = np.lexsort((component, keys))
    ordered, keys, component = hashes[:, order], keys[order], component[order]
    first, linked = part.first(keys), keys * count + component
    for change in part.changes:
        theirs = keys ^ change
        # Of two keys that lead to each other, one is looked up.
        who = np.flatnonzero((keys <= theirs) & (brought[order] <= _CROWDED * count))
        start, stop = first[theirs[who]], first[theirs[who] + 1]
        if change:
            # Around those that are linked to the photo already, where it pays to know them.
            many = np.flatnonzero(stop - start >= _MANY)
            own = theirs[who[many]] * count + component[who[many]]
            low, high = np.searchsorted(linked, own, side="left"), np.searchsorted(linked, own, side="right")
            who, start, stop = np.r_[who, who[many]], np.r_[start, high], np.r_[stop, stop[many]]
            stop[many] = low
        else:
            start = np.searchsorted(linked, linked[who], side="right")
        np.add.at(brought, order[who], stop - start)
        room = brought[order[who]] <= _CROWDED * count
        for left, right in hash_index.spread(who[room], start[room], stop[room], _BLOCK):
            left, right, _ = _near(ordered, ordered, left, right, distance)
            links.add(order[left], order[right])


class _Links:
    """The connected components of n photos while links between them come in."""

    def __init__(self, count: int):
        self._component = np.arange(count)
        self._waiting: list[NDArray[np.int64]] = []
        self._room = max(count, _BLOCK)

    def open(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Those of p pairs of photos that are not yet known to be in one component."""
        apart = self._component[left] != self._component[right]
        return left[apart], right[apart]

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Link each of p pairs of photos."""
        news = np.stack(self.open(left, right))
        if news.size:
            self._waiting.append(news)
            self._room -= news.shape[1]
            if self._room < 0:
                self.components()

    def components(self) -> NDArray[np.int64]:
        """Each photo's component so far, int64 [n]."""
        if self._waiting:
            count = len(self._component)
            left, right = self._component[np.concatenate(self._waiting, axis=1)]
            links = coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
            merged = connected_components(links, directed=False)[1].astype(np.int64)
            self._component = merged[self._component]
            self._waiting, self._room = [], max(count, _BLOCK)
        return self._component


class Match(NamedTuple):
    """The photo nearest to another one: its place, how many bits lie between them, and which of `FLIPS`."""

    place: int
    bits: int
    flip: str


def nearest(hashes: Sequence[str], others: Sequence[str], distance: int) -> list[Match | None]:
    """For each of n photos the nearest of some others, or None where none is within `distance` bits under any flip.

    Of equally near ones the first, and the first flip. Exact and by the same index as `group`; but frames of a film in
    `hashes` and in `others` cost what all pairs of them do, since each pair may be the nearest.
    """
    if not hashes or not others:
        return [None] * len(hashes)
    place = np.sort(np.unique(words(others), axis=0, return_index=True)[1])  # of equal ones the first
    left, right = (np.ascontiguousarray(some.T) for some in (words(hashes), words(others)[place]))
    cells = len(place) * len(FLIPS)
    # Bits, place and flip in one number: the least one is the match.
    best = np.full(len(hashes), (distance + 1) * cells)
    parts = hash_index.parts(len(hashes), len(place), len(hashes) * len(place), distance)
    crowded = np.zeros(len(hashes), bool) if parts else np.ones(len(hashes), bool)
    brought = np.zeros(len(hashes), np.int64)
    for part in parts:
        mine, theirs = part.keys(left), part.keys(right)
        order = np.argsort(theirs, kind="stable")
        ordered, first = right[:, order], part.first(theirs)
        for change in part.changes:
            who = np.flatnonzero(~crowded)
            key = mine[who] ^ change
            start, stop = first[key], first[key + 1]
            brought[who] += stop - start
            crowded = brought > _CROWDED * len(place)
            room = ~crowded[who]
            for asking, found in hash_index.spread(who[room], start[room], stop[room], _BLOCK):
                asking, found, bits = _near(left, ordered, asking, found, distance)
                cell = order[found] * len(FLIPS)
                for flip, apart in enumerate(bits):
                    np.minimum.at(best, asking, apart * cells + cell + flip)

    step = max(1, _BLOCK // len(place))
    rows = np.flatnonzero(crowded)
    for some in np.split(rows, range(step, len(rows), step)):
        flat = np.stack(_bits(left[:, some, None], right[:, None]), axis=2).reshape(len(some), cells)
        cell = flat.argmin(axis=1)
        best[some] = np.take_along_axis(flat, cell[:, None], axis=1)[:, 0] * np.int64(cells) + cell
    matches: list[Match | None] = []
    for number in best.tolist():
        apart, at = divmod(number, cells)
        which, flip = divmod(at, len(FLIPS))
        matches.append(Match(int(place[which]), apart, FLIPS[flip]) if apart <= distance else None)
    return matches


def _near(
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    distance: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Those of p pairs, hash `rows[k]` of [4, n] with `columns[k]` of [4, m], that are near under any of `FLIPS`.

    Returns:
        q rows, q columns, and under each flip the bits between them, int64 [q].
    """
    # No flip turns the first word, which tells most pairs apart.
    likely = np.bitwise_count(left[0, rows] ^ right[0, columns]) <= distance
    rows, columns = rows[likely], columns[likely]
    bits = _bits(left[:, rows], right[:, columns])
    near = np.minimum.reduce(bits) <= distance
    return rows[near], columns[near], [some[near].astype(np.int64) for some in bits]


def _bits(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> list[NDArray[np.int16]]:
    """Bits between hashes [4, …] and hashes [4, …], int16 […], under each of `FLIPS`.

    The words hold frequencies that are even or odd down and across (see `phash`); a flip turns all bits of two of them.
    """
    a, b, c, d = (np.bitwise_count(mine ^ theirs).astype(np.int16) for mine, theirs in zip(left, right, strict=True))
    return [a + b + c + d, 128 + a - b + c - d, 128 + a + b - c - d, 128 + a - b - c + d]
