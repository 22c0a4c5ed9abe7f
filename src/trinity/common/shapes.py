"""Shapes of the API that several functions answer with; what one alone gives stands beside it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from trinity.domain.consensus import Rule, RuleKind
from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.rooms import Match, Role, Room, RoomState, StopAt, newest_first
from trinity.domain.titles import Title
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


class WebhookShape(Shape, frozen=True, kw_only=True):
    """A program that hears of things. `disabled`: not any more, after too many failures."""

    id: str
    url: str
    created_at: str
    disabled: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a list. `cursor` leads to the next part; null: there is none."""

    cursor: str | None


class TitlesPage(Page, frozen=True, kw_only=True):
    """Titles."""

    items: list[Title]


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
