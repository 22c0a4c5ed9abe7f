"""The `Queues` port on standard queues of Amazon SQS.

Source of all facts: the Amazon SQS API reference. Visibility time, dead-letter queue and how often
a message may be taken are settings of the queue itself, made where it is created.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trinity.domain.ids import Millis
from trinity.infrastructure.aws.client import AwsError, Client
from trinity.infrastructure.aws.retry import Budget
from trinity.infrastructure.messaging.batches import batches
from trinity.ports import LONGEST_DELAY_S, MOST_MESSAGES, Message

_LARGEST = 1_048_576
_OLD_RECEIPT = frozenset({"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"})
"""What SQS says to receipts that are not good any more; it may also accept them, and do nothing."""
_WAIT_S = 1
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


class SqsQueues:
    """The queues of one deployment. Threads may share it.

    Args:
        client: for SQS.
        prefix: what comes before the names of the queues.
        wait_s: how long to wait for a message. Without waiting, SQS looks only at a part of its
            servers, and says that nothing is there though something is.
    """

    def __init__(self, client: Client, prefix: str, *, wait_s: int = _WAIT_S) -> None:
        self._client = client
        self._prefix = prefix
        self._wait_s = wait_s
        self._urls: dict[str, str] = {}

    def send(self, queue: str, bodies: Sequence[str]) -> None:
        """See `Queues.send`.

        Raises:
            AwsError: SQS refuses a message for good.
            ValueError: a message is too large.
        """
        for some in batches(bodies, lambda body: len(body.encode()), largest=_LARGEST):
            self._each("SendMessageBatch", queue, [{"MessageBody": body} for body in some])

    def receive(self, queue: str, limit: int = MOST_MESSAGES) -> list[Message]:
        """See `Queues.receive`."""
        if not 1 <= limit <= MOST_MESSAGES:
            raise ValueError(f"1 to {MOST_MESSAGES} messages are taken at once")
        request = {
            "MaxNumberOfMessages": limit,
            "MessageSystemAttributeNames": ["All"],
            "WaitTimeSeconds": self._wait_s,
        }
        # If the answer is lost, what was taken comes again after its visibility time.
        output = self._call("ReceiveMessage", queue, request)
        return [_message(told) for told in output.get("Messages") or ()]

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """See `Queues.delete`."""
        for some in batches(receipts, len, largest=_LARGEST):
            self._each("DeleteMessageBatch", queue, [{"ReceiptHandle": r} for r in some])

    def retry_later(self, queue: str, receipt: str, *, delay_s: int) -> None:
        """See `Queues.retry_later`."""
        if not 0 <= delay_s <= LONGEST_DELAY_S:
            raise ValueError(f"a message is put off for 0 to {LONGEST_DELAY_S} seconds")
        request = {"ReceiptHandle": receipt, "VisibilityTimeout": delay_s}
        try:
            self._call("ChangeMessageVisibility", queue, request)
        except AwsError as refusal:
            if refusal.code not in _OLD_RECEIPT:
                raise

    def count(self, queue: str) -> int:
        """See `Queues.count`."""
        output = self._call("GetQueueAttributes", queue, {"AttributeNames": _COUNTS})
        return sum(int(output["Attributes"][name]) for name in _COUNTS)

    def _each(self, operation: str, queue: str, entries: Sequence[dict[str, Any]]) -> None:
        """Do something in one request with up to ten, again with those that may do better."""
        budget = self._client.budget()
        pending = {str(n): {"Id": str(n), **entry} for n, entry in enumerate(entries)}
        while pending:
            request = {"Entries": list(pending.values())}
            output = self._call(operation, queue, request, budget)
            refused: dict[str, dict[str, Any]] = {}
            for result in output.get("Failed") or ():
                if result["Code"] in _OLD_RECEIPT and operation == "DeleteMessageBatch":
                    continue
                refusal = AwsError(result["Code"], result.get("Message", ""), 200, result)
                if result["SenderFault"]:
                    raise refusal
                refused[result["Id"]] = pending[result["Id"]]
            if refused:
                budget.pause(refusal)
            pending = refused

    def _call(
        self,
        operation: str,
        queue: str,
        request: Mapping[str, Any],
        budget: Budget | None = None,
    ) -> dict[str, Any]:
        try:
            url = self._urls.get(queue) or self._find(queue)
            whole = {"QueueUrl": url, **request}
            return self._client.call(operation, whole, idempotent=True, budget=budget)
        except AwsError as refusal:
            if refusal.code == "QueueDoesNotExist":
                raise KeyError(queue) from refusal
            raise

    def _find(self, queue: str) -> str:
        request = {"QueueName": self._prefix + queue}
        url: str = self._client.call("GetQueueUrl", request, idempotent=True)["QueueUrl"]
        self._urls[queue] = url
        return url


def _message(told: Mapping[str, Any]) -> Message:
    attributes = told["Attributes"]
    return Message(
        told["MessageId"],
        told["Body"],
        told["ReceiptHandle"],
        int(attributes["ApproximateReceiveCount"]),
        Millis(int(attributes["SentTimestamp"])),
        Millis(int(attributes["ApproximateFirstReceiveTimestamp"])),
    )
