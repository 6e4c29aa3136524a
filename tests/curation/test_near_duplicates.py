import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from properties import examples
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from boatyard.curation import hash_index, near_duplicates
from boatyard.curation.perceptual_hash import BITS, phash

# Mirroring left to right inverts the bits of odd horizontal frequencies, top to bottom those of odd vertical ones, and
# rotating by 180° the bits of frequencies that are odd in one of the two: two of the four words of a hash each.
TURNED = {"plain": (), "horizontal": (1, 3), "vertical": (2, 3), "both": (1, 2)}


def flipped(bits: NDArray[np.uint8], flip: str) -> NDArray[np.uint8]:
    """The hash of the flipped photo, as bits [..., 256]."""
    words = bits.reshape(*bits.shape[:-1], 4, 64).copy()
    words[..., TURNED[flip], :] ^= 1
    return words.reshape(bits.shape)


def random_bits(count: int, seed: int) -> NDArray[np.uint8]:
    """Hashes as bits, uint8 [count, 256]; any two are about 128 bits apart."""
    return np.random.default_rng(seed).integers(0, 2, (count, BITS), dtype=np.uint8)


def hexadecimal(bits: NDArray[np.uint8]) -> list[str]:
    return [bytes(row).hex() for row in np.packbits(bits, axis=1)]


def reference(hashes: list[str], distance: int) -> list[int]:
    """The groups by following links from photo to photo, numbered by first appearance."""
    values = [int(text, 16) for text in hashes]
    masks = [int(hexadecimal(flipped(np.zeros((1, BITS), np.uint8), flip))[0], 16) for flip in TURNED]
    group = [-1] * len(values)
    for start in range(len(values)):
        if group[start] < 0:
            number, waiting = max(group) + 1, [start]
            while waiting:
                here = waiting.pop()
                group[here] = number
                waiting += [
                    other
                    for other, value in enumerate(values)
                    if group[other] < 0 and min((value ^ values[here] ^ mask).bit_count() for mask in masks) <= distance
                ]
    return group


@contextmanager
def search(way: str) -> Iterator[None]:
    """Compare all pairs, or use the index, which would not pay for few photos.

    With "dense", photos for which the index finds more than a few candidates are compared with all.
    """
    with pytest.MonkeyPatch.context() as patch:
        if way == "all pairs":
            patch.setattr(hash_index, "_CALLS", 1e12)
        elif way != "cheapest":
            for cost in ("_SORTED", "_LOOK_UP", "_CANDIDATE", "_CALLS"):
                patch.setattr(hash_index, cost, 0)
            patch.setattr(near_duplicates, "_DENSE", 0.1 if way == "dense" else 1.0)
            patch.setattr(near_duplicates, "_MANY", 3)
            patch.setattr(near_duplicates, "_BLOCK", 10)
        yield


WAYS = ("all pairs", "index", "dense")


@pytest.fixture(params=["cheapest", *WAYS])
def each_way(request: pytest.FixtureRequest) -> Iterator[None]:
    with search(request.param):
        yield


@pytest.mark.usefixtures("each_way")
def test_known_groups() -> None:
    # Half of the bits of every word, so that no mirror image is near.
    far, near, equal = "0f" * 32, "00" * 31 + "01", "00" * 32
    assert near_duplicates.group([], 24).tolist() == []
    assert near_duplicates.group([equal], 24).tolist() == [0]
    assert near_duplicates.group([far, equal, near, far, equal], 0).tolist() == [0, 1, 2, 0, 1]
    assert near_duplicates.group([far, equal, near, far, equal], 1).tolist() == [0, 1, 1, 0, 1]
    assert near_duplicates.group([equal, far], 47).tolist() == [0, 1]
    assert near_duplicates.group([equal, far, near], 1).dtype == np.int64


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("flip", TURNED)
@pytest.mark.parametrize("distance", [0, 24])
def test_a_mirror_image_is_found_from_its_distance_on(flip: str, distance: int) -> None:
    bits = random_bits(30, seed=6)
    bits[21] = flipped(bits[4], flip)
    bits[21, 5 : 5 + distance] ^= 1
    expected = [*range(21), 4, *range(21, 29)]
    hashes = hexadecimal(bits)
    assert near_duplicates.group(hashes, distance).tolist() == expected
    assert near_duplicates.nearest(hashes[21:22], hashes[:21], distance) == [(4, distance, flip)]
    if distance:
        assert near_duplicates.group(hashes, distance - 1).tolist() == list(range(30))
        assert near_duplicates.nearest(hashes[21:22], hashes[:21], distance - 1) == [None]


# Distances with different numbers or radii of parts, and the bits in which photos of a scene differ.
NAMED = st.sampled_from([0, 1, 2, 12, 24, 25, 47])
NOISE = st.sampled_from([0, 1, 6, 13, 20, 60])


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(0, 25), st.integers(0, 60) | NAMED, NOISE)
def test_nearest_agrees_with_the_reference(seed: int, count: int, others: int, distance: int, noise: int) -> None:
    generator = np.random.default_rng(seed)
    bits = random_bits(5, seed)[generator.integers(0, 5, count + others)]
    bits ^= generator.random(bits.shape) < noise / BITS
    for row in bits:
        row[:] = flipped(row, generator.choice(list(TURNED)))
    expected = []
    for row in bits[:count]:
        all_bits = [int((flipped(other, flip) ^ row).sum()) for other in bits[count:] for flip in TURNED]
        best = int(np.argmin(all_bits)) if all_bits else 0
        found = all_bits and all_bits[best] <= distance
        expected.append((best // 4, all_bits[best], list(TURNED)[best % 4]) if found else None)
    for way in WAYS:
        with search(way):
            assert (
                near_duplicates.nearest(hexadecimal(bits[:count]), hexadecimal(bits[count:]), distance) == expected
            ), way


def test_nearest_of_many_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = random_bits(3_000, seed=8)
    hashes = hexadecimal(bits)
    tracemalloc.start()
    found = near_duplicates.nearest(hashes[:1_500], hashes[1_400:], 24)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
    assert [match and match.other for match in found] == [None] * 1_400 + list(range(100))
    monkeypatch.setattr(near_duplicates, "_BLOCK", 4_000)
    assert near_duplicates.nearest(hashes[:1_500], hashes[1_400:], 24) == found


@pytest.mark.usefixtures("each_way")
def test_links_are_followed() -> None:
    # 0 and 20 bits, 20 and 40, 40 and 60: a chain with ends 60 bits apart.
    chain = np.zeros((4, BITS), np.uint8)
    for number in range(4):
        chain[number, : 20 * number] = 1
    assert near_duplicates.group(hexadecimal(chain), 20).tolist() == [0, 0, 0, 0]
    assert near_duplicates.group(hexadecimal(chain), 19).tolist() == [0, 1, 2, 3]
    assert near_duplicates.group(hexadecimal(chain[[0, 2, 3]]), 20).tolist() == [0, 1, 1]


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("where", ["together", "spread", "at the ends", "at random"])
@pytest.mark.parametrize("distance", [0, 1, 15, 16, 24, 31, 32, 47])
def test_a_planted_pair_is_found_from_its_distance_on(distance: int, where: str) -> None:
    bits = random_bits(60, seed=1)
    generator = np.random.default_rng(2)
    flipped = {
        "together": np.arange(distance) + 100,
        "spread": np.arange(distance) * (BITS // max(distance, 1)),
        "at the ends": np.r_[np.arange(distance // 2), BITS - 1 - np.arange(distance - distance // 2)],
        "at random": generator.permutation(BITS)[:distance],
    }[where].astype(int)
    bits[41] = bits[7]
    bits[41, flipped] ^= 1
    assert np.bitwise_count(np.packbits(bits[41] ^ bits[7])).sum() == distance
    expected = list(range(60))
    expected[41:] = [7, *range(41, 59)]
    assert near_duplicates.group(hexadecimal(bits), distance).tolist() == expected
    if distance:
        assert near_duplicates.group(hexadecimal(bits), distance - 1).tolist() == list(range(60))


@examples(80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 8), NOISE, st.integers(0, 47) | NAMED)
def test_groups_agree_with_the_reference(seed: int, count: int, scenes: int, noise: int, distance: int) -> None:
    generator = np.random.default_rng(seed)
    bits = random_bits(scenes, seed)[generator.integers(0, scenes, count)]
    bits ^= generator.random((count, BITS)) < noise / BITS  # about `noise` bits of each
    for row in bits:
        row[:] = flipped(row, generator.choice(list(TURNED)))
    hashes = hexadecimal(bits)
    expected = reference(hashes, distance)
    for way in WAYS:
        with search(way):
            assert near_duplicates.group(hashes, distance).tolist() == expected, way


def test_groups_across_blocks_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks of a few rows: links found in later blocks merge groups of earlier ones.
    monkeypatch.setattr(near_duplicates, "_BLOCK", 500)
    for seed in range(3):
        generator = np.random.default_rng(seed)
        bits = random_bits(12, seed)[generator.integers(0, 12, 150)]
        bits ^= generator.random((150, BITS)) < 11 / BITS
        hashes = hexadecimal(bits)
        groups = near_duplicates.group(hashes, 24).tolist()
        assert groups == reference(hashes, 24)
        assert 12 < len(set(groups)) < 100  # some groups, found by more than equal hashes


def cost(hashes: list[str], distance: int) -> tuple[list[int], float, float]:
    """The groups and their cost: seconds of processor time, and the peak in megabytes."""
    tracemalloc.start()
    start = time.process_time()
    groups = near_duplicates.group(hashes, distance)
    seconds, megabytes = time.process_time() - start, tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return groups.tolist(), seconds, megabytes


@pytest.mark.parametrize("distance", [24, 47])
def test_comparing_twenty_thousand_photos_needs_little_memory(distance: int) -> None:
    bits = random_bits(20_000, seed=3)
    bits[19_999] = bits[0]
    bits[19_999, :distance] ^= 1
    groups, _, megabytes = cost(hexadecimal(bits), distance)
    assert groups == [*range(19_999), 0]
    assert megabytes < 50


@pytest.mark.parametrize("noise", [5, 14])
def test_similar_frames_of_a_film_cost_no_more(noise: int) -> None:
    # With 5 bits of noise all frames are within 24 bits of one another; with 14 few are, and most are linked by others.
    bits = np.repeat(random_bits(1, seed=4), 6_000, axis=0)
    bits ^= np.random.default_rng(5).random(bits.shape) < noise / BITS
    hashes = hexadecimal(bits)
    groups, seconds, megabytes = cost(hashes, 24)
    with search("all pairs"):
        assert near_duplicates.group(hashes, 24).tolist() == groups
    assert len(set(groups)) < 50
    assert seconds < 6
    assert megabytes < 50


def test_the_index_compares_few_pairs_of_many_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def counted(*arguments: object) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for left, right in spread(*arguments):
            looked.append(len(left))
            yield left, right

    spread: Callable[..., Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]] = hash_index.pairs_of_ranges
    monkeypatch.setattr(hash_index, "pairs_of_ranges", counted)
    count = 20_000
    near_duplicates.group(hexadecimal(random_bits(count, seed=3)), 24)
    assert 0 < sum(looked) < count * (count - 1) / 2 / 500


@pytest.mark.parametrize("dense", [0.1, 1e9])
@pytest.mark.parametrize("seed", range(20))
def test_only_linked_pairs_are_skipped(monkeypatch: pytest.MonkeyPatch, seed: int, dense: float) -> None:
    """One narrow part, so that many hashes share a key, and a distance that links a few in a hundred random pairs."""
    monkeypatch.setattr(near_duplicates, "_MANY", 1)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 10)
    monkeypatch.setattr(near_duplicates, "_DENSE", dense)
    count, distance = 60, 108
    generator = np.random.default_rng(seed)
    hashes = np.packbits(random_bits(count, seed), axis=1).view(np.uint64).T.copy()
    part = hash_index.Part(0, 32, radius=1)
    monkeypatch.setattr(hash_index, "choose_parts", lambda *_: [part])
    links = near_duplicates._Links(count)
    ends = generator.integers(0, count, (2, 30))
    links.add(*ends)
    candidates = np.zeros(count, np.int64)
    near_duplicates._link_by_part(hashes, distance, part, links, candidates)
    components = links.components()

    near = np.minimum.reduce(near_duplicates._bits(hashes[:, :, None], hashes[:, None])) <= distance
    keys = part.keys(hashes)
    met = near & np.isin(keys[:, None] ^ keys, part.changes)
    out = candidates > dense * count
    before = connected_components(coo_array((np.ones(30), ends), shape=(count, count)), directed=False)[1]
    met[out] = met[:, out] = False
    left, right = np.nonzero(met)
    assert (components[left] == components[right]).all()
    assert len(set(components.tolist())) < len(set(before.tolist()))
    assert out.any() == (dense < 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_dense_photo_is_compared_with_all_that_it_is_not_linked_to(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    count, distance = 60, 108
    generator = np.random.default_rng(seed)
    hashes = np.packbits(random_bits(count, seed), axis=1).view(np.uint64).T.copy()
    known, dense = generator.integers(0, count, (2, 30)), generator.random(count) < 0.3

    def mark_dense(
        _hashes: object, _distance: int, _part: object, links: near_duplicates._Links, candidates: object
    ) -> None:
        assert isinstance(candidates, np.ndarray)
        links.add(*known)
        candidates[dense] = count

    monkeypatch.setattr(hash_index, "choose_parts", lambda *_: [hash_index.Part(0, 12, radius=0)])
    monkeypatch.setattr(near_duplicates, "_link_by_part", mark_dense)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 10)
    near = np.minimum.reduce(near_duplicates._bits(hashes[:, :, None], hashes[:, None])) <= distance
    near &= dense[:, None] | dense
    near[*known] = True
    expected = connected_components(near, directed=False)[1]
    found = near_duplicates._link(hashes, distance)
    assert ((found[:, None] == found) == (expected[:, None] == expected)).all()


@pytest.mark.parametrize("distance", [0, 1, 2, 3, 12, 13, 24, 25, 31, 40, 47])
def test_some_part_finds_every_pair_within_the_distance(distance: int) -> None:
    """Parts are disjoint, and a pair that all of them miss differs in more than `distance` bits."""
    with search("index"):
        parts = hash_index.choose_parts(2, 2, 1, distance)
    taken = [set(range(part.start, BITS, part.stride)) for part in parts]
    assert all(not one & other for one, other in itertools.combinations(taken, 2))
    assert sum(part.radius + 1 for part in parts) == distance + 1


@pytest.mark.parametrize(("start", "stride"), [(0, 12), (11, 12), (0, 13), (5, 13), (12, 13), (0, 32), (31, 32)])
def test_keys_do_not_change_under_flips_and_all_one_bit_changes_are_looked_up(start: int, stride: int) -> None:
    part = hash_index.Part(start, stride, radius=1)
    bits = random_bits(40, seed=start)

    def keys(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
        return part.keys(np.packbits(bits, axis=1).view(np.uint64).T)

    plain = keys(bits)
    assert len(set(plain.tolist())) > 1
    assert 0 <= plain.min() <= plain.max() < 2**part.width
    for flip in TURNED:
        assert keys(flipped(bits, flip)).tolist() == plain.tolist()
    met = set()
    for place in range(BITS):
        changed = bits.copy()
        changed[:, place] ^= 1
        change = set((keys(changed) ^ plain).tolist())
        assert len(change) == 1
        met |= change
    assert met == set(part.changes)


def draw(number: int) -> Image.Image:
    """Shapes on a cloudy background, 240 × 180 pixels."""
    generator = np.random.default_rng(number)
    clouds = Image.fromarray(generator.integers(40, 215, size=(6, 8, 3), dtype=np.uint8))
    photo = clouds.resize((240, 180), Image.Resampling.BICUBIC)
    brush = ImageDraw.Draw(photo)
    for _ in range(5):
        left, top, width, height = (int(value) for value in generator.integers(10, 110, 4))
        colour = tuple(int(value) for value in generator.integers(0, 255, 3))
        brush.ellipse((left, top, left + width, top + height), fill=colour)
    return photo


def test_a_resized_and_recompressed_photo_is_a_near_duplicate(tmp_path: Path) -> None:
    photos = [draw(number) for number in range(12)]
    for number, photo in enumerate(photos[:6]):
        photo.resize((144, 108), Image.Resampling.LANCZOS).save(tmp_path / f"{number}.jpg", quality=70)
        with Image.open(tmp_path / f"{number}.jpg") as smaller:
            photos.append(smaller.convert("RGB"))
    hashes = [phash(photo) for photo in photos]
    expected = [*range(12), *range(6)]
    assert near_duplicates.group(hashes, 24).tolist() == expected
    assert near_duplicates.group(hashes[:12], 47).tolist() == expected[:12]
