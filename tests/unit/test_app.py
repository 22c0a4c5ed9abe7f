"""What the host answers when it fails itself."""

from typing import Any

import pytest

from trinity.common.telemetry import Log
from trinity.embedded.app import App
from trinity.embedded.gateway import Events, Router
from trinity.embedded.static import StaticFiles


class Broken(StaticFiles):
    def find(self, path: str) -> None:
        raise OSError(f"{path} cannot be read")


def answer(path: str, accept: str) -> tuple[int, str, str]:
    """Return status, type and body of what a host answers that cannot find its files."""
    unused: Any = None
    log = Log("error")
    app = App(Router(()), Events(unused), {}, Broken(), unused, unused, log, unused, unused, unused)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    scope["headers"] = [(b"accept", accept.encode())]
    with pytest.raises(StopIteration):  # it is done at once: nothing in it waits
        app(scope, unused, send).send(None)
    kind = dict(sent[0]["headers"])[b"content-type"].decode()
    return sent[0]["status"], kind, sent[1]["body"].decode()


def test_people_are_told_of_a_fault_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    status, kind, body = answer("/nope", "text/html")
    assert (status, kind) == (500, "text/html; charset=utf-8")
    assert "<h1>That did not work</h1>" in body
    assert "OSError" not in body
    assert "/nope cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "accept"), [("/nope", "*/*"), ("/nope", ""), ("/api/nope", "text/html")]
)
def test_programs_are_told_of_a_fault_by_a_problem(path: str, accept: str) -> None:
    status, kind, body = answer(path, accept)
    assert (status, kind) == (500, "application/problem+json")
    assert '"code":"internal_error"' in body
