"""What a member should see next, and when a deck is finished."""

from collections.abc import Iterable, Mapping, Sequence, Set

from trinity.domain.consensus import Ballot, vetoed
from trinity.domain.ids import TitleId, UserId


def next_titles(
    deck: Sequence[TitleId],
    ballots: Mapping[TitleId, Ballot],
    me: UserId,
    present: Set[UserId],
) -> list[TitleId]:
    """Return all titles that this member has not voted on, in the order to show them.

    Titles that others liked come first, so that an agreement is reached soon; otherwise the order
    of the deck holds. Titles that a veto has excluded are left out.
    """
    empty: Ballot = {}

    def liked(title: TitleId) -> int:
        votes = ballots.get(title, empty)
        return sum(v in ("yes", "super") and user in present for user, v in votes.items())

    unseen = [
        title
        for title in deck
        if me not in ballots.get(title, empty) and not vetoed(ballots.get(title, empty), present)
    ]
    return sorted(unseen, key=liked, reverse=True)  # stable: ties keep the order of the deck


def progress(ballots: Iterable[Ballot], users: Iterable[UserId]) -> dict[UserId, int]:
    """Return on how many titles each user has voted."""
    counts = dict.fromkeys(users, 0)
    for ballot in ballots:
        for user in ballot:
            if user in counts:
                counts[user] += 1
    return counts


def complete(
    deck: Sequence[TitleId], ballots: Mapping[TitleId, Ballot], present: Set[UserId]
) -> bool:
    """Tell whether nobody present has anything left to vote on."""
    for title in deck:
        ballot = ballots.get(title, {})
        if not all(user in ballot for user in present) and not vetoed(ballot, present):
            return False
    return True
