"""How hypothesis runs here: the same few examples each time, or, with `make fuzz`, many new ones."""

from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from boatyard.core.errors import UserError, one_line

FUZZ = "fuzz"
# A round of `make fuzz` takes about two minutes on two cores.
TIMES = 10

_ANYWHERE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
# The examples that broke something are kept in .hypothesis and drawn first the next time.
settings.register_profile(FUZZ, deadline=None, suppress_health_check=_ANYWHERE, print_blob=True)


def examples(count: int) -> settings:
    """So many examples, the same each time, whatever else the machine has to do; `TIMES` as many new ones to fuzz."""
    if settings.get_current_profile_name() == FUZZ:
        return settings(max_examples=TIMES * count)
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=_ANYWHERE)


def check_told(error: UserError, start: str = "") -> None:
    """A refusal is one line of readable length, and begins with what it is about."""
    told = one_line(str(error))
    assert told.startswith(start)
    assert len(told) < len(start) + 600


# What readers of binary formats take for lengths and places.
_NUMBERS = [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0", b"\0\x01", b"9999999", b"-1"]


def damaged(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the contents with up to six changes, bytes set, put in, taken out, or brought from another, and perhaps
    cut off.
    """
    change = st.tuples(
        st.floats(0, 1, exclude_max=True) | st.integers(0, 600) | st.integers(-400, -1),
        st.sampled_from(["set", "set", "insert", "delete"]),
        st.binary(min_size=1, max_size=4) | st.sampled_from(_NUMBERS) | _piece(contents),
    )
    return st.builds(_changed, st.sampled_from(contents), st.lists(change, max_size=6), st.floats(0, 2))


def _piece(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda content, at, length: content[int(at * len(content)) :][:length],
        st.sampled_from(contents),
        st.floats(0, 1),
        st.integers(1, 100),
    )


def _changed(content: bytes, changes: list[tuple[float, str, bytes]], kept: float) -> bytes:
    """`kept`: the fraction that is not cut off. A place is a fraction of the content, or counted from either end."""
    result = bytearray(content)
    for at, what, value in changes:
        place = int(at * len(result)) if isinstance(at, float) else at if at >= 0 else max(0, len(result) + at)
        end = place if what == "insert" else place + len(value)
        result[place:end] = b"" if what == "delete" else value
    return bytes(result[: int(kept * len(result))])
