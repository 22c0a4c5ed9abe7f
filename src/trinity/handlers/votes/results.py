"""What the group thinks so far."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.common.shapes import MatchShape, Shape
from trinity.domain.decks import complete, progress
from trinity.domain.ids import RoomId
from trinity.domain.ranking import Ranked, rank
from trinity.ports import Blobs, Clock, Table
from trinity.store import ballots, decks, matches, rooms


class GetResults(Request, frozen=True, kw_only=True):
    """Of which room."""

    room_id: RoomId


class Results(Shape, frozen=True, kw_only=True):
    """What the group thinks.

    Attributes:
        ranking: best compromise first; empty in a secret room that is still at it.
        voted: active members who have cast a vote.
        members: active members.
        complete: nobody has anything left to vote on.
    """

    matches: list[MatchShape]
    ranking: list[Ranked]
    voted: int
    members: int
    complete: bool


def get_results(
    request: GetResults, caller: Caller, *, table: Table, blobs: Blobs, clock: Clock
) -> Results:
    """Return matches and ranking. While a secret room is at it, the ranking is empty.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    deck = decks.load(blobs, room.deck)
    votes = {t: b.votes for t, b in ballots.of_room(table, room.id, consistent=True).items()}
    present = room.present
    done = complete([title.id for title in deck.titles], votes, present)
    shown = not room.secret or done or room.state_at(clock.now()) != "open"
    return Results(
        matches=[MatchShape.of(match) for match in matches.of_room(table, room)],
        ranking=rank(deck.titles, votes, present, room.rule, room.eased) if shown else [],
        voted=sum(count > 0 for count in progress(votes.values(), present).values()),
        members=len(present),
        complete=done,
    )


handler = operation(get_results, tagged=True)
