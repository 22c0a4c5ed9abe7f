"""Putting reports together from what `store/reports.py` keeps; they are some seconds behind.

As long as a secret room is at it, nothing is told that a single vote could be made out from: in a
room of two a count is a name. How far everybody is, and what was matched, members know anyway.
"""

from collections.abc import Iterable, Mapping

from trinity.common.shapes import Shape, rfc3339
from trinity.domain.consensus import Choice
from trinity.domain.decks import complete
from trinity.domain.ids import Millis, RoomId, TitleId, UserId
from trinity.domain.reports import Cast, Share, agreement, likes, over_time, rate, together
from trinity.domain.rooms import Room, RoomState
from trinity.ports import Blobs, Table
from trinity.store import ballots, decks, matches, reports, rooms

_ROOMS_OF_PEERS = 30
"""The newest rooms in which it is looked for whom somebody agrees with: each is a query."""


class MemberReport(Shape, frozen=True, kw_only=True):
    """What a member has done in a room.

    Attributes:
        participation: share of the deck that was voted on, 0 to 1.
        yes_rate: share of votes for their titles; absent without votes, or while it is hidden.
    """

    user_id: UserId
    name: str
    votes: int
    participation: float
    yes_rate: float | None = None


class PairReport(Shape, frozen=True, kw_only=True):
    """How far two members agree.

    Attributes:
        titles: that both have voted on.
        same: of these, how many both are for, or neither.
    """

    user_ids: tuple[UserId, UserId]
    titles: int
    same: int
    rate: float | None = None


class SliceShape(Shape, frozen=True, kw_only=True):
    """The votes of a stretch of time that begins at `at`."""

    at: str
    votes: int
    yes: int


class RoomReport(Shape, frozen=True, kw_only=True):
    """How it went in a room, as far as the members are concerned who are in it now.

    Attributes:
        hidden: the room is secret and at it: yes rates, agreement and votes over time are absent.
        votes: that stand; one that was changed counts once, at its last time.
        slice_minutes: how long the stretches of `overTime` are.
        votes_to_first_match: how many of the votes that stand were cast until then.
    """

    room_id: RoomId
    name: str
    state: RoomState
    hidden: bool
    created_at: str
    deck_size: int
    votes: int
    members: list[MemberReport]
    agreement: list[PairReport]
    over_time: list[SliceShape]
    matches: int
    yes_rate: float | None = None
    slice_minutes: int | None = None
    first_match_at: str | None = None
    ms_to_first_match: int | None = None
    votes_to_first_match: int | None = None


class TasteShape(Shape, frozen=True, kw_only=True):
    """What somebody votes for among the titles of a genre or a decade."""

    name: str
    votes: int
    yes: int
    rate: float | None = None


class Peer(Shape, frozen=True, kw_only=True):
    """Somebody with whom one agrees, or not; see `PairReport`."""

    user_id: UserId
    name: str
    titles: int
    same: int
    rate: float


class MyReport(Shape, frozen=True, kw_only=True):
    """What somebody votes for.

    Attributes:
        rooms: with votes of his.
        genres: the most voted on first; a title may have several.
        decades: by their first year, the oldest first.
        agreement: from the newest rooms; who agrees most comes first.
    """

    rooms: int
    votes: int
    genres: list[TasteShape]
    decades: list[TasteShape]
    agreement: list[Peer]
    yes_rate: float | None = None


def of_room(table: Table, blobs: Blobs, room: Room, now: Millis) -> RoomReport:
    """Return the report of a room, about the members that are in it now."""
    book = reports.book(table, room.id)
    people = sorted(room.present, key=lambda user: (room.members[user].joined_at, user))
    cast = {user: book.votes(reports.known_as(room.id, user)) for user in people}
    votes = {user: _choices(theirs) for user, theirs in cast.items()}
    ours = [vote for theirs in cast.values() for vote in theirs.values()]
    shown = _may_be_told(table, blobs, room, now)
    width, slices = over_time(ours) if shown else (0, [])
    found = matches.of_room(table, room)
    first = min((match.at for match in found), default=None)
    return RoomReport(
        room_id=room.id,
        name=room.name,
        state=room.state_at(now),
        hidden=not shown,
        created_at=rfc3339(room.created_at),
        deck_size=room.deck_size,
        votes=len(ours),
        yes_rate=rate(sum(likes(v.choice) for v in ours), len(ours)) if shown else None,
        members=[_member(room, user, votes[user], shown=shown) for user in people],
        agreement=_pairs(room, votes) if shown else [],
        slice_minutes=width // 60_000 or None,
        over_time=[SliceShape(at=rfc3339(s.at), votes=s.votes, yes=s.yes) for s in slices],
        matches=len(found),
        first_match_at=rfc3339(first) if first is not None else None,
        ms_to_first_match=first - room.created_at if first is not None else None,
        votes_to_first_match=sum(v.at <= first for v in ours) if first is not None else None,
    )


def _choices(cast: Mapping[TitleId, Cast]) -> dict[TitleId, Choice]:
    return {title: vote.choice for title, vote in cast.items()}


def _may_be_told(table: Table, blobs: Blobs, room: Room, now: Millis) -> bool:
    if not room.secret or room.state_at(now) != "open":
        return True
    votes = {t: b.votes for t, b in ballots.of_room(table, room.id, consistent=True).items()}
    deck = decks.load(blobs, room.deck)
    return complete([title.id for title in deck.titles], votes, room.present)


def _member(room: Room, user: UserId, votes: dict[TitleId, Choice], *, shown: bool) -> MemberReport:
    yes = sum(map(likes, votes.values()))
    return MemberReport(
        user_id=user,
        name=room.members[user].name,
        votes=len(votes),
        participation=rate(len(votes), room.deck_size) or 0.0,
        yes_rate=rate(yes, len(votes)) if shown else None,
    )


def _by_title(votes: dict[UserId, dict[TitleId, Choice]]) -> list[dict[UserId, Choice]]:
    by_title: dict[TitleId, dict[UserId, Choice]] = {}
    for user, theirs in votes.items():
        for title, choice in theirs.items():
            by_title.setdefault(title, {})[user] = choice
    return list(by_title.values())


def _pairs(room: Room, votes: dict[UserId, dict[TitleId, Choice]]) -> list[PairReport]:
    return [
        PairReport(
            user_ids=(pair.one, pair.other),
            titles=pair.titles,
            same=pair.same,
            rate=rate(pair.same, pair.titles),
        )
        for pair in agreement(_by_title(votes), votes)
    ]


def of_user(table: Table, blobs: Blobs, user: UserId, now: Millis) -> MyReport:
    """Return what somebody votes for in all rooms that ever were, and whom he agrees with.

    For the latter only rooms count that still are, that he is in, and that may be told of.
    """
    tastes = [one for one in reports.tastes_of(table, user) if one.total.votes]
    all_of_it = together(tastes)
    return MyReport(
        rooms=len(tastes),
        votes=all_of_it.total.votes,
        yes_rate=rate(all_of_it.total.yes, all_of_it.total.votes),
        genres=_tastes(all_of_it.genres.items(), by_votes=True),
        decades=_tastes(all_of_it.decades.items(), by_votes=False),
        agreement=_peers(table, blobs, user, now),
    )


def _tastes(shares: Iterable[tuple[str, Share]], *, by_votes: bool) -> list[TasteShape]:
    ordered = sorted(shares, key=lambda pair: (-pair[1].votes if by_votes else 0, pair[0]))
    return [
        TasteShape(name=name, votes=s.votes, yes=s.yes, rate=rate(s.yes, s.votes))
        for name, s in ordered
    ]


def _peers(table: Table, blobs: Blobs, user: UserId, now: Millis) -> list[Peer]:
    pointers, _ = rooms.of_user(table, user, limit=_ROOMS_OF_PEERS)
    found: dict[UserId, tuple[str, int, int]] = {}
    for room in rooms.all_of(table, [pointer.room_id for pointer in pointers if not pointer.left]):
        if not room.is_active(user) or not _may_be_told(table, blobs, room, now):
            continue
        book = reports.book(table, room.id)
        mine = _choices(book.votes(reports.known_as(room.id, user)))
        for other in sorted(room.present - {user}):
            theirs = _choices(book.votes(reports.known_as(room.id, other)))
            votes = {user: mine, other: theirs}
            [pair] = agreement(_by_title(votes), votes)
            name, titles, same = found.get(other, ("", 0, 0))
            # The newest room comes first, and with it the name that is used now.
            name = name or room.members[other].name
            found[other] = (name, titles + pair.titles, same + pair.same)
    peers = [
        Peer(user_id=other, name=name, titles=titles, same=same, rate=round(same / titles, 4))
        for other, (name, titles, same) in found.items()
        if titles
    ]
    return sorted(peers, key=lambda peer: (-peer.rate, -peer.titles, peer.name))


# --------------------------------------------------------------------------------------- as CSV

COLUMNS = ("measure", "userId", "name", "otherId", "otherName", "at", "value")


def as_csv(report: RoomReport) -> bytes:
    """Return the report of a room as a table (RFC 4180): one line for each number in it."""
    import csv
    import io

    names = {member.user_id: member.name for member in report.members}
    rows: list[tuple[object, ...]] = [
        ("matches", "", "", "", "", report.first_match_at, report.matches),
        ("votes", "", "", "", "", "", report.votes),
        ("msToFirstMatch", "", "", "", "", report.first_match_at, report.ms_to_first_match),
        ("votesToFirstMatch", "", "", "", "", report.first_match_at, report.votes_to_first_match),
        ("yesRate", "", "", "", "", "", report.yes_rate),
    ]
    for member in report.members:
        for measure, value in (
            ("votes", member.votes),
            ("participation", member.participation),
            ("yesRate", member.yes_rate),
        ):
            rows.append((measure, member.user_id, member.name, "", "", "", value))
    for pair in report.agreement:
        one, other = pair.user_ids
        rows.append(("agreement", one, names[one], other, names[other], "", pair.rate))
    for part in report.over_time:
        rows.append(("votes", "", "", "", "", part.at, part.votes))
        rows.append(("yes", "", "", "", "", part.at, part.yes))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_harmless(value) for value in row] for row in rows if row[-1] is not None)
    return text.getvalue().encode()


def _harmless(value: object) -> object:
    """Keep spreadsheets from taking a name for a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value
