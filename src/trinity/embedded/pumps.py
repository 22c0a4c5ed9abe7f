"""What feeds functions with changes, as Lambda's event source mappings do.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html

At least once and in order: where a feed stands is remembered after its function is done with a
batch, so a process that dies in between hands the same changes over again.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from trinity.common.attributes import TypedItem
from trinity.common.telemetry import Log
from trinity.domain.errors import Conflict
from trinity.domain.ids import Millis
from trinity.domain.rooms import DECK_KEPT_FOR
from trinity.embedded.background import Background
from trinity.infrastructure.filesystem.blobs import FileBlobs
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import Change, SqliteStore
from trinity.ports import Item, Unavailable
from trinity.topology import Function, Stream

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_ATTEMPTS_AT_ONE = 5
_SAVE_EVERY = 10_000  # changes of others
_LOOK_UP_EVERY_S = 0.2  # to see whether it is time to stop
_SWEEP_EVERY_S = 60.0
_SWEEP_DECKS_EVERY_S = 3600  # it looks at every file

Handler = Callable[[Any, Any], Any]


def stream_event(changes: list[Change]) -> dict[str, Any]:
    """Return the event of DynamoDB Streams that tells about some changes."""
    return {"Records": [_record(change) for change in changes]}


def _record(change: Change) -> dict[str, Any]:
    images: dict[str, Any] = {}
    if change.new is not None:
        images["NewImage"] = TypedItem(change.new)
    if change.old is not None:
        images["OldImage"] = TypedItem(change.old)
    # As DynamoDB marks what its own sweep removes: its time was over.
    expired = change.new is None and change.old is not None and _over(change.old, change.at)
    by_nobody = {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    return {
        "eventID": f"{change.seq:032x}",
        "eventName": change.kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "local",
        "dynamodb": {
            "ApproximateCreationDateTime": change.at,
            "Keys": {"PK": {"S": change.pk}, "SK": {"S": change.sk}},
            **images,
            "SequenceNumber": str(change.seq),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:local:000000000000:table/trinity/stream/embedded",
        **(by_nobody if expired else {}),
    }


def _over(item: Item, now: int) -> bool:
    """Tell whether the time of an item is over at `now`, in seconds since 1970."""
    expires = item.get("expires")
    return expires is not None and expires <= now


class StreamPump(Background):
    """Feeds one function with one feed of changes, from a thread of its own.

    A batch that fails is tried again, half as large each time, so that one bad change holds up no
    other for long. A single change that keeps failing is reported and left out.

    Args:
        store: where the changes are.
        function: which function.
        stream: which changes, and how they are gathered.
        handler: the function itself.
        log: for what goes wrong.
    """

    def __init__(
        self, store: SqliteStore, function: Function, stream: Stream, handler: Handler, log: Log
    ) -> None:
        super().__init__(f"{function.name}:{stream.name}")
        self._store = store
        self._stream = stream
        self._handler = handler
        self._log = log
        self._worked = False
        self._feed = store.feed(stream.sort_keys, stream.comings)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001  (a full disk, say: the feed goes on after it)
                self._log.exception("a feed stopped, it starts again", error, feed=self.name)
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _follow(self) -> None:
        seen = saved = self._store.checkpoint(self.name)
        while not self._stopping.is_set():
            newest = self._store.last_seq
            if self._feed.wait(seen, _LOOK_UP_EVERY_S):
                self._stopping.wait(self._stream.window_s)
                seen = self._advance(seen)
            else:
                seen = max(seen, newest)  # nothing of ours was among those
            # What is done is remembered at once; that there was nothing to do may wait.
            if seen - saved > _SAVE_EVERY or self._worked:
                self._store.save_checkpoint(self.name, seen)
                saved, self._worked = seen, False
        if saved != seen:
            self._store.save_checkpoint(self.name, seen)

    def _advance(self, seen: int) -> int:
        """Hand over what has come; return where the feed stands."""
        newest = self._store.last_seq
        changes = self._feed.after(seen, self._stream.batch)
        if not changes:
            return max(seen, newest)
        self._worked = True
        done = self._hand_over(changes)
        return done[-1].seq if done else seen

    def _hand_over(self, changes: list[Change]) -> list[Change]:
        """Return those changes, from the first on, that are done with."""
        pause, attempts_at_one = _FIRST_PAUSE_S, 0
        while True:
            try:
                self._handler(stream_event(changes), None)
            except Exception as error:  # noqa: BLE001  (a function may fail in any way)
                # What is only busy or down is waited for, however long that takes.
                passing = isinstance(error, Unavailable | Conflict)
                attempts_at_one += len(changes) == 1 and not passing
                given_up = attempts_at_one == _ATTEMPTS_AT_ONE
                self._log.exception(
                    "a change was left out" if given_up else "a batch failed, it is tried again",
                    error,
                    feed=self.name,
                    changes=len(changes),
                    seq=changes[0].seq,
                )
                if given_up:
                    return changes
                changes = changes[: max(1, len(changes) // 2)]
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                if self._stopping.wait(random.uniform(0, pause)):  # noqa: S311
                    return []
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                return changes


class Housekeeper(Background):
    """Removes, from a thread of its own, what is old: items, changes, dead letters, decks.

    Args:
        store: what to keep tidy.
        queues: in it.
        decks: beside it.
        log: for what goes wrong.
    """

    def __init__(
        self, store: SqliteStore, queues: SqliteQueues, decks: FileBlobs, log: Log
    ) -> None:
        super().__init__("housekeeper")
        self._store = store
        self._queues = queues
        self._decks = decks
        self._log = log

    def _run(self) -> None:
        decks_due = 0
        while not self._stopping.wait(_SWEEP_EVERY_S):
            try:
                now = int(time.time())
                while not self._stopping.is_set() and self._store.sweep_expired(now):
                    pass
                while not self._stopping.is_set() and self._store.trim_changes(now):
                    pass
                while not self._stopping.is_set() and (gone := self._queues.forget_dead()):
                    self._log("warning", "dead messages were kept for too long", removed=gone)
                if now >= decks_due:
                    decks_due = now + _SWEEP_DECKS_EVERY_S
                    self._decks.sweep(Millis(now * 1000 - DECK_KEPT_FOR))  # their rooms are gone
            except Exception as error:  # noqa: BLE001  (the next round may do better)
                self._log.exception("sweeping failed", error)
