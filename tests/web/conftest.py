"""A server and people with browsers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.server import running

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}

expect.set_options(timeout=10_000)


class Person:
    """Somebody with a browser of their own. What it complains about is kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda m: self._heard(m.type, m.text))
        self.page.on("pageerror", lambda error: self._heard("error", str(error)))
        # A real dialog would mean that somebody's text was run as a script.
        self.page.on("dialog", lambda dialog: (self._heard("error", "dialog"), dialog.dismiss()))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with empty data."""
    folder: Path = tmp_path_factory.mktemp("web")
    with running(folder, RATE_LIMITS="off", LOG_LEVEL="warning") as server:
        yield server.base_url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def person(browser: Browser) -> Iterator[Callable[..., Person]]:
    """Make people; at the end nobody's browser may have complained."""
    people: list[Person] = []

    def make(device: dict[str, object]) -> Person:
        # Unlike a real evening, a test waits for no animation.
        context = browser.new_context(reduced_motion="reduce", **device)  # type: ignore[arg-type]
        people.append(Person(context))
        return people[-1]

    yield make
    for each in people:
        each.context.close()
    assert [each.complaints for each in people] == [[] for _ in people]
