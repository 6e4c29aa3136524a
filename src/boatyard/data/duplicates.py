"""Near duplicates: photos whose perceptual hashes differ in few bits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Pairs compared at a time: few enough for a core's cache.
_BLOCK = 1 << 17


def group(hashes: Sequence[str], distance: int) -> NDArray[np.int64]:
    """Group photos that are linked by pairs of hashes at most `distance` bits apart.

    Every pair is compared: a few seconds and megabytes for 20,000 hashes of 256 bits, whatever they are. An index of
    the hashes' parts would compare fewer, but not where many photos look alike, such as the frames of a film.

    Args:
        hashes: one per photo, hexadecimal, all of one length that is a multiple of 64 bits.
        distance: bits; 0 links only equal hashes.

    Returns:
        int64 [n]: each photo's group, numbered by first appearance.
    """
    if not hashes:
        return np.empty(0, np.int64)
    words = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), -1)
    unique, node = np.unique(words, axis=0, return_inverse=True)
    component = _link(unique, distance)[node.ravel()]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)


def _link(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The connected component of each of n hashes, [n, words]: int64 [n]."""
    count = len(hashes)
    columns = [np.ascontiguousarray(column) for column in hashes.T]
    component = np.arange(count)
    start = 0
    while start < count:
        end = start + max(1, _BLOCK // (count - start))
        bits = np.zeros((len(hashes[start:end]), count - start), np.uint16)
        for column in columns:
            bits += np.bitwise_count(column[start:end, None] ^ column[None, start:])
        left, right = (component[start + near] for near in np.nonzero(bits <= distance))
        news = left != right
        if news.any():
            links = coo_array((np.ones(news.sum(), bool), (left[news], right[news])), shape=(count, count))
            component = connected_components(links, directed=False)[1].astype(np.int64)[component]
        start = end
    return component
