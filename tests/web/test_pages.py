"""Pages for people who follow a link that leads nowhere."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.conftest import DESKTOP, PHONE, Person

Make = Callable[..., Person]


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize(
    ("path", "code", "title", "way"),
    [
        ("/nope", 404, "There is no such page", "To the start page"),
        ("/api/unsubscribe/cut", 401, "This link does not work", "Trinity, start page"),
    ],
)
def test_a_link_that_leads_nowhere_says_so_and_leads_to_the_start(
    device: dict[str, object],
    path: str,
    code: int,
    title: str,
    way: str,
    site: str,
    person: Make,
) -> None:
    someone = person(device)
    page = someone.page
    answer = page.goto(site + path)
    assert answer is not None
    assert answer.status == code
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.locator(".logo")).to_have_css("isolation", "isolate")  # our style is there
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The status is what the browser may complain about here, and nothing else.
    assert all(f"status of {code}" in each for each in someone.complaints)
    someone.complaints.clear()
    page.get_by_role("link", name=way).click()
    expect(page.get_by_role("heading", name="Find the film everyone says yes to")).to_be_visible()
