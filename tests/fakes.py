"""Ports that a test owns, and a world of use cases over a real table.

`World` calls use cases as the host does, without HTTP: each gets the ports that it names. Its table
is the SQLite store, with fsync left out, since these tests care for order and not for power cuts.
"""

import copy
import hashlib
import hmac
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trinity.common import streams
from trinity.common.messages import file_notice, stored_files
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin
from trinity.common.settings import Settings
from trinity.domain import codes
from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UploadId, UserId
from trinity.domain.notices import Content
from trinity.domain.titles import Genre, Title, TitleFilter
from trinity.domain.uploads import UnusableFile, Upload, UploadKind, file_key
from trinity.domain.users import User
from trinity.embedded.pumps import stream_event
from trinity.handlers.queues.process_upload import process_upload
from trinity.handlers.rooms.create import CreateRoom, FromTitles, create_room
from trinity.handlers.rooms.join import JoinRoom, join_room
from trinity.handlers.rooms.kick import KickMember, kick_member
from trinity.handlers.rooms.leave import LeaveRoom, leave_room
from trinity.handlers.rooms.update import UpdateRoom, update_room
from trinity.handlers.schedules.sweep_uploads import sweep_uploads
from trinity.handlers.streams.emit import told_by
from trinity.handlers.streams.publish import publish
from trinity.handlers.uploads.create import CreateUpload, create_upload
from trinity.handlers.votes.cast import CastVotes, Vote, cast_votes
from trinity.handlers.votes.undo import UndoVote, undo_vote
from trinity.infrastructure.memory.broadcast import Broadcast
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.infrastructure.sqlite.bus import SqliteBus
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.sqlite.topic import SqliteTopic
from trinity.infrastructure.system.p256 import DerivedKeys
from trinity.ports import Cache, Form, Key, Mail, Queues, Table, TitlePage
from trinity.store import uploads, users
from trinity.store.causes import Cause, caused_by
from trinity.topology import FUNCTIONS, QUEUES, Stream

NOON = Millis(1_800_000_000_000)
ORIGIN = Origin("192.0.2.1", "https://trinity.example", None, None)
STREAMS: dict[str, Stream] = {
    stream.name: stream
    for function in FUNCTIONS
    if function.name == "publish"
    for stream in function.streams
}

[EMITTED] = next(function.streams for function in FUNCTIONS if function.name == "emit")


class FakeClock:
    """A clock that stands still until it is told to go on, or goes on by `tick` at each look."""

    def __init__(self, now: Millis = NOON) -> None:
        self.time = now
        self.tick = 0

    def now(self) -> Millis:
        self.advance(self.tick)
        return self.time

    def advance(self, millis: int) -> None:
        self.time = Millis(self.time + millis)

    def monotonic(self) -> float:
        return self.time / 1000


class FakeIds:
    """Unique, in ascending order, and the same in each run."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def _next(self) -> int:
        with self._lock:
            self.count += 1
            return self.count

    def new(self) -> str:
        return f"id{self._next():014d}"

    def secret(self) -> str:
        return f"secret-{self._next():09d}"

    def code(self) -> str:
        number, code = self._next(), ""
        for _ in range(codes.LENGTH):
            number, symbol = divmod(number, len(codes.ALPHABET))
            code += codes.ALPHABET[symbol]
        return code

    def seed(self) -> int:
        return self._next()


class MemoryBlobs:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self.content: dict[BlobId, bytes] = {}

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        blob_id = BlobId(hashlib.sha256(content).hexdigest())
        self.content[blob_id] = content
        return blob_id

    def get(self, blob_id: BlobId) -> bytes:
        return self.content[blob_id]

    def delete(self, blob_id: BlobId) -> None:
        self.content.pop(blob_id, None)


class MemoryUploads:
    """Files in a dict, and forms that nobody checks; `arrive` is what a browser does."""

    def __init__(self, queues: Queues, clock: FakeClock) -> None:
        self.content: dict[str, bytes] = {}
        self._queues = queues
        self._clock = clock

    def presign(self, key: str, *, content_type: str, largest_bytes: int, expires: Millis) -> Form:
        fields = {"key": key, "Content-Type": content_type, "most": str(largest_bytes)}
        return Form("/uploads", fields)

    def arrive(self, key: str, content: bytes, *, notices: int = 1) -> None:
        self.content[key] = content
        notice = file_notice(key, len(content), self._clock.now())
        self._queues.send("process-upload", [notice] * notices)

    def read(self, key: str) -> bytes:
        return self.content[key]

    def size(self, key: str) -> int | None:
        return len(self.content[key]) if key in self.content else None

    def delete(self, key: str) -> None:
        self.content.pop(key, None)


class FakePictures:
    """Makes of what begins with `picture` files that depend on nothing but its content."""

    def thumbnails(self, content: bytes, sizes: Sequence[int], *, square: bool) -> list[bytes]:
        if not content.startswith(b"picture"):
            raise UnusableFile("This is no picture.")
        return [b"%d of %s" % (size, content) for size in sizes]


class MemoryArchive:
    """An archive in a dict."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def get(self, name: str) -> bytes:
        return self.files[name]

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.files if name.startswith(prefix))

    def delete(self, name: str) -> None:
        self.files.pop(name, None)


def title_id(number: int) -> TitleId:
    """Return the id of a title of `ListCatalogue`."""
    return TitleId(f"fake:movie:{number:03d}")


class ListCatalogue:
    """So many films, numbered."""

    remote = False

    def __init__(self, size: int = 100) -> None:
        self._titles = {
            title_id(n): Title(
                id=title_id(n), title=f"Film {n}", media_type="movie", genres=("Drama",)
            )
            for n in range(size)
        }

    def genres(self) -> list[Genre]:
        return [Genre("drama", "Drama", len(self._titles))]

    def search(
        self, text: str, where: TitleFilter, *, cursor: str | None = None, limit: int = 20
    ) -> TitlePage:
        found = [t for t in self._titles.values() if text.lower() in t.title.lower()]
        return TitlePage(found[:limit], None)

    def titles(self, ids: Sequence[TitleId]) -> list[Title]:
        return [self._titles[i] for i in ids if i in self._titles]

    def select(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        return list(self._titles.values())[:size]

    gather = select


class Outbox:
    """A mailer that keeps what it was given."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        self.mails.append(mail)


class Told(NamedTuple):
    """A notice that a notifier took."""

    to: Any
    content: Content


class FakeNotifier:
    """Keeps what it is given.

    Attributes:
        told: what it took.
        failures: what it raises instead, in order, each for one notice.
    """

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.failures: list[BaseException] = []

    def send(self, to: Any, content: Content) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.told.append(Told(to, content))


class FakeKey:
    """Signs with a shared secret: what counts here is that nobody else can."""

    def __init__(self, kid: str) -> None:
        self.kid = kid

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self.kid.encode(), message, "sha512")

    def verify(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(message), signature)


class FakeKeys:
    """Two keys; the newer one signs."""

    def __init__(self) -> None:
        self._keys = [FakeKey("older"), FakeKey("newer")]

    def current(self) -> FakeKey:
        return self._keys[-1]

    def by_kid(self, kid: str) -> FakeKey | None:
        return next((key for key in self._keys if key.kid == kid), None)

    def public(self) -> list[dict[str, str]]:
        return [{"kid": key.kid, "alg": "RS256"} for key in self._keys]

    def renew(self) -> None:
        """None is due."""


class FakeSecrets:
    """One well-known key."""

    def cursor_key(self) -> bytes:
        return b"0123456789abcdef0123456789abcdef"


class Mark(NamedTuple):
    """A moment of a world."""

    seq: int
    time: Millis
    ids: int


class World:
    """Everything that use cases need, and short words for the most common ones."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "world.sqlite")
        self.store._writer.execute("PRAGMA synchronous = OFF")
        self.table: Table = self.store.table
        self.clock = FakeClock()
        self.queues = SqliteQueues(self.store, QUEUES, self.clock)
        self.bus = SqliteBus(self.queues, QUEUES)
        self.cache: Cache = MemoryCache(monotonic=self.clock.monotonic)
        self.blobs = MemoryBlobs()
        self.archive = MemoryArchive()
        self.media = MemoryBlobs()
        self.uploads = MemoryUploads(self.queues, self.clock)
        self.pictures = FakePictures()
        self.realtime = Broadcast()
        self.catalogue = ListCatalogue()
        self.ids = FakeIds()
        self.mailer = Outbox()
        self.topic = SqliteTopic(self.queues, QUEUES)
        self.email, self.push, self.webhook = FakeNotifier(), FakeNotifier(), FakeNotifier()
        self.push_keys = DerivedKeys(lambda: b"a well-known secret")
        self.keys = FakeKeys()
        self.secrets = FakeSecrets()
        self.limits = RateLimits(self.cache, enabled=False)
        self.settings = Settings(public_url="https://trinity.example")

    def over(self, *, table: Table | None = None, cache: Cache | None = None) -> "World":
        """Return the same world seen through another table or cache."""
        other = copy.copy(self)
        other.table = self.table if table is None else table
        other.cache = self.cache if cache is None else cache
        return other

    def restarted(self) -> "World":
        """Return what a new process would see: the same data, nothing remembered."""
        return self.over(cache=MemoryCache(monotonic=self.clock.monotonic))

    def mark(self) -> "Mark":
        """Return a moment to come back to."""
        return Mark(self.store.last_seq, self.clock.time, self.ids.count)

    def rewind(self, mark: "Mark") -> None:
        """Let table, time and ids be as they were at a mark."""
        seq, self.clock.time, self.ids.count = mark
        execute = self.store._writer.execute
        execute("BEGIN IMMEDIATE")
        for pk, sk, old in execute(
            "SELECT pk, sk, old FROM changes WHERE seq > ? ORDER BY seq DESC", (seq,)
        ).fetchall():
            execute("DELETE FROM items WHERE pk = ? AND sk = ?", (pk, sk))
            if old is not None:
                execute(
                    "INSERT INTO items (pk, sk, item, expires) VALUES (?, ?, ?, ?)",
                    (pk, sk, old, msgspec.json.decode(old).get("expires")),
                )
        execute("DELETE FROM changes WHERE seq > ?", (seq,))
        execute("COMMIT")
        self.store._remembered.clear()
        self.store._last_seq = seq

    def call(
        self,
        use_case: Any,
        request: Any = None,
        by: str | None = None,
        origin: Origin = ORIGIN,
        **message: Any,
    ) -> Any:
        """Call a use case, as a request of its own, with the ports that it names.

        What works off a queue is given its message: `event=…` or `notice=…`.
        """
        caller = Caller(UserId(by or ""), "s")
        given = {"request": request, "origin": origin, "caller": caller, **message}
        given["table"] = caused_by(self.table, Cause(f"request-{self.ids.new()}"))
        names = [name for name in use_case.__annotations__ if name != "return"]
        return use_case(
            **{name: given[name] if name in given else getattr(self, name) for name in names}
        )

    # ------------------------------------------------------------------------- short words

    def guest(self, name: str = "Guest") -> UserId:
        user = User(id=UserId(self.ids.new()), name=name, created_at=self.clock.now())
        users.create_guest(self.table, user)
        return user.id

    def create(self, host: str, *, titles: int = 3, key: str | None = None, **wishes: Any) -> Any:
        deck = FromTitles(title_ids=tuple(title_id(n) for n in range(titles)))
        origin = Origin(ORIGIN.address, ORIGIN.base_url, None, key)
        return self.call(create_room, CreateRoom(deck=deck, **wishes), host, origin)

    def join(self, user: str, code: str) -> Any:
        return self.call(join_room, JoinRoom(code=code), user)

    def leave(self, user: str, room: str) -> None:
        self.call(leave_room, LeaveRoom(room_id=RoomId(room)), user)

    def kick(self, host: str, room: str, user: str) -> None:
        self.call(kick_member, KickMember(room_id=RoomId(room), user_id=UserId(user)), host)

    def vote(self, user: str, room: str, title: int, choice: str = "yes") -> Any:
        request = CastVotes(room_id=RoomId(room), title_id=title_id(title), choice=choice)
        return self.call(cast_votes, request, user)

    def vote_many(self, user: str, room: str, votes: dict[int, str]) -> Any:
        cast = tuple(Vote(title_id=title_id(n), choice=choice) for n, choice in votes.items())
        return self.call(cast_votes, CastVotes(room_id=RoomId(room), votes=cast), user)

    def undo(self, user: str, room: str, title: int) -> None:
        self.call(undo_vote, UndoVote(room_id=RoomId(room), title_id=title_id(title)), user)

    def update(self, host: str, room: str, **changes: Any) -> Any:
        return self.call(update_room, UpdateRoom(room_id=RoomId(room), **changes), host)

    # ----------------------------------------------------------------------------- uploads

    def ask(self, user: str, kind: UploadKind, *, room: str | None = None) -> UploadId:
        """Ask for a form; return the upload."""
        content_type: Any = "text/csv" if kind == "list" else "image/png"
        request = CreateUpload(kind=kind, content_type=content_type, size=100, room_id=room)
        found: UploadId = self.call(create_upload, request, user).upload_id
        return found

    def send(
        self,
        user: str,
        kind: UploadKind,
        content: bytes,
        *,
        room: str | None = None,
        notices: int = 1,
    ) -> UploadId:
        """Ask for a form, and post a file."""
        upload = self.ask(user, kind, room=room)
        self.uploads.arrive(file_key(UserId(user), upload), content, notices=notices)
        return upload

    def upload(self, user: str, upload: UploadId) -> Upload:
        """Return an upload as it is now."""
        found = uploads.find(self.table, UserId(user), upload)
        assert found is not None
        return found

    def process(self, user: str, upload: UploadId) -> None:
        """Process the file of an upload, as if a notice of it had come."""
        self.process_file(file_key(UserId(user), upload))

    def process_file(self, key: str) -> None:
        process_upload(
            key,
            table=caused_by(self.table, None),
            uploads=self.uploads,
            pictures=self.pictures,
            media=self.media,
            blobs=self.blobs,
            clock=self.clock,
        )

    def work_off(self) -> None:
        """Process all files whose notices lie in the queue."""
        while messages := self.queues.receive("process-upload"):
            for message in messages:
                for key in stored_files(message.body):
                    self.process_file(key)
                self.queues.delete("process-upload", [message.receipt])

    def sweep(self) -> None:
        self.call(sweep_uploads)

    # ------------------------------------------------------------------------- change feed

    def changes(self, feed: str, after: int, limit: int = 1_000_000) -> list[streams.Change]:
        """Return the changes of one feed, by way of the event of the real service."""
        stream = STREAMS[feed]
        found = self.store.changes_after(
            after, limit, sort_keys=stream.sort_keys, comings=stream.comings
        )
        return streams.changes(stream_event(found))

    def every_key(self) -> list[Key]:
        """Return the keys of all items there are: only a test may look at everything."""
        return [Key(*row) for row in self.store.read("SELECT pk, sk FROM items ORDER BY pk, sk")]

    def emitted(self, after: int = 0) -> list[streams.Change]:
        """Return the changes that events are made of."""
        found = self.store.changes_after(after, 1_000_000, sort_keys=EMITTED.sort_keys)
        return streams.changes(stream_event(found))

    def events(self, after: int = 0) -> list[DomainEvent]:
        """Return what is told of the changes since `after`, as in one batch."""
        return list(told_by(self.emitted(after)))

    def publish(self, changes: list[streams.Change]) -> None:
        publish(
            changes,
            table=caused_by(self.table, None),
            cache=self.cache,
            blobs=self.blobs,
            realtime=self.realtime,
            clock=self.clock,
        )

    def drain(self, after: dict[str, int], *, batch: int = 1_000_000) -> dict[str, int]:
        """Hand over all changes until nothing comes any more; return where the feeds stand."""
        seen = dict(after)
        worked = True
        while worked:
            worked = False
            for feed in STREAMS:
                while changes := self.changes(feed, seen[feed], batch):
                    self.publish(changes)
                    seen[feed] = changes[-1].seq
                    worked = True
        return seen

    def feeds_at(self, seq: int) -> dict[str, int]:
        return dict.fromkeys(STREAMS, seq)
