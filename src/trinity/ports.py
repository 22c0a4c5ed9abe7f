"""The few interfaces between use cases and infrastructure.

They are shaped by what the use cases need, not by any vendor. Every adapter of a port passes the
same contract suite (tests/contract), and no two adapters may differ in a way that it can see.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UserId

if TYPE_CHECKING:
    from typing import Protocol

    from trinity.domain.domain_events import DomainEvent
    from trinity.domain.notices import Content, Notice
    from trinity.domain.titles import Genre, Title, TitleFilter
else:

    class Protocol:
        """A base that costs nothing: ports are for the type checker, and each start pays."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

# ---------------------------------------------------------------------------------------- Table

Value = Any
"""What an attribute may hold: str, int, float, bool, None, and lists and string-keyed dicts of it.

Integers are exact up to 38 digits; a float comes back as the float that went in; strings in keys
are never empty. Bytes and sets are not used.
"""
Item = dict[str, Value]
"""One item, its key included as the attributes `PK` and `SK`.

`expires`, where present, is the time in *seconds* since 1970 after which the item may be removed
by the store. Until the store gets to it, which may take a while, it is still read: whoever cares
compares the time.
"""
Path = str | tuple[str, ...]
"""An attribute, or a way into nested maps: `("members", user_id, "active")`."""


class Key(NamedTuple):
    """The primary key of an item."""

    pk: str
    sk: str


class Page(msgspec.Struct, frozen=True):
    """Some items of one partition in the order of their sort keys.

    `cursor` is the sort key to go on after, None when there is nothing more.
    """

    items: list[Item]
    cursor: str | None


class Exists(msgspec.Struct, frozen=True):
    """True if the item has something at this path."""

    path: Path


class Absent(msgspec.Struct, frozen=True):
    """True if the item has nothing at this path. `Absent("PK")`: there is no such item."""

    path: Path


class Equals(msgspec.Struct, frozen=True):
    """True if the path holds this value; false if it holds nothing."""

    path: Path
    value: Value


class Less(msgspec.Struct, frozen=True):
    """True if the path holds something of the value's type that is smaller than it."""

    path: Path
    value: Value


class AllOf(msgspec.Struct, frozen=True):
    """True if every part is."""

    parts: tuple["Condition", ...]


class AnyOf(msgspec.Struct, frozen=True):
    """True if a part is."""

    parts: tuple["Condition", ...]


Condition = Exists | Absent | Equals | Less | AllOf | AnyOf


class Old(msgspec.Struct, frozen=True):
    """In `Update.set`: what the path held before this update; `default` if it held nothing."""

    path: Path
    default: Value


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of one item. All right-hand sides are read before anything is written.

    Attributes:
        set: values to put at paths. The parent map of a nested path must exist.
        add: amounts to add to numbers at the top level; a missing number counts as 0.
        remove: paths to take away; a missing one is no error.
    """

    set: Mapping[Path, Value | Old] = {}
    add: Mapping[str, int] = {}
    remove: Sequence[Path] = ()


class TransactPut(msgspec.Struct, frozen=True):
    """Write a whole item."""

    item: Item
    when: Condition | None = None


class TransactUpdate(msgspec.Struct, frozen=True):
    """Change an item, or create it."""

    key: Key
    update: Update
    when: Condition | None = None


class TransactDelete(msgspec.Struct, frozen=True):
    """Remove an item; removing a missing one is no error."""

    key: Key
    when: Condition | None = None


class TransactCheck(msgspec.Struct, frozen=True):
    """Change nothing, but let the transaction fail unless the condition holds."""

    key: Key
    when: Condition


TransactAction = TransactPut | TransactUpdate | TransactDelete | TransactCheck


class ConditionFailed(Exception):
    """A conditional write changed nothing because its condition was false.

    Attributes:
        item: the item as it was when the condition was evaluated, None if there was none.
    """

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition of the write was false")
        self.item = item


class TransactionCancelled(Exception):
    """A transaction changed nothing because at least one of its conditions was false.

    Attributes:
        reasons: one entry for each action, in order: the failure, or None if its condition held.
    """

    def __init__(self, reasons: Sequence[ConditionFailed | None]) -> None:
        super().__init__("a condition of the transaction was false")
        self.reasons = tuple(reasons)


class Unavailable(Exception):
    """A dependency did not answer within its time and attempts; the write may have happened.

    The caller may safely repeat the whole operation later: every operation is built so.

    Attributes:
        after_s: seconds that trying again before makes no sense, 0 if nobody knows.
    """

    def __init__(self, message: str = "", *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Table(Protocol):
    """One table of items.

    Writes are durable when they return, and every write that changes something becomes one change
    record in the feed, in the order of the writes of its item.

    A transaction has at most 100 actions, and no two on one item. An item has at most 400 KB.
    """

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        """Return the item. A consistent read sees every write that returned before it began."""

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return the items of distinct keys, in the order of the keys. Eventually consistent."""

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        descending: bool = False,
        consistent: bool = False,
    ) -> Page:
        """Return the items of a partition whose sort key starts with `prefix`.

        Args:
            pk: the partition.
            prefix: what sort keys begin with; "" for all.
            after: go on behind this sort key (in the direction of the query); it need not exist.
            limit: at most so many, at least 1; None for all of them.
            descending: from the last sort key to the first. Sort keys compare as UTF-8 bytes.
            consistent: see `get`.

        Returns:
            A page. With a limit its cursor may be set though nothing follows; without, it is None.
        """

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        """Write a whole item, replacing one of the same key.

        Raises:
            ConditionFailed: `when` was false.
        """

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        """Change an item, or create it, and return it whole as it is right after.

        Raises:
            ConditionFailed: `when` was false.
        """

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        """Remove an item; removing a missing one is no error.

        Raises:
            ConditionFailed: `when` was false.
        """

    def transact(self, actions: Sequence[TransactAction]) -> None:
        """Do all of it or nothing.

        Raises:
            TransactionCancelled: at least one condition was false.
        """


# ---------------------------------------------------------------------------------------- others


class Cache(Protocol):
    """Values that may vanish at any time.

    A dead cache degrades the service, never stops it: an adapter answers like an empty cache
    rather than raise.
    """

    def get(self, key: str) -> Value:
        """Return the value, or None."""

    def set(self, key: str, value: Value, *, ttl: float) -> None:
        """Keep a JSON-like value for `ttl` seconds."""

    def delete(self, key: str) -> None:
        """Forget a value."""

    def increment(self, key: str, *, ttl: float) -> tuple[int, float]:
        """Count one more in the window that began with the first count.

        Returns:
            The count, this one included, and the seconds until the window ends. The window lasts
            `ttl` seconds.
        """

    def working(self) -> bool:
        """Tell whether values are kept just now where all who share this cache see them."""


class Blobs(Protocol):
    """Immutable objects, addressed by the SHA-256 of their content.

    An object is as old as its last `put`. Whoever runs the service may remove what is older than
    `trinity.domain.rooms.DECK_KEPT_FOR`: the rooms that it was stored for are gone by then.
    """

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        """Store durably. The same content again is the same object, and as good as new."""

    def get(self, blob_id: BlobId) -> bytes:
        """Return the content.

        Raises:
            KeyError: there is no such blob.
        """

    def delete(self, blob_id: BlobId) -> None:
        """Remove a blob that nobody refers to; removing a missing one is no error."""


class Form(msgspec.Struct, frozen=True):
    """How to post a file to the storage, as a browser posts a form (`multipart/form-data`).

    Attributes:
        url: where to. The storage of this very server names only the path.
        fields: to send along, before the field `file`.
    """

    url: str
    fields: dict[str, str]


class Uploads(Protocol):
    """Files of clients, which send them to the storage and not through a function.

    When a file has arrived, the storage puts a notice into the queue of `process_upload`.
    """

    def presign(self, key: str, *, content_type: str, largest_bytes: int, expires: Millis) -> Form:
        """Return a signed form for one file: for this key, type, at most this size, until then.

        `expires` counts in whole seconds. It is the form of S3, whoever takes it:
        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
        """

    def read(self, key: str) -> bytes:
        """Return a file.

        Raises:
            KeyError: there is none.
        """

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes, None if there is none."""

    def delete(self, key: str) -> None:
        """Remove a file; removing a missing one is no error."""


class Pictures(Protocol):
    """Makes pictures smaller, and trusts none."""

    def thumbnails(self, content: bytes, sizes: Sequence[int], *, square: bool) -> list[bytes]:
        """Return a picture in several sizes, each a WebP file with nothing but the picture in it.

        It stands upright as its EXIF data says, its colours are sRGB, of an animation it is the
        first frame. It is never made larger.

        Args:
            content: a JPEG, PNG, WebP or GIF file, whatever it calls itself.
            sizes: the most pixels of the longer side.
            square: cut the middle out of it.

        Raises:
            UnusableFile: it is none of these, damaged, or has too many pixels.
        """


class Archive(Protocol):
    """Files by names like paths, of letters, digits and `-_.=/`; whole or not there at all."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file durably, replacing one of the same name."""

    def get(self, name: str) -> bytes:
        """Return what is in a file.

        Raises:
            KeyError: there is none of this name.
        """

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, in the order of their characters."""

    def delete(self, name: str) -> None:
        """Remove a file; removing a missing one is no error."""


class Realtime(Protocol):
    """Tells those who follow a room, at once and at most once.

    Whoever misses an event sees a gap in the numbers and reads the log.
    """

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        """Hand an event, as the API shows it, to all who follow a room; in the order of calls."""

    def show(self, room: RoomId, presence: dict[str, Any]) -> None:
        """Hand over who is in a room just now, as the API shows it."""

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        """End the subscriptions of a user to a room, or everybody's."""


class Bus(Protocol):
    """Takes domain events to the queues whose rules, in the topology, name their type."""

    def publish(self, events: "Sequence[DomainEvent]") -> None:
        """Hand events over. What was handed over is not lost; it may come twice, in any order.

        Raises:
            Unavailable: not all were taken; publishing all of them again is safe.
        """


MOST_MESSAGES = 10
"""That are taken at once."""
LONGEST_DELAY_S = 12 * 3600
"""By which a message is put off."""


class Message(msgspec.Struct, frozen=True):
    """A message that was taken from a queue.

    Attributes:
        id: of the message.
        body: what was sent.
        receipt: of this very taking; what is done with the message is done by it.
        receives: how often it was taken, this time included.
        sent_at: when it was sent.
        received_at: when it was taken for the first time.
    """

    id: str
    body: str
    receipt: str
    receives: int
    sent_at: Millis
    received_at: Millis


class Queues(Protocol):
    """The queues of the topology, each with a dead-letter queue, as SQS has them.

    A message is delivered at least once, in about the order of sending. Once taken it is hidden for
    the visibility time of its queue; unless it is deleted by then, it comes again. Who would take
    it once more than `receives` times finds it in the dead-letter queue instead, which is called
    like the queue with `-dead` behind.

    A queue that does not exist is a `KeyError`.
    """

    def send(self, queue: str, bodies: Sequence[str]) -> None:
        """Put messages into a queue; they are durable when this returns.

        Raises:
            Unavailable: not all were taken; sending all of them again is safe.
        """

    def receive(self, queue: str, limit: int = 10) -> list[Message]:
        """Take messages and hide them from others for a while.

        Args:
            queue: which one.
            limit: at most so many, 1 to 10.
        """

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Be done with messages. An old receipt, of a message taken again since, does nothing."""

    def retry_later(self, queue: str, receipt: str, *, delay_s: int) -> None:
        """Let a message come again in so many seconds instead of after the visibility time.

        An old receipt does nothing.

        Args:
            queue: where it is.
            receipt: of its taking.
            delay_s: 0 to 12 hours.
        """

    def count(self, queue: str) -> int:
        """Return about how many messages are in a queue, hidden ones included."""


class TitlePage(msgspec.Struct, frozen=True):
    """A page of titles. `cursor` is opaque; None when there is nothing more."""

    titles: "list[Title]"
    cursor: str | None


class Catalogue(Protocol):
    """Titles by filter, by id, by text."""

    @property
    def remote(self) -> bool:
        """Whether somebody else is asked, which takes time, and whose titles change."""

    def genres(self) -> "list[Genre]":
        """Return the genres in alphabetical order of their names."""

    def search(
        self, text: str, where: "TitleFilter", *, cursor: str | None = None, limit: int = 20
    ) -> TitlePage:
        """Return titles that match a text, best first; with an empty text all, best known first.

        Every word of the text must match the beginning of a word of a title or a name; letter case
        and accents do not matter; what people type, quotes and operators included, is only text.

        Raises:
            ValueError: the cursor is not one of this catalogue's.
        """

    def titles(self, ids: Sequence[TitleId]) -> "list[Title]":
        """Return those of the titles that exist, in the order asked for."""

    def select(self, where: "TitleFilter", *, size: int, seed: int) -> "list[Title]":
        """Return up to `size` different titles for a deck.

        The same seed gives the same deck. Well known and well rated titles come first, genres are
        mixed, and no title appears twice, not even as two entries of one film.
        """

    def gather(self, where: "TitleFilter", *, size: int, seed: int) -> "list[Title]":
        """Do as `select` while nobody waits: it may take 20 seconds.

        Raises:
            Unavailable: the catalogue itself does not answer.
        """


class Refused(Exception):
    """The other side does not take this message, now or later: sending it again is of no use.

    Its text names no address and no endpoint, so that it may go into the log.
    """


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail to one person.

    Attributes:
        to: an e-mail address.
        subject: one line.
        text: what it says.
        html: the same for those who like it formatted; "" for none.
        unsubscribe_url: where one POST ends mails of this kind (RFC 8058); "" for a mail that
            somebody asked for.
        id: the same for a mail that is sent again; "" for a new one.
    """

    to: str
    subject: str
    text: str
    html: str = ""
    unsubscribe_url: str = ""
    id: str = ""


class Mailer(Protocol):
    """Sends mail."""

    def send(self, mail: Mail) -> None:
        """Hand one mail over for delivery.

        Raises:
            ValueError: a header would hold a line feed.
            Refused: it will never be taken, its address is unknown for example.
            Unavailable: it was not taken now, or that cannot be known; sending it again is all
                right.
        """


class EndpointGone(Refused):
    """There is no such endpoint any more: it will not take any other message either."""


E = TypeVar("E", contravariant=True)


class Notifier(Protocol[E]):
    """Carries notices over one channel; `E` is what that channel sends to."""

    def send(self, to: E, content: "Content") -> None:
        """Hand one notice over. The same again has the same id, so that receivers can tell.

        Raises:
            EndpointGone, Refused: see there.
            Unavailable: it was not taken now, or that cannot be known; sending it again is all
                right.
        """


class Topic(Protocol):
    """Takes notices to the queues of their channels."""

    def publish(self, notices: "Sequence[Notice]") -> None:
        """Hand notices over. What was handed over is not lost; it may come twice, in any order.

        Raises:
            Unavailable: not all were taken; publishing all of them again is safe.
        """


class PushKey(msgspec.Struct, frozen=True):
    """A pair of keys of the curve P-256, base64url.

    Attributes:
        public: the uncompressed point.
        private: the number.
    """

    public: str
    private: str


class PushKeys(Protocol):
    """By which push services know us (VAPID, RFC 8292)."""

    def current(self) -> PushKey:
        """Return the keys. Browsers subscribe to the public one, and to no other later."""


class SigningKey(Protocol):
    """An RSA key that signs access tokens (RS256)."""

    @property
    def kid(self) -> str:
        """Its name in the key set."""

    def sign(self, message: bytes) -> bytes:
        """Return the RSASSA-PKCS1-v1_5 signature with SHA-256."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether this key made the signature."""


class SigningKeys(Protocol):
    """The keys of this issuer. Which of them is used when is told by `trinity.domain.signing`."""

    def current(self) -> SigningKey:
        """Return the key that signs now."""

    def by_kid(self, kid: str) -> SigningKey | None:
        """Return the key of this name, if it is still accepted."""

    def public(self) -> list[dict[str, str]]:
        """Return the public keys as JSON Web Keys (RFC 7517): kty, use, alg, kid, n, e."""

    def renew(self) -> None:
        """Make the next key, if it is time, and forget those before the newest one.

        Doing so twice, even at once, makes one key.
        """


class Secrets(Protocol):
    """Keys that nobody outside knows."""

    def cursor_key(self) -> bytes:
        """Return the 32 bytes that cursors of lists, and links that mails hold, are signed with."""


class Clock(Protocol):
    """Time."""

    def now(self) -> Millis:
        """Return the present time."""


class Ids(Protocol):
    """Chance, from a cryptographically secure source."""

    def new(self) -> str:
        """Return a new identifier: 16 characters of `0-9a-z`, 80 bits of chance."""

    def secret(self) -> str:
        """Return a secret for a token: URL-safe, 256 bits of chance."""

    def code(self) -> str:
        """Return a room code: 6 characters of an alphabet without look-alikes."""

    def seed(self) -> int:
        """Return a 32-bit number."""
