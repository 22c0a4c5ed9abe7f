"""The only place that chooses adapters: settings in, services out, each built on first use."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from trinity.common import requests, telemetry
from trinity.common.requests import Event, Request, Response
from trinity.common.settings import Settings, from_environment
from trinity.common.telemetry import Level, Log, Reporter, Units
from trinity.domain.errors import Conflict, DomainError, InternalError, ServiceUnavailable
from trinity.domain.ids import Millis
from trinity.ports import Unavailable
from trinity.store import causes
from trinity.store.causes import Cause

if TYPE_CHECKING:
    from typing import Protocol

    from trinity.common.rate_limits import RateLimits
    from trinity.domain.notices import Browser, Webhook
    from trinity.infrastructure.aws.account import Account
    from trinity.infrastructure.filesystem.blobs import FileBlobs
    from trinity.infrastructure.filesystem.uploads import FileUploads
    from trinity.infrastructure.memory.broadcast import Broadcast
    from trinity.infrastructure.messaging.failed_calls import FailedCalls
    from trinity.infrastructure.notifiers.outbound import Outbound
    from trinity.infrastructure.secretsmanager.secret import Secret
    from trinity.infrastructure.sqlite.queues import SqliteQueues
    from trinity.infrastructure.sqlite.store import SqliteStore
    from trinity.ports import (
        Archive,
        Blobs,
        Bus,
        Cache,
        Catalogue,
        Clock,
        Ids,
        Mailer,
        Notifier,
        Pictures,
        PushKeys,
        Queues,
        Realtime,
        Secrets,
        SigningKeys,
        Table,
        Topic,
        Uploads,
    )

_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 900.0
"""Bounds of the waits for the next attempt at a message: 5, 10, 20, … seconds."""

_LONGEST_RUN_MS = 120_000
"""Of what a clock calls; where no timeout ends it, nobody else is told to begin before."""
_AFTER_TIMEOUT_MS = 5_000
"""After which Lambda has surely ended a run that was too long."""
_NOTHING_DUE = "done already"

T = TypeVar("T")
R = TypeVar("R", bound=Struct)
Explain = Callable[[Event, DomainError, Response], Response]


class Services:
    """The ports of a process. An adapter is imported and built when it is first asked for.

    Args:
        settings: what to build by.
        environment: what tells the clients of AWS region, endpoint and credentials.

    Attributes:
        before_use: is called when something was built, before anybody gets it.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self._environment = environment
        self._built: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.before_use: Callable[[], None] = lambda: None

    def _once(self, name: str, build: Callable[[], T]) -> T:
        if name not in self._built:
            with self._lock:
                if name not in self._built:
                    service = build()
                    self.before_use()
                    self._built[name] = service
        built: T = self._built[name]
        return built

    @property
    def log(self) -> Log:
        """Where lines of the log go."""
        return self._once("log", lambda: Log(self.settings.log_level))

    def reporter(self, operation: str) -> Reporter:
        """Return what writes the one line about each request of a function."""
        namespace = self.settings.metrics_namespace
        return Reporter(self.log, operation, namespace=namespace, units=self._units)

    def _units(self) -> Units:
        table = self._built.get("table")  # DynamoDB's, if the function has asked for it
        return Units(table.consumed_read, table.consumed_write) if table is not None else Units()

    @property
    def store(self) -> "SqliteStore":
        """The SQLite file, for what only the embedded host does with it."""
        from trinity.infrastructure.sqlite.store import SqliteStore

        def build() -> SqliteStore:
            self.settings.folder.mkdir(parents=True, exist_ok=True)
            return SqliteStore(self.settings.folder / "trinity.sqlite")

        return self._once("store", build)

    @property
    def table(self) -> "Table":
        """See `Table`."""
        if not self.settings.table_name:
            return self.store.table

        def build() -> "Table":
            from trinity.infrastructure.aws.client import DYNAMODB
            from trinity.infrastructure.dynamodb.table import DynamoTable

            return DynamoTable(self._account.client(DYNAMODB), self.settings.table_name)

        return self._once("table", build)

    def restored(self) -> None:
        """Make this process one of its own, after Lambda took it from a snapshot that others share.

        Chance begins anew. Credentials are fetched and connections opened, so that the first
        request does not wait for them.
        """
        if "random" in sys.modules:
            sys.modules["random"].seed()
        if "ssl" in sys.modules:  # OpenSSL draws in the process, from a state that was copied
            sys.modules["ssl"].RAND_add(os.urandom(48), 48.0)
        if "account" in self._built:
            self._account.prepare()

    @property
    def _account(self) -> "Account":
        from trinity.infrastructure.aws.account import Account

        return self._once("account", lambda: Account(self._environment))

    @property
    def store_queues(self) -> "SqliteQueues":
        """The queues in the SQLite file, for what only the embedded host does with them."""
        from trinity.infrastructure.sqlite.queues import SqliteQueues
        from trinity.topology import QUEUES

        return self._once("store_queues", lambda: SqliteQueues(self.store, QUEUES, self.clock))

    @property
    def queues(self) -> "Queues":
        """See `Queues`."""
        if not self.settings.queue_prefix:
            return self.store_queues

        def build() -> "Queues":
            from trinity.infrastructure.aws.client import SQS
            from trinity.infrastructure.messaging.sqs import SqsQueues

            return SqsQueues(self._account.client(SQS), self.settings.queue_prefix)

        return self._once("queues", build)

    @property
    def failed_calls(self) -> "FailedCalls":
        """Calls of functions that AWS gave up, for what only the command line does with them."""
        from trinity.infrastructure.aws.client import DYNAMODB_STREAMS, LAMBDA
        from trinity.infrastructure.messaging.failed_calls import LIMITS, FailedCalls

        def build() -> FailedCalls:
            streams = self._account.client(DYNAMODB_STREAMS)
            functions = self._account.client(LAMBDA, limits=LIMITS)
            return FailedCalls(streams, functions, self.settings.queue_prefix)

        return self._once("failed_calls", build)

    @property
    def bus(self) -> "Bus":
        """See `Bus`."""

        def build() -> "Bus":
            if self.settings.bus_name:
                from trinity.infrastructure.aws.client import EVENTBRIDGE
                from trinity.infrastructure.messaging.eventbridge import EventBridgeBus

                return EventBridgeBus(self._account.client(EVENTBRIDGE), self.settings.bus_name)
            from trinity.infrastructure.sqlite.bus import SqliteBus
            from trinity.topology import QUEUES

            return SqliteBus(self.store_queues, QUEUES)

        return self._once("bus", build)

    @property
    def topic(self) -> "Topic":
        """See `Topic`."""

        def build() -> "Topic":
            if self.settings.topic_arn:
                from trinity.infrastructure.aws.client import SNS
                from trinity.infrastructure.messaging.sns import SnsTopic

                return SnsTopic(self._account.client(SNS), self.settings.topic_arn)
            from trinity.infrastructure.sqlite.topic import SqliteTopic
            from trinity.topology import QUEUES

            return SqliteTopic(self.store_queues, QUEUES)

        return self._once("topic", build)

    @property
    def cache(self) -> "Cache":
        """See `Cache`."""

        def build() -> "Cache":
            if self.settings.redis_url:
                from trinity.infrastructure.redis.cache import RedisCache

                namespace = self.settings.table_name or "trinity"
                return RedisCache(self.settings.redis_url, namespace=namespace, log=self.log)
            from trinity.infrastructure.memory.cache import MemoryCache

            return MemoryCache()

        return self._once("cache", build)

    @property
    def limits(self) -> "RateLimits":
        """How often things may be tried."""
        from trinity.common.rate_limits import RateLimits

        enabled = self.settings.rate_limits == "on"
        return self._once("limits", lambda: RateLimits(self.cache, enabled=enabled))

    @property
    def blobs(self) -> "Blobs":
        """See `Blobs`."""

        def build() -> "Blobs":
            if self.settings.bucket_name:
                from trinity.infrastructure.s3 import bucket
                from trinity.infrastructure.s3.blobs import S3Blobs

                return S3Blobs(bucket.client(self._account, self.settings.bucket_name))
            return self.blob_files

        return self._once("blobs", build)

    @property
    def blob_files(self) -> "FileBlobs":
        """The blobs in `TRINITY_DATA`, for what only the embedded host does with them."""
        from trinity.infrastructure.filesystem.blobs import FileBlobs

        return self._once("blob_files", lambda: FileBlobs(self.settings.folder / "blobs"))

    @property
    def archive(self) -> "Archive":
        """See `Archive`."""

        def build() -> "Archive":
            if self.settings.archive_bucket_name:
                from trinity.infrastructure.s3 import bucket
                from trinity.infrastructure.s3.archive import S3Archive

                return S3Archive(bucket.client(self._account, self.settings.archive_bucket_name))
            from trinity.infrastructure.filesystem.archive import FileArchive

            return FileArchive(self.settings.folder / "archive")

        return self._once("archive", build)

    @property
    def media(self) -> "Blobs":
        """The files of pictures, which everybody may read. See `Blobs`."""

        def build() -> "Blobs":
            if self.settings.bucket_name:
                from trinity.infrastructure.s3 import bucket
                from trinity.infrastructure.s3.blobs import S3Blobs

                client = bucket.client(self._account, self.settings.bucket_name)
                return S3Blobs(client, "/media/{}.webp")
            from trinity.infrastructure.filesystem.blobs import FileBlobs

            return FileBlobs(self.settings.folder / "media")

        return self._once("media", build)

    @property
    def store_uploads(self) -> "FileUploads":
        """The files of clients in a folder, for what only the embedded host does with them."""
        from trinity.infrastructure.filesystem.uploads import FileUploads

        folder = self.settings.folder
        return self._once(
            "store_uploads", lambda: FileUploads(folder / "uploads", folder / "keys", self.clock)
        )

    @property
    def uploads(self) -> "Uploads":
        """See `Uploads`."""

        def build() -> "Uploads":
            if not self.settings.uploads_bucket_name:
                return self.store_uploads
            from trinity.infrastructure.s3.uploads import S3Uploads

            return S3Uploads(self._account, self.settings.uploads_bucket_name, self.clock)

        return self._once("uploads", build)

    @property
    def pictures(self) -> "Pictures":
        """See `Pictures`."""
        from trinity.infrastructure.pillow.pictures import PillowPictures

        return self._once("pictures", PillowPictures)

    @property
    def catalogue(self) -> "Catalogue":
        """See `Catalogue`."""
        from trinity.infrastructure.catalogue.embedded import EmbeddedCatalogue

        def build() -> "Catalogue":
            films = EmbeddedCatalogue()
            if not (self.settings.tmdb_token or self.settings.tmdb_secret):
                return films
            from trinity.infrastructure.external_apis.tmdb import TmdbCatalogue

            return TmdbCatalogue(
                self._tmdb_token(),
                cache=self.cache,
                fallback=films,
                base_url=self.settings.tmdb_url,
                warn=lambda message: self.log("warning", message),
            )

        return self._once("catalogue", build)

    def _tmdb_token(self) -> Callable[[], str]:
        if not self.settings.tmdb_secret:
            return lambda: self.settings.tmdb_token
        from trinity.infrastructure.secretsmanager.token import token_in

        secret = self._secret(self.settings.tmdb_secret)
        return lambda: token_in(secret)

    @property
    def broadcast(self) -> "Broadcast":
        """Where the embedded host listens."""
        from trinity.infrastructure.memory.broadcast import Broadcast

        return self._once("broadcast", Broadcast)

    @property
    def realtime(self) -> "Realtime":
        """See `Realtime`."""
        if not self.settings.appsync_url:
            return self.broadcast

        def build() -> "Realtime":
            from trinity.infrastructure.appsync.realtime import LIMITS, AppSyncRealtime
            from trinity.infrastructure.aws.client import APPSYNC

            url = self.settings.appsync_url
            client = self._account.client(APPSYNC, endpoint=url, limits=LIMITS)
            return AppSyncRealtime(client, self.log)

        return self._once("realtime", build)

    @property
    def mailer(self) -> "Mailer":
        """See `Mailer`."""

        def build() -> "Mailer":
            if self.settings.ses == "on":
                from trinity.infrastructure.aws.client import SES
                from trinity.infrastructure.ses.mailer import SesMailer

                return SesMailer(self._account.client(SES), self.settings.sender)
            if self.settings.smtp_url:
                from trinity.infrastructure.mail.smtp import SmtpMailer

                return SmtpMailer(self.settings.smtp_url, self.settings.sender)
            from trinity.infrastructure.filesystem.mailer import FileMailer

            return FileMailer(self.settings.folder / "mailbox", self.settings.sender, self.log)

        return self._once("mailer", build)

    @property
    def email(self) -> "Notifier[str]":
        """See `Notifier`: e-mail."""
        from trinity.infrastructure.notifiers.mail import EmailNotifier

        return self._once("email", lambda: EmailNotifier(self.mailer))

    @property
    def push(self) -> "Notifier[Browser]":
        """See `Notifier`: Web Push."""
        from trinity.infrastructure.notifiers.web_push import PushNotifier

        def build() -> PushNotifier:
            contact = self.settings.push_contact
            return PushNotifier(self.push_keys, contact, self._outbound, self.clock)

        return self._once("push", build)

    @property
    def webhook(self) -> "Notifier[Webhook]":
        """See `Notifier`: webhooks."""
        from trinity.infrastructure.notifiers.webhook import WebhookNotifier

        return self._once("webhook", lambda: WebhookNotifier(self._outbound, self.clock))

    @property
    def _outbound(self) -> "Outbound":
        from trinity.infrastructure.notifiers.outbound import Outbound

        local = self.settings.local_endpoints == "on"
        return self._once("outbound", lambda: Outbound(local=local))

    @property
    def push_keys(self) -> "PushKeys":
        """See `PushKeys`."""
        from trinity.infrastructure.system.p256 import DerivedKeys

        def build() -> "PushKeys":
            if self.settings.push_secret:
                secret = self._secret(self.settings.push_secret)
                return DerivedKeys(lambda: secret.current().text.encode())
            from trinity.infrastructure.filesystem.keys import push_seed

            return DerivedKeys(lambda: push_seed(self.settings.folder / "keys"))

        return self._once("push_keys", build)

    @property
    def keys(self) -> "SigningKeys":
        """See `SigningKeys`."""

        def build() -> "SigningKeys":
            if self.settings.signing_secret:
                from trinity.infrastructure.secretsmanager.keys import AwsKeys

                return AwsKeys(self._secret(self.settings.signing_secret), self.clock)
            from trinity.infrastructure.filesystem.keys import FileKeys

            return FileKeys(self.settings.folder / "keys", self.clock)

        return self._once("keys", build)

    @property
    def secrets(self) -> "Secrets":
        """See `Secrets`."""

        def build() -> "Secrets":
            if self.settings.cursor_secret:
                from trinity.infrastructure.secretsmanager.secrets import AwsSecrets

                return AwsSecrets(self._secret(self.settings.cursor_secret))
            from trinity.infrastructure.filesystem.keys import FileSecrets

            return FileSecrets(self.settings.folder / "keys")

        return self._once("secrets", build)

    def _secret(self, name: str) -> "Secret":
        from trinity.infrastructure.aws.client import SECRETS_MANAGER
        from trinity.infrastructure.secretsmanager.secret import Secret

        return Secret(self._account.client(SECRETS_MANAGER), name)

    @property
    def clock(self) -> "Clock":
        """See `Clock`."""
        from trinity.infrastructure.system.clock import SystemClock

        return self._once("clock", SystemClock)

    @property
    def ids(self) -> "Ids":
        """See `Ids`."""
        from trinity.infrastructure.system.ids import SystemIds

        return self._once("ids", SystemIds)


_services: Services | None = None


def services() -> Services:
    """Return the services of this process, by the environment unless `use` was called."""
    global _services
    if _services is None:
        _services = Services(from_environment(os.environ))
    return _services


def use(chosen: Services) -> None:
    """Let this process use other services; to be called before the first request."""
    global _services
    _services = chosen


if TYPE_CHECKING:

    class _Front(Protocol):
        """How an event of one kind is read: `requests` for API Gateway, `resolvers` for AppSync."""

        def read(self, event: Event, kind: type[R], /) -> R: ...

        def caller(self, event: Event, /) -> requests.Caller: ...

        def origin(
            self, event: Event, public_url: str, proxies: int, word: str, /
        ) -> requests.Origin: ...

        def cause(self, event: Event, /) -> Cause | None: ...


_NO_PORTS = frozenset(
    ("request", "caller", "origin", "changes", "event", "events", "notice", "file", "at", "return")
)


class _Function:
    """A use case with the ports that it names.

    Attributes:
        use_case: a plain function.
        name: of the use case and the function alike.
    """

    def __init__(self, use_case: Callable[..., Any]) -> None:
        self.use_case = use_case
        self.name = use_case.__name__
        self._port_names = [name for name in use_case.__annotations__ if name not in _NO_PORTS]
        self._ports: dict[str, Any] | None = None
        self._report: Reporter
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            # While it starts it has a whole processor, and nobody waits where it was provisioned.
            self.connect()
            gc.freeze()  # all this is here to stay: the collector need not look at it again
            gc.enable()  # see trinity/__init__.py
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            # Lambda's runtime has it. Nothing was opened, fetched or drawn until here, so there is
            # nothing to be put away before the snapshot:
            # https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
            from snapshot_restore_py import (  # type: ignore[import-not-found,unused-ignore]
                register_after_restore,
            )

            register_after_restore(services().restored)

    def connect(self) -> None:
        """Take the ports from the services of this process; no connection is opened for that."""
        chosen = services()
        self._report = chosen.reporter(self.name)
        self._ports = {name: getattr(chosen, name) for name in self._port_names}


class Operation(_Function):
    """A Lambda function of the API: takes an event, calls a use case, answers.

    The use case is a plain function. It may take `request` (validated fields), `caller` (who is
    signed in) and `origin` (where the request comes from); everything else it names is a port.

    Attributes:
        status: of an answer that is no error.
        tagged: whether answers carry an entity tag.
        request_type, result_type: what goes in and out, for the API description.
    """

    def __init__(
        self, use_case: Callable[..., Any], *, status: int, tagged: bool, explain: Explain | None
    ) -> None:
        super().__init__(use_case)
        annotations = use_case.__annotations__
        self.status = status
        self.tagged = tagged
        self._explain = explain
        self.request_type: type[Request] | None = annotations.get("request")
        self.result_type: Any = annotations["return"]
        self._takes_caller = "caller" in annotations
        self._takes_origin = "origin" in annotations

    def connect(self) -> None:
        """See `_Function.connect`."""
        settings = services().settings
        self._front = settings.public_url, settings.proxies, settings.proxies_word
        super().connect()

    def __call__(self, event: Event, context: object) -> Any:
        """Answer one request, of API Gateway or of AppSync.

        To API Gateway everything is a response, whatever goes wrong. AppSync wants the bare value
        of a field, and takes the class of an exception for its `errorType`.
        """
        began = time.perf_counter_ns()
        if self._ports is None:
            self.connect()
        # AppSync says which field is asked for; API Gateway's events have no such member.
        answer = self._resolve if "info" in event else self._respond
        return answer(event, context, began)

    def _respond(self, event: Event, context: object, began: int) -> Response:
        outcome = "ok"
        error: Exception | None = None
        user: str | None = None
        try:
            arguments = self._arguments(event, requests)
            user = arguments["caller"].user_id if self._takes_caller else None
            result = self.use_case(**arguments)
            response = requests.respond(event, result, self.status, tagged=self.tagged)
        except DomainError as refusal:
            outcome = refusal.code
            response = self._refuse(event, refusal)
        except Unavailable as failure:
            error = failure
            response = self._refuse(event, ServiceUnavailable(retry_after=1))
        except Exception as fault:  # noqa: BLE001  (the outermost edge: nothing goes further)
            error = fault
            response = self._refuse(event, InternalError())
        told = _told(event["requestContext"]["requestId"], event["headers"], user)
        self._report(began, context, outcome, error, **told, status=response["statusCode"])
        return response

    def _refuse(self, event: Event, error: DomainError) -> Response:
        problem = requests.refuse(event, error)
        return problem if self._explain is None else self._explain(event, error, problem)

    def _resolve(self, event: Event, context: object, began: int) -> Any:
        from trinity.common import resolvers

        outcome = "ok"
        error: Exception | None = None
        user: str | None = None
        try:
            arguments = self._arguments(event, resolvers)
            user = arguments["caller"].user_id if self._takes_caller else None
            return resolvers.value(event, self.use_case(**arguments))
        except DomainError as refusal:
            outcome = refusal.code
            raise
        except Unavailable as failure:
            error = failure
            raise ServiceUnavailable from failure
        except Exception as fault:
            error = fault
            raise InternalError from fault
        finally:
            headers = event["request"]["headers"]
            told = _told(headers.get("x-amzn-requestid", ""), headers, user)
            self._report(began, context, outcome, error, **told)

    def _arguments(self, event: Event, front: "_Front") -> dict[str, Any]:
        """Return what the use case is called with."""
        arguments = _because_of(front.cause(event), self._ports or {})
        if self._takes_caller:
            arguments["caller"] = front.caller(event)
        if self._takes_origin:
            arguments["origin"] = front.origin(event, *self._front)
        if self.request_type is not None:
            arguments["request"] = front.read(event, self.request_type)
        return arguments


def _told(request_id: str, headers: Mapping[str, str], user: str | None) -> dict[str, str]:
    """Return what a line of the log tells about where a request belongs."""
    told = {"correlation_id": request_id}
    if user is not None:
        told["caller"] = telemetry.pseudonym(user)
    trace = telemetry.trace_id(headers.get("traceparent"))
    if trace is not None:
        told["trace_id"] = trace
    return told


class Consumer(_Function):
    """A Lambda function that is fed by the change feed.

    An error goes on to whoever feeds it, who will deliver the same batch again. What it writes
    bears no cause, unless it says which of the changes is one (`causes.caused_by`).
    """

    def __call__(self, event: Event, context: object) -> None:
        """Work on one batch. On Lambda it is a line of the log; elsewhere only a failure is one."""
        from trinity.common import streams

        began = time.perf_counter_ns()
        if self._ports is None:
            self.connect()
        error: Exception | None = None
        try:
            self.use_case(streams.changes(event), **_because_of(None, self._ports or {}))
        except Exception as failure:
            error = failure
            raise
        finally:
            if context is not None:
                self._report(began, context, "ok", error, changes=len(event["Records"]))


class Worker(_Function):
    """A Lambda function that works off a queue.

    Its use case takes `event` or `notice`, and is called for each message, or `events`, and is
    called once for all of them, or `file`, the key of a file that was stored, and is called for
    each that a notice of S3 tells of; everything else that it names is a port. What a single event
    leads to bears the cause of that event. A message whose call fails comes again, later each time,
    and in the end it lies in the dead-letter queue:
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """

    def __init__(self, use_case: Callable[..., None]) -> None:
        super().__init__(use_case)
        takes = use_case.__annotations__
        self._at_once = "events" in takes
        self._takes_notice = "notice" in takes
        self._takes_file = "file" in takes

    def connect(self) -> None:
        """See `_Function.connect`."""
        chosen = services()
        self._log = chosen.log
        self._queues = chosen.queues
        super().connect()

    def __call__(self, event: Event, context: object) -> dict[str, Any]:
        """Work on one batch, and tell which of its messages have to come again."""
        if self._ports is None:
            self.connect()
        records = event["Records"]
        batches = [records] if self._at_once else [[record] for record in records]
        failed: list[dict[str, Any]] = []
        for batch in batches:
            error = self._failure(batch, context)
            if error is not None:
                failed += batch
                for record in batch:
                    self._put_off(record, error)
        return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in failed]}

    def _failure(self, records: list[dict[str, Any]], context: object) -> Exception | None:
        """Do the work of some messages; return what went wrong."""
        began = time.perf_counter_ns()
        told: dict[str, Any] = {"messages": [record["messageId"] for record in records]}
        error: Exception | None = None
        try:
            self._work([record["body"] for record in records], told)
        except Exception as failure:  # noqa: BLE001  (it is this message's alone, and comes again)
            error = failure
        self._report(began, context, "ok", error, **told)
        return error

    def _work(self, bodies: list[str], told: dict[str, Any]) -> None:
        """Call the use case with what messages say; note what the log should tell of them."""
        from trinity.common import messages

        ports = self._ports or {}
        if self._takes_file:
            for key in messages.stored_files(bodies[0]):
                self.use_case(file=key, **_because_of(None, ports))
            return
        cause: Cause | None = None
        given: dict[str, Any] = {}
        if self._at_once:
            given["events"] = [messages.domain_event(body) for body in bodies]
        elif self._takes_notice:
            given["notice"] = messages.notice(bodies[0])
            cause = causes.of_event(given["notice"])
        else:
            given["event"] = messages.domain_event(bodies[0])
            cause = causes.of_event(given["event"])
        if cause is not None:
            told["correlation_id"] = cause.request_id
        self.use_case(**given, **_because_of(cause, ports))

    def _put_off(self, record: dict[str, Any], error: Exception) -> None:
        """Let a message come again after a while that grows with each failure.

        It is as long at least as the other side has asked for.
        """
        from trinity.common.resilience import chance, full_jitter

        attempt = int(record["attributes"]["ApproximateReceiveCount"]) - 1
        wait_s = full_jitter(attempt, base=_FIRST_WAIT_S, cap=_LONGEST_WAIT_S, chance=chance)
        delay_s = round(wait_s)
        if isinstance(error, Unavailable):
            delay_s = max(delay_s, ceil(error.after_s))
        name = record["eventSourceARN"].rpartition(":")[2]
        try:
            queue = name.removeprefix(services().settings.queue_prefix)
            self._queues.retry_later(queue, record["receiptHandle"], delay_s=delay_s)
        except Exception as fault:  # noqa: BLE001  (then it comes again after the visibility time)
            self._log.exception("could not put a message off", fault, operation=self.name)


def _because_of(cause: Cause | None, ports: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ports for one call: what it writes into the table bears its cause."""
    given = dict(ports)
    if "table" in given:
        given["table"] = causes.caused_by(given["table"], cause)
    return given


class Scheduled(_Function):
    """A Lambda function that a clock calls.

    Its use case names its ports and, if it wants to know the time that its run was due, `at`. The
    event is what the schedule is told to send, so it is the same on all hosts:
    `{"schedule": name, "time": "<aws.scheduler.scheduled-time>"}`
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html

    Clocks call at least once; see `store.schedules` for what keeps a run from being done twice. An
    error goes on to whoever called, who will call again.
    """

    def __init__(self, use_case: Callable[..., None]) -> None:
        super().__init__(use_case)
        self._takes_time = "at" in use_case.__annotations__

    def connect(self) -> None:
        """See `_Function.connect`."""
        chosen = services()
        self._table, self._clock = chosen.table, chosen.clock
        super().connect()

    def __call__(self, event: Event, context: object) -> None:
        """Run once for the time that is due."""
        if self._ports is None:
            self.connect()
        began = time.perf_counter_ns()
        outcome = "conflict"  # somebody is at it, and may yet die
        error: Exception | None = None
        try:
            outcome = self._run(event, context)
        except Conflict:
            raise
        except Exception as failure:
            error = failure
            raise
        finally:
            # A host asks after each start whether a run was missed: mostly none was.
            level: Level = "debug" if outcome == _NOTHING_DUE and context is None else "info"
            self._report(began, context, outcome, error, level, slot=event["time"])

    def _run(self, event: Event, context: Any) -> str:
        """Do the work, unless that was done; return how it went."""
        from datetime import datetime

        from trinity.store import schedules

        slot = Millis(int(datetime.fromisoformat(event["time"]).timestamp()) * 1000)
        longest = _LONGEST_RUN_MS if context is None else context.get_remaining_time_in_millis()
        lease = longest + _AFTER_TIMEOUT_MS
        now = self._clock.now()
        claim = schedules.claim(self._table, event["schedule"], slot, now=now, lease=lease)
        if claim is None:
            return _NOTHING_DUE
        try:
            given = {"at": slot} if self._takes_time else {}
            self.use_case(**given, **_because_of(None, self._ports or {}))
        except Exception:
            with suppress(Unavailable):  # then the claim runs out by itself
                schedules.give_up(self._table, claim)
            raise
        return "ok" if schedules.finish(self._table, claim) else "took too long"


def scheduled(use_case: Callable[..., None]) -> Scheduled:
    """Make a Lambda handler of a use case that a clock calls."""
    return Scheduled(use_case)


def worker(use_case: Callable[..., None]) -> Worker:
    """Make a Lambda handler of a use case that takes what messages of a queue tell."""
    return Worker(use_case)


def consumer(use_case: Callable[..., None]) -> Consumer:
    """Make a Lambda handler of a use case that takes a list of changes."""
    return Consumer(use_case)


def operation(
    use_case: Callable[..., Any],
    *,
    status: int = 200,
    tagged: bool = False,
    explain: Explain | None = None,
) -> Operation:
    """Make a Lambda handler of a use case.

    Args:
        use_case: see `Operation`.
        status: of a good answer.
        tagged: answer with an entity tag, and with 304 to whoever has the same already.
        explain: gets request, error and problem document, and returns what is answered.
    """
    return Operation(use_case, status=status, tagged=tagged, explain=explain)
