"""The log: one JSON line each, with the promised fields, and nobody's name in it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from trinity import bootstrap
from trinity.bootstrap import Services, consumer, operation
from trinity.common import telemetry
from trinity.common.requests import Caller
from trinity.common.settings import Settings
from trinity.common.streams import Change
from trinity.common.telemetry import Log, Units, pseudonym, trace_id
from trinity.domain import errors
from trinity.ports import Unavailable

LEVELS = ["debug", "info", "warning", "error"]
USER = "ana4567890123456"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was written; fail if a line is no JSON object or anything went elsewhere."""
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out == "" or written.out.endswith("\n")
    return [json.loads(line) for line in written.out.splitlines()]


def test_a_line_has_the_promised_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Log()("info", "hello", operation="join_room", status=200)
    [line] = lines(capsys)
    assert list(line) == ["level", "message", "timestamp", "service", "operation", "status"]
    assert (line["level"], line["message"], line["service"]) == ("INFO", "hello", "trinity")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])


@pytest.mark.parametrize(
    ("now", "told"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1_800_000_000.0625, "2027-01-15T08:00:00.062Z")],
)
def test_the_time_of_a_line_is_utc_to_the_millisecond(
    now: float,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trinity.common.telemetry.time.time", lambda: now)
    monkeypatch.setattr("trinity.common.telemetry.time.time_ns", lambda: int(now * 1e9))
    Log()("info", "hello")
    assert lines(capsys)[0]["timestamp"] == told


@pytest.mark.parametrize("level", LEVELS)
def test_only_lines_of_a_level_and_those_above_it_are_written(
    level: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(level)
    for one in LEVELS:
        log(one, one)  # type: ignore[arg-type]
    assert [line["message"] for line in lines(capsys)] == LEVELS[LEVELS.index(level) :]


@pytest.mark.parametrize("text", ["two\nlines", 'a "quote"', "Füße 🎬", "\x00\x1b[31m\u2028"])
def test_whatever_is_logged_stays_on_one_line(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Log()("info", text, field=text)
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    assert json.loads(written)["message"] == json.loads(written)["field"] == text


def test_an_error_is_logged_with_its_name_and_its_stack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def inner() -> None:
        raise ValueError("no such luck")

    try:
        inner()
    except ValueError as error:
        Log("error").exception("failed", error, operation="join_room")
    [line] = lines(capsys)
    assert (line["level"], line["message"]) == ("ERROR", "failed")
    assert line["exception_name"] == "ValueError"
    assert line["operation"] == "join_room"
    assert "in inner" in line["stack_trace"]
    assert line["stack_trace"].rstrip().endswith("ValueError: no such luck")


def test_the_cause_of_an_error_is_in_its_stack(capsys: pytest.CaptureFixture[str]) -> None:
    error = Unavailable("the store could not commit")
    error.__cause__ = OSError("disk full")
    Log().exception("failed", error)
    assert "disk full" in lines(capsys)[0]["stack_trace"]


def test_a_pseudonym_is_the_same_for_the_same_user_and_tells_no_more() -> None:
    assert pseudonym(USER) == pseudonym(USER)
    assert re.fullmatch("[0-9a-f]{12}", pseudonym(USER))
    assert len({pseudonym(f"user-{n}") for n in range(10_000)}) == 10_000


def test_a_log_that_nobody_reads_any_more_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        """A pipe whose other end was closed."""

        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    log = Log()
    log("info", "hello")
    log("error", "hello")
    log.flush()
    monkeypatch.undo()


# ------------------------------------------------------------------------- one line per request


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_services", Services(Settings()))


def event() -> dict[str, Any]:
    claims = {"sub": USER, "sid": "family", "guest": False}
    return {
        "version": "2.0",
        "rawPath": "/api/me",
        "headers": {},
        "requestContext": {
            "requestId": "req-1",
            "authorizer": {"jwt": {"claims": claims, "scopes": None}},
            "http": {"method": "GET", "path": "/api/me", "sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": False,
    }


def _fine() -> None:
    return None


def _refused() -> None:
    raise errors.RoomFull


def _down() -> None:
    raise Unavailable("the store could not commit")


def _broken() -> None:
    raise ZeroDivisionError("one by none")


@pytest.mark.parametrize(
    ("happens", "level", "message", "status"),
    [
        (_fine, "INFO", "ok", 204),
        (_refused, "INFO", "room_full", 409),
        (_down, "ERROR", "failed", 503),
        (_broken, "ERROR", "failed", 500),
    ],
)
def test_a_request_is_one_line_that_tells_what_came_of_it_and_hides_who_it_was(
    happens: Callable[[], None],
    level: str,
    message: str,
    status: int,
    chosen: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def get_me(caller: Caller) -> None:
        happens()

    answer = operation(get_me, status=204)(event(), None)
    [line] = lines(capsys)
    assert answer["statusCode"] == line["status"] == status
    assert (line["level"], line["message"]) == (level, message)
    assert line["operation"] == "get_me"
    assert line["correlation_id"] == "req-1"
    assert 0 <= line["duration_ms"] < 10_000
    assert line["caller"] == pseudonym(USER)
    assert USER not in json.dumps(line)
    assert ("stack_trace" in line) == (level == "ERROR")


def test_a_request_of_nobody_has_no_caller(
    chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def health() -> None:
        return None

    operation(health, status=204)(event(), None)
    [line] = lines(capsys)
    assert "caller" not in line


def test_off_lambda_a_line_has_nothing_of_lambda(
    chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def health() -> None:
        return None

    operation(health, status=204)(event(), None)
    [line] = lines(capsys)
    assert set(line) == {
        *("level", "message", "timestamp", "service", "correlation_id"),
        *("status", "operation", "duration_ms"),
    }


# ---------------------------------------------------------------------------------- traces

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (None, None),
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings", TRACE),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}0-00f067aa0ba902b7-01", None),
        (f" 00-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}", None),
        ("no", None),
        ("", None),
    ],
)
def test_a_trace_is_taken_from_a_header_of_the_right_form_alone(
    header: str | None, trace: str | None
) -> None:
    assert trace_id(header) == trace


def test_the_line_of_a_request_names_its_trace(
    chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def health() -> None:
        return None

    sent = event()
    sent["headers"]["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    operation(health, status=204)(sent, None)
    assert lines(capsys)[0]["trace_id"] == TRACE


# ------------------------------------------------------------------------------- on Lambda


class Context:
    """What the runtime of Lambda hands over beside the event."""

    function_name = "trinity-get_me"
    function_version = "7"
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


class Metered(Services):
    """Services whose table has cost so much."""

    billed = Units()

    def _units(self) -> Units:
        return self.billed


@pytest.fixture
def metered(monkeypatch: pytest.MonkeyPatch) -> Metered:
    chosen = Metered(Settings())
    monkeypatch.setattr(bootstrap, "_services", chosen)
    monkeypatch.setattr(telemetry, "_cold", True)
    return chosen


def metrics(line: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Return what CloudWatch would extract from a line, by the rules of the format."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert abs(line["_aws"]["Timestamp"] - telemetry.time.time() * 1000) < 60_000
    assert directive["Namespace"] == "Trinity"
    assert directive["Dimensions"] == [["operation"]]
    assert isinstance(line["operation"], str)
    found = {
        metric["Name"]: (line[metric["Name"]], metric["Unit"]) for metric in directive["Metrics"]
    }
    assert all(type(value) in (int, float) for value, _ in found.values())
    return found


def test_on_lambda_the_line_of_a_request_holds_its_metrics(
    metered: Metered, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = "1-5759e988-bd862e3fe1be46a994272793"
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={trace};Parent=53995c3f42cd8ad8;Sampled=1")

    def get_me() -> None:
        metered.billed = Units(metered.billed.read + 0.5, metered.billed.write + 1)

    function = operation(get_me, status=204)
    function(event(), Context())
    function(event(), Context())
    first, second = lines(capsys)
    assert first["function_name"] == Context.function_name
    assert first["function_version"] == Context.function_version  # the canary's alarm asks for it
    assert first["function_request_id"] == Context.aws_request_id
    assert first["xray_trace_id"] == trace
    assert (first["cold_start"], second["cold_start"]) == (True, False)
    duration = (first["duration_ms"], "Milliseconds")
    assert metrics(first) == {
        "duration_ms": duration,
        "errors": (0, "Count"),
        "cold_starts": (1, "Count"),
        "read_units": (0.5, "Count"),
        "write_units": (1, "Count"),
    }
    assert metrics(second).keys() == metrics(first).keys() - {"cold_starts"}
    assert (second["read_units"], second["write_units"]) == (0.5, 1)


def test_what_other_functions_have_cost_before_is_not_counted(
    metered: Metered, capsys: pytest.CaptureFixture[str]
) -> None:
    metered.billed = Units(7, 7)

    def health() -> None:
        return None

    operation(health, status=204)(event(), Context())
    assert "read_units" not in metrics(lines(capsys)[0])


@pytest.mark.parametrize(
    ("happens", "counted"), [(_fine, 0), (_refused, 0), (_down, 1), (_broken, 1)]
)
def test_only_what_the_service_is_to_blame_for_counts_as_an_error(
    happens: Callable[[], None],
    counted: int,
    metered: Metered,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def get_me() -> None:
        happens()

    operation(get_me, status=204)(event(), Context())
    [line] = lines(capsys)
    assert metrics(line)["errors"] == (counted, "Count")


def records(number: int) -> dict[str, Any]:
    data = {"Keys": {"PK": {"S": "a"}, "SK": {"S": "b"}}, "ApproximateCreationDateTime": 1}
    records = [(str(n), data | {"SequenceNumber": str(n)}) for n in range(number)]
    return {"Records": [{"eventID": id_, "dynamodb": told} for id_, told in records]}


def test_on_lambda_a_batch_of_changes_is_one_line_and_elsewhere_none(
    metered: Metered, capsys: pytest.CaptureFixture[str]
) -> None:
    def publish(changes: list[Change]) -> None:
        if len(changes) > 2:
            raise ValueError("too much")

    function = consumer(publish)
    function(records(2), None)
    assert lines(capsys) == []
    function(records(2), Context())
    [line] = lines(capsys)
    assert (line["message"], line["changes"], line["errors"]) == ("ok", 2, 0)
    with pytest.raises(ValueError, match="too much"):
        function(records(3), Context())
    [line] = lines(capsys)
    assert (line["message"], line["changes"], line["errors"]) == ("failed", 3, 1)
    assert "too much" in line["stack_trace"]
