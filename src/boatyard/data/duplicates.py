"""Near duplicates: photos whose perceptual hashes differ in few bits."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_CHUNK_BITS = 16
_BATCH = 1 << 20


def group(hashes: Sequence[str], distance: int) -> NDArray[np.int64]:
    """Group photos that are linked by pairs of hashes at most `distance` bits apart.

    Args:
        hashes: one per photo, hexadecimal, all of one length that is a multiple of 16 bits.
        distance: bits; 0 links only equal hashes.

    Returns:
        int64 [n]: each photo's group, numbered by first appearance.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): two hashes of m 16-bit chunks at most d bits apart have
    a chunk that differs in at most ⌊d / m⌋ bits, so only photos that meet there are compared.
    """
    if not hashes:
        return np.empty(0, np.int64)
    chunks = np.array([list(bytes.fromhex(value)) for value in hashes], np.uint8).view(np.uint16)
    # Equal hashes are one node, so that a thousand blank photos are not half a million pairs.
    unique, node = np.unique(chunks, axis=0, return_inverse=True)
    pairs = [_close(unique, left, right, distance) for left, right in _candidates(unique, distance)]
    left, right = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.int64)
    links = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(unique), len(unique)))
    _, component = connected_components(links, directed=False)
    _, first, inverse = np.unique(component[node.ravel()], return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)


def _candidates(chunks: NDArray[np.uint16], distance: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (left < right) of rows that have a chunk in common, up to the bits that may differ in it."""
    count, width = chunks.shape
    masks = _masks(distance // width)
    for column in range(width):
        values = chunks[:, column]
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        for mask in masks:
            start = np.searchsorted(ordered, values ^ mask, side="left")
            sizes = np.searchsorted(ordered, values ^ mask, side="right") - start
            ends = np.cumsum(sizes)
            first = 0
            while first < count:
                # As many rows as give about _BATCH pairs, at least one row.
                done = ends[first - 1] if first else 0
                last = max(first + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
                size = sizes[first:last]
                left = np.repeat(np.arange(first, last), size)
                within = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
                right = order[np.repeat(start[first:last], size) + within]
                later = left < right
                yield left[later], right[later]
                first = last


def _masks(bits: int) -> NDArray[np.uint16]:
    """Every 16-bit number with at most `bits` ones."""
    numbers = np.arange(1 << _CHUNK_BITS, dtype=np.uint32)
    return numbers[np.bitwise_count(numbers) <= bits].astype(np.uint16)


def _close(
    chunks: NDArray[np.uint16], left: NDArray[np.int64], right: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    bits = np.bitwise_count(chunks[left] ^ chunks[right]).sum(axis=1, dtype=np.int64)
    near = bits <= distance
    return np.stack([left[near], right[near]])
