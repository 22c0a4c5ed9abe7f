"""Posting forms as browsers do, and as nobody should."""

import http.client
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

BOUNDARY = "----trinity-7MA4YWxkTrZu0gW"


class Posted(NamedTuple):
    """What came back; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def code(self) -> str | None:
        """The code of S3's error document, None if this is none."""
        rest = self.text.partition("<Code>")[2]
        return rest.partition("</Code>")[0] if rest else None


def part(name: str, value: bytes, *, file: str | None = None) -> bytes:
    """Return one part of a form."""
    head = f'Content-Disposition: form-data; name="{name}"'
    if file is not None:
        head += f'; filename="{file}"\r\nContent-Type: application/octet-stream'
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + value + b"\r\n"


def body(fields: Mapping[str, str], content: bytes | None, after: Iterable[bytes] = ()) -> bytes:
    """Return a form: fields, then the file, then what should not be there."""
    parts = [part(name, value.encode()) for name, value in fields.items()]
    if content is not None:
        parts.append(part("file", content, file="a file"))
    return b"".join([*parts, *after, f"--{BOUNDARY}--\r\n".encode()])


def post(
    url: str,
    fields: Mapping[str, str],
    content: bytes | None,
    *,
    raw: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Posted:
    """Post a file with a form.

    Args:
        url: of the form.
        fields: of the form.
        content: of the file; None for none.
        raw: the whole body instead.
        headers: further ones; they win.
    """
    target = urlsplit(url)
    connection = http.client.HTTPConnection(
        str(target.hostname), target.port or 80, timeout=timeout_s
    )
    sent = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"} | dict(headers or {})
    try:
        whole = body(fields, content) if raw is None else raw
        connection.request("POST", target.path or "/", whole, sent)
        answer = connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Posted(answer.status, received, answer.read().decode())
    finally:
        connection.close()
