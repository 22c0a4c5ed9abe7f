"""The `Topic` port on a standard topic of Amazon SNS, which copies notices to the queues of SQS.

Each queue has subscribed with the filter policy `{"channel": [its channel]}` and raw delivery, so
that the body of its messages is the notice itself. SNS speaks the AWS Query protocol and answers
in XML. Source of all facts: PublishBatch in the Amazon SNS API reference, and "AWS Query protocol"
in the Smithy documentation.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from trinity.domain.notices import Channel, Notice
from trinity.infrastructure.aws.client import AwsError, Client, element
from trinity.infrastructure.messaging.batches import batches

_LARGEST = 262_144

_encode = msgspec.json.Encoder().encode


class _Entry(NamedTuple):
    channel: Channel
    body: str


class SnsTopic:
    """A topic. Threads may share it.

    Args:
        client: for SNS.
        arn: of the topic.
    """

    def __init__(self, client: Client, arn: str) -> None:
        self._client = client
        self._arn = arn

    def publish(self, notices: Sequence[Notice]) -> None:
        """See `Topic.publish`.

        Raises:
            AwsError: SNS refuses a notice for good.
            ValueError: a notice is too large.
        """
        entries = [_Entry(notice.channel, _encode(notice).decode()) for notice in notices]
        for some in batches(entries, _size, largest=_LARGEST):
            self._publish(some)

    def _publish(self, entries: list[_Entry]) -> None:
        budget = self._client.budget()
        pending = dict(enumerate(entries))
        while pending:
            answer = self._client.send(
                "POST",
                headers={"content-type": "application/x-www-form-urlencoded"},
                body=self._form(pending),
                idempotent=True,  # what comes twice has the same id
                budget=budget,
            )
            failed = _failed(answer.body.decode())
            refusals = [AwsError(code, "", 200, {}) for _, code, by_us in failed if by_us]
            if refusals:
                raise refusals[0]
            if failed:
                budget.pause(AwsError(failed[0].code, "", 200, {}))
            pending = {failure.number: pending[failure.number] for failure in failed}

    def _form(self, entries: dict[int, _Entry]) -> bytes:
        fields = {"Action": "PublishBatch", "Version": "2010-03-31", "TopicArn": self._arn}
        for place, (number, entry) in enumerate(entries.items(), 1):
            at = f"PublishBatchRequestEntries.member.{place}"
            fields |= {
                f"{at}.Id": str(number),
                f"{at}.Message": entry.body,
                f"{at}.MessageAttributes.entry.1.Name": "channel",
                f"{at}.MessageAttributes.entry.1.Value.DataType": "String",
                f"{at}.MessageAttributes.entry.1.Value.StringValue": entry.channel,
            }
        return urlencode(fields).encode()


class _Failure(NamedTuple):
    number: int
    code: str
    by_us: bool


def _failed(xml: str) -> list[_Failure]:
    """Return the entries that were not taken."""
    failed = element(xml, "Failed")
    return [
        _Failure(
            int(element(member, "Id")),
            element(member, "Code"),
            element(member, "SenderFault") == "true",
        )
        for member in failed.split("<member>")[1:]
    ]


def _size(entry: _Entry) -> int:
    return len(entry.body.encode()) + len("channel") + len("String") + len(entry.channel)
