"""What I should see next."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.common.shapes import Shape
from trinity.domain.decks import next_titles
from trinity.domain.ids import RoomId
from trinity.domain.titles import Title
from trinity.ports import Blobs, Table
from trinity.store import ballots, decks, rooms


class NextCards(Request, frozen=True, kw_only=True):
    """Which room, and how many."""

    room_id: RoomId
    count: Annotated[int, Meta(ge=1, le=100)] = 10


class NextTitles(Shape, frozen=True, kw_only=True):
    """What to show next. `remaining` counts these and all that follow."""

    items: list[Title]
    remaining: int


def next_cards(request: NextCards, caller: Caller, *, table: Table, blobs: Blobs) -> NextTitles:
    """Return titles that the caller has not voted on, those first that lead to a match soonest.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    deck = decks.load(blobs, room.deck)
    votes = {t: ballot.votes for t, ballot in ballots.of_room(table, room.id).items()}
    unseen = next_titles([t.id for t in deck.titles], votes, caller.user_id, room.present)
    return NextTitles(
        items=[deck.by_id[title] for title in unseen[: request.count]], remaining=len(unseen)
    )


handler = operation(next_cards)
