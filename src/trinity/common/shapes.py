"""The shapes of the API, as design and clients know them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from trinity.domain.consensus import Choice, Rule, RuleKind
from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.ranking import Ranked
from trinity.domain.rooms import LatestMatch, Match, Role, Room, RoomState, StopAt, newest_first
from trinity.domain.titles import Genre, Title
from trinity.domain.users import ACCESS_TOKEN_FOR, User
from trinity.store.events import EventType, RoomEvent


def rfc3339(at: Millis) -> str:
    """Return a time as the API writes it: UTC, with milliseconds."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def media_path(blob: BlobId) -> str:
    """Return where a file of a picture is found on this server."""
    return f"/media/{blob}.webp"


def media_url(blob: BlobId | None, base_url: str) -> str | None:
    """Return the address of a file of a picture, None if there is none."""
    return base_url + media_path(blob) if blob is not None else None


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A JSON object of the API. Optional members are left out rather than null."""


class PictureShape(Shape, frozen=True, kw_only=True):
    """A picture (WebP) in three sizes: addresses that hold the same for good."""

    small: str
    medium: str
    large: str

    @classmethod
    def of(cls, picture: Picture | None, base_url: str) -> "PictureShape | None":
        """Return the shape of a picture, None if there is none."""
        if picture is None:
            return None
        return cls(
            small=base_url + media_path(picture.small),
            medium=base_url + media_path(picture.medium),
            large=base_url + media_path(picture.large),
        )


class UserShape(Shape, frozen=True, kw_only=True):
    """A person with an account, or a guest. `avatarUrl` is the avatar in the middle size."""

    id: UserId
    name: str
    guest: bool
    created_at: str
    email: str | None = None
    avatar_url: str | None = None
    avatar: PictureShape | None = None

    @classmethod
    def of(cls, user: User, base_url: str) -> "UserShape":
        """Return the shape of a user, for nobody's eyes but his own."""
        return cls(
            id=user.id,
            name=user.name,
            guest=user.guest,
            created_at=rfc3339(user.created_at),
            email=user.email,
            avatar_url=media_url(user.shown_avatar, base_url),
            avatar=PictureShape.of(user.avatar, base_url),
        )


class SessionShape(Shape, frozen=True, kw_only=True):
    """A signed-in user with an access token and the refresh token for the next one.

    Attributes:
        expires_in: seconds that the access token is good for.
    """

    user: UserShape
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int

    @classmethod
    def of(cls, user: User, access_token: str, refresh_token: str, base_url: str) -> "SessionShape":
        """Return the shape of a session."""
        return cls(
            user=UserShape.of(user, base_url),
            access_token=access_token,
            refresh_token=refresh_token,
            token_type="Bearer",  # noqa: S106  (RFC 6750's word, not a secret)
            expires_in=ACCESS_TOKEN_FOR // 1000,
        )


class MemberShape(Shape, frozen=True, kw_only=True):
    """A member of a room.

    Attributes:
        active: belongs to the group now.
        online: is looking at the room just now.
        progress: number of titles voted on.
    """

    user_id: UserId
    name: str
    role: Role
    joined_at: str
    active: bool
    online: bool
    progress: int
    avatar_url: str | None = None


class MatchShape(Shape, frozen=True, kw_only=True):
    """A title that the group agreed on."""

    title_id: TitleId
    title: Title
    at: str
    user_ids: tuple[UserId, ...]
    kind: RuleKind

    @classmethod
    def of(cls, match: Match) -> "MatchShape":
        """Return the shape of a match."""
        return cls(
            title_id=match.title_id,
            title=match.title,
            at=rfc3339(match.at),
            user_ids=match.user_ids,
            kind=match.kind,
        )


class RoomShape(Shape, frozen=True, kw_only=True):
    """A room as its members see it. `coverUrl` is the cover in its large size."""

    id: RoomId
    code: str
    name: str
    state: RoomState
    host_id: UserId
    rule: Rule
    stop_at: StopAt
    capacity: int
    secret: bool
    deck_size: int
    members: list[MemberShape]
    matches: list[MatchShape]
    join_url: str
    created_at: str
    expires_at: str
    version: int
    cover_url: str | None = None
    cover: PictureShape | None = None

    @classmethod
    def of(
        cls,
        room: Room,
        matches: Iterable[Match],
        progress: Mapping[UserId, int],
        online: Collection[UserId],
        *,
        now: Millis,
        base_url: str,
    ) -> "RoomShape":
        """Return the shape of a room."""
        return cls(
            id=room.id,
            code=room.code,
            name=room.name,
            state=room.state_at(now),
            host_id=room.host_id,
            rule=room.rule,
            stop_at=room.stop_at,
            capacity=room.capacity,
            secret=room.secret,
            deck_size=room.deck_size,
            members=_members(room, progress, online, base_url),
            matches=[MatchShape.of(match) for match in newest_first(list(matches))],
            join_url=f"{base_url}/r/{room.code}",
            created_at=rfc3339(room.created_at),
            expires_at=rfc3339(room.expires_at),
            version=room.version,
            cover_url=media_url(room.cover.large if room.cover else None, base_url),
            cover=PictureShape.of(room.cover, base_url),
        )


class LatestMatchShape(Shape, frozen=True, kw_only=True):
    """The newest match of a room in a few words."""

    title_id: TitleId
    title: str
    at: str

    @classmethod
    def of(cls, match: LatestMatch) -> "LatestMatchShape":
        """Return the shape of the newest match."""
        return cls(title_id=match.title_id, title=match.title, at=rfc3339(match.at))


class RoomSummary(Shape, frozen=True, kw_only=True):
    """A room in a list: what can be said of it without looking at its votes.

    `coverUrl` is the cover in its small size.
    """

    id: RoomId
    code: str
    name: str
    state: RoomState
    host_id: UserId
    role: Role
    deck_size: int
    member_count: int
    match_count: int
    join_url: str
    created_at: str
    expires_at: str
    version: int
    latest_match: LatestMatchShape | None = None
    cover_url: str | None = None

    @classmethod
    def of(cls, room: Room, me: UserId, *, now: Millis, base_url: str) -> "RoomSummary":
        """Return the summary of a room for one of its members."""
        return cls(
            id=room.id,
            code=room.code,
            name=room.name,
            state=room.state_at(now),
            host_id=room.host_id,
            role="host" if me == room.host_id else "member",
            deck_size=room.deck_size,
            member_count=room.active_count,
            match_count=room.match_count,
            join_url=f"{base_url}/r/{room.code}",
            created_at=rfc3339(room.created_at),
            expires_at=rfc3339(room.expires_at),
            version=room.version,
            latest_match=LatestMatchShape.of(room.latest_match) if room.latest_match else None,
            cover_url=media_url(room.cover.small if room.cover else None, base_url),
        )


class RoomMatch(MatchShape, frozen=True, kw_only=True):
    """A match and the room that it happened in."""

    room_id: RoomId
    room_name: str


class MyRoom(Shape, frozen=True, kw_only=True):
    """A room that I was in: what I said there, by title, and what I agreed on."""

    room_id: RoomId
    name: str
    role: Role
    active: bool
    votes: dict[TitleId, Choice]
    agreed_on: list[str]
    joined_at: str | None = None


class MyUpload(Shape, frozen=True, kw_only=True):
    """A file that I have sent within the last week; it is removed when it is done with.

    Attributes:
        entries: of a list.
    """

    upload_id: str
    kind: str
    state: str
    created_at: str
    entries: int | None = None


class MyData(Shape, frozen=True, kw_only=True):
    """All that is kept about somebody, but for secrets: hashes, tokens, keys.

    Attributes:
        sessions_until: when each signed-in device will have to sign in again.
        browsers: that take notices, by the ids that they are removed by.
        webhooks: addresses that are called.
        invited_to: rooms that somebody has invited me to lately.
        uploads: of the last week; pictures in sight are named by user and rooms.
        tastes: what reports keep of what I vote for, a room each.
    """

    user: UserShape
    sessions_until: list[str]
    rooms: list[MyRoom]
    notifications: dict[str, dict[str, bool]]
    browsers: list[str]
    webhooks: list[str]
    invited_to: list[str]
    uploads: list[MyUpload]
    tastes: list[dict[str, Any]]


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


class Accepted(Shape, frozen=True, kw_only=True):
    """Votes that are stored for good, and the matches that they made or met."""

    accepted: int
    matches: list[MatchShape]


class NextTitles(Shape, frozen=True, kw_only=True):
    """What to show next. `remaining` counts these and all that follow."""

    items: list[Title]
    remaining: int


class EventShape(Shape, frozen=True, kw_only=True):
    """Something that happened in a room."""

    cursor: str
    room_id: RoomId
    type: EventType
    at: str
    data: dict[str, Any]
    actor_id: UserId | None = None

    @classmethod
    def of(cls, event: RoomEvent) -> "EventShape":
        """Return the shape of an event."""
        return cls(
            cursor=event.cursor,
            room_id=event.room_id,
            type=event.type,
            at=rfc3339(event.at),
            data=event.data,
            actor_id=event.actor_id,
        )


class PushSubscriptionShape(Shape, frozen=True, kw_only=True):
    """A browser that shows notices."""

    id: str
    created_at: str


class WebhookShape(Shape, frozen=True, kw_only=True):
    """A program that hears of things. `disabled`: not any more, after too many failures."""

    id: str
    url: str
    created_at: str
    disabled: bool


class NewWebhookShape(WebhookShape, frozen=True, kw_only=True):
    """A new webhook. Its secret is not shown again."""

    secret: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a list. `cursor` leads to the next part; null: there is none."""

    cursor: str | None


class RoomPage(Page, frozen=True, kw_only=True):
    """Rooms, newest first."""

    items: list[RoomSummary]


class TitlesPage(Page, frozen=True, kw_only=True):
    """Titles."""

    items: list[Title]


class GenrePage(Page, frozen=True, kw_only=True):
    """Genres by name."""

    items: list[Genre]


class MatchPage(Page, frozen=True, kw_only=True):
    """Matches of all my rooms."""

    items: list[RoomMatch]


class EventPage(Page, frozen=True, kw_only=True):
    """Room events in order. Its cursor is never null: send it as `after` to go on.

    Attributes:
        online: the members who are looking at the room just now.
    """

    items: list[EventShape]
    online: list[UserId]


class PresenceShape(Shape, frozen=True, kw_only=True):
    """Who is looking at a room just now: all of them, each time anybody comes or goes."""

    room_id: RoomId
    at: str
    online: list[UserId]


class WebhookPage(Page, frozen=True, kw_only=True):
    """All webhooks; there is no next part."""

    items: list[WebhookShape]


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


class Health(Shape, frozen=True, kw_only=True):
    """Whether the service can do its work, and each thing that it needs."""

    status: str
    version: str
    checks: dict[str, str]


def _members(
    room: Room, progress: Mapping[UserId, int], online: Collection[UserId], base_url: str
) -> list[MemberShape]:
    """Return the members in the order of joining; whoever was removed is not shown."""
    return [
        MemberShape(
            user_id=user,
            name=member.name,
            role="host" if user == room.host_id else "member",
            joined_at=rfc3339(member.joined_at),
            active=member.active,
            online=user in online,
            progress=progress.get(user, 0),
            avatar_url=media_url(member.avatar, base_url),
        )
        for user, member in sorted(room.members.items(), key=lambda pair: pair[1].joined_at)
        if not member.removed
    ]
