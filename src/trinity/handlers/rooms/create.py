"""Open a room."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import RoomShape
from trinity.domain import errors
from trinity.domain.consensus import Rule, Unanimous, require_reachable
from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UploadId, UserId
from trinity.domain.names import ROOM_NAME_LENGTH, clean_name
from trinity.domain.own_titles import own_title
from trinity.domain.rooms import (
    Member,
    Room,
    StopAt,
    called_after,
    matches_to_decide,
    open_until,
)
from trinity.domain.titles import MediaType, Title, TitleFilter
from trinity.domain.users import User
from trinity.ports import (
    Blobs,
    Catalogue,
    Clock,
    Ids,
    Table,
    TransactionCancelled,
)
from trinity.store import decks, rooms, uploads, users
from trinity.store.once import Once

LARGEST_DECK = 500
_CODE_ATTEMPTS = 10


class FromCatalogue(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="source", tag="catalogue"
):
    """A deck by wishes. See `TitleFilter`."""

    media_types: Annotated[tuple[MediaType, ...], Meta(max_length=3)] = ()
    genres: Annotated[tuple[Annotated[str, Meta(max_length=60)], ...], Meta(max_length=20)] = ()
    year_from: Annotated[int, Meta(ge=1870, le=2100)] | None = None
    year_to: Annotated[int, Meta(ge=1870, le=2100)] | None = None
    min_rating: Annotated[float, Meta(ge=0, le=10)] | None = None
    language: Annotated[str, Meta(pattern="^[a-z]{2}$")] | None = None
    providers: Annotated[tuple[Annotated[str, Meta(max_length=60)], ...], Meta(max_length=20)] = ()
    region: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    size: Annotated[int, Meta(ge=1, le=LARGEST_DECK)] = 50


class FromTitles(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="source", tag="titles"
):
    """A deck of chosen titles of the catalogue."""

    title_ids: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(min_length=1, max_length=LARGEST_DECK),
    ]


class ListItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Anything that a group can vote on."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    subtitle: Annotated[str, Meta(max_length=200)] | None = None
    image_url: Annotated[str, Meta(max_length=2048, pattern="^https?://")] | None = None
    description: Annotated[str, Meta(max_length=2000)] | None = None


class FromList(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="source", tag="list"
):
    """A deck of the host's own making. An entry that is there twice counts once."""

    items: Annotated[tuple[ListItem, ...], Meta(min_length=1, max_length=LARGEST_DECK)]


class FromUpload(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="source", tag="upload"
):
    """A deck of the entries of a list that was uploaded.

    Up to `size` of them. A list may have ten times as many entries as a deck: a longer one is a
    pool from which each room draws its own, by chance, and keeps their order.
    """

    upload_id: Annotated[str, Meta(min_length=1, max_length=100)]
    size: Annotated[int, Meta(ge=1, le=LARGEST_DECK)] = LARGEST_DECK


DeckSpec = FromCatalogue | FromTitles | FromList | FromUpload


class CreateRoom(Request, frozen=True, kw_only=True):
    """What kind of room."""

    deck: DeckSpec
    name: Annotated[str, Meta(max_length=200)] | None = None
    rule: Rule = Unanimous()
    stop_at: Literal["first", "never"] | Annotated[int, Meta(ge=1, le=LARGEST_DECK)] = "first"
    capacity: Annotated[int, Meta(ge=2, le=100)] = 20
    secret: bool = True


def create_room(
    request: CreateRoom,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    blobs: Blobs,
    catalogue: Catalogue,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
) -> RoomShape:
    """Open a room with a deck and a fresh code; the caller is its host.

    With an `Idempotency-Key` the same request by the same caller opens one room and gives the same
    answer, for a day: the answer is stored in the transaction that stores the room.

    Raises:
        InvalidRequest: a name cannot be, a chosen title does not exist, the upload is not a list of
            the caller's that was accepted, or the rule asks for more people than the room can hold.
        UploadNotReady: the uploaded list is not ready yet.
        EmptyDeck: no title fits the wishes.
        IdempotencyMismatch: the key was used for another request.
        Unauthenticated: the account was removed meanwhile.
        RateLimited: too many rooms by one account or from one address.
    """
    limits.check("create_room", address=origin.address, account=caller.user_id)
    require_reachable(request.rule, request.capacity)
    once = Once.of("create_room", caller.user_id, origin.idempotency_key, request)
    now = clock.now()
    if once is not None and (answer := once.answer(table, RoomShape, now)) is not None:
        return answer
    host = users.get(table, caller.user_id)
    if isinstance(request.deck, FromUpload):
        titles = _drawn(table, blobs, request.deck, host.id, ids)
    else:
        titles = _titles(request.deck, table, blobs, catalogue, ids, now)
    room = _room(request, host, titles, decks.store(blobs, titles), ids, now)
    for _ in range(_CODE_ATTEMPTS):
        shape = RoomShape.of(room, [], {}, (), now=now, base_url=origin.base_url)
        also = [once.storing(shape, now)] if once is not None else []
        try:
            rooms.create(table, room, also)
        except TransactionCancelled as cancelled:
            if cancelled.reasons[1] is not None:
                raise errors.Unauthenticated from None
            if once is not None and cancelled.reasons[4] is not None:
                answer = once.answer(table, RoomShape, now)  # the same request, at the same time
                if answer is not None:
                    return answer
            room = msgspec.structs.replace(room, code=ids.code())
            continue
        return shape
    raise errors.Conflict("No free room code was found. Try again.")


def _room(
    request: CreateRoom,
    host: User,
    titles: tuple[Title, ...],
    deck: BlobId,
    ids: Ids,
    now: Millis,
) -> Room:
    name = called_after(host.name) if request.name is None else request.name
    stop_at: StopAt = request.stop_at
    return Room(
        id=RoomId(ids.new()),
        name=clean_name(name, longest=ROOM_NAME_LENGTH),
        code=ids.code(),
        state="open",
        host_id=host.id,
        rule=request.rule,
        stop_at=stop_at,
        decide_at=matches_to_decide(stop_at),
        capacity=request.capacity,
        secret=request.secret,
        deck=deck,
        deck_size=len(titles),
        members={
            host.id: Member(name=host.name, joined_at=now, active=True, avatar=host.shown_avatar)
        },
        active_count=1,
        created_at=now,
        expires_at=open_until(now, now),
    )


def _titles(
    spec: FromCatalogue | FromTitles | FromList,
    table: Table,
    blobs: Blobs,
    catalogue: Catalogue,
    ids: Ids,
    now: Millis,
) -> tuple[Title, ...]:
    titles: Sequence[Title]
    match spec:
        case FromCatalogue():
            where = TitleFilter(
                media_types=spec.media_types,
                genres=spec.genres,
                year_from=spec.year_from,
                year_to=spec.year_to,
                min_rating=spec.min_rating,
                language=spec.language,
                providers=spec.providers,
                region=spec.region,
            )
            if catalogue.remote:
                titles = _wished(table, blobs, catalogue, where, spec.size, ids.seed(), now)
            else:
                titles = catalogue.select(where, size=spec.size, seed=ids.seed())
            if not titles:
                raise errors.EmptyDeck
        case FromTitles():
            wanted = list(dict.fromkeys(map(TitleId, spec.title_ids)))
            titles = catalogue.titles(wanted)
            found = {title.id for title in titles}
            unknown = [
                (f"/deck/titleIds/{place}", "is not in the catalogue")
                for place, title_id in enumerate(spec.title_ids)
                if title_id not in found
            ]
            if unknown:
                raise errors.InvalidRequest("Some titles do not exist.", errors=unknown)
        case FromList():
            by_id: dict[TitleId, Title] = {}
            for place, item in enumerate(spec.items):
                title = own_title(
                    item.title,
                    subtitle=item.subtitle,
                    description=item.description,
                    image_url=item.image_url,
                    pointer=f"/deck/items/{place}/title",
                )
                by_id.setdefault(title.id, title)
            titles = list(by_id.values())
    return tuple(titles)


def _wished(
    table: Table,
    blobs: Blobs,
    catalogue: Catalogue,
    where: TitleFilter,
    size: int,
    seed: int,
    now: Millis,
) -> Sequence[Title]:
    """Return titles from what was gathered for this wish, or else from the catalogue."""
    from trinity.store import shelves  # nobody needs it where films are shipped

    shelf = shelves.find(table, where)
    titles: Sequence[Title] | None = None
    if shelf is not None:
        titles = shelves.draw(blobs, shelf, size=size, seed=seed, now=now)
    if titles is None:
        titles = catalogue.select(where, size=size, seed=seed)
    if titles:
        shelves.want(table, where, shelf, now)
    return titles


def _drawn(
    table: Table, blobs: Blobs, spec: FromUpload, host: UserId, ids: Ids
) -> tuple[Title, ...]:
    """Return the titles of a list that the host has uploaded."""
    upload = uploads.find(table, host, UploadId(spec.upload_id))
    if upload is None or upload.kind != "list":
        raise _no_list("is not a list that you have uploaded within the last week")
    if upload.state == "rejected":
        raise _no_list("is a list that was rejected")
    if upload.deck is None:
        raise errors.UploadNotReady
    titles = decks.load(blobs, upload.deck).titles
    if len(titles) <= spec.size:
        return titles
    from random import Random  # rarely needed, and dear to import

    places = Random(ids.seed()).sample(range(len(titles)), spec.size)  # noqa: S311  (no secret)
    return tuple(titles[place] for place in sorted(places))


def _no_list(message: str) -> errors.InvalidRequest:
    pointer = "/deck/uploadId"
    return errors.InvalidRequest(f"The field uploadId {message}.", errors=[(pointer, message)])


handler = operation(create_room, status=201)
