"""What members see of each other the moment it happens, and who is here, in real browsers."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.conftest import DESKTOP, PHONE
from tests.web.test_evening import LIST, Make, join, open_room, top_card, top_title, vote


def line(page: Page, name: str):
    """The line of a member in the list of the group."""
    return page.get_by_role("listitem").filter(has_text=name)


def asked(page: Page) -> list[str]:
    """Collect what a page asks of the log of its room from now on."""
    paths: list[str] = []
    page.on("request", lambda r: paths.append(r.url) if "/events?" in r.url else None)
    return paths


def test_who_is_here_is_seen_and_who_goes_is_seen_to_go(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(line(host.page, "Ana")).to_contain_text("here now")
    expect(line(host.page, "Ben")).to_contain_text("here now")
    faces = host.page.locator(".strip .faces")
    expect(faces).to_have_attribute("aria-label", "Ana: 0 of 3, here now; Ben: 0 of 3, here now")
    guest.page.goto("about:blank")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_hidden()
    expect(host.page.get_by_role("heading", name="2 people, 1 here now")).to_be_visible()
    expect(faces).to_have_attribute("aria-label", "Ana: 0 of 3, here now; Ben: 0 of 3")
    guest.page.goto(link)
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_visible()
    expect(host.page.get_by_role("heading", name="2 people", exact=True)).to_be_visible()


def test_who_goes_to_the_start_page_is_not_in_the_room(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(DESKTOP)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_visible()
    guest.page.get_by_role("link", name="Trinity, start page").click()
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_hidden()


def test_what_happens_comes_by_itself_and_the_log_is_left_alone(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_visible()
    questions = asked(host.page)
    wanted = top_title(guest.page)
    vote(guest.page, "Yes")
    expect(line(host.page, "Ben")).to_contain_text("1/3")
    while top_title(host.page) != wanted:
        vote(host.page, "No")
    vote(host.page, "Yes")
    for page in (host.page, guest.page):
        expect(page.get_by_role("dialog").get_by_role("heading", name=wanted)).to_be_visible()
    assert len(questions) <= 2, questions


@pytest.mark.parametrize("told", [None, "abc.appsync-api.eu-west-1.amazonaws.com"])
def test_appsync_is_called_by_the_name_that_the_host_tells(
    site: str, person: Make, told: str | None
) -> None:
    """Behind CloudFront it has another one than the page has."""
    host = person(DESKTOP)
    host.page.add_init_script(
        """window.shown = [];
        window.WebSocket = class extends WebSocket {
          constructor(url, protocols) {
            super(url, protocols);
            const header = protocols[1].slice('header-'.length);
            shown.push(JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/'))).host);
          }
          send(text) {
            shown.push(JSON.parse(text).payload.extensions.authorization.host);
            super.send(text);
          }
        };"""
    )
    if told:
        host.page.route("**/config.json", lambda route: route.fulfill(json={"graphqlHost": told}))
    open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    expect(line(host.page, "Ana")).to_contain_text("here now")
    host.page.wait_for_function("shown.length >= 3")  # to connect, and for two subscriptions
    assert set(host.page.evaluate("shown")) == {told or urlsplit(site).netloc}


def test_a_page_that_is_not_told_asks_again(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    answers = [
        lambda route: route.fulfill(status=200, body="<html>", content_type="text/html"),
        lambda route: route.continue_(),
    ]
    asked_for: list[str] = []

    def answer(route: Route) -> None:
        asked_for.append(route.request.url)
        answers[min(len(asked_for), len(answers)) - 1](route)

    host.page.route("**/config.json", answer)
    sockets: list[Any] = []
    host.page.on("websocket", lambda socket: sockets.append(socket))
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    while not sockets:
        host.page.wait_for_timeout(20)
    vote(guest.page, "No")
    expect(line(host.page, "Ben")).to_contain_text("1/3")
    assert len(asked_for) == 2


def test_without_websockets_the_page_asks_and_misses_nothing(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    # A proxy that lets no WebSocket through: it opens and says nothing, then ends.
    host.page.route_web_socket("**/graphql/realtime", lambda socket: socket.close())
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(host.page.get_by_text("Ben is here.")).to_be_visible()
    expect(line(host.page, "Ben")).to_contain_text("here now")
    wanted = top_title(guest.page)
    vote(guest.page, "Yes")
    expect(line(host.page, "Ben")).to_contain_text("1/3")
    guest.page.goto("about:blank")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_hidden()
    while top_title(host.page) != wanted:
        vote(host.page, "No")
    vote(host.page, "Yes")
    expect(host.page.get_by_role("dialog").get_by_role("heading", name=wanted)).to_be_visible()


def test_an_event_that_is_lost_on_its_way_is_read_from_the_log(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    lost: list[Any] = []

    def lossy(socket: Any) -> None:
        """Lose the first event that tells how far everybody is."""
        server = socket.connect_to_server()

        def back(text: str) -> None:
            shown = json.loads(text).get("payload", {}).get("data", {}).get("onRoomEvent")
            if shown is not None and shown["type"] == "progress" and not lost:
                lost.append(shown)
            else:
                socket.send(text)

        server.on_message(back)

    host.page.route_web_socket("**/graphql/realtime", lossy)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_visible()
    vote(guest.page, "No")
    expect(guest.page.get_by_text("2 of 3 left")).to_be_visible()
    while not lost:
        host.page.wait_for_timeout(20)
    questions = asked(host.page)
    vote(guest.page, "No")  # its number shows that one is missing
    expect(line(host.page, "Ben")).to_contain_text("2/3")
    assert len(questions) >= 1
    cursor = int(lost[0]["cursor"])
    assert questions[0].endswith(f"after={cursor - 1}")


def test_the_page_comes_back_to_life_after_a_server_that_was_away(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    sockets: list[Any] = []

    def counted(socket: Any) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    host.page.route_web_socket("**/graphql/realtime", counted)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(line(host.page, "Ben").get_by_text("here now")).to_be_visible()
    sockets[0].close(code=1001)
    while len(sockets) < 2:
        host.page.wait_for_timeout(20)
    expect(top_card(host.page)).to_be_visible()
    vote(guest.page, "No")
    expect(line(host.page, "Ben")).to_contain_text("1/3")


def test_a_page_that_nobody_looks_at_for_long_sleeps_and_wakes(site: str, person: Make) -> None:
    host = person(DESKTOP)
    host.page.clock.install()
    open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    host.page.get_by_role("button", name="Start swiping").click()
    questions = asked(host.page)

    def hide(hidden: bool) -> None:
        host.page.evaluate(
            """(hidden) => {
              Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
              document.dispatchEvent(new Event('visibilitychange'));
            }""",
            hidden,
        )

    def minutes(count: int) -> int:
        """Let time pass; return how often the log was asked meanwhile."""
        before = len(questions)
        for _ in range(count * 3):
            host.page.clock.run_for(20_000)
            host.page.wait_for_timeout(50)
        return len(questions) - before

    hide(True)
    assert minutes(4) >= 8
    minutes(2)
    assert minutes(5) == 0
    with host.page.expect_response(lambda answer: "/events?" in answer.url):
        hide(False)
