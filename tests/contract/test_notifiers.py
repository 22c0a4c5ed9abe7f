"""The contract of the `Notifier` port, for every channel, and what is particular to each."""

import json
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.fakes import NOON, FakeClock
from tests.receiver import FakeBrowser, Receiver, decode, encode, receiver, vapid_claims
from tests.smtp import authority, smtp_server
from trinity.common.settings import Settings
from trinity.domain.ids import Millis, RoomId, TitleId, UserId
from trinity.domain.notices import Browser, Content, Notice, Webhook, content
from trinity.infrastructure.mail.smtp import SmtpMailer
from trinity.infrastructure.notifiers.mail import EmailNotifier
from trinity.infrastructure.notifiers.outbound import Outbound
from trinity.infrastructure.notifiers.web_push import PushNotifier, encrypt
from trinity.infrastructure.notifiers.webhook import WebhookNotifier
from trinity.infrastructure.system import p256, stream
from trinity.ports import EndpointGone, Refused, Unavailable

SEED = b"a secret of some length"
KEY = p256.derive(SEED)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
UNSUBSCRIBE = "https://films.example/api/unsubscribe/t0ken"


def about(title: str = "Jaws <&> 🦈", event: str = "e1", room: str = "Friday & co") -> Content:
    notice = Notice(
        event_id=event,
        kind="matchFound",
        channel="email",
        room_id=RoomId("r1"),
        at=NOON,
        user_id=UserId("ana"),
        title_id=TitleId("list:movie:jaws"),
        title=title,
        rule="unanimous",
    )
    return content(
        notice,
        room_name=room,
        inviter="",
        link="https://films.example/r/ABC234",
        unsubscribe_url=UNSUBSCRIBE,
    )


class Channel(Protocol):
    """A notifier, and what arrives by it.

    Attributes:
        gone: what the other side answers if the endpoint is no more; None where there is no such
            answer.
        place: what the log must not know.
    """

    gone: int | None
    place: str

    def send(self, content: Content) -> None: ...

    def arrived(self) -> list[tuple[str, str]]:
        """Return id and text of what arrived."""
        ...

    def answer(self, status: int) -> None: ...


class Email:
    gone = None
    place = "ana@example.org"

    def __init__(self, server: Any) -> None:
        self.server = server
        mailer = SmtpMailer(f"smtp+plain://127.0.0.1:{server.port}", "t@films.example")
        self.notifier = EmailNotifier(mailer)

    def send(self, content: Content) -> None:
        self.notifier.send(self.place, content)

    def arrived(self) -> list[tuple[str, str]]:
        return [
            (m["Message-ID"].strip("<>").partition("@")[0], m.get_body(("plain",)).get_content())
            for m in (arrived.message for arrived in self.server.arrived)
        ]

    def answer(self, status: int) -> None:
        self.server.answers = [("RCPT", {503: 451, 429: 452, 400: 550}[status])]


class Push:
    gone = 410

    def __init__(self, service: Receiver) -> None:
        self.service = service
        self.place = "/push/capability-url"
        self.browser = FakeBrowser(service.url + self.place)
        sent = self.browser.subscription
        self.to = Browser(
            id="b1",
            endpoint=sent["endpoint"],
            p256dh=sent["keys"]["p256dh"],
            auth=sent["keys"]["auth"],
            session="s",
            created_at=NOON,
        )
        clock = FakeClock(Millis(time.time_ns() // 1_000_000))
        keys = p256.DerivedKeys(lambda: SEED)
        self.notifier = PushNotifier(keys, "mailto:t@films.example", Outbound(local=True), clock)

    def send(self, content: Content) -> None:
        self.notifier.send(self.to, content)

    def arrived(self) -> list[tuple[str, str]]:
        shown = [self.browser.read(request) for request in self.service.requests]
        return [(one["tag"], f"{one['title']} {one['body']} {one['url']}") for one in shown]

    def answer(self, status: int) -> None:
        self.service.answer(status)


class Hook:
    gone = 410

    def __init__(self, server: Receiver) -> None:
        self.server = server
        self.place = "/hook?key=capability"
        self.to = Webhook(id="w1", url=server.url + self.place, secret=SECRET, created_at=NOON)
        self.clock = FakeClock(Millis(time.time_ns() // 1_000_000))
        self.notifier = WebhookNotifier(Outbound(local=True), self.clock)

    def send(self, content: Content) -> None:
        self.notifier.send(self.to, content)

    def arrived(self) -> list[tuple[str, str]]:
        return [(r.headers["webhook-id"], r.body.decode()) for r in self.server.requests]

    def answer(self, status: int) -> None:
        self.server.answer(status)


@pytest.fixture(params=["email", "push", "webhook"])
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    """Each channel."""
    if request.param == "email":
        with smtp_server() as server:
            yield Email(server)
    else:
        with receiver() as other:
            yield Push(other) if request.param == "push" else Hook(other)


@pytest.fixture
def push() -> Iterator[Push]:
    with receiver() as service:
        yield Push(service)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with receiver() as server:
        yield Hook(server)


def all_of(error: BaseException) -> str:
    """Return what the log would say of an error."""
    return "".join(traceback.format_exception(error))


# --------------------------------------------------------------------------------- every channel


def test_a_notice_arrives_with_its_title_its_room_and_its_link(channel: Channel) -> None:
    channel.send(about())
    [(_, text)] = channel.arrived()
    for part in ("Jaws <&> 🦈", "Friday & co", "https://films.example/r/ABC234"):
        assert part in text


def test_the_same_notice_has_the_same_id_and_another_has_another(channel: Channel) -> None:
    for one in (about(), about(), about(event="e2")):
        channel.send(one)
    ids = [id_ for id_, _ in channel.arrived()]
    assert ids == [about().id, about().id, about(event="e2").id]
    assert ids[0] != ids[2]


def test_a_final_refusal_is_told_and_the_next_notice_is_sent(channel: Channel) -> None:
    channel.answer(400)
    with pytest.raises(Refused) as refused:
        channel.send(about())
    assert not isinstance(refused.value, EndpointGone)
    before = len(channel.arrived())
    channel.send(about())
    assert len(channel.arrived()) == before + 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_may_pass_is_told(channel: Channel, status: int) -> None:
    channel.answer(status)
    with pytest.raises(Unavailable):
        channel.send(about())
    before = len(channel.arrived())
    channel.send(about())
    assert len(channel.arrived()) == before + 1


def test_an_endpoint_that_is_gone_is_told(channel: Channel) -> None:
    if channel.gone is not None:
        channel.answer(channel.gone)
        with pytest.raises(EndpointGone):
            channel.send(about())


@pytest.mark.parametrize("status", [400, 503])
def test_what_an_error_says_may_go_into_the_log(channel: Channel, status: int) -> None:
    channel.answer(status)
    with pytest.raises((Refused, Unavailable)) as failed:
        channel.send(about())
    said = all_of(failed.value)
    for secret in (channel.place, "Jaws", "Friday", "127.0.0.1"):
        assert secret not in said


# ---------------------------------------------------------------------------------------- e-mail


def test_a_mail_says_why_it_came_and_how_to_stop_it() -> None:
    with smtp_server() as server:
        Email(server).send(about(title='<b>Jaws</b> "&"'))
        message = server.arrived[0].message
    assert message["Subject"] == 'It’s a match: <b>Jaws</b> "&"'
    assert message["List-Unsubscribe"] == f"<{UNSUBSCRIBE}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    for part in (text, html):
        assert UNSUBSCRIBE in part
        assert "because you want to hear of matches" in part
    assert "<b>" not in html
    assert "&lt;b&gt;Jaws&lt;/b&gt;" in html
    assert "src=" not in html  # nothing is loaded: whoever opens it is told to nobody


# -------------------------------------------------------------------------------------- Web Push


def test_the_example_of_the_rfc_is_encrypted_as_it_says() -> None:
    """RFC 8291, appendix A."""
    private = int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    encrypted = encrypt(
        b"When I grow up, I want to be a watermelon",
        decode(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        ),
        decode("BTBZMqHH6r4Tts7J_aSIgg"),
        salt=decode("DGv6ra1nlYgDCS1FRnbzlw"),
        private=ec.derive_private_key(private, ec.SECP256R1()),
    )
    assert encode(encrypted) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
        "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
        "lcy4a-fN"
    )


def test_two_pushes_of_one_notice_are_encrypted_with_keys_of_their_own(push: Push) -> None:
    push.send(about())
    push.send(about())
    first, second = push.service.requests
    assert first.body[:86] != second.body[:86]
    assert push.browser.read(first) == push.browser.read(second)


def test_a_push_service_knows_who_sends_and_for_how_long_to_keep_it(push: Push) -> None:
    push.send(about())
    [request] = push.service.requests
    claims = vapid_claims(request, KEY.public)
    assert claims["aud"] == push.service.url
    assert claims["sub"] == "mailto:t@films.example"
    assert 0 < claims["exp"] - time.time() <= 24 * 3600  # RFC 8292, 2
    assert int(request.headers["ttl"]) == 24 * 3600
    assert request.headers["urgency"] == "high"
    assert request.headers["topic"] == about().id
    assert len(request.headers["topic"]) <= 32  # RFC 8030, 5.4


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_is_gone_is_told(push: Push, status: int) -> None:
    push.answer(status)
    with pytest.raises(EndpointGone):
        push.send(about())


@pytest.mark.parametrize(
    "bad", ["B" + "A" * 86, "", "not base64 at all!", encode(b"\x04" + b"\x01" * 64)]
)
def test_a_key_that_is_none_is_as_good_as_gone(push: Push, bad: str) -> None:
    push.to = msgspec.structs.replace(push.to, p256dh=bad)
    with pytest.raises(EndpointGone):
        push.send(about())
    assert push.service.requests == []


def test_a_notice_that_no_push_service_takes_is_refused_at_once(push: Push) -> None:
    with pytest.raises(Refused):
        push.send(about(title="x" * 4096))
    assert push.service.requests == []


def test_the_longest_notice_that_there_can_be_is_sent(push: Push) -> None:
    push.send(about(title="🦈" * 200, room="🦈" * 80))
    assert len(push.service.requests[0].body) <= 4096
    assert len(push.arrived()) == 1


def test_one_secret_gives_one_key_and_another_gives_another() -> None:
    assert p256.derive(b"a secret of some length") == KEY
    assert p256.derive(b"another secret").public != KEY.public
    assert len(decode(KEY.public)) == 65
    with pytest.raises(Unavailable):
        p256.derive(b"")


def test_operators_of_push_services_are_told_whom_to_turn_to() -> None:
    settings = Settings(mail_from="Films <films@example.org>")
    assert settings.push_contact == "mailto:films@example.org"
    assert Settings(mail_from="films@example.org").push_contact == "mailto:films@example.org"


# -------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_signed_as_the_reference_library_verifies_it(hook: Hook) -> None:
    hook.send(about())
    [request] = hook.server.requests
    payload = Verifier(SECRET).verify(request.body, request.headers)
    assert payload == {
        "type": "matchFound",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "roomId": "r1",
            "roomName": "Friday & co",
            "url": "https://films.example/r/ABC234",
            "titleId": "list:movie:jaws",
            "title": "Jaws <&> 🦈",
            "rule": "unanimous",
        },
    }
    assert request.headers["content-type"] == "application/json"
    assert request.path == "/hook?key=capability"
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(request.body + b" ", request.headers)


def test_a_webhook_that_is_sent_again_later_has_its_id_and_a_new_time(hook: Hook) -> None:
    hook.send(about())
    hook.clock.advance(60_000)
    hook.send(about())
    first, second = (request.headers for request in hook.server.requests)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    Verifier(SECRET).verify(hook.server.requests[1].body, second)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_webhook_may_say_in_many_ways_that_all_is_well(hook: Hook, status: int) -> None:
    hook.answer(status)
    hook.send(about())


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.server.answer(302, location=f"{hook.server.url}/elsewhere")
    with pytest.raises(Refused):
        hook.send(about())
    assert len(hook.server.requests) == 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120), ("0", 0), ("-5", 0), ("soon", 0), ("1" * 30, 3600), ("", 0)],
)
def test_whoever_asks_to_be_left_alone_is(hook: Hook, said: str, seconds: float) -> None:
    hook.server.answer(429, retry_after=said)
    with pytest.raises(Unavailable) as refused:
        hook.send(about())
    assert refused.value.after_s == seconds


def test_whoever_names_a_time_is_left_alone_until_then(hook: Hook) -> None:
    hook.server.answer(503, retry_after="Fri, 31 Dec 2199 23:59:59 GMT")
    with pytest.raises(Unavailable) as refused:
        hook.send(about())
    assert refused.value.after_s == 3600  # our patience ends there


# --------------------------------------------------------------------------- where requests may go


def lookup(*addresses: str) -> Any:
    def find(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    return find


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "2002:0a00:0001::1",
    "64:ff9b::a00:1",
    "2001:0:1::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_into_a_private_network_is_refused(address: str) -> None:
    outbound = Outbound(lookup=lookup(address))
    with pytest.raises(Refused, match="not a public one"):
        outbound.post("https://films.example/hook", {}, b"")


def test_one_private_address_among_public_ones_is_enough() -> None:
    outbound = Outbound(lookup=lookup("93.184.215.14", "10.0.0.1"))
    with pytest.raises(Refused, match="not a public one"):
        outbound.post("https://films.example/hook", {}, b"")


def test_a_public_name_is_not_reached_without_tls() -> None:
    outbound = Outbound(local=True, lookup=lookup("93.184.215.14"))
    with pytest.raises(Refused, match="not a public one"):
        outbound.post("http://films.example/hook", {}, b"")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:7f00:1]/",
    ],
)
def test_this_machine_is_no_endpoint_however_it_is_written(url: str) -> None:
    with pytest.raises(Refused):
        Outbound().post(url, {}, b"")


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(hook: Hook) -> None:
    """A name that means something else a moment later leads nowhere new."""
    port = hook.server.url.rpartition(":")[2]
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    def find(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in answers.pop(0)]

    Outbound(local=True, lookup=find).post(f"http://rebound.example:{port}/", {}, b"x")
    assert hook.server.requests[0].headers["host"] == f"rebound.example:{port}"
    assert answers == [["10.0.0.1"]]


def test_a_name_that_does_not_exist_is_final_and_a_failing_lookup_is_not() -> None:
    def failing(code: int) -> Any:
        def find(*_: Any, **__: Any) -> list[Any]:
            raise socket.gaierror(code, "no")

        return find

    with pytest.raises(Refused):
        Outbound(lookup=failing(socket.EAI_NONAME)).post("https://no.example/", {}, b"")
    with pytest.raises(Unavailable):
        Outbound(lookup=failing(socket.EAI_AGAIN)).post("https://no.example/", {}, b"")


def test_a_certificate_has_to_be_one_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = authority(tmp_path)
    monkeypatch.setattr(stream, "tls_context", lambda: trust.client)
    with receiver(tls=trust.server) as server:
        port = server.url.rpartition(":")[2]
        outbound = Outbound(local=True, lookup=lookup("127.0.0.1"))
        assert outbound.post(f"https://localhost:{port}/", {}, b"x").status == 201
        with pytest.raises(Unavailable):
            outbound.post(f"https://other.example:{port}/", {}, b"x")
        monkeypatch.setattr(stream, "tls_context", ssl.create_default_context)
        with pytest.raises(Unavailable):
            outbound.post(f"https://localhost:{port}/", {}, b"x")
    assert len(server.requests) == 1


def test_an_answer_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a good answer nothing but the head is read; of a bad one not even that without end."""
    from trinity.infrastructure.notifiers import outbound

    monkeypatch.setattr(outbound, "_SECONDS", 0.5)
    heads = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx", b"HTTP/1.1 200 OK\r\n"]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for head in heads:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(head)
                while connection.recv(65536):  # until the other side hangs up
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    assert Outbound(local=True).post(url, {}, b"x").status == 200
    with pytest.raises(Unavailable):
        Outbound(local=True).post(url, {}, b"x")
    thread.join(10)
    assert not thread.is_alive()
    listener.close()


def test_the_payload_of_a_webhook_names_no_member(hook: Hook) -> None:
    hook.send(about())
    payload = json.loads(hook.server.requests[0].body)
    assert set(payload["data"]) == {"roomId", "roomName", "url", "titleId", "title", "rule"}
