"""The ASGI application: files, forms, and every route of the topology by its function."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from trinity.common import pages, problems, requests
from trinity.common.requests import LARGEST_BODY, Event, Response
from trinity.common.telemetry import Log
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.embedded.gateway import Events, Match, Router
from trinity.embedded.static import MediaFiles, StaticFiles
from trinity.embedded.workers import Workers
from trinity.infrastructure.filesystem.uploads import FORM_PATH
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Unavailable
from trinity.topology import Function

if TYPE_CHECKING:
    from trinity.embedded.forms import Forms
    from trinity.embedded.graphql.api import Api, Call
    from trinity.embedded.realtime import Realtime

# Bytes, as in API Gateway: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_LARGEST_HEAD = 10_240

_FOR_PROGRAMS = ("/api/", "/graphql/", "/media/", "/.well-known/")
_WORDS = {
    404: (
        "There is no such page",
        "The address may be mistyped. To get into a room, open its link, or type its code on the"
        " start page.",
    ),
    405: ("This page only shows something", "Nothing can be sent to its address."),
    431: (
        "Your browser sends too much",
        "What comes with this request is larger than 10 KiB. Most of it may be cookies: delete"
        " those of this site, and try again.",
    ),
    500: (
        "That did not work",
        "Something went wrong on our side. Nothing you did before is lost; try again in a moment.",
    ),
}
"""What people read where programs get a problem document, by its status."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]
Handler = Callable[[Any, Any], Response]


class App:
    """A bare ASGI application (https://asgi.readthedocs.io/en/latest/specs/www.html).

    Args:
        router: finds the function of a request.
        events: makes the event of a request.
        handlers: the functions by name.
        files: the web page.
        media: pictures.
        store: where the functions write.
        log: where they log.
        graphql: makes the GraphQL API; called when the first such request comes.
        realtime: makes the endpoint of subscriptions; called when somebody connects first.
        forms: makes the end that takes files; called when the first one comes.
    """

    def __init__(
        self,
        router: Router,
        events: Events,
        handlers: dict[str, Handler],
        files: StaticFiles,
        media: MediaFiles,
        store: SqliteStore,
        log: Log,
        graphql: "Callable[[Call], Api]",
        realtime: "Callable[[Call, Api], Realtime]",
        forms: "Callable[[], Forms]",
    ) -> None:
        self._log = log
        self._make_graphql = graphql
        self._graphql: Api | None = None
        self._make_realtime = realtime
        self._realtime: Realtime | None = None
        self._store = store
        self._router = router
        self._events = events
        self._handlers = handlers
        self._files = files
        self._media = media
        self._make_forms = forms
        self._forms: Forms | None = None
        self._workers: Workers | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or serve one WebSocket."""
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except ConnectionResetError:
            return  # in the middle of a file: there is nobody to answer
        except Exception as error:  # noqa: BLE001  (the outermost edge: a fault of the host itself)
            self._log.exception("the host failed", error)
            response = self._refuse(errors.InternalError())
        if response["statusCode"] in _WORDS:
            response = _for_people(scope, response)
        await _send(response, send, head=scope["method"] == "HEAD")

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            if self._realtime is None:
                self._realtime = self._make_realtime(self._call, self._api())
            await self._realtime.serve(scope, receive, send)
        except OSError:
            return  # ASGI's way to say that the client is gone
        except Exception as error:  # noqa: BLE001  (as above; the server ends the connection)
            self._log.exception("the host failed", error)

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Response:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _LARGEST_HEAD:
            return self._refuse(errors.HeadersTooLarge())
        raw_path: str = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        if raw_path == "/graphql":
            return await self._api().answer(scope, await _read(receive))
        if raw_path == FORM_PATH and scope["method"] == "POST":
            return await self._take(scope, receive)
        # Whoever asks for the head of something gets that of the GET (RFC 9110, 9.3.2).
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        found = self._router.find(method, raw_path)
        if isinstance(found, Match):
            return await self._invoke(scope, found, receive)
        if found is None:
            return await self._file(scope)
        response = self._refuse(errors.MethodNotAllowed())
        response["headers"]["allow"] = ", ".join(sorted(found))
        return response

    def hang_up(self) -> None:
        """End all WebSockets."""
        if self._realtime is not None:
            self._realtime.stop()

    def stop(self) -> None:
        """Wait for the calls that are running."""
        if self._workers is not None:
            self._workers.stop()

    async def _invoke(self, scope: dict[str, Any], match: Match, receive: Receive) -> Response:
        body = await _read(receive)
        function = match.route.function
        if body is None:
            return self._refuse(errors.PayloadTooLarge(), function.name)
        event = self._events.make(scope, match, body)
        if event is None:
            return self._refuse(errors.Unauthenticated(), function.name)
        try:
            response: Response = await self._call(function, event)
        except Unavailable:
            return requests.refuse(event, errors.ServiceUnavailable(retry_after=1))
        return response

    def _call(self, function: Function, event: Event) -> "asyncio.Future[Any]":
        if self._workers is None:
            self._workers = Workers(asyncio.get_running_loop(), self._store, self._log)
        handler = self._handlers[function.name]
        return self._workers.call(handler, event, blocking=function.blocking)

    def _api(self) -> "Api":
        if self._graphql is None:
            self._graphql = self._make_graphql(self._call)
        return self._graphql

    async def _take(self, scope: dict[str, Any], receive: Receive) -> Response:
        if self._forms is None:
            self._forms = self._make_forms()
        headers = _headers(scope)
        base_url = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        return await self._forms.answer(headers, receive, base_url, self._events.request_id())

    async def _file(self, scope: dict[str, Any]) -> Response:
        path = scope["path"]
        if path.startswith(MediaFiles.PREFIX):
            file = await asyncio.to_thread(self._media.find, path)
        else:
            file = self._files.find(path)
        if file is None:
            return self._refuse(errors.NotFound())
        if scope["method"] not in ("GET", "HEAD"):
            response = self._refuse(errors.MethodNotAllowed())
            response["headers"]["allow"] = "GET, HEAD"
            return response
        headers = _headers(scope)
        sent = {**file.headers, "x-request-id": self._events.request_id()}
        if requests.has_tag({"headers": headers}, file.headers["etag"]):
            return {"statusCode": 304, "headers": sent}
        return {"statusCode": 200, "headers": sent, "body": file.content}

    def _refuse(self, error: DomainError, operation: str | None = None) -> Response:
        """Refuse what no function gets to see."""
        request_id = self._events.request_id()
        response = requests.refuse({"requestContext": {"requestId": request_id}}, error)
        if operation is not None:
            status = response["statusCode"]
            fields = {"operation": operation, "correlation_id": request_id, "status": status}
            self._log("info", error.code, **fields)
        return response


def words(status: int) -> tuple[str, str]:
    """Return title and content of the page that people get instead of a problem document."""
    title, sentence = _WORDS[status]
    lead = f'<p class="lead">{sentence}</p>'
    start = '<div class="row"><a class="button strong" href="/">To the start page</a></div>'
    return title, lead + start


def _for_people(scope: dict[str, Any], response: Response) -> Response:
    """Return a page in the place of a problem document, if that is what a browser asks for."""
    is_problem = response["headers"]["content-type"] == problems.CONTENT_TYPE
    if not is_problem or f"{scope['path']}/".startswith(_FOR_PROGRAMS):
        return response
    if not pages.wanted(_headers(scope)):
        return response
    return pages.instead_of(response, *words(response["statusCode"]))


def _headers(scope: dict[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _read(receive: Receive) -> bytes | None:
    """Return the body, None as soon as it is too large."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
    return body if len(body) <= LARGEST_BODY else None


async def _send(response: Response, send: Send, *, head: bool) -> None:
    body = response.get("body", b"")
    content = body.encode() if isinstance(body, str) else body
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in response["headers"].items()]
    status = response["statusCode"]
    if status not in (204, 304):
        headers.append((b"content-length", str(len(content)).encode()))
    headers.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else content})
