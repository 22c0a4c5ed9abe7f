"""A client for AWS services of the JSON protocols 1.0 and 1.1 and of REST, in place of an SDK.

boto3 is a good library and a heavy one: importing it takes 6.5 times the start of an empty
function, and a call 20 times the processor time of this client. Sources: "AWS JSON 1.0 protocol"
and "AWS JSON 1.1 protocol" in the Smithy documentation; each service's API reference.
"""

import binascii
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from trinity.infrastructure.aws.credentials import Credentials, CredentialSource
from trinity.infrastructure.aws.http import Connection, Endpoint, Response
from trinity.infrastructure.aws.retry import Budget, Limits
from trinity.infrastructure.aws.sigv4 import Signer
from trinity.infrastructure.system.stream import StreamPool, TransportError, tls_context
from trinity.ports import Unavailable

T = TypeVar("T")

_REFUSED_FOR_NOW = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ReplicatedWriteConflictException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes by which a service says that it has done nothing and may do it later."""
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_MAYBE_SKEWED = frozenset(
    {
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
"""Codes that a request with a wrong time gets, among others."""
_TOLERATED_SKEW = 240.0
"""Seconds by which our clock may be wrong; services accept 300."""
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Service(msgspec.Struct, frozen=True):
    """How a service is addressed; the values are those of its API model.

    Attributes:
        endpoint_prefix: first part of its host name.
        signing_name: its name in signatures.
        target_prefix: what comes before the operation in `X-Amz-Target`; empty with REST.
        json_version: of the protocol; empty with REST.
    """

    endpoint_prefix: str
    signing_name: str
    target_prefix: str = ""
    json_version: str = ""


APPSYNC = Service("appsync", "appsync")  # its management; each API has an endpoint of its own
DYNAMODB = Service("dynamodb", "dynamodb", "DynamoDB_20120810", "1.0")
DYNAMODB_STREAMS = Service("streams.dynamodb", "dynamodb", "DynamoDBStreams_20120810", "1.0")
EVENTBRIDGE = Service("events", "events", "AWSEvents", "1.1")
LAMBDA = Service("lambda", "lambda")
S3 = Service("s3", "s3")
SECRETS_MANAGER = Service("secretsmanager", "secretsmanager", "secretsmanager", "1.1")
SES = Service("email", "ses")
SNS = Service("sns", "sns")
SQS = Service("sqs", "sqs", "AmazonSQS", "1.0")


class AwsError(Exception):
    """A service refused a request; nothing was changed unless its status is 5xx.

    Attributes:
        code: the service's name of the error, such as `ConditionalCheckFailedException`.
        message: for people.
        status: of HTTP.
        body: the parsed response; some errors have more members than the message.
    """

    def __init__(self, code: str, message: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.body = body


class Client:
    """Calls the operations of one service. Threads may share a client.

    A request is sent again after throttling, a server's error, a lost connection or a time-out,
    within limits, and only if that cannot do its work twice.
    """

    __slots__ = (
        "_clock",
        "_credentials",
        "_endpoint",
        "_limits",
        "_now",
        "_pool",
        "_service",
        "_signer",
        "_skew",
        "_sleep",
    )

    def __init__(
        self,
        service: Service,
        *,
        region: str,
        credentials: CredentialSource,
        endpoint: str | None = None,
        limits: Limits = Limits(),  # noqa: B008  immutable
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; no connection is made before the first call.

        Args:
            service: which one.
            region: such as `eu-west-1`.
            credentials: to sign with.
            endpoint: URL; None for the region's public one.
            limits: of each call.
            clock: seconds of a steady clock.
            sleep: waits for so many seconds.
            now: seconds since 1970.
        """
        url = endpoint or f"https://{service.endpoint_prefix}.{region}.amazonaws.com"
        self._service = service
        self._credentials = credentials
        self._endpoint = at = Endpoint.parse(url)
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._pool = StreamPool(lambda seconds: Connection(at, seconds=seconds, clock=clock))
        self._signer = Signer(service=service.signing_name, region=region)
        self._skew = 0.0
        if self._endpoint.tls:
            tls_context()  # while the function starts, rather than while somebody waits

    def prepare(self) -> None:
        """Open a connection before somebody waits for it.

        Raises:
            TransportError: it could not be made in time; the next call will try again.
        """
        self._pool.prepare(seconds=self._limits.connect)

    def budget(self) -> Budget:
        """Return what one call may spend, to share it between several."""
        return Budget(self._limits, clock=self._clock, sleep=self._sleep)

    def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        *,
        idempotent: bool,
        budget: Budget | None = None,
    ) -> dict[str, Any]:
        """Call an operation and return its output.

        Args:
            operation: its name, such as `GetItem`.
            request: its input, made of what JSON has.
            idempotent: whether doing it twice is as good as once. If not, the request is not sent
                again once a part of it has left, save when the service says that it did nothing.
            budget: what may be spent; by default a whole new one.

        Raises:
            AwsError: the service refused for a reason that will not pass.
            Unavailable: attempts or time ran out, or the outcome of a request that is not
                idempotent is unknown.
        """
        headers = {
            "content-type": f"application/x-amz-json-{self._service.json_version}",
            "x-amz-target": f"{self._service.target_prefix}.{operation}",
        }
        body = msgspec.json.encode(request)
        sent = _Request(operation, "POST", self._endpoint.path, headers, body)
        return self._send(sent, _output, idempotent=idempotent, budget=budget)

    def send(
        self,
        method: str,
        path: str = "",
        *,
        query: str = "",
        headers: Mapping[str, str],
        body: bytes = b"",
        idempotent: bool,
        budget: Budget | None = None,
    ) -> Response:
        """Send a request to a REST service and return its response, which is a success.

        Args:
            method: of HTTP.
            path: below the endpoint's; of letters, digits and `/-_.~` alone, since services do not
                agree on how others are signed. S3 takes others percent-encoded.
            query: string, sorted by names and percent-encoded.
            headers: names in lower case; `host` and those of the signature are added.
            body: of the request.
            idempotent: see `call`.
            budget: see `call`.

        Raises:
            AwsError: see `call`.
            Unavailable: see `call`.
        """
        path = (self._endpoint.path.rstrip("/") + path) or "/"
        request = _Request(f"{method} {path}", method, path, headers, body, query)
        return self._send(request, lambda response: response, idempotent=idempotent, budget=budget)

    def _send(
        self,
        request: "_Request",
        read: Callable[[Response], T],
        *,
        idempotent: bool,
        budget: Budget | None,
    ) -> T:
        """Return what `read` makes of a successful response; a TransportError of it is one."""
        budget = budget or self.budget()
        fresh = False
        while True:
            attempt = _Attempt(self._credentials.current(), self._now() + self._skew)
            try:
                response = self._exchange(attempt, request, budget, fresh=fresh)
                output = read(response)
            except TransportError as error:
                if error.sent and not idempotent:
                    message = f"the outcome of {request.name} is unknown: {error}"
                    raise Unavailable(message) from error
                if error.stale:
                    fresh = True  # so that this happens only once in a call
                else:
                    budget.pause(error)
                continue
            if response.status < 300:
                return output
            refusal = _error(response)
            if response.status >= 500 and refusal.code not in _REFUSED_FOR_NOW and not idempotent:
                message = f"the outcome of {request.name} is unknown: {refusal}"
                raise Unavailable(message) from refusal
            if not self._may_pass(refusal, response, attempt):
                raise refusal
            budget.pause(refusal)

    def _exchange(
        self, attempt: "_Attempt", request: "_Request", budget: Budget, *, fresh: bool
    ) -> Response:
        """Send a request over a kept or new connection."""
        seconds = min(self._limits.connect, budget.remaining())
        connection = self._pool.take(seconds=seconds, fresh=fresh)
        try:
            response = connection.exchange(
                self._head(attempt, request) + request.body,
                seconds=min(self._limits.exchange, budget.remaining()),
            )
        except (TransportError, Unavailable):
            connection.close()
            raise
        self._pool.give_back(connection)
        return response

    def _head(self, attempt: "_Attempt", request: "_Request") -> bytes:
        headers = self._signer.sign(
            attempt.credentials,
            method=request.method,
            path=request.path,
            query=request.query,
            headers={**request.headers, "host": self._endpoint.authority},
            body=request.body,
            now=attempt.time,
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = f"{request.path}?{request.query}" if request.query else request.path
        return (
            f"{request.method} {target} HTTP/1.1\r\n"
            f"{lines}content-length: {len(request.body)}\r\n\r\n"
        ).encode()

    def _may_pass(self, error: AwsError, response: Response, attempt: "_Attempt") -> bool:
        """Tell whether the request may succeed when it is sent again, and prepare for it."""
        return (
            error.code in _REFUSED_FOR_NOW
            or response.status == 429
            or response.status >= 500
            or (error.code in _EXPIRED and self._credentials.renew(attempt.credentials))
            or (error.code in _MAYBE_SKEWED and self._correct_skew(response, attempt))
        )

    def _correct_skew(self, response: Response, attempt: "_Attempt") -> bool:
        """Go by the server's clock if ours was wrong; return whether it was."""
        theirs = _http_date(response.headers.get("date", ""))
        if theirs is None or abs(theirs - attempt.time) <= _TOLERATED_SKEW:
            return False
        self._skew = theirs - self._now()
        return True


class _Request(msgspec.Struct, frozen=True):
    name: str  # in messages
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


class _Attempt(msgspec.Struct, frozen=True):
    credentials: Credentials
    time: float  # in the signature; seconds since 1970


def _output(response: Response) -> dict[str, Any]:
    """Return what a response of a JSON protocol says.

    Raises:
        TransportError: it is damaged. `X-Amz-Crc32` is DynamoDB's checksum of the body.
    """
    checksum = response.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(binascii.crc32(response.body)):
        raise TransportError("the checksum of the response is wrong", sent=True)
    if not response.body:  # SQS has operations without output
        return {}
    try:
        return _OBJECT.decode(response.body)
    except msgspec.DecodeError as error:
        message = f"status {response.status} with a body that is not JSON"
        raise TransportError(message, sent=True) from error


def _error(response: Response) -> AwsError:
    """Read an error: S3 writes XML, all others JSON, and REST has the code in a header."""
    try:
        output = _OBJECT.decode(response.body)
    except msgspec.DecodeError:
        text = response.body.decode(errors="replace")
        output = {"code": element(text, "Code"), "message": element(text, "Message")}
    code = (
        response.headers.get("x-amzn-errortype")
        or output.get("__type")
        or output.get("code")
        or f"Http{response.status}"
    )
    message = output.get("message") or output.get("Message") or ""
    # `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://...`: both ends are noise.
    code = str(code).rpartition("#")[2].partition(":")[0]
    return AwsError(code, str(message), response.status, output)


def element(xml: str, name: str) -> str:
    """Return the text of an element without attributes, empty if there is none."""
    return xml.partition(f"<{name}>")[2].partition(f"</{name}>")[0]


def _http_date(text: str) -> float | None:
    """Read a date like `Sun, 22 Nov 2026 10:14:46 GMT`; the email package does it too, heavily."""
    try:
        _, day, month, year, clock, _ = text.split()
        hour, minute, second = map(int, clock.split(":"))
        moment = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC
        )
    except ValueError:
        return None
    return moment.timestamp()
