"""What can be set from outside, all of it by environment variables named `TRINITY_*`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "TRINITY_"

_URL = r"https?://[^/\s?#]+(/[^\s?#]*)?"
# Compiled for those that are set alone: each would cost every start of a function.
_FORMS = {
    "host": r".+",
    "data": r".+",
    "public_url": rf"({_URL})?",
    "issuer_url": rf"({_URL})?",
    "metrics_namespace": r".+",
    "tmdb_token": r"[!-~]*",
    "tmdb_url": _URL,
    "smtp_url": r"((smtps?|smtp\+plain)://[^\s/?#]+)?",
    "mail_from": r"([^\r\n]*[^\s@]@[^\s@]+)?",
    "redis_url": r"(rediss?://\S+)?",
    "appsync_url": r"(https?://[^\s?#]+)?",
    "proxies_word": r"[!-~]*",
}


class InvalidSettings(Exception):
    """An environment variable has a value that makes no sense; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a process. Each field is the variable `TRINITY_` + its name in capitals.

    Attributes:
        host: Address to listen on. `0.0.0.0` lets phones in your network in.
        port: Port to listen on; 0 takes a free one.
        data: Folder for everything that lasts. Back it up, keep it private.
        public_url: Where people reach this server, like `https://films.example.org`; it goes into
            links and tokens. Empty: links use the address of the request.
        issuer_url: Where the documents of the issuer of access tokens are read, if that is not
            `TRINITY_PUBLIC_URL`: on AWS the HTTP API behind CloudFront.
        trusted_proxies: Addresses of reverse proxies, joined by commas, whose `X-Forwarded-For` and
            `X-Forwarded-Proto` are believed. Empty: nobody's.
        proxies: On AWS: how many proxies, CloudFront for one, stand before API Gateway and AppSync.
            A client's address is so much further left in `X-Forwarded-For`.
        proxies_word: On AWS: what the header `X-Trinity-Proxies` says of a request that came by
            these proxies and not past them. Empty: nothing.
        rate_limits: `off` lifts the limits on sign-in, guests and joining, for load tests.
        graphql_introspection: `off` keeps GraphQL clients from asking for the schema.
        log_level: `info` writes one line per request; `warning` only what needs a look. On AWS the
            line of a request also holds its metrics.
        metrics_namespace: On AWS: the namespace of metrics in CloudWatch; stages of one account
            need one each.
        tmdb_token: API read access token of The Movie Database: newer films, series, posters and
            trailers. Empty: the built-in list of films alone.
        tmdb_url: Where that API is; only worth changing for a proxy or a test.
        smtp_url: Server that takes our mails, like `smtp://user:password@mail.example.org`: `smtp`
            turns to TLS by STARTTLS (port 587), `smtps` begins with it (465), `smtp+plain` does
            without (25). Empty: mails are files in `mailbox` below `TRINITY_DATA`.
        mail_from: Whom mails come from, like `Trinity <trinity@example.org>`. Empty: `trinity` at
            the host of `TRINITY_PUBLIC_URL`.
        ses: On AWS: `on` hands mails to SES, which knows `TRINITY_MAIL_FROM`.
        local_endpoints: `on` lets webhooks and push services be on this machine, also without TLS,
            for tests.
        table_name: On AWS: the DynamoDB table. Empty: SQLite in `TRINITY_DATA`. Services of AWS are
            found by `AWS_REGION`, `AWS_ENDPOINT_URL` and the credentials that its SDKs read.
        bucket_name: On AWS: the S3 bucket of decks and pictures. Empty: files in `TRINITY_DATA`.
        uploads_bucket_name: On AWS: the S3 bucket that takes the files of people until they are
            processed. Empty: files in `TRINITY_DATA`.
        redis_url: On AWS: the Redis or Valkey that all environments share, like
            `rediss://cache.example.org:6379`. Empty: each process has a memory of its own.
        appsync_url: On AWS: the GraphQL endpoint of AppSync, which tells those who follow a room.
            Empty: those who are connected to this process.
        bus_name: On AWS: the EventBridge bus. Empty: straight into the queues.
        topic_arn: On AWS: the ARN of the SNS topic that takes notices to the queues of their
            channels. Empty: the queues in `TRINITY_DATA`.
        queue_prefix: On AWS: what the names of the SQS queues begin with, like `trinity-prod-`.
            Empty: queues in SQLite in `TRINITY_DATA`.
        signing_secret: On AWS: name or ARN of the secret with the signing keys. Empty: files in
            `TRINITY_DATA`.
        cursor_secret: On AWS: name or ARN of the secret, any long text, that cursors of lists are
            signed with. Empty: a file in `TRINITY_DATA`.
        push_secret: On AWS: name or ARN of the secret, any long text, that the key for Web Push is
            made of. Empty: a file in `TRINITY_DATA`.
        tmdb_secret: On AWS: name or ARN of the secret that `TRINITY_TMDB_TOKEN` would be. An
            environment variable is no place for a secret there.
        archive_bucket_name: On AWS: the S3 bucket of past events. Empty: files in `TRINITY_DATA`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    data: str = "data"
    public_url: str = ""
    issuer_url: str = ""
    trusted_proxies: str = ""
    proxies: Annotated[int, Meta(ge=0, le=5)] = 0
    proxies_word: str = ""
    rate_limits: Literal["on", "off"] = "on"
    graphql_introspection: Literal["on", "off"] = "on"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_namespace: str = "Trinity"
    tmdb_token: str = ""
    tmdb_url: str = "https://api.themoviedb.org/3"
    smtp_url: str = ""
    mail_from: str = ""
    ses: Literal["on", "off"] = "off"
    local_endpoints: Literal["on", "off"] = "off"
    table_name: str = ""
    bucket_name: str = ""
    uploads_bucket_name: str = ""
    redis_url: str = ""
    appsync_url: str = ""
    bus_name: str = ""
    topic_arn: str = ""
    queue_prefix: str = ""
    signing_secret: str = ""
    cursor_secret: str = ""
    push_secret: str = ""
    tmdb_secret: str = ""
    archive_bucket_name: str = ""

    @property
    def folder(self) -> "Path":
        """Where everything is that lasts. On AWS nothing is, and `pathlib` is not loaded."""
        from pathlib import Path

        return Path(self.data)

    @property
    def home(self) -> str:
        """Where people reach this server: what links in mails begin with."""
        return self.public_url.rstrip("/") or f"http://localhost:{self.port}"

    @property
    def issuer(self) -> str:
        """The `iss` of access tokens, and where its discovery document is found."""
        return self.issuer_url.rstrip("/") or self.home

    @property
    def sender(self) -> str:
        """Whom mails come from."""
        host = self.home.partition("://")[2].partition("/")[0].rpartition("@")[2]
        return self.mail_from or f"Trinity <trinity@{host.partition(':')[0]}>"

    @property
    def push_contact(self) -> str:
        """Where operators of push services may turn to (RFC 8292, 2.1)."""
        return f"mailto:{self.sender.rpartition('<')[2].rstrip('>')}"

    def at_port(self, port: int) -> "Settings":
        """Return the same settings with the port that was really taken."""
        return msgspec.structs.replace(self, port=port)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        InvalidSettings: a value is not allowed, or a variable is not known: most likely a typo.
    """
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }
    known = {field.name for field in msgspec.structs.fields(Settings)}
    unknown = sorted(given.keys() - known)
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise InvalidSettings(f"there is no such setting: {names}")
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettings(_explained(error)) from None
    for name, form in _FORMS.items():
        if name in given and re.fullmatch(form, given[name]) is None:
            wrong = "does not have the right form" if given[name] else "must not be empty"
            raise InvalidSettings(_refusal(name, wrong))
    if settings.trusted_proxies:
        _check_networks(settings.trusted_proxies)
    return settings


def _explained(error: msgspec.ValidationError) -> str:
    """Return which variable is meant, what is wrong with its value, and what it is for."""
    from trinity.common.requests import invalid

    [(pointer, message)] = invalid(error).errors
    return _refusal(pointer[1:], message)


def _refusal(name: str, message: str) -> str:
    from trinity.common.described import described

    field = next(f for f in msgspec.structs.fields(Settings) if f.name == name)
    if get_origin(field.type) is Literal:
        message = f"must be one of {', '.join(get_args(field.type))}"
    _, meanings = described(Settings)
    return f"{PREFIX}{name.upper()} {message}. {meanings.get(name, '')}".rstrip()


def _check_networks(addresses: str) -> None:
    from ipaddress import ip_network

    for address in addresses.split(","):
        try:
            ip_network(address.strip())
        except ValueError as error:
            message = f"{PREFIX}TRUSTED_PROXIES must be addresses joined by commas: {error}."
            raise InvalidSettings(message) from None
