"""The whole system on one page: what functions there are, and what each of them may do.

The embedded host, the OpenAPI document, and later the deployment and its permissions are made from
this table. Adding an endpoint is one handler file, one line here, one test.

Each function is called like its use case, and so is its operation id and its metric dimension.
Handlers are named as strings: reading this page imports none of them.
"""

from typing import Literal, NamedTuple

Auth = Literal["none", "user"]
"""`user`: a valid access token; its claims are in the event. `none`: the gateway lets all through."""

Grant = Literal["read", "write", "share", "publish", "sign", "send"]
"""`share`: the cache has to be the one that all environments of Lambda have in common. `send` to the
internet: to addresses that users gave."""

Resource = Literal[
    "table",
    "cache",
    "blobs",
    "media",
    "uploads",
    "catalogue",
    "mailer",
    "keys",
    "secrets",
    "push_keys",
    "realtime",
    "bus",
    "archive",
    "topic",
    "internet",
    "queues",
]


class Stream(NamedTuple):
    """Changes of the table that a function is fed with.

    Attributes:
        name: of this feed; where it stands is remembered under it.
        sort_keys: of the items: a whole sort key, or, where it ends in `#`, the beginning of one.
        comings: the same, of items that are news only when they are new or gone.
        batch: most changes at once.
        window_s: how long changes are gathered before they are handed over.
    """

    name: str
    sort_keys: tuple[str, ...]
    batch: int
    window_s: float
    comings: tuple[str, ...] = ()

    def takes(self, sort_key: str, *, moves: bool) -> bool:
        """Tell whether a change belongs to the feed.

        Args:
            sort_key: of the item.
            moves: it is new or gone, and not only different.
        """
        wanted = (*self.sort_keys, *(self.comings if moves else ()))
        return any(
            sort_key.startswith(key) if key.endswith("#") else sort_key == key for key in wanted
        )


class Queue(NamedTuple):
    """A queue in front of a function, with a dead-letter queue behind it.

    Attributes:
        name: of the queue; its dead-letter queue is called the same with `-dead` behind.
        events: types of domain events that the bus puts into it.
        channel: of notices that the topic puts into it; None for a queue without notices.
        workers: how many batches the embedded host hands over at once: where calls wait for others,
            one who is slow shall not hold up all.
        batch: most messages at once.
        window_s: how long messages are gathered before they are handed over.
        visibility_s: how long a message that was handed over stays hidden from others. AWS asks for
            six times the timeout of the function:
            https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        receives: how often a message is tried before it goes to the dead-letter queue.
    """

    name: str
    events: tuple[str, ...] = ()
    channel: str | None = None
    workers: int = 1
    batch: int = 10
    window_s: float = 0.0
    visibility_s: int = 60
    receives: int = 5

    @property
    def dead_letters(self) -> str:
        """The name of the queue for what was tried too often."""
        return f"{self.name}-dead"


class Schedule(NamedTuple):
    """A clock that calls a function.

    Attributes:
        name: of the schedule.
        every_s: seconds between two calls, counted from 1970, so that every host agrees on them;
            whole minutes.
        offset_s: seconds by which all of them are later.
    """

    name: str
    every_s: int
    offset_s: int = 0

    def slot(self, now_s: int) -> int:
        """Return when its newest call was due, in seconds since 1970."""
        return now_s - (now_s - self.offset_s) % self.every_s


class Function(NamedTuple):
    """A Lambda function.

    Attributes:
        name: of the function, its use case, its operation id.
        module: below `trinity.handlers`; its `handler` is called.
        route: method and path, as API Gateway writes them; None for functions of the inside.
        auth: who is let through.
        grants: what it may do with what.
        fields: GraphQL fields that it resolves, `Query.room`.
        streams: the feeds of changes that it gets.
        queue: the queue that it works off.
        schedules: the clocks that call it.
        blocking: it does more than talk to the table: hashes passwords, signs, asks a catalogue,
            sends mail. The embedded host gives each call a thread of its own.
        memory_mb, timeout_s: of the Lambda function.
        concurrency: how many may run at once, where more would do harm; None: as many as come.
    """

    name: str
    module: str
    route: str | None = None
    auth: Auth = "user"
    grants: tuple[tuple[Resource, Grant], ...] = ()
    fields: tuple[str, ...] = ()
    streams: tuple[Stream, ...] = ()
    queue: Queue | None = None
    schedules: tuple[Schedule, ...] = ()
    blocking: bool = False
    memory_mb: int = 512
    timeout_s: int = 10
    concurrency: int | None = None


_READ: tuple[tuple[Resource, Grant], ...] = (("table", "read"),)
_WRITE: tuple[tuple[Resource, Grant], ...] = (("table", "read"), ("table", "write"))
_CACHE: tuple[tuple[Resource, Grant], ...] = (("cache", "read"), ("cache", "write"))
_LIMITS: tuple[tuple[Resource, Grant], ...] = (*_CACHE, ("cache", "share"))
_DECK: tuple[tuple[Resource, Grant], ...] = (("blobs", "read"),)
_SIGN: tuple[tuple[Resource, Grant], ...] = (("keys", "read"), ("keys", "sign"))
_CURSOR: tuple[tuple[Resource, Grant], ...] = (("secrets", "read"),)
_TITLES: tuple[tuple[Resource, Grant], ...] = (("catalogue", "read"),)
_FILES: tuple[tuple[Resource, Grant], ...] = (("uploads", "read"), ("uploads", "write"))

# fmt: off
EVENTS = (
    "UserRegistered", "PasswordForgotten", "UserDeleted", "RoomOpened", "MemberJoined", "MemberLeft", "MemberInvited", "VoteCast",
    "MatchFound", "RoomDecided", "RoomClosed", "RoomReopened", "RoomDeleted", "UploadReceived", "UploadReady", "UploadRejected",
)
"""All types of domain events."""

FUNCTIONS: tuple[Function, ...] = (
    Function("register", "auth.register", "POST /api/auth/register", "none", _WRITE + _LIMITS + _SIGN, blocking=True, concurrency=20),
    Function("login", "auth.login", "POST /api/auth/login", "none", _WRITE + _LIMITS + _SIGN, blocking=True, concurrency=20),
    Function("guest", "auth.guest", "POST /api/auth/guest", "none", _WRITE + _LIMITS + _SIGN, blocking=True),
    Function("refresh", "auth.refresh", "POST /api/auth/refresh", "none", _WRITE + _SIGN, blocking=True),
    Function("logout", "auth.logout", "POST /api/auth/logout", "none", _WRITE),
    Function("forgot_password", "auth.forgot_password", "POST /api/auth/password/forgot", "none", _WRITE + _LIMITS),
    Function("reset_password", "auth.reset_password", "POST /api/auth/password/reset", "none", _WRITE + _LIMITS, blocking=True, concurrency=20),
    Function("get_me", "users.get_me", "GET /api/me", "user", _READ, fields=("Query.me",)),
    Function("update_me", "users.update_me", "PATCH /api/me", "user", _WRITE + _LIMITS, blocking=True),
    Function("delete_me", "users.delete_me", "DELETE /api/me", "user", _WRITE + _CACHE + _DECK, timeout_s=29, blocking=True),
    Function("export_me", "users.export_me", "GET /api/me/export", "user", _READ, timeout_s=29, blocking=True),
    Function("remove_avatar", "users.remove_avatar", "DELETE /api/me/avatar", "user", _WRITE + _CACHE, timeout_s=29, blocking=True),
    Function("my_matches", "users.my_matches", "GET /api/me/matches", "user", _READ + _CURSOR, fields=("Query.myMatches",)),
    Function("create_room", "rooms.create", "POST /api/rooms", "user", (*_WRITE, *_LIMITS, *_DECK, ("blobs", "write"), *_TITLES), blocking=True, fields=("Mutation.createRoom",)),
    Function("list_rooms", "rooms.list", "GET /api/rooms", "user", _READ + _CURSOR, fields=("Query.rooms",)),
    Function("join_room", "rooms.join", "POST /api/rooms/join", "user", _WRITE + _LIMITS + _DECK, fields=("Mutation.joinRoom",)),
    Function("get_room", "rooms.get", "GET /api/rooms/{roomId}", "user", _READ, fields=("Query.room",)),
    Function("update_room", "rooms.update", "PATCH /api/rooms/{roomId}", "user", _WRITE + _CACHE + _DECK, fields=("Mutation.updateRoom",)),
    Function("delete_room", "rooms.delete", "DELETE /api/rooms/{roomId}", "user", _WRITE + _CACHE, timeout_s=29, blocking=True, fields=("Mutation.deleteRoom",)),
    Function("remove_cover", "rooms.remove_cover", "DELETE /api/rooms/{roomId}/cover", "user", _WRITE + _CACHE),
    Function("leave_room", "rooms.leave", "POST /api/rooms/{roomId}/leave", "user", _WRITE + _CACHE + _DECK, fields=("Mutation.leaveRoom",)),
    Function("kick_member", "rooms.kick", "DELETE /api/rooms/{roomId}/members/{userId}", "user", _WRITE + _CACHE + _DECK, fields=("Mutation.kickMember",)),
    Function("get_deck", "rooms.deck", "GET /api/rooms/{roomId}/deck", "user", _READ + _DECK + _CURSOR, fields=("Query.deck",)),
    Function("next_cards", "rooms.next_cards", "GET /api/rooms/{roomId}/next", "user", _READ + _DECK, fields=("Query.nextTitles",)),
    Function("room_events", "rooms.events", "GET /api/rooms/{roomId}/events", "user", _WRITE, fields=("Query.roomEvents",)),
    Function("follow_room", "rooms.follow", None, "user", _WRITE, fields=("Subscription.onRoomEvent", "Subscription.onPresence")),
    Function("step_away", "rooms.step_away", "POST /api/rooms/{roomId}/away", "user", _WRITE, fields=("Mutation.stepAway",)),
    Function("cast_votes", "votes.cast", "POST /api/rooms/{roomId}/votes", "user", _WRITE + _CACHE + _DECK, fields=("Mutation.castVote", "Mutation.castVotes")),
    Function("undo_vote", "votes.undo", "DELETE /api/rooms/{roomId}/votes/{titleId}", "user", _WRITE + _CACHE + _DECK, fields=("Mutation.undoVote",)),
    Function("get_results", "votes.results", "GET /api/rooms/{roomId}/results", "user", _READ + _DECK, fields=("Query.results",)),
    Function("room_report", "reports.room", "GET /api/rooms/{roomId}/report", "user", _READ + _DECK),
    Function("my_report", "reports.me", "GET /api/me/report", "user", _READ + _DECK),
    Function("list_genres", "catalogue.genres", "GET /api/catalogue/genres", "none", _TITLES, blocking=True, fields=("Query.genres",)),
    Function("search_titles", "catalogue.search", "GET /api/catalogue/titles", "none", _TITLES + _CURSOR, blocking=True, fields=("Query.titles",)),
    Function("invite", "rooms.invite", "POST /api/rooms/{roomId}/invitations", "user", _WRITE + _LIMITS + _CURSOR),
    Function("get_notifications", "notifications.get_notifications", "GET /api/me/notifications", "user", _READ),
    Function("update_notifications", "notifications.update_notifications", "PATCH /api/me/notifications", "user", _WRITE),
    Function("get_push_key", "notifications.get_push_key", "GET /api/push/public-key", "none", (("push_keys", "read"),)),
    Function("add_push_subscription", "notifications.add_push_subscription", "POST /api/me/push-subscriptions", "user", _WRITE + _LIMITS),
    Function("remove_push_subscription", "notifications.remove_push_subscription", "DELETE /api/me/push-subscriptions/{subscriptionId}", "user", _WRITE),
    Function("add_webhook", "notifications.add_webhook", "POST /api/me/webhooks", "user", _WRITE + _LIMITS),
    Function("list_webhooks", "notifications.list_webhooks", "GET /api/me/webhooks", "user", _READ),
    Function("remove_webhook", "notifications.remove_webhook", "DELETE /api/me/webhooks/{webhookId}", "user", _WRITE),
    Function("confirm_unsubscribe", "notifications.confirm_unsubscribe", "GET /api/unsubscribe/{token}", "none", _CURSOR),
    Function("unsubscribe", "notifications.unsubscribe", "POST /api/unsubscribe/{token}", "none", _WRITE + _CURSOR),
    Function("create_upload", "uploads.create", "POST /api/uploads", "user", (*_WRITE, *_LIMITS, ("uploads", "sign"))),
    Function("get_upload", "uploads.get", "GET /api/uploads/{uploadId}", "user", _READ),
    Function("health", "system.health", "GET /api/health", "none", (*_READ, ("cache", "write"), ("cache", "share"))),
    Function("openapi", "system.openapi", "GET /api/openapi.json", "none", blocking=True),
    Function("discovery", "system.discovery", "GET /.well-known/openid-configuration", "none"),
    Function("jwks", "system.jwks", "GET /.well-known/jwks.json", "none", (("keys", "read"),)),
    Function("publish", "streams.publish", grants=(*_WRITE, *_CACHE, *_DECK, ("realtime", "publish")), timeout_s=30, streams=(
        Stream("rooms", ("ROOM", "MATCH#", "PROFILE"), batch=100, window_s=0.0),
        Stream("ballots", ("BALLOT#",), batch=5000, window_s=0.25, comings=("HERE#",)),
    )),
    # One stream for all: DynamoDB serves few readers of a shard, two at best.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    Function("emit", "streams.emit", grants=(("bus", "publish"),), timeout_s=30, streams=(
        Stream("events", ("ROOM", "MATCH#", "BALLOT#", "PROFILE", "INVITE#", "FORGOTTEN#", "UPLOAD#"), batch=1000, window_s=1.0),
    )),
    Function("analyse", "queues.analyse", grants=(*_WRITE, *_DECK), timeout_s=60, queue=Queue("analyse", events=("RoomOpened", "MemberJoined", "VoteCast", "MatchFound"), batch=200, window_s=5.0, visibility_s=360, receives=10)),
    Function("archive_events", "queues.archive", grants=(("archive", "write"),), timeout_s=60, queue=Queue("archive", events=EVENTS, batch=1000, window_s=60.0, visibility_s=360)),
    Function("tidy_archive", "schedules.tidy_archive", grants=(*_WRITE, ("archive", "read"), ("archive", "write")), memory_mb=1769, timeout_s=120, schedules=(Schedule("tidy-archive", every_s=24 * 3600, offset_s=2 * 3600),)),
    Function("notify", "queues.notify", grants=(*_WRITE, ("topic", "publish")), timeout_s=30, queue=Queue("notify", events=("MatchFound", "MemberInvited", "PasswordForgotten"), visibility_s=180)),
    Function("deliver_email", "queues.deliver_email", grants=(*_WRITE, *_CURSOR, ("mailer", "send")), timeout_s=50, blocking=True, queue=Queue("deliver-email", channel="email", workers=4, batch=1, visibility_s=300, receives=10)),
    Function("deliver_push", "queues.deliver_push", grants=(*_WRITE, ("push_keys", "read"), ("internet", "send")), timeout_s=50, blocking=True, queue=Queue("deliver-push", channel="push", workers=4, batch=1, visibility_s=300, receives=10)),
    Function("deliver_webhook", "queues.deliver_webhook", grants=(*_WRITE, ("internet", "send")), timeout_s=50, blocking=True, queue=Queue("deliver-webhook", channel="webhook", workers=4, batch=1, visibility_s=300, receives=10)),
    Function("forget_gone", "schedules.forget_gone", grants=_WRITE, timeout_s=120, schedules=(Schedule("forget-gone", every_s=3600, offset_s=900),)),
    Function("close_idle_rooms", "schedules.close_idle_rooms", grants=_WRITE + _CACHE, timeout_s=120, schedules=(Schedule("close-idle-rooms", every_s=24 * 3600, offset_s=4 * 3600),)),
    Function("refresh_catalogue", "schedules.refresh_catalogue", grants=(*_WRITE, *_TITLES, ("blobs", "write")), timeout_s=120, blocking=True, schedules=(Schedule("refresh-catalogue", every_s=12 * 3600, offset_s=5 * 3600),)),
    Function("rotate_keys", "schedules.rotate_keys", grants=(*_WRITE, ("keys", "read"), ("keys", "write")), timeout_s=30, schedules=(Schedule("rotate_keys", every_s=24 * 3600, offset_s=3 * 3600),)),
    Function("process_upload", "queues.process_upload", grants=(*_WRITE, *_FILES, ("media", "write"), ("blobs", "write")), memory_mb=1769, timeout_s=60, queue=Queue("process-upload", batch=1, visibility_s=360)),
    Function("sweep_uploads", "schedules.sweep_uploads", grants=(*_WRITE, *_FILES, ("media", "write"), ("queues", "send")), timeout_s=60, schedules=(Schedule("sweep-uploads", every_s=600),)),
)
# fmt: on

QUEUES: tuple[Queue, ...] = tuple(f.queue for f in FUNCTIONS if f.queue is not None)
"""All queues, without those for dead letters."""

FAILED_CALLS = "stream-failures"
"""The queue in which AWS notes the changes that a function could not cope with, and the calls of
clocks. The embedded host needs none: there they are in the log."""
