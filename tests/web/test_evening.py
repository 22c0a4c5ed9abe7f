"""Whole evenings, in real browsers."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import DESKTOP, PHONE, Person

HOSTILE = "<img src=x onerror=alert(1)>"
LIST = ["Pizza", "Ramen", "Tacos"]

Make = Callable[..., Person]


def open_room(
    page: Page, site: str, *, host: str, entries: list[str], room: str, stops: str | None = None
) -> str:
    """Open a room with an own list, from the start page on; return its link."""
    page.goto(site)
    page.get_by_label("Your name").fill(host)
    page.get_by_role("button", name="Open a room").click()
    page.get_by_label("Own list").check()
    page.get_by_label("Entries").fill("\n".join(entries))
    page.get_by_label("Name (optional)").fill(room)
    if stops is not None:
        page.get_by_label(stops).check()
    page.get_by_role("button", name="Open the room").click()
    expect(page.get_by_role("heading", name="Get the others in")).to_be_visible()
    return page.url


def join(page: Page, link: str, *, name: str) -> None:
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Join the room").click()
    expect(top_card(page)).to_be_visible()


def top_card(page: Page):
    return page.locator(".card.top")


def top_title(page: Page) -> str:
    return top_card(page).get_by_role("heading").inner_text()


def vote(page: Page, choice: str) -> None:
    page.get_by_role("group", name="Your vote").get_by_role("button", name=choice).click()


def test_two_people_find_what_both_want(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(host.page.get_by_text("Ben is here.")).to_be_visible()
    expect(top_card(host.page)).to_be_visible()

    # Ana wants the second card only, by keyboard; the next card is there at once.
    first = top_title(host.page)
    host.page.keyboard.press("ArrowLeft")
    expect(top_card(host.page)).not_to_have_attribute("aria-label", first)
    wanted = top_title(host.page)
    host.page.keyboard.press("ArrowRight")
    expect(host.page.get_by_text("1 of 3 left")).to_be_visible()

    # Ben, by buttons, changes his mind about the first card and likes what Ana likes.
    vote(guest.page, "No")
    vote(guest.page, "Undo")
    while top_title(guest.page) != wanted:
        vote(guest.page, "No")
    vote(guest.page, "Yes")

    for someone, agreed in ((host, "you and Ben"), (guest, "you and Ana")):
        match = someone.page.get_by_role("dialog")
        expect(match.get_by_role("heading", name=wanted)).to_be_visible()
        expect(match).to_contain_text(f"All of you said yes: {agreed}.")
        match.get_by_role("button", name="See the results").click()
        results = someone.page.get_by_role("region", name="Results")
        expect(results.get_by_role("heading", name="You agreed on this")).to_be_visible()
        expect(results.get_by_role("heading", name=wanted)).to_be_visible()
        expect(results).to_contain_text("Ana and Ben said yes.")


def test_matches_wait_for_each_other(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner", stops="Never")
    join(guest.page, link, name="Ben")
    expect(top_card(host.page)).to_be_visible()
    for _ in LIST:
        host.page.keyboard.press("ArrowRight")
    expect(host.page.get_by_role("heading", name="You have seen every card")).to_be_visible()

    # Ben agrees to one after the other; Ana looks elsewhere meanwhile.
    agreed = []
    for _ in LIST:
        agreed.append(top_title(guest.page))
        vote(guest.page, "Yes")
        guest.page.get_by_role("dialog").get_by_role("button").first.click()
        expect(guest.page.get_by_role("dialog")).to_have_count(0)
    expect(host.page.get_by_role("button", name="Results (3)")).to_have_count(1)
    matches = host.page.locator("dialog.match")
    for title in agreed:
        expect(matches).to_have_count(1)
        expect(matches.get_by_role("heading", name=title)).to_be_visible()
        host.page.keyboard.press("Escape")
    expect(matches).to_have_count(0)


def test_names_and_entries_are_text(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(
        host.page,
        site,
        host="<b>Ana</b>",
        entries=[HOSTILE, "<script>alert(1)</script>"],
        room=HOSTILE,
    )
    join(guest.page, link, name=HOSTILE)
    expect(host.page.get_by_text(f"{HOSTILE} is here.")).to_be_visible()
    for page in (host.page, guest.page):
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        expect(page.locator("img, main script, b")).to_have_count(0)
    while top_title(guest.page) != HOSTILE:
        vote(guest.page, "No")
    vote(guest.page, "Yes")
    while top_title(host.page) != HOSTILE:
        vote(host.page, "No")
    vote(host.page, "Super")
    for page in (host.page, guest.page):
        expect(page.get_by_role("dialog").get_by_role("heading", name=HOSTILE)).to_be_visible()
        page.get_by_role("dialog").get_by_role("button", name="See the results").click()
        expect(page.get_by_role("region", name="Results")).to_contain_text(HOSTILE)
        expect(page.locator("img, main script, b")).to_have_count(0)


def test_votes_without_a_network_arrive_later(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Far away")
    join(guest.page, link, name="Ben")
    expect(top_card(host.page)).to_be_visible()

    guest.context.set_offline(True)
    wanted = top_title(guest.page)
    vote(guest.page, "Yes")
    vote(guest.page, "No")
    expect(guest.page.get_by_text("No connection. 2 votes kept here")).to_be_visible()
    expect(guest.page.get_by_text("1 of 3 left")).to_be_visible()
    # One can go on, and is told nothing that is not known.
    buttons = guest.page.get_by_role("group", name="Your vote").get_by_role("button")
    for button in buttons.all():
        expect(button).to_be_in_viewport(ratio=1)
    expect(guest.page.locator(".faces .here")).to_have_count(0)
    guest.context.set_offline(False)
    expect(guest.page.get_by_text("No connection.")).to_be_hidden()
    expect(guest.page.locator(".faces .here")).to_have_count(2)
    expect(host.page.get_by_role("listitem").filter(has_text="Ben")).to_contain_text("2/3")
    # Being offline is what the browser may complain about here, and nothing else.
    assert all("ERR_INTERNET_DISCONNECTED" in each for each in guest.complaints)
    guest.complaints.clear()

    while top_title(host.page) != wanted:
        vote(host.page, "No")
    vote(host.page, "Yes")
    expect(guest.page.get_by_role("dialog").get_by_role("heading", name=wanted)).to_be_visible()


def test_nothing_is_wider_than_a_small_phone(site: str, person: Make) -> None:
    host = person({**PHONE, "viewport": {"width": 320, "height": 568}})
    long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    link = open_room(host.page, site, host="A" * 40, entries=[long, "Short"], room=long)
    host.page.get_by_role("button", name="Start swiping").click()
    expect(top_card(host.page)).to_be_visible()

    def fits(where: str) -> None:
        widths = host.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= 320, f"{where}: {widths}"

    fits("a card")
    for tab in ("Group", "Results"):
        host.page.get_by_role("button", name=tab).click()
        fits(tab)
    for address in ("/", "/#new", "/#account", "/#reset=x", "/r/222222"):
        host.page.goto(site + address)
        expect(host.page.get_by_role("heading", level=1)).to_be_visible()
        fits(address)
    assert link.startswith(site)
    host.complaints.clear()  # the last address leads nowhere, on purpose


def test_what_is_wrong_is_said_beside_the_field_that_it_is_about(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    page = guest.page
    page.goto(site)
    name, code = page.get_by_label("Your name"), page.get_by_label("Room code")
    join_button = page.get_by_role("button", name="Join")

    def told(field: Locator, text: str) -> None:
        alert = page.get_by_role("alert").filter(has_text=text)
        expect(alert).to_be_in_viewport()
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description(alert.inner_text())
        above, below = field.bounding_box(), alert.bounding_box()
        assert above is not None
        assert below is not None
        assert 0 <= below["y"] - (above["y"] + above["height"]) < 24

    join_button.click()
    told(code, "A code has six letters")
    code.fill("222222")
    join_button.click()
    told(name, "Say your name first")
    name.fill("\u202eBen")
    join_button.click()
    told(name, "cannot be shown")
    name.fill("Ban")
    join_button.click()
    told(code, "There is no such room")
    # By then there is a guest of this name, and the page says so.
    expect(page.get_by_role("link", name="Ban")).to_be_visible()
    expect(page.get_by_text("Hello, Ban.")).to_be_visible()
    expect(name).to_have_count(0)
    code.fill(link)
    code.press("Enter")
    expect(top_card(page)).to_be_visible()
    expect(host.page.get_by_text("Ban is here.")).to_be_visible()
    guest.complaints.clear()  # the refusals, which were on purpose

    # A form that is longer than the screen.
    page.goto(site + "/#new")
    page.get_by_label("Seats").fill("1")
    page.get_by_role("button", name="Open the room").click()
    told(page.get_by_label("Seats"), "from 2 to 100")

    # The same form, for somebody who has no name yet.
    late = person(PHONE)
    page = late.page
    page.goto(site + "/#new")
    page.get_by_role("button", name="Open the room").click()
    told(page.get_by_label("Your name"), "Say your name first")
    page.get_by_label("Your name").fill("Cleo")
    page.get_by_label("Seats").fill("1")
    page.get_by_role("button", name="Open the room").click()
    told(page.get_by_label("Seats"), "from 2 to 100")
    expect(page.get_by_role("link", name="Cleo")).to_be_visible()
    expect(page.get_by_label("Your name")).to_have_count(0)


def test_a_password_link_that_is_used_up_leads_to_a_new_mail(site: str, person: Make) -> None:
    someone = person(PHONE)
    page = someone.page
    page.goto(f"{site}/#reset=used-up")
    page.get_by_label("New password").fill("correct horse")
    page.get_by_role("button", name="Set the password").click()
    heading = page.get_by_role("heading", name="This link does not work any more")
    expect(heading).to_be_focused()
    expect(page.get_by_text("It has expired, or it was used already.")).to_be_visible()
    expect(page.get_by_label("New password")).to_have_count(0)
    page.get_by_label("E-mail address").fill("ana@example.org")
    with page.expect_response("**/api/auth/password/forgot") as answer:
        page.get_by_role("button", name="Send a new link").click()
    assert answer.value.ok
    expect(page.get_by_text("a mail is on its way")).to_be_visible()
    someone.complaints.clear()  # the refusal


def test_the_film_that_the_search_suggests_is_found_first(site: str, person: Make) -> None:
    page = person(PHONE).page
    page.goto(site)
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("button", name="Open a room").click()
    page.get_by_label("Picked films").check()
    search = page.get_by_label("Search films")
    suggested = (search.get_attribute("placeholder") or "").removeprefix("e.g. ")
    assert suggested
    search.fill(suggested)
    first = page.get_by_role("list", name="Films found").get_by_role("button").first
    expect(first.locator("span").first).to_have_text(suggested)


def test_an_evening_needs_no_mouse(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(DESKTOP)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    page, keys = guest.page, guest.page.keyboard
    page.goto(link)
    seen: list[str] = []

    def tab_to(name: str) -> None:
        """Go on until the focus is on something of this name; it can be seen all the way."""
        for _ in range(30):
            keys.press("Tab")
            at = page.evaluate(
                """() => {
                  const node = document.activeElement;
                  const style = getComputedStyle(node.matches('.segment input, .chip input')
                    ? node.nextElementSibling : node);
                  return [node.getAttribute('aria-label') ?? node.labels?.[0]?.innerText
                    ?? node.innerText, style.outlineStyle, parseFloat(style.outlineWidth)];
                }"""
            )
            assert at[1] != "none", at
            assert at[2] >= 2, at
            seen.append(at[0])
            if name in at[0]:
                return
        raise AssertionError(f"no {name} among {seen}")

    tab_to("Skip to the content")
    tab_to("Your name")
    keys.type("Ben")
    keys.press("Enter")
    expect(top_card(page)).to_be_visible()
    keys.press("ArrowDown")  # a veto
    keys.press("u")  # taken back
    expect(page.get_by_text("3 of 3 left")).to_be_visible()
    for choice in ("Swipe", "Results", "No"):
        tab_to(choice)
    keys.press("Enter")
    expect(page.get_by_text("2 of 3 left")).to_be_visible()
    wanted = top_title(page)
    keys.press("ArrowUp")
    keys.press("ArrowLeft")
    expect(page.get_by_role("heading", name="You have seen every card")).to_be_visible()

    while top_title(host.page) != wanted:
        host.page.keyboard.press("ArrowLeft")
    host.page.keyboard.press("ArrowRight")
    match = page.get_by_role("dialog")
    expect(match.get_by_role("heading", name=wanted)).to_be_visible()
    expect(match.get_by_role("button", name="See the results")).to_be_focused()
    keys.press("Escape")
    expect(match).to_be_hidden()
    expect(page.get_by_role("heading", name="You agreed on this")).to_be_visible()


def test_a_deck_without_a_match_ends_with_the_best_compromise(site: str, person: Make) -> None:
    host, guest = person(DESKTOP), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(top_card(host.page)).to_be_visible()
    liked = top_title(host.page)
    host.page.keyboard.press("ArrowRight")
    for _ in range(2):
        host.page.keyboard.press("ArrowLeft")
    for _ in LIST:
        vote(guest.page, "No")
    for someone in (host, guest):
        expect(
            someone.page.get_by_role("heading", name="Everybody has seen every card")
        ).to_be_visible()
        someone.page.get_by_role("button", name="See the results").click()
        results = someone.page.get_by_role("region", name="Results")
        expect(
            results.get_by_role("heading", name="No match, but a good compromise")
        ).to_be_visible()
        expect(results.locator(".agreed-on")).to_contain_text(liked)
        expect(results).to_contain_text("1 of 2 said yes; the rule asks for 2.")


def test_the_host_opens_a_decided_room_again_where_it_says_so(site: str, person: Make) -> None:
    host, guest = person(PHONE), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    expect(top_card(host.page)).to_be_visible()
    wanted = top_title(host.page)
    vote(host.page, "Yes")
    while top_title(guest.page) != wanted:
        vote(guest.page, "No")
    vote(guest.page, "Yes")
    for page in (host.page, guest.page):
        page.get_by_role("dialog").get_by_role("button", name="See the results").click()
        page.get_by_role("button", name="Swipe").click()
        expect(page.get_by_role("heading", name="You have decided")).to_be_visible()
    again = "Open it again"
    cards = guest.page.get_by_role("region", name="Cards")
    expect(cards).to_contain_text("The host can open it again for more.")
    expect(cards.get_by_role("button", name=again)).to_have_count(0)
    cards = host.page.get_by_role("region", name="Cards")
    expect(cards).not_to_contain_text("The host")
    cards.get_by_role("button", name=again).click()
    for page in (host.page, guest.page):
        expect(top_card(page)).to_be_visible()


def test_a_room_that_is_closed_says_so_to_members_and_to_those_who_come(
    site: str, person: Make
) -> None:
    host, guest, late = person(DESKTOP), person(PHONE), person(PHONE)
    link = open_room(host.page, site, host="Ana", entries=LIST, room="Dinner")
    join(guest.page, link, name="Ben")
    host.page.get_by_role("button", name="Close the room").click()
    expect(guest.page.get_by_text("The host closed the room.")).to_be_visible()
    for page in (host.page, guest.page):
        expect(page.get_by_role("heading", name="This room is closed")).to_be_visible()
        expect(page.get_by_role("group", name="Your vote")).to_be_hidden()
    late.page.goto(link)
    late.page.get_by_label("Your name").fill("Cleo")
    late.page.get_by_role("button", name="Join the room").click()
    expect(late.page.get_by_text("This room is not open any more.")).to_be_visible()
    late.complaints.clear()  # the refusal
    panel = host.page.get_by_role("complementary", name="Group")
    panel.get_by_role("button", name="Open it again").click()
    expect(top_card(guest.page)).to_be_visible()
