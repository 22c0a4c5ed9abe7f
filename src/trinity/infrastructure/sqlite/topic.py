"""The topic of the embedded host: into the queues of the SQLite file, by channel."""

from collections.abc import Sequence

import msgspec

from trinity.domain.notices import Notice
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.topology import Queue

_encode = msgspec.json.Encoder().encode


class SqliteTopic:
    """The `Topic` port.

    Args:
        queues: where notices go.
        subscribed: the queues, of which some want the notices of a channel.
    """

    def __init__(self, queues: SqliteQueues, subscribed: Sequence[Queue]) -> None:
        self._queues = queues
        self._of_channel = {queue.channel: queue.name for queue in subscribed if queue.channel}

    def publish(self, notices: Sequence[Notice]) -> None:
        """See `Topic.publish`. All of it becomes durable in one commit."""
        self._queues.send_all(
            [(self._of_channel[notice.channel], _encode(notice).decode()) for notice in notices]
        )
