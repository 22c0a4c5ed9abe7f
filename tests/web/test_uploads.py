"""Pictures and lists from files, in real browsers."""

import io
import re
from typing import Any

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import DESKTOP, PHONE
from tests.web.test_evening import LIST, Make, join, open_room, top_title

MEDIA = re.compile(r"/media/[0-9a-f]{64}\.webp$")
SMALL = {**PHONE, "viewport": {"width": 320, "height": 568}}


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (600, 400)) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return {"name": "picture.png", "mimeType": "image/png", "buffer": file.getvalue()}


def text(content: bytes, name: str = "films.csv") -> dict[str, Any]:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


def is_seen(image: Locator) -> None:
    """The picture is there, and not only its frame."""
    expect(image).to_be_visible()
    expect(image).to_have_attribute("src", MEDIA)
    expect(image).not_to_have_js_property("naturalWidth", 0)


def fits(page: Page) -> None:
    """Nothing is wider than the screen. (innerWidth would say nothing: a phone zooms out.)"""
    assert page.viewport_size is not None
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"], width


def test_a_picture_of_oneself_shows_to_the_others_at_once(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")

    second = guest.context.new_page()
    second.goto(f"{site}/#account")
    second.get_by_label("Choose a picture").set_input_files(picture((200, 30, 40)))
    expect(second.get_by_text("Everybody in your rooms sees your picture now.")).to_be_visible()
    is_seen(second.locator(".preview"))
    is_seen(second.locator(".bar img"))
    is_seen(host.page.get_by_role("listitem").filter(has_text="Ben").locator(".avatar img"))

    second.get_by_role("button", name="Remove").click()
    expect(second.locator(".preview")).to_have_count(0)
    expect(host.page.get_by_role("listitem").filter(has_text="Ben").locator("img")).to_have_count(0)


def test_what_is_wrong_with_a_picture_is_said_beside_it(site: str, person: Make) -> None:
    someone = person(SMALL)
    page = someone.page
    open_room(page, site, host="Ana", entries=LIST, room="Dinner")
    page.goto(f"{site}/#account")
    choose = page.get_by_label("Choose a picture")
    problem = page.locator(".picker").get_by_role("alert")
    broken = {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    choose.set_input_files(broken)
    expect(problem).to_have_text(
        "This file is not a picture that can be used. Choose a JPEG, PNG, WebP or GIF."
    )
    fits(page)
    choose.set_input_files(text(b"hello", "notes.txt"))
    expect(problem).to_have_text("Choose a picture: JPEG, PNG, WebP or GIF.")
    choose.set_input_files({**broken, "buffer": b"x" * (10 * 1024 * 1024 + 1)})
    expect(problem).to_have_text("This file is too large: 10 MB are the most.")
    choose.set_input_files({**broken, "buffer": b""})
    expect(problem).to_have_text("This file is empty.")
    choose.set_input_files(picture((30, 200, 40)))
    expect(page.locator(".picker .problem")).to_be_empty()
    is_seen(page.locator(".preview"))
    fits(page)


def test_without_a_network_a_picture_can_be_sent_again(site: str, person: Make) -> None:
    someone = person(DESKTOP)
    page = someone.page
    open_room(page, site, host="Ana", entries=LIST, room="Dinner")
    page.goto(f"{site}/#account")
    someone.context.set_offline(True)
    page.get_by_label("Choose a picture").set_input_files(picture((1, 2, 3)))
    expect(page.locator(".picker").get_by_role("alert")).to_contain_text("no connection")
    someone.context.set_offline(False)
    page.get_by_label("Choose a picture").set_input_files(picture((1, 2, 3)))
    is_seen(page.locator(".preview"))
    assert all("ERR_INTERNET_DISCONNECTED" in each for each in someone.complaints)
    someone.complaints.clear()


def test_the_host_gives_the_room_a_cover(site: str, person: Make) -> None:
    host, guest = person(SMALL), person(DESKTOP)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    host.page.get_by_role("button", name="Group").click()
    host.page.get_by_label("Choose a picture").set_input_files(picture((30, 40, 200), (1600, 900)))
    expect(host.page.get_by_text("The room has a new cover.")).to_be_visible()
    for page in (host.page, guest.page):
        is_seen(page.locator(".cover"))
    fits(host.page)
    host.page.goto(site)
    is_seen(host.page.get_by_role("link", name="Dinner").locator("img"))
    fits(host.page)

    # A long name leaves the list a list.
    host.page.goto(link)
    host.page.get_by_role("button", name="Group").click()
    host.page.get_by_label("Name of the room").fill("Which of them we watch together? " * 2)
    host.page.get_by_role("button", name="Rename").click()
    expect(host.page.get_by_text("The room has a new name.")).to_be_visible()
    host.page.set_viewport_size({"width": 390, "height": 844})
    host.page.goto(site)
    line = host.page.get_by_role("link", name="Which of them").bounding_box()
    assert line is not None
    assert line["height"] < 120
    host.page.goto(link)
    host.page.get_by_role("button", name="Group").click()
    host.page.get_by_role("button", name="Remove", exact=True).click()
    for page in (host.page, guest.page):
        expect(page.locator(".cover")).to_have_count(0)
    expect(guest.page.get_by_label("Choose a picture")).to_be_hidden()


def test_a_room_with_a_list_from_a_file(site: str, person: Make) -> None:
    someone = person(SMALL)
    page = someone.page
    page.goto(site)
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("button", name="Open a room").click()
    page.get_by_label("From a file").check()
    opening = page.get_by_role("button", name="Open the room")
    chosen = page.locator("input[name=file]")
    problem = page.get_by_role("alert")

    opening.click()
    expect(problem).to_have_text("Choose a file first.")
    chosen.set_input_files(text(b"PK\x03\x04\0", "films.xlsx"))
    opening.click()
    expect(problem).to_have_text("Save the list as CSV or as plain text, and choose that file.")
    wrong = b"Title,Year\nHeat,soon\nAlien,1979\n,1980\nJaws,<b>1975</b>\n"
    chosen.set_input_files(text(wrong))
    opening.click()
    expect(problem).to_have_text("Line 2 has “soon” where a year belongs. 2 more lines are wrong.")
    expect(page.locator(".wrong-lines li")).to_have_text(
        ["Line 4 has no title.", "Line 5 has “<b>1975</b>” where a year belongs."]
    )
    expect(chosen).to_be_focused()
    fits(page)

    chosen.set_input_files(text(b"Title;Year\nHeat;1995\nAlien;1979\n"))
    opening.click()
    expect(page.get_by_role("heading", name="Get the others in")).to_be_visible()
    expect(page.get_by_text("2 entries in the list.")).to_be_visible()
    page.get_by_role("button", name="Start swiping").click()
    expect(page.locator(".card.top")).to_be_visible()
    assert top_title(page) == "Heat"
    expect(page.locator(".card.top")).to_contain_text("1995")


def test_a_few_cards_of_a_long_list(site: str, person: Make) -> None:
    someone = person(DESKTOP)
    page = someone.page
    page.goto(site)
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("button", name="Open a room").click()
    page.get_by_label("From a file").check()
    content = "\n".join(f"Film {n}" for n in range(2000)).encode()
    page.locator("input[name=file]").set_input_files(text(content, "films.txt"))
    page.locator("input[name=listSize]").fill("501")
    page.get_by_role("button", name="Open the room").click()
    expect(page.get_by_role("alert")).to_contain_text("from 1 to 500")
    page.locator("input[name=listSize]").fill("7")
    page.get_by_role("button", name="Open the room").click()
    expect(page.get_by_text("7 of 7 left")).to_be_visible()
