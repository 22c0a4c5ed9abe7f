"""The page that tells how it went in a room."""

import csv
import io
import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.faults.people import Person as Guest
from tests.server import Client, eventually
from tests.web.conftest import DESKTOP, PHONE, Person
from tests.web.test_evening import join, open_room, vote

Make = Callable[..., Person]
TAKES_S = 20.0


def test_the_host_sees_how_it_went_on_a_phone(site: str, person: Make) -> None:
    host, guest = person(PHONE), person(DESKTOP)
    link = open_room(host.page, site, host="Ana", entries=["Pizza", "Ramen"], room="Dinner")
    join(guest.page, link, name="<b>Ben</b>")
    for someone in (host, guest):
        vote(someone.page, "Yes")
    for someone in (host, guest):
        someone.page.get_by_role("dialog").get_by_role("button", name="See the results").click()
    page = host.page
    page.get_by_role("link", name=re.compile("^How it went")).click()
    expect(page.get_by_role("heading", name="Dinner")).to_be_visible()

    def counted() -> bool:
        page.reload()
        expect(page.get_by_role("heading", name="How far everybody is")).to_be_visible()
        return page.get_by_text(re.compile(r"^2 votes, 100 % of them yes\. 1 match;")).is_visible()

    eventually(counted, "the votes are in the report", within_s=TAKES_S)
    expect(page.get_by_text("1 of 2, 100 % yes")).to_have_count(2)
    expect(page.get_by_text("<b>Ben</b>").first).to_be_visible()
    matrix = page.get_by_role("region", name="Who agrees with whom").get_by_role("table")
    expect(matrix.get_by_role("cell", name="100 %")).to_have_count(2)
    expect(page.get_by_role("img", name=re.compile("^2 votes from "))).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    content = download.value.path().read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert {row["name"] for row in rows} == {"", "Ana", "<b>Ben</b>"}

    page.get_by_role("link", name="Back to the room").click()
    expect(page.get_by_role("region", name="Results")).to_be_visible()


def test_a_secret_room_that_is_at_it_says_when_more_will_be_told(site: str, person: Make) -> None:
    host = person(DESKTOP)
    link = open_room(host.page, site, host="Ana", entries=["Pizza", "Ramen"], room="Dinner")
    ben = Guest(Client(site), "Ben")
    assert ben.join(link.rpartition("/")[2]).status == 200
    host.page.goto(f"{link}#report")
    expect(host.page.get_by_text("Nobody has voted yet.")).to_be_visible()
    expect(host.page.get_by_text("Votes are secret: who agrees")).to_be_visible()
    expect(host.page.get_by_role("heading", name="Who agrees with whom")).to_have_count(0)


def test_an_account_shows_what_one_votes_for(site: str, person: Make) -> None:
    host = person(PHONE)
    page = host.page
    link = open_room(page, site, host="Ana", entries=["Pizza", "Ramen"], room="Dinner")
    ben = Guest(Client(site), "Ben")
    assert ben.join(link.rpartition("/")[2]).status == 200
    vote(page, "Yes")
    expect(page.get_by_text("1 of 2 left")).to_be_visible()

    def told() -> bool:
        page.goto(f"{site}/#account")
        with page.expect_response("**/api/me/report"):
            page.reload()
        expect(page.get_by_role("heading", name="Your account")).to_be_visible()
        return page.get_by_text("1 vote in 1 room, 100 % of them yes.").is_visible()

    eventually(told, "the vote is on the page of the account", within_s=TAKES_S)
    expect(page.get_by_role("heading", name="What you vote for")).to_be_visible()
