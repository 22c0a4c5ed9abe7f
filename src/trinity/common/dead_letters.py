"""Looking at what was tried too often, and deciding what becomes of it.

SQS shows a message only to who takes it. So does every adapter: what is looked at is taken from the
dead-letter queue and put back at the end. If the looking dies in between, it is there again after
the visibility time.
"""

from collections.abc import Callable, Collection

from trinity.domain.ids import Millis
from trinity.ports import Message, Queues
from trinity.topology import Queue


class DeadLetters:
    """The messages of one queue for dead letters.

    Args:
        queues: where they are.
        name: of that queue.
        again: has messages tried once more, and returns those that were.
    """

    def __init__(
        self, queues: Queues, name: str, again: Callable[[list[Message]], list[Message]]
    ) -> None:
        self._queues = queues
        self._name = name
        self._again = again

    @classmethod
    def of(cls, queues: Queues, queue: Queue) -> "DeadLetters":
        """Return what fell out of a queue. Put back there, it gets new ids and new attempts."""

        def send(messages: list[Message]) -> list[Message]:
            queues.send(queue.name, [message.body for message in messages])
            return messages

        return cls(queues, queue.dead_letters, send)

    def look(self, *, limit: int) -> list[Message]:
        """Return dead letters, oldest first, about `limit` of them at most."""
        found: list[Message] = []

        def look(messages: list[Message]) -> list[Message]:
            found.extend(messages)
            return []

        self._go_through(look, until=lambda: len(found) >= limit)
        return sorted(found, key=lambda message: message.sent_at)[:limit]

    def find(self, wanted: str) -> Message | None:
        """Return the dead letter with this id, None if there is none."""
        found: list[Message] = []

        def look(messages: list[Message]) -> list[Message]:
            found.extend(message for message in messages if message.id == wanted)
            return []

        self._go_through(look, until=lambda: bool(found))
        return found[0] if found else None

    def redrive(self, ids: Collection[str] | None, *, before: Millis) -> set[str]:
        """Have dead letters tried once more.

        They are removed after that, so that none is lost.

        Args:
            ids: which; None for all.
            before: leave later ones alone, or one that comes back dead would go round for ever.

        Returns:
            The ids of those that were.
        """
        return self._settle(ids, before, self._again)

    def drop(self, ids: Collection[str] | None, *, before: Millis) -> set[str]:
        """Remove dead letters for good; see `redrive` for the arguments and the result."""
        return self._settle(ids, before, lambda messages: messages)

    def _settle(
        self,
        ids: Collection[str] | None,
        before: Millis,
        act: Callable[[list[Message]], list[Message]],
    ) -> set[str]:
        done: set[str] = set()

        def work(messages: list[Message]) -> list[Message]:
            chosen = [
                message
                for message in messages
                if message.sent_at <= before and (ids is None or message.id in ids)
            ]
            gone = act(chosen) if chosen else []
            if gone:
                self._queues.delete(self._name, [message.receipt for message in gone])
            done.update(message.id for message in gone)
            return gone

        self._go_through(work, until=lambda: ids is not None and done >= set(ids))
        return done

    def _go_through(
        self, work: Callable[[list[Message]], list[Message]], *, until: Callable[[], bool]
    ) -> None:
        """Take one handful of dead letters after another; `work` says which of them are gone."""
        taken: dict[str, str] = {}
        try:
            while not until():
                messages = self._queues.receive(self._name)
                new = [message for message in messages if message.id not in taken]
                if not new:
                    return  # or it goes on for so long that the first ones are visible again
                taken |= {message.id: message.receipt for message in messages}
                for gone in work(new):
                    del taken[gone.id]
        finally:
            for receipt in taken.values():
                self._queues.retry_later(self._name, receipt, delay_s=0)
