"""Settings: read from the environment, documented with their defaults, refused by their name."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trinity.common.described import described
from trinity.common.settings import PREFIX, InvalidSettings, Settings, from_environment

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
FIELDS = msgspec.structs.fields(Settings)

# A value of each that is not its default, as it is written and as it is read.
GIVEN: dict[str, tuple[str, Any]] = {
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("9000", 9000),
    "data": ("/srv/trinity", "/srv/trinity"),
    "public_url": ("https://films.example.org", "https://films.example.org"),
    "issuer_url": ("https://id.example.org", "https://id.example.org"),
    "trusted_proxies": ("10.0.0.1,10.0.0.2", "10.0.0.1,10.0.0.2"),
    "proxies": ("1", 1),
    "proxies_word": ("a-word", "a-word"),
    "rate_limits": ("off", "off"),
    "log_level": ("debug", "debug"),
    "metrics_namespace": ("Trinity-dev", "Trinity-dev"),
    "graphql_introspection": ("off", "off"),
    "tmdb_token": ("secret", "secret"),
    "tmdb_url": ("http://localhost:1", "http://localhost:1"),
    "smtp_url": ("smtps://me:secret@mail.example.org", "smtps://me:secret@mail.example.org"),
    "mail_from": ("Films <films@example.org>", "Films <films@example.org>"),
    "ses": ("on", "on"),
    "appsync_url": ("https://x.appsync-api.eu-west-1.amazonaws.com/graphql",) * 2,
    "redis_url": ("rediss://cache:6379", "rediss://cache:6379"),
    "local_endpoints": ("on", "on"),
    "push_secret": ("trinity-prod-push", "trinity-prod-push"),
    "topic_arn": ("arn:aws:sns:eu-west-1:1:notices", "arn:aws:sns:eu-west-1:1:notices"),
    "table_name": ("trinity-prod", "trinity-prod"),
    "signing_secret": ("trinity/signing", "trinity/signing"),
    "cursor_secret": ("trinity/cursors", "trinity/cursors"),
    "tmdb_secret": ("trinity/tmdb", "trinity/tmdb"),
    "bucket_name": ("trinity-prod-decks", "trinity-prod-decks"),
    "archive_bucket_name": ("past", "past"),
    "uploads_bucket_name": ("trinity-prod-uploads", "trinity-prod-uploads"),
    "bus_name": ("trinity-prod", "trinity-prod"),
    "queue_prefix": ("trinity-prod-", "trinity-prod-"),
}


def documented() -> dict[str, tuple[str, str]]:
    """Return for each variable of the page its default and what it does."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
    return {row[0].strip("`"): (row[1], row[2]) for row in rows if row[0].startswith("`TRINITY_")}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_setting_is_documented_with_its_default_and_its_meaning(field: Any) -> None:
    default, meaning = documented()[PREFIX + field.name.upper()]
    assert default == (f"`{field.default}`" if str(field.default) else "(empty)")
    assert meaning == described(Settings)[1][field.name]
    assert meaning.endswith(".")


def test_the_page_has_every_setting_in_their_order_and_no_other() -> None:
    assert list(documented()) == [PREFIX + field.name.upper() for field in FIELDS]


def test_without_any_variable_all_is_as_documented() -> None:
    assert from_environment({}) == Settings()
    assert from_environment({"PATH": "/bin", "XTRINITY_PORT": "x", "TRINITY": "x"}) == Settings()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_variable_sets_its_field_and_no_other(field: Any) -> None:
    written, read = GIVEN[field.name]
    assert read != field.default
    settings = from_environment({PREFIX + field.name.upper(): written})
    assert settings == msgspec.structs.replace(Settings(), **{field.name: read})
    assert type(getattr(settings, field.name)) is type(getattr(Settings(), field.name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", ""),
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("RATE_LIMITS", ""),
        ("RATE_LIMITS", "ON"),
        ("RATE_LIMITS", "false"),
        ("LOG_LEVEL", "trace"),
        ("LOG_LEVEL", ""),
        ("SMTP_URL", "mail.example.org"),
        ("SMTP_URL", "http://mail.example.org"),
        ("SMTP_URL", "smtp://mail.example.org/inbox"),
        ("SMTP_URL", "smtp://"),
        ("HOST", ""),  # to a socket the empty name is every address of the machine
        ("METRICS_NAMESPACE", ""),
        ("TMDB_TOKEN", "se cret"),
        ("TMDB_TOKEN", "sécret"),
        ("TMDB_URL", "ftp://api.example.org"),
        ("TMDB_URL", ""),
        ("MAIL_FROM", "Trinity"),
        ("MAIL_FROM", "a@example.org\r\nBcc: b@example.org"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_variable(
    name: str, value: str
) -> None:
    with pytest.raises(InvalidSettings, match=f"^{PREFIX}{name} (must|does not) ") as refused:
        from_environment({PREFIX + name: value})
    assert documented()[PREFIX + name][1] in str(refused.value)  # what it is for
    assert not re.search(r"Expected|`(int|str)`|regex", str(refused.value))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", "must be a number, not text"),
        ("PORT", "65536", "must be at most 65535"),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
        ("HOST", "", "must not be empty"),
        ("DATA", "", "must not be empty"),
    ],
)
def test_a_refusal_says_what_would_be_right(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        from_environment({PREFIX + name: value})


@pytest.mark.parametrize("url", ["films.example.org", "ftp://films.example.org", "https://", "no"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    """It goes into links and tokens: nobody could follow them."""
    with pytest.raises(InvalidSettings, match="TRINITY_PUBLIC_URL"):
        from_environment({"TRINITY_PUBLIC_URL": url})


@pytest.mark.parametrize("proxies", ["banana", "10.0.0.0/99", "10.0.0.1,,"])
def test_proxies_that_have_no_address_are_refused(proxies: str) -> None:
    """Else all who come through the real ones would share one address, and its limits."""
    with pytest.raises(InvalidSettings, match="TRINITY_TRUSTED_PROXIES"):
        from_environment({"TRINITY_TRUSTED_PROXIES": proxies})


def test_an_empty_data_folder_is_refused() -> None:
    """It would be the folder that the program happens to be started in."""
    with pytest.raises(InvalidSettings, match="TRINITY_DATA"):
        from_environment({"TRINITY_DATA": ""})


def test_a_refusal_does_not_repeat_a_secret() -> None:
    with pytest.raises(InvalidSettings) as refused:
        from_environment({"TRINITY_TMDB_TOKEN": "hush", "TRINITY_PORT": "x"})
    assert "hush" not in str(refused.value)
    with pytest.raises(InvalidSettings) as refused:
        from_environment({"TRINITY_TMDB_TOKEN": "hush hush"})
    assert "hush" not in str(refused.value)
    with pytest.raises(InvalidSettings) as refused:
        from_environment({"TRINITY_SMTP_URL": "smtp://me:hush@mail.example.org/"})
    assert "hush" not in str(refused.value)


def test_variables_that_are_no_settings_are_all_named() -> None:
    with pytest.raises(InvalidSettings) as refused:
        from_environment({"TRINITY_PROT": "1", "TRINITY_": "", "TRINITY_DATE": "x"})
    message = str(refused.value)
    assert message.startswith("there is no such setting: ")
    assert {"TRINITY_PROT", "TRINITY_DATE", "TRINITY_"} == set(message.split(": ")[1].split(", "))


def test_tokens_are_issued_by_the_public_url_or_else_by_this_machine() -> None:
    assert Settings(public_url="https://films.example.org/").issuer == "https://films.example.org"
    assert Settings().issuer == "http://localhost:8000"
    apart = Settings(public_url="https://films.example.org", issuer_url="https://id.example.org/")
    assert apart.issuer == "https://id.example.org"
    assert apart.home == "https://films.example.org"
    assert apart.sender == "Trinity <trinity@films.example.org>"
    assert Settings(port=0).at_port(4321).issuer == "http://localhost:4321"


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        (Settings(), "Trinity <trinity@localhost>"),
        (
            Settings(public_url="https://films.example.org:8443/x"),
            "Trinity <trinity@films.example.org>",
        ),
        (Settings(public_url="https://a.example", mail_from="b@c.example"), "b@c.example"),
    ],
)
def test_mails_come_from_whom_the_settings_name_or_else_from_the_public_host(
    settings: Settings, sender: str
) -> None:
    assert settings.sender == sender


def test_taking_a_port_changes_nothing_else() -> None:
    settings = Settings(host="::1", rate_limits="off", port=0)
    assert settings.at_port(4321) == msgspec.structs.replace(settings, port=4321)
    assert settings.port == 0
