"""When a group agrees on a title.

A group is two or more people: nobody agrees alone. Only members who are present count, so somebody
who leaves neither blocks nor carries a decision, and a planned head count plays no role.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import msgspec

from trinity.domain import errors
from trinity.domain.ids import UserId

Choice = Literal["yes", "no", "super", "veto"]
"""`super` counts as a yes that ranks higher; one `veto` excludes the title for everybody."""

Ballot = Mapping[UserId, Choice]
"""The votes on one title."""

SMALLEST_GROUP = 2


class Unanimous(msgspec.Struct, frozen=True, tag_field="kind", tag="unanimous"):
    """Everybody present says yes."""


class AtLeast(msgspec.Struct, frozen=True, tag_field="kind", tag="atLeast"):
    """So many of those present say yes."""

    count: Annotated[int, msgspec.Meta(ge=1, le=100)]


class Share(msgspec.Struct, frozen=True, tag_field="kind", tag="share"):
    """At least this percentage of those present say yes."""

    percent: Annotated[int, msgspec.Meta(ge=1, le=100)]


class Easing(msgspec.Struct, frozen=True, tag_field="kind", tag="easing"):
    """Unanimous at first, then all but one, then all but two.

    Attributes:
        after: from how many votes a head on the rule is eased by one more.
    """

    after: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=500)], ...],
        msgspec.Meta(min_length=1, max_length=5),
    ] = (15, 25)


Rule = Unanimous | AtLeast | Share | Easing
RuleKind = Literal["unanimous", "atLeast", "share", "easing"]


def kind(rule: Rule) -> RuleKind:
    """Return the name of the rule as the API writes it."""
    match rule:
        case Unanimous():
            return "unanimous"
        case AtLeast():
            return "atLeast"
        case Share():
            return "share"
        case Easing():
            return "easing"


def needed(rule: Rule, present: int, eased: int = 0) -> int:
    """Return how many of `present` members must say yes.

    Args:
        rule: the room's rule.
        present: number of active members.
        eased: by how much an easing rule has been eased so far.

    Returns:
        A number that may exceed `present`: then nothing can match until more people join.
    """
    match rule:
        case Unanimous():
            return max(present, SMALLEST_GROUP)
        case AtLeast(count=count):
            return count
        case Share(percent=percent):
            return max(1, -(-percent * present // 100))
        case Easing():
            return max(present - eased, SMALLEST_GROUP)


def require_reachable(rule: Rule, capacity: int) -> None:
    """Refuse a rule that no group of a room could ever meet.

    Raises:
        InvalidRequest: it asks for more people than the room can hold.
    """
    if isinstance(rule, AtLeast) and rule.count > capacity:
        raise errors.InvalidRequest(errors=[("/rule/count", f"must be at most {capacity}")])


def easing_due(rule: Rule, votes: int, present: int) -> int:
    """Return by how much the rule should be eased after `votes` votes of `present` members."""
    if not isinstance(rule, Easing) or present == 0:
        return 0
    return sum(votes >= threshold * present for threshold in rule.after)


def vetoed(ballot: Ballot, present: Collection[UserId]) -> bool:
    """Tell whether somebody present has vetoed the title."""
    return any(choice == "veto" and user in present for user, choice in ballot.items())


def agreement(
    rule: Rule, ballot: Ballot, present: Collection[UserId], eased: int = 0
) -> tuple[UserId, ...] | None:
    """Return who agrees on the title if the rule is met, None if it is not."""
    if len(present) < SMALLEST_GROUP or vetoed(ballot, present):
        return None
    agreeing = tuple(
        sorted(
            user
            for user, choice in ballot.items()
            if choice in ("yes", "super") and user in present
        )
    )
    return agreeing if len(agreeing) >= needed(rule, len(present), eased) else None


def may_complete(choice: Choice | None, replaced: Choice | None) -> bool:
    """Tell whether a vote can be the one that completes an agreement.

    A yes can. Anything that takes a veto back can too, because others may have agreed before.
    A plain no cannot, so it needs no look at the room.
    """
    return choice in ("yes", "super") or (replaced == "veto" and choice != "veto")
