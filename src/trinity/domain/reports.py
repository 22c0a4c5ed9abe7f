"""What can be told of a room, of a person's taste, and of a day: arithmetic on votes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import msgspec

from trinity.domain.consensus import Ballot, Choice
from trinity.domain.ids import DAY, HOUR, MINUTE, Millis, TitleId, UserId
from trinity.domain.titles import Title


class Cast(NamedTuple):
    """A vote with its time."""

    at: Millis
    choice: Choice


def likes(choice: Choice) -> bool:
    """Tell whether a vote is for a title."""
    return choice in ("yes", "super")


def rate(part: int, whole: int) -> float | None:
    """Return a share from 0 to 1, to four digits; None where there is nothing to share."""
    return round(part / whole, 4) if whole else None


class Pair(NamedTuple):
    """How far two people agree.

    Attributes:
        titles: that both have voted on.
        same: of these, how many both are for, or neither.
    """

    one: UserId
    other: UserId
    titles: int
    same: int


def agreement(ballots: Iterable[Ballot], people: Iterable[UserId]) -> list[Pair]:
    """Return how far each two of some people agree, in the order of their names."""
    cast = list(ballots)
    pairs = []
    for one, other in combinations(sorted(people), 2):
        both = [(b[one], b[other]) for b in cast if one in b and other in b]
        same = sum(likes(mine) == likes(theirs) for mine, theirs in both)
        pairs.append(Pair(one, other, len(both), same))
    return pairs


class Slice(NamedTuple):
    """The votes of a stretch of time that begins at `at`."""

    at: Millis
    votes: int
    yes: int


_WIDTHS = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY)
_MOST_SLICES = 48


def over_time(votes: Sequence[Cast]) -> tuple[int, list[Slice]]:
    """Return votes by stretches of time, from the first to the last, and how long these are.

    Args:
        votes: in any order.

    Returns:
        Milliseconds of a stretch, as short as is needed for 48 at most; and the stretches, empty
        ones included.
    """
    if not votes:
        return _WIDTHS[0], []
    first, last = min(vote.at for vote in votes), max(vote.at for vote in votes)
    fitting = (w for w in _WIDTHS if last // w - first // w < _MOST_SLICES)
    width = next(fitting, _WIDTHS[-1])
    counts: dict[int, list[int]] = {n: [0, 0] for n in range(first // width, last // width + 1)}
    for vote in votes:
        count = counts[vote.at // width]
        count[0] += 1
        count[1] += likes(vote.choice)
    return width, [Slice(Millis(n * width), *count) for n, count in counts.items()]


class Share(msgspec.Struct, frozen=True):
    """How many of some votes are for their titles."""

    votes: int = 0
    yes: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.votes + other.votes, self.yes + other.yes)


class Taste(msgspec.Struct, frozen=True, rename="camel"):
    """What somebody votes for.

    Attributes:
        decades: by the first year of each.
    """

    total: Share = Share()
    genres: dict[str, Share] = {}
    decades: dict[str, Share] = {}


def taste(votes: Mapping[TitleId, Choice], titles: Mapping[TitleId, Title]) -> Taste:
    """Return what votes say of a taste; titles that are not known any more are only counted."""
    one_of_each = []
    for title_id, choice in votes.items():
        share = Share(1, likes(choice))
        title = titles.get(title_id)
        if title is None:
            one_of_each.append(Taste(share))
            continue
        decades = [] if title.year is None else [str(title.year // 10 * 10)]
        genres = dict.fromkeys(title.genres, share)
        one_of_each.append(Taste(share, genres, dict.fromkeys(decades, share)))
    return together(one_of_each)


def together(tastes: Iterable[Taste]) -> Taste:
    """Return the taste that several make."""
    total, genres, decades = Share(), dict[str, Share](), dict[str, Share]()
    for one in tastes:
        total += one.total
        for mine, theirs in ((genres, one.genres), (decades, one.decades)):
            for name, share in theirs.items():
                mine[name] = mine.get(name, Share()) + share
    return Taste(total, genres, decades)


class RoomOfDay(msgspec.Struct, frozen=True, rename="camel"):
    """A room, as it counts for the day on which it was opened.

    Attributes:
        members: who ever joined.
        votes: that stand.
        matched_at: when its first match was found, None for none yet.
    """

    opened_at: Millis
    members: int
    votes: int
    matched_at: Millis | None = None


class Day(NamedTuple):
    """The rooms that were opened on a day.

    Attributes:
        p50_ms, p90_ms: time from opening to the first match, of those that have one.
    """

    rooms: int
    members: int
    votes: int
    matched: int
    p50_ms: float | None
    p90_ms: float | None


def day(rooms: Sequence[RoomOfDay]) -> Day:
    """Return how the rooms of a day have gone."""
    took = [room.matched_at - room.opened_at for room in rooms if room.matched_at is not None]
    return Day(
        rooms=len(rooms),
        members=sum(room.members for room in rooms),
        votes=sum(room.votes for room in rooms),
        matched=len(took),
        p50_ms=quantile(took, 0.5),
        p90_ms=quantile(took, 0.9),
    )


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the value below which a share of all lies, interpolated; None if there are none.

    Definition 7 of Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", which most
    programs use.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
