"""Decks, what to see next, and the catalogue that decks are made of."""

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    ANY,
    TEXT,
    Host,
    Scenario,
    World,
    did,
    each,
    get,
    length,
    patch,
    play,
    post,
    refused,
    room,
    satisfies,
    status,
    votes,
)
from tests.server import Client

_DECK = "/api/rooms/{r1}/deck"
_NEXT = "/api/rooms/{r1}/next"
_TITLES = "/api/catalogue/titles"


def names(*expected: str):
    """Titles with these names, in this order."""
    return [{"title": name} for name in expected]


SCENARIOS = [
    Scenario(
        "a deck comes whole, in its order, and may be kept for good, but by its reader alone",
        given=[room("r1", ["ana"])],
        when=get(_DECK, as_="ana"),
        then=status(200)
        .json({"items": names("jaws", "heat", "alien"), "cursor": None})
        .header("etag", '"[0-9a-f]+"')
        .header("cache-control", "private, max-age=31536000, immutable"),
    ),
    Scenario(
        "a deck is the same for all members",
        given=[
            room("r1", ["ana", "ben"], {"source": "catalogue", "size": 40}),
            did(get(_DECK, as_="ana"), keep="deck"),
        ],
        when=get(_DECK, as_="ben"),
        then=status(200).json("{deck.all}").json({"items": length(40)}),
    ),
    Scenario(
        "a stranger does not see the deck",
        given=[room("r1", ["ana"])],
        when=get(_DECK, as_="eve"),
        then=refused(403, "not_a_member").without("jaws", "ana"),
    ),
    Scenario(
        "not even a stranger who guesses its tag",
        given=[room("r1", ["ana"])],
        when=get(_DECK, as_="eve", headers={"if-none-match": "*"}),
        then=refused(403, "not_a_member"),
    ),
    Scenario(
        "a deck goes on where it broke off, and a part is not kept for good",
        given=[room("r1", ["ana"]), did(get(_DECK + "?limit=2", as_="ana"), keep="part")],
        when=get(_DECK + "?limit=2&cursor={part.cursor}", as_="ana"),
        then=status(200)
        .json({"items": names("alien"), "cursor": None})
        .header("cache-control", "private, no-cache"),
    ),
    Scenario(
        "the cursor of a deck leads into no other deck",
        given=[
            room("r1", ["ana"]),
            room("r2", ["ana"], ["one", "two"]),
            did(get("/api/rooms/{r2}/deck?limit=1", as_="ana"), keep="part"),
        ],
        when=get(_DECK + "?cursor={part.cursor}", as_="ana"),
        then=refused(422, "invalid_request"),
    ),
    # What to see next
    Scenario(
        "who has seen nothing sees the deck in its order",
        given=[room("r1", ["ana", "ben"])],
        when=get(_NEXT, as_="ana"),
        then=status(200)
        .json({"items": names("jaws", "heat", "alien"), "remaining": 3})
        .header("cache-control", "no-store"),
    ),
    Scenario(
        "next holds ten titles if nothing is said, and says how many there are in all",
        given=[room("r1", ["ana"], {"source": "catalogue", "size": 30})],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": length(10), "remaining": 30}),
    ),
    Scenario(
        "what one has voted on does not come again",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "no"})],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": names("heat", "alien"), "remaining": 2}),
    ),
    Scenario(
        "what somebody else said no to still comes",
        given=[room("r1", ["ana", "ben"]), votes("r1", ben={"jaws": "no"})],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": names("jaws", "heat", "alien")}),
    ),
    Scenario(
        "what others like comes first, the most liked at the top",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ben={"alien": "yes", "heat": "super"}, cleo={"alien": "yes"}),
        ],
        when=get(_NEXT + "?count=2", as_="ana"),
        then=status(200)
        .json({"items": names("alien", "heat"), "remaining": 3})
        .without("ben", "{ben}", "yes", "super"),
    ),
    Scenario(
        "what somebody vetoed does not come",
        given=[room("r1", ["ana", "ben"]), votes("r1", ben={"jaws": "veto"})],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": names("heat", "alien"), "remaining": 2}),
    ),
    Scenario(
        "the veto of somebody who has left does not hide a title",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ben={"jaws": "veto", "alien": "yes"}),
            did(post("/api/rooms/{r1}/leave", as_="ben")),
        ],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": names("jaws", "heat", "alien")}),
    ),
    Scenario(
        "who has seen everything sees nothing, and is told so",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "no", "heat": "no", "alien": "yes"}),
        ],
        when=get(_NEXT, as_="ana"),
        then=status(200).json({"items": [], "remaining": 0}),
    ),
    Scenario(
        "a stranger is shown nothing",
        given=[room("r1", ["ana"])],
        when=get(_NEXT, as_="eve"),
        then=refused(403, "not_a_member").without("jaws"),
    ),
    *(
        Scenario(
            f"count={count} is refused",
            given=[room("r1", ["ana"])],
            when=get(f"{_NEXT}?count={count}", as_="ana"),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/count"}]}),
        )
        for count in ("0", "101", "-1", "ten", "1.5")
    ),
    # The catalogue
    Scenario(
        "genres are listed by name for everybody",
        when=get("/api/catalogue/genres"),
        then=status(200)
        .json(
            {
                "items": satisfies(
                    "sorted by name, with ids",
                    lambda items: (
                        [g["name"] for g in items] == sorted(g["name"] for g in items)
                        and len({g["id"] for g in items}) == len(items) > 10
                    ),
                )
            }
        )
        .header("etag", '"[0-9a-f]+"'),
    ),
    Scenario(
        "without a word the best known titles are listed",
        when=get(_TITLES),
        then=status(200).json(
            {
                "items": satisfies("twenty", lambda items: len(items) == 20),
                "cursor": TEXT,
            }
        ),
    ),
    Scenario(
        "a title is found by its name, whatever the letter case",
        when=get(_TITLES + "?q=pulp+FICTION"),
        then=status(200).json(
            {
                "items": satisfies(
                    "the best first", lambda items: items[0]["title"] == "Pulp Fiction"
                )
            }
        ),
    ),
    Scenario(
        "what nobody has heard of is not found",
        when=get(_TITLES + "?q=qqqqzzzzxxxx"),
        then=status(200).json({"items": [], "cursor": None}),
    ),
    Scenario(
        "a search holds its wishes",
        when=get(_TITLES + "?genre=horror&from=1970&to=1979&limit=50"),
        then=status(200).json(
            {
                "items": each(
                    satisfies(
                        "a horror film of the seventies",
                        lambda t: "Horror" in t["genres"] and 1970 <= t["year"] <= 1979,
                    )
                )
            }
        ),
    ),
    Scenario(
        "a search goes on where it broke off, without repetition",
        given=[did(get(_TITLES + "?q=love&limit=5"), keep="page")],
        when=get(_TITLES + "?q=love&limit=5&cursor={page.cursor}"),
        then=status(200).json({"items": length(5)}).without("{page.items.0.id}"),
    ),
    Scenario(
        "the cursor of one search leads into no other",
        given=[did(get(_TITLES + "?q=love&limit=5"), keep="page")],
        when=get(_TITLES + "?q=hate&limit=5&cursor={page.cursor}"),
        then=refused(422, "invalid_request"),
    ),
    *(
        Scenario(
            f"a search for {query} is answered",
            when=get(f"{_TITLES}?q={query}"),
            then=status(200).json({"items": ANY}),
        )
        for query in (
            "",
            "%25",
            "_",
            "%27",
            "%22",
            "%22AND",
            "a+OR+b",
            "NEAR(a+b)",
            "*",
            "-",
            "^a",
            "title:a",
            "%00",
            "%ff",
            "%F0%9F%A6%8A",
            "%E2%80%AE",
            "(((",
            "%5C",
            "a%20" * 60,
        )
    ),
    *(
        Scenario(
            f"a search with {query} is refused",
            when=get(f"{_TITLES}?{query}"),
            then=refused(422, "invalid_request"),
        )
        for query in (
            "q=" + "a" * 201,
            "from=x",
            "from=1869",
            "to=2101",
            "limit=0",
            "limit=101",
            "cursor=x",
            "genre=" + "a" * 61,
        )
    ),
    Scenario(
        "titles have what a card needs, and nothing that is empty",
        when=get(_TITLES + "?q=pulp+fiction&limit=1"),
        then=status(200).json(
            {
                "items": [
                    {
                        "id": TEXT,
                        "title": "Pulp Fiction",
                        "year": 1994,
                        "mediaType": "movie",
                        "genres": each(TEXT),
                        "providers": ABSENT,
                    }
                ]
            }
        ),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_decks(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


READS = ["/api/rooms/{r1}", "/api/rooms/{r1}/deck", "/api/rooms/{r1}/results"]


@pytest.mark.parametrize("path", READS)
def test_what_one_has_already_is_not_sent_again(path: str, world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    first = world.send(get(path, as_="ana"))
    tag = first.headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = world.send(get(path, as_="ana", headers={"if-none-match": sent}))
        assert (again.status, again.headers["etag"], again.body) == (304, tag, b""), sent
    for sent in ('"other"', tag.strip('"'), ""):
        again = world.send(get(path, as_="ana", headers={"if-none-match": sent}))
        assert (again.status, again.body) == (200, first.body), sent


def test_a_room_that_changed_is_sent_again(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    for path, who in (("/api/rooms/{r1}", "ana"), ("/api/rooms/{r1}/results", "ben")):
        tag = world.send(get(path, as_="ana")).headers["etag"]
        votes("r1", **{who: {"jaws": "no"}}).do(world)
        again = world.send(get(path, as_="ana", headers={"if-none-match": tag}))
        assert again.status == 200, path
        assert again.headers["etag"] != tag


def test_the_deck_keeps_its_tag_whatever_happens_in_the_room(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    tag = world.send(get(_DECK, as_="ana")).headers["etag"]
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}).do(world)
    world.send(patch("/api/rooms/{r1}", as_="ana", json={"name": "x"}))
    assert world.send(get(_DECK, as_="ben")).headers["etag"] == tag


def test_two_rooms_with_the_same_wishes_have_different_decks(world: World) -> None:
    wishes = {"source": "catalogue", "size": 50}
    decks = []
    for name in ("r1", "r2"):
        world.room(name, ["ana"], wishes, {})
        page = world.send(get(f"/api/rooms/{{{name}}}/deck", as_="ana")).json
        decks.append([title["id"] for title in page["items"]])
    assert decks[0] != decks[1]
    assert all(len(set(deck)) == 50 for deck in decks)


def test_swiping_to_the_end_shows_each_title_once_and_none_is_left_out(world: World) -> None:
    world.room("r1", ["ana", "ben"], {"source": "catalogue", "size": 45}, {"stopAt": "never"})
    seen: list[str] = []
    for left in range(45, 0, -9):
        page = world.send(get(_NEXT + "?count=9", as_="ana")).json
        assert page["remaining"] == left
        batch = [title["id"] for title in page["items"]]
        seen += batch
        json = {"votes": [{"titleId": title, "choice": "yes"} for title in batch]}
        assert world.send(post("/api/rooms/{r1}/votes", as_="ana", json=json)).status == 200
    deck = [t["id"] for t in world.send(get(_DECK, as_="ben")).json["items"]]
    assert seen == deck
    assert world.send(get(_NEXT, as_="ana")).json == {"items": [], "remaining": 0}


def test_every_page_of_the_catalogue_together_has_each_title_once(host: Host) -> None:
    client: Client = host.client
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"{_TITLES}?genre=western&from=1960&to=1979&limit=20{more}").json
        seen += [title["id"] for title in page["items"]]
        cursor = page["cursor"]
        assert len(seen) < 1000
    assert len(seen) == len(set(seen)) > 20
