"""What can be set, asked and refused is documented; nothing is documented that is not there."""

import re
from pathlib import Path

import msgspec
import pytest

from trinity.common import problems
from trinity.common.settings import PREFIX, Settings
from trinity.topology import FUNCTIONS

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = [PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)]
CODES = sorted({error.code for error in problems.STATUS})
ROUTES = [str(function.route) for function in FUNCTIONS if function.route]


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in page("settings.md")


@pytest.mark.parametrize("code", CODES)
def test_every_error_is_documented(code: str) -> None:
    assert f"`{code}`" in page("errors.md")


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_documented(route: str) -> None:
    assert f"`{route}`" in page("api.md")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"`(TRINITY_\w+)`", page("settings.md")))
    assert named <= set(SETTINGS)


def test_no_error_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", page("errors.md"), re.MULTILINE)
    assert set(rows) <= set(CODES)
    assert len(rows) >= len(CODES)


def test_no_route_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /\S+)` \|", page("api.md"), re.MULTILINE)
    assert set(rows) == set(ROUTES)


@pytest.mark.parametrize("error", sorted(problems.STATUS, key=lambda e: e.__name__))
def test_an_error_is_documented_with_its_status(error: type) -> None:
    status, _ = problems.STATUS[error]
    rows = [row for row in page("errors.md").split("\n") if f"`{error.code}`" in row]
    assert any(str(status) in row for row in rows)
