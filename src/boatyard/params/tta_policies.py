"""The registry of TTA policies: one entry of `POLICIES` adds a policy.

`tta.policies` of params.yaml, the stage tta_evaluate, the report and `boatyard predict --tta-policy` follow from it.
It is in this package, below all that use it, so that a wrong name or setting is an error when params.yaml is read and
not when the last stage runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Which views of a photo are averaged; the plain view always is.

    Attributes:
        description: of all its views, for the report: "4 views of each photo (…)".
        choose: picks the views to average in addition to the plain one, from the mirror images that `augment` allows
            and the `tta.views` − 1 random views. If it picks none, it needs a flip that `augment` does not allow.
        of_two: the description if there is one view besides the plain one; empty if there never is.
    """

    description: str
    choose: Callable[[Sequence[int], Sequence[int]], Sequence[int]]
    of_two: str = ""


POLICIES = {
    "flips": Policy(
        "the plain view and its mirror images",
        lambda flips, random: flips,
        of_two="the plain view and its mirror image",
    ),
    "random": Policy(
        "the plain view and random ones", lambda flips, random: random, of_two="the plain view and a random one"
    ),
}
