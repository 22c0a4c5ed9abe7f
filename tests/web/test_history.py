"""Back, Forward, reloads and links: what a browser remembers of a room."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import DESKTOP, PHONE, Person
from tests.web.test_evening import LIST, join, open_room, top_card, top_title, vote

Make = Callable[..., Person]


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation").get_by_role("button", name=name)


def at(page: Page, name: str, region: Locator) -> None:
    expect(tab(page, name)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[aria-pressed=true]")).to_have_count(1)
    expect(region).to_be_visible()


def swiping(page: Page) -> None:
    at(page, "Swipe", page.get_by_role("region", name="Cards"))


def among_people(page: Page) -> None:
    at(page, "Group", page.get_by_role("complementary", name="Group"))


def at_results(page: Page) -> None:
    at(page, "Results", page.get_by_role("region", name="Results"))


def test_back_and_forward_lead_through_the_parts_of_a_room_that_were_opened(
    site: str, person: Make
) -> None:
    page = person(PHONE).page
    link = open_room(page, site, host="Ana", entries=LIST, room="Dinner")
    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url))
    for name in ("Group", "Results", "Results", "Swipe"):
        tab(page, name).click()
    swiping(page)
    page.go_back()
    at_results(page)
    expect(tab(page, "Results")).to_be_focused()
    page.go_back()
    among_people(page)
    page.go_back()
    swiping(page)
    assert page.url == link
    page.go_forward()
    among_people(page)
    assert page.url == f"{link}#group"
    assert [url for url in opened if url.endswith("/join")] == []  # it was there all the time
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Open a room")).to_be_visible()
    page.go_forward()
    swiping(page)


def test_a_reload_stays_where_it_is(site: str, person: Make) -> None:
    host, guest = person(PHONE), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=["Pizza"], room="Dinner")
    join(guest.page, link, name="Ben")
    expect(top_card(host.page)).to_be_visible()
    tab(host.page, "Group").click()
    host.page.reload()
    among_people(host.page)
    host.page.go_back()
    swiping(host.page)
    # Where a decided room would begin with its results, too.
    vote(host.page, "Yes")
    vote(guest.page, "Yes")
    host.page.get_by_role("dialog").get_by_role("button", name="See the results").click()
    at_results(host.page)
    host.page.go_back()
    swiping(host.page)
    assert host.page.url == link
    host.page.reload()
    swiping(host.page)
    guest.page.goto("about:blank")
    guest.page.goto(link)
    at_results(guest.page)


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_link_leads_to_a_part_of_a_room(
    device: dict[str, object], site: str, person: Make
) -> None:
    host, guest = person(device), person(device)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    page = guest.page
    page.goto(f"{link}#results")
    page.get_by_label("Your name").fill("Ben")
    page.get_by_role("button", name="Join the room").click()
    at_results(page)
    page.goto(f"{link}#swipe")  # typed into the address
    swiping(page)
    page.goto(f"{link}#constructor")
    swiping(page)
    page.goto(f"{link}#group")
    panel = page.get_by_role("complementary", name="Group")
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("Ben")


def test_back_leads_from_the_report_to_the_results(site: str, person: Make) -> None:
    page = person(PHONE).page
    open_room(page, site, host="Ana", entries=LIST, room="Dinner")
    page.get_by_role("button", name="Start swiping").click()
    expect(top_card(page)).to_be_visible()
    vote(page, "No")
    tab(page, "Results").click()
    page.get_by_role("link", name=re.compile("^How it went")).click()
    expect(page.get_by_role("link", name="Back to the room")).to_be_visible()
    page.go_back()
    at_results(page)
    page.go_back()
    swiping(page)


def test_back_puts_away_what_lies_over_the_page(site: str, person: Make) -> None:
    host, guest = person(PHONE), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner", stops="Never")
    join(guest.page, link, name="Ben")
    page = host.page
    tab(page, "Group").click()
    page.get_by_role("button", name="Leave the room").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_have_count(0)
    swiping(page)

    wanted = top_title(page)
    vote(page, "Yes")
    tab(page, "Results").click()
    while top_title(guest.page) != wanted:
        vote(guest.page, "No")
    vote(guest.page, "Yes")
    expect(dialog.get_by_role("heading", name=wanted)).to_be_visible()
    page.go_back()
    expect(dialog).to_have_count(0)
    swiping(page)


def test_skipping_to_the_content_stays_on_the_page(site: str, person: Make) -> None:
    page = person(DESKTOP).page
    page.goto(f"{site}/#new")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    assert page.url == f"{site}/#new"
    expect(page.get_by_role("heading", name="Open a room")).to_be_visible()
