"""The end of S3 that takes files from forms, on one machine.

A file goes to the disk as it comes, in pieces, and when it is there, and the notice of it lies in
the queue, the client is told so.

Source: PostObject in the Amazon S3 API reference.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from trinity.common import messages
from trinity.common.requests import Response
from trinity.common.telemetry import Log
from trinity.domain.uploads import LARGEST
from trinity.infrastructure.filesystem.uploads import (
    FORM_PATH,
    Admitted,
    FileUploads,
    FormRefused,
)
from trinity.ports import Clock, Queues, Unavailable

_LARGEST_FIELDS = 20 * 1024
"""Bytes before the file, as in S3."""
_LARGEST_BODY = max(LARGEST.values()) + 2 * _LARGEST_FIELDS
_PIECE = 256 * 1024
_IDLE_S = 20.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Forms:
    """Answers posts of forms.

    Args:
        uploads: takes the files.
        queues: take the notices.
        clock: dates them.
        log: one line for each post.
    """

    def __init__(self, uploads: FileUploads, queues: Queues, clock: Clock, log: Log) -> None:
        self._uploads = uploads
        self._queues = queues
        self._clock = clock
        self._log = log

    async def answer(
        self, headers: Mapping[str, str], receive: Receive, base_url: str, request_id: str
    ) -> Response:
        """Answer one post.

        Args:
            headers: of the request, their names in lower case.
            receive: gives the body, as in ASGI.
            base_url: of this server, for the address of the file.
            request_id: for the answer and the log.

        Raises:
            ConnectionResetError: the client went away in the middle of the file.
        """
        code = "ok"
        try:
            key, tag = await self._take(headers, receive)
            status, body = 204, ""
            more = {"etag": f'"{tag}"', "location": f"{base_url}{FORM_PATH}/{key}"}
        except FormRefused as refusal:
            status, code = refusal.status, refusal.code
            body, more = _document(refusal, request_id), {"content-type": "application/xml"}
        fields = {"operation": "post_form", "correlation_id": request_id, "status": status}
        self._log("info", code, **fields)
        answered = {"x-request-id": request_id, "x-amz-request-id": request_id, **more}
        return {"statusCode": status, "headers": answered, "body": body}

    async def _take(self, headers: Mapping[str, str], receive: Receive) -> tuple[str, str]:
        """Store the file of a post; return its key and its entity tag."""
        form = _Form(self._uploads)
        try:
            try:
                parser = _parser(headers)
                async for chunk in _chunks(receive):
                    for event in parser.parse(chunk):
                        await form.take(event)
            except MultipartError:
                message = "The body of your POST request is not well-formed multipart/form-data."
                raise FormRefused(400, "MalformedPOSTRequest", message) from None
            admitted = form.complete()
            return admitted.key, await asyncio.to_thread(self._keep, admitted)
        except BaseException:
            form.discard()
            raise

    def _keep(self, admitted: Admitted) -> str:
        """Let the file be there, then send its notice; whoever dies in between was not answered."""
        tag = admitted.incoming.keep()
        notice = messages.file_notice(admitted.key, admitted.incoming.size, self._clock.now())
        try:
            self._queues.send(messages.FILES, [notice])
        except Unavailable:
            raise FormRefused(503, "SlowDown", "Please reduce your request rate.") from None
        return tag


class _Form:
    """What has come of a form."""

    def __init__(self, uploads: FileUploads) -> None:
        self._uploads = uploads
        self._fields: dict[str, str] = {}
        self._size = 0
        self._name: str | None = None
        self._value = bytearray()
        self._done = False
        self._admitted: Admitted | None = None

    async def take(self, event: MultipartSegment | bytes | None) -> None:
        """Go on with a piece of the body; what follows the file does not count."""
        if self._done:
            return
        if isinstance(event, MultipartSegment):
            self._name = (event.name or "").lower()
            if self._name == "file":
                self._admitted = self._uploads.admit(self._fields)
        elif event is not None:
            self._value += event
            if self._admitted is None:
                self._size += len(event)
                if self._size > _LARGEST_FIELDS:
                    message = "Your POST request fields preceding the upload file were too large."
                    raise FormRefused(400, "MaxPostPreDataLengthExceeded", message)
            elif len(self._value) >= _PIECE:
                await self._write()
        elif self._admitted is not None:
            await self._write()
            self._done = True
        elif self._name is not None:
            self._fields[self._name] = self._value.decode("utf-8", "replace")
            self._value.clear()

    def complete(self) -> Admitted:
        """Return what the form has brought."""
        if self._admitted is None:
            message = "POST requires exactly one file upload per request."
            raise FormRefused(400, "InvalidArgument", message)
        return self._admitted

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._admitted is not None:
            self._admitted.incoming.discard()

    async def _write(self) -> None:
        if self._admitted is not None:
            piece = bytes(self._value)
            self._value.clear()
            await asyncio.to_thread(self._admitted.incoming.write, piece)


def _parser(headers: Mapping[str, str]) -> PushMultipartParser:
    kind, options = parse_options_header(  # type: ignore[no-untyped-call]
        headers.get("content-type", "")
    )
    if kind != "multipart/form-data" or not options.get("boundary"):
        message = "Bucket POST must be of the enclosure-type multipart/form-data"
        raise FormRefused(412, "PreconditionFailed", message)
    length = headers.get("content-length")
    if length is None:
        message = "You must provide the Content-Length HTTP header."
        raise FormRefused(411, "MissingContentLength", message)
    if int(length) > _LARGEST_BODY:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise FormRefused(400, "EntityTooLarge", message, ProposedSize=int(length))
    return PushMultipartParser(options["boundary"], max_segment_count=100)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        try:
            message = await asyncio.wait_for(receive(), _IDLE_S)
        except TimeoutError:
            text = "Your socket connection to the server was not read from or written to in time."
            raise FormRefused(400, "RequestTimeout", text) from None
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went away")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            yield b""  # which tells the parser that this is all
            return


def _document(refusal: FormRefused, request_id: str) -> str:
    parts = {"Code": refusal.code, "Message": refusal.message, **refusal.more}
    parts["RequestId"] = request_id
    inner = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in parts.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'


def _text(value: str | int) -> str:
    """Return what may stand between two tags: a name of a field may hold anything."""
    return escape("".join(char for char in str(value) if char.isprintable()))
