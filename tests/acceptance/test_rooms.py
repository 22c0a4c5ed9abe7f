"""Rooms: opening, finding, joining, leaving, changing, removing them."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    ANY,
    TEXT,
    TIME,
    Host,
    Scenario,
    World,
    delete,
    did,
    each,
    get,
    guest,
    length,
    like,
    none,
    patch,
    play,
    post,
    refused,
    room,
    satisfies,
    status,
    vote,
    votes,
)
from tests.server import Server
from trinity.common import cursors
from trinity.domain.ids import DAY, Millis

_ROOMS = "/api/rooms"
_ROOM = "/api/rooms/{r1}"
_EVENTS = _ROOM + "/events"
_JOIN = "/api/rooms/join"
FILMS = {"source": "list", "items": [{"title": "jaws"}, {"title": "heat"}]}
CODE = like(r"^[23456789ABCDEFGHJKMNPQRSTUVWXYZ]{6}$")


def opening(**more: Any):
    return post(_ROOMS, as_="ana", json={"deck": FILMS, **more})


def by_catalogue(**more: Any):
    return opening(deck={"source": "catalogue", **more})


def join(who: str, code: str):
    return post(_JOIN, as_=who, json={"code": code})


def change(who: str, **changes: Any):
    return patch(_ROOM, as_=who, json=changes)


def joined(who: str, **more: Any) -> dict[str, Any]:
    data = {"userId": f"{{{who}}}", "name": who, "role": "member"}
    return {"type": "memberJoined", "actorId": f"{{{who}}}", "data": data, **more}


def left(who: str, *, by: str | None = None) -> dict[str, Any]:
    data = {"userId": f"{{{who}}}", "removed": by is not None}
    return {"type": "memberLeft", "actorId": f"{{{by or who}}}", "data": data}


OPENING = [
    Scenario(
        "a room is opened with what nobody asked for filled in",
        when=opening(),
        then=status(201)
        .json(
            {
                "id": TEXT,
                "code": CODE,
                "name": "ana’s room",
                "state": "open",
                "hostId": "{ana}",
                "rule": {"kind": "unanimous"},
                "stopAt": "first",
                "capacity": 20,
                "secret": True,
                "deckSize": 2,
                "members": [
                    {
                        "userId": "{ana}",
                        "name": "ana",
                        "role": "host",
                        "joinedAt": TIME,
                        "active": True,
                        "progress": 0,
                    }
                ],
                "matches": [],
                "joinUrl": like(r"^https?://[^/]+/r/[0-9A-Z]{6}$"),
                "createdAt": TIME,
                "expiresAt": TIME,
                "version": 1,
            }
        )
        .header("cache-control", "no-store"),
        after=[(get("/api/rooms/{when.id}", as_="ana"), status(200).json("{when.all}"))],
    ),
    Scenario(
        "a room has the name, rule, end, size and openness that were asked for",
        when=opening(
            name="Friday  night",
            rule={"kind": "share", "percent": 60},
            stopAt=3,
            capacity=2,
            secret=False,
        ),
        then=status(201).json(
            {
                "name": "Friday night",
                "rule": {"kind": "share", "percent": 60},
                "stopAt": 3,
                "capacity": 2,
                "secret": False,
            }
        ),
    ),
    *(
        Scenario(
            f"a room can have the rule {rule}",
            when=opening(rule=rule),
            then=status(201).json({"rule": rule}),
        )
        for rule in (
            {"kind": "unanimous"},
            {"kind": "atLeast", "count": 3},
            {"kind": "share", "percent": 50},
            {"kind": "easing", "after": [15, 25]},
            {"kind": "easing", "after": [1]},
        )
    ),
    Scenario(
        "an easing rule eases after 15 and 25 votes if nothing else is said",
        when=opening(rule={"kind": "easing"}),
        then=status(201).json({"rule": {"kind": "easing", "after": [15, 25]}}),
    ),
    *(
        Scenario(
            f"a room with {name} = {value!r} is refused",
            when=opening(**{name: value}),
            then=refused(422, "invalid_request"),
        )
        for name, value in (
            ("capacity", 1),
            ("capacity", 101),
            ("capacity", "20"),
            ("capacity", 2.5),
            ("capacity", None),
            ("secret", "yes"),
            ("secret", 1),
            ("stopAt", 0),
            ("stopAt", "last"),
            ("stopAt", 501),
            ("rule", {"kind": "dictator"}),
            ("rule", {}),
            ("rule", "unanimous"),
            ("rule", {"kind": "atLeast"}),
            ("rule", {"kind": "atLeast", "count": 0}),
            ("rule", {"kind": "share", "percent": 0}),
            ("rule", {"kind": "share", "percent": 101}),
            ("rule", {"kind": "easing", "after": []}),
            ("name", ""),
            ("name", "\u202eroom"),
            ("name", "x" * 81),
            ("deck", {}),
            ("deck", {"source": "nowhere"}),
            ("deck", {"source": "list"}),
            ("deck", {"source": "list", "items": []}),
            ("deck", {"source": "list", "items": [{}]}),
            ("deck", {"source": "list", "items": [{"title": " "}]}),
            ("deck", {"source": "list", "items": [{"title": "x", "imageUrl": "javascript:x"}]}),
            ("deck", {"source": "titles", "titleIds": []}),
            ("deck", {"source": "titles", "titleIds": [1]}),
            ("deck", {"source": "catalogue", "size": 0}),
            ("deck", {"source": "catalogue", "size": 501}),
            ("deck", {"source": "catalogue", "yearFrom": 1}),
            ("deck", {"source": "catalogue", "minRating": 11}),
            ("deck", {"source": "catalogue", "language": "english"}),
            ("deck", {"source": "catalogue", "mediaTypes": ["book"]}),
        )
    ),
    Scenario(
        "a room without a deck is refused, and the answer names the field",
        when=post(_ROOMS, as_="ana", json={"name": "x"}),
        then=refused(422, "invalid_request").contains("deck"),
    ),
    Scenario(
        "whose account is gone opens no room",
        given=[guest("ana"), did(delete("/api/me", as_="ana"))],
        when=opening(),
        then=refused(401, "unauthenticated"),
    ),
    Scenario(
        "what is opened shows in the log as the host joining",
        given=[room("r1", ["ana"])],
        when=change("ana", name="renamed"),
        then=status(200).events({"type": "roomUpdated", "data": {"name": "renamed"}}),
    ),
]

DECKS = [
    Scenario(
        "a deck of one's own keeps its order, and an entry that is there twice counts once",
        when=opening(
            deck={
                "source": "list",
                "items": [
                    {"title": "Pizza", "subtitle": "Da Michele", "description": "Thin."},
                    {"title": "Sushi", "imageUrl": "https://example.org/s.jpg"},
                    {"title": "pizza", "subtitle": "da michele"},
                    {"title": "Pizza", "subtitle": "Concettina"},
                ],
            }
        ),
        then=status(201).json({"deckSize": 3}),
        after=[
            (
                get("/api/rooms/{when.id}/deck", as_="ana"),
                status(200).json(
                    {
                        "items": [
                            {
                                "title": "Pizza",
                                "subtitle": "Da Michele",
                                "overview": "Thin.",
                                "mediaType": "other",
                            },
                            {"title": "Sushi", "posterUrl": "https://example.org/s.jpg"},
                            {"title": "Pizza", "subtitle": "Concettina"},
                        ],
                        "cursor": None,
                    }
                ),
            )
        ],
    ),
    Scenario(
        "a deck of chosen titles holds them in the order of choice, each once",
        given=[did(get("/api/catalogue/titles?limit=3"), keep="page")],
        when=opening(
            deck={
                "source": "titles",
                "titleIds": [
                    "{page.items.2.id}",
                    "{page.items.0.id}",
                    "{page.items.2.id}",
                    "{page.items.1.id}",
                ],
            }
        ),
        then=status(201).json({"deckSize": 3}),
        after=[
            (
                get("/api/rooms/{when.id}/deck", as_="ana"),
                status(200).json({"items": ["{page.items.2}", "{page.items.0}", "{page.items.1}"]}),
            )
        ],
    ),
    Scenario(
        "a chosen title that does not exist is named",
        given=[did(get("/api/catalogue/titles?limit=1"), keep="page")],
        when=opening(
            deck={"source": "titles", "titleIds": ["{page.items.0.id}", "wikidata:movie:none"]}
        ),
        then=refused(422, "invalid_request").json({"errors": [{"pointer": "/deck/titleIds/1"}]}),
    ),
    Scenario(
        "wishes that nothing fits are refused, and the answer says what to do",
        when=by_catalogue(yearFrom=1871, yearTo=1872),
        then=refused(422, "empty_deck").contains("Widen"),
    ),
    Scenario(
        "years the wrong way round fit nothing",
        when=by_catalogue(yearFrom=2000, yearTo=1990),
        then=refused(422, "empty_deck"),
    ),
    Scenario(
        "a deck is as large as asked for",
        when=by_catalogue(size=137),
        then=status(201).json({"deckSize": 137}),
        after=[
            (
                get("/api/rooms/{when.id}/deck", as_="ana"),
                status(200).json(
                    {
                        "items": satisfies(
                            "137 different titles",
                            lambda items: len({item["id"] for item in items}) == 137,
                        )
                    }
                ),
            )
        ],
    ),
    Scenario(
        "a deck has fifty titles if nothing is said",
        when=by_catalogue(),
        then=status(201).json({"deckSize": 50}),
    ),
    *(
        Scenario(
            f"every title of a deck fits the wish {name}",
            when=by_catalogue(**wish),
            then=status(201),
            after=[
                (
                    get("/api/rooms/{when.id}/deck", as_="ana"),
                    status(200).json({"items": each(satisfies(name, test))}),
                )
            ],
        )
        for name, wish, test in (
            ("years", {"yearFrom": 1990, "yearTo": 1999}, lambda t: 1990 <= t["year"] <= 1999),
            ("one year", {"yearFrom": 1994, "yearTo": 1994}, lambda t: t["year"] == 1994),
            ("from a year", {"yearFrom": 2010}, lambda t: t["year"] >= 2010),
            ("to a year", {"yearTo": 1940}, lambda t: t["year"] <= 1940),
            ("rating", {"minRating": 8.2}, lambda t: t["rating"] >= 8.2),
            ("genre", {"genres": ["horror"]}, lambda t: "Horror" in t["genres"]),
            (
                "genre by name in another letter case",
                {"genres": ["hORROR"]},
                lambda t: "Horror" in t["genres"],
            ),
            (
                "one of two genres",
                {"genres": ["western", "musical", "war"], "size": 100},
                lambda t: {"Western", "Musical", "War"} & set(t["genres"]),
            ),
            ("language", {"language": "fr", "size": 20}, lambda t: t.get("language") == "fr"),
            ("films", {"mediaTypes": ["movie"]}, lambda t: t["mediaType"] == "movie"),
            (
                "all wishes at once",
                {"genres": ["drama"], "yearFrom": 1980, "yearTo": 2000, "minRating": 7.5},
                lambda t: "Drama" in t["genres"] and t["year"] >= 1980 and t["rating"] >= 7.5,
            ),
        )
    ),
    Scenario(
        "an unknown genre fits nothing",
        when=by_catalogue(genres=["no-such-genre"]),
        then=refused(422, "empty_deck"),
    ),
]

JOINING = [
    Scenario(
        "whoever has the code comes in",
        given=[room("r1", ["ana"])],
        when=join("ben", "{r1.code}"),
        then=status(200)
        .json(
            {
                "id": "{r1}",
                "hostId": "{ana}",
                "members": [
                    {"userId": "{ana}", "role": "host"},
                    {"userId": "{ben}", "role": "member", "active": True, "progress": 0},
                ],
            }
        )
        .events(joined("ben")),
        after=[(get(_ROOMS, as_="ben"), status(200).json({"items": [{"id": "{r1}"}]}))],
    ),
    Scenario(
        "joining again changes nothing",
        given=[
            room("r1", ["ana", "ben"]),
            did(get(_EVENTS, as_="ana")),  # the look at the events below is no news then
            did(get(_ROOM, as_="ana"), keep="seen"),
        ],
        when=join("ben", "{r1.code}"),
        then=status(200).json("{seen.all}").events(none),
    ),
    Scenario(
        "the host who joins his own room stays the host",
        given=[room("r1", ["ana"])],
        when=join("ana", "{r1.code}"),
        then=status(200).json({"hostId": "{ana}", "members": length(1)}).events(none),
    ),
    Scenario(
        "a full room takes nobody else",
        given=[room("r1", ["ana", "ben"], capacity=2)],
        when=join("cleo", "{r1.code}"),
        then=refused(409, "room_full").without("ana", "ben", "jaws").events(none),
        after=[(get(_ROOM, as_="ana"), status(200).json({"members": length(2)}))],
    ),
    Scenario(
        "members of a full room can join it again",
        given=[
            room("r1", ["ana", "ben"], capacity=2),
            votes("r1", ana={"jaws": "yes"}, ben={"heat": "no"}),
        ],
        when=join("ben", "{r1.code}"),
        then=status(200).json({"members": length(2)}),
    ),
    Scenario(
        "who leaves a full room makes a place",
        given=[
            room("r1", ["ana", "ben"], capacity=2),
            did(post(_ROOM + "/leave", as_="ben")),
        ],
        when=join("cleo", "{r1.code}"),
        then=status(200).json({"members": [ANY, {"active": False}, {"userId": "{cleo}"}]}),
    ),
    Scenario(
        "who comes back has the earlier votes still",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ben={"jaws": "yes"}),
            did(post(_ROOM + "/leave", as_="ben")),
        ],
        when=join("ben", "{r1.code}"),
        then=status(200).json({"members": [ANY, {"active": True, "progress": 1}]}),
    ),
    Scenario(
        "who comes back with votes that complete an agreement makes the match",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ben={"jaws": "yes"}),
            did(post(_ROOM + "/leave", as_="ben")),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=join("ben", "{r1.code}"),
        then=status(200)
        .json({"state": "decided", "matches": [{"titleId": "{r1.jaws}"}]})
        .events(joined("ben"), "matchFound", {"type": "roomUpdated", "data": {"state": "decided"}}),
    ),
    *(
        Scenario(
            f"a code is understood when it is written {name}",
            given=[room("r1", ["ana"], name=name)],
            when=join("ben", code),
            then=status(200).json({"id": "{r1}"}),
        )
        for name, code in (
            ("with blanks around", "  {r1.code}\t"),
            ("with a line break", "{r1.code}\n"),
            ("with a no-break space", "\u00a0{r1.code}\u3000"),
        )
    ),
    *(
        Scenario(
            f"{code.encode('unicode_escape').decode()[:50]!r} is not the code of a room",
            given=[room("r1", ["ana"])],
            when=join("ben", code),
            then=refused(404, "room_not_found").without("ana", "{r1}"),
        )
        for code in (
            "",
            " ",
            "-",
            "AAAAA",
            "AAAAAAA",
            "O0O0O0",
            "I1I1I1",
            "\u202e{r1.code}",
            "{r1.code}\u200b",
            "\x00{r1.code}",
            "ＡＡＡＡＡＡ",
            "А" * 6,
            "ßßß",
            "👩‍👩‍👧‍👦",
            "{r1.code}{r1.code}",
            "../{r1.code}",
            "%00",
            "{r1}",
        )
    ),
    Scenario(
        "a code of 101 characters is refused",
        when=join("ben", "A" * 101),
        then=refused(422, "invalid_request"),
    ),
    Scenario(
        "a closed room takes nobody",
        given=[room("r1", ["ana"]), did(change("ana", state="closed"))],
        when=join("ben", "{r1.code}"),
        then=refused(409, "room_closed"),
    ),
    Scenario(
        "a decided room takes nobody",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=join("cleo", "{r1.code}"),
        then=refused(409, "room_closed"),
    ),
    Scenario(
        "a deleted room has no code any more",
        given=[room("r1", ["ana"]), did(delete(_ROOM, as_="ana"))],
        when=join("ben", "{r1.code}"),
        then=refused(404, "room_not_found"),
    ),
]

LEAVING = [
    Scenario(
        "who leaves is no active member any more, and cannot look in",
        given=[room("r1", ["ana", "ben"])],
        when=post(_ROOM + "/leave", as_="ben"),
        then=status(204).empty().events(left("ben")),
        after=[
            (
                get(_ROOM, as_="ana"),
                status(200).json({"hostId": "{ana}", "members": [{}, {"active": False}]}),
            ),
            (get(_ROOM, as_="ben"), refused(403, "not_a_member").without("ana", "jaws")),
            (get(_ROOM + "/events", as_="ben"), refused(403, "not_a_member")),
            (get(_ROOM + "/deck", as_="ben"), refused(403, "not_a_member")),
            (get(_ROOM + "/next", as_="ben"), refused(403, "not_a_member")),
            (get(_ROOM + "/results", as_="ben"), refused(403, "not_a_member")),
            (get(_ROOMS, as_="ben"), status(200).json({"items": [], "cursor": None})),
        ],
    ),
    Scenario(
        "a host who leaves hands over to the longest-standing member",
        given=[room("r1", ["ana", "ben", "cleo"])],
        when=post(_ROOM + "/leave", as_="ana"),
        then=status(204).events(
            left("ana"), {"type": "memberUpdated", "data": {"userId": "{ben}", "role": "host"}}
        ),
        after=[
            (
                get(_ROOM, as_="cleo"),
                status(200).json(
                    {"hostId": "{ben}", "members": [{}, {"role": "host"}, {"role": "member"}]}
                ),
            ),
            (change("ben", name="mine now"), status(200)),
            (change("cleo", name="mine"), refused(403, "not_the_host")),
        ],
    ),
    Scenario(
        "the room goes past members who have left when it looks for a host",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            did(post(_ROOM + "/leave", as_="ben")),
        ],
        when=post(_ROOM + "/leave", as_="ana"),
        then=status(204),
        after=[(get(_ROOM, as_="cleo"), status(200).json({"hostId": "{cleo}", "state": "open"}))],
    ),
    Scenario(
        "a former host who comes back is a member like others",
        given=[room("r1", ["ana", "ben"]), did(post(_ROOM + "/leave", as_="ana"))],
        when=join("ana", "{r1.code}"),
        then=status(200).json({"hostId": "{ben}"}).events(joined("ana")),
    ),
    Scenario(
        "the last one who leaves closes the room",
        given=[room("r1", ["ana", "ben"]), did(post(_ROOM + "/leave", as_="ben"))],
        when=post(_ROOM + "/leave", as_="ana"),
        then=status(204),
        after=[(join("ben", "{r1.code}"), refused(409, "room_closed"))],
    ),
    Scenario(
        "nobody leaves twice",
        given=[room("r1", ["ana", "ben"]), did(post(_ROOM + "/leave", as_="ben"))],
        when=post(_ROOM + "/leave", as_="ben"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "a stranger cannot leave",
        given=[room("r1", ["ana"])],
        when=post(_ROOM + "/leave", as_="eve"),
        then=refused(403, "not_a_member").without("ana").events(none),
    ),
    Scenario(
        "a room that does not exist cannot be left",
        when=post("/api/rooms/abcdefghijklmnop/leave", as_="ana"),
        then=refused(404, "room_not_found"),
    ),
    Scenario(
        "the host can remove somebody, who does not get back in",
        given=[room("r1", ["ana", "ben", "cleo"])],
        when=delete(_ROOM + "/members/{ben}", as_="ana"),
        then=status(204).empty().events(left("ben", by="ana")),
        after=[
            (join("ben", "{r1.code}"), refused(403, "removed_from_room").without("ana", "cleo")),
            (get(_ROOM, as_="ben"), refused(403, "not_a_member")),
            (get(_ROOMS, as_="ben"), status(200).json({"items": []})),
            (
                get(_ROOM, as_="ana"),
                status(200)
                .json({"members": [{"userId": "{ana}"}, {"userId": "{cleo}"}]})
                .without("{ben}"),
            ),
        ],
    ),
    Scenario(
        "who was removed can open and join other rooms",
        given=[
            room("r1", ["ana", "ben"]),
            did(delete(_ROOM + "/members/{ben}", as_="ana")),
            room("r2", ["ana"]),
        ],
        when=join("ben", "{r2.code}"),
        then=status(200),
    ),
    Scenario(
        "only the host removes people",
        given=[room("r1", ["ana", "ben", "cleo"])],
        when=delete(_ROOM + "/members/{cleo}", as_="ben"),
        then=refused(403, "not_the_host").events(none),
    ),
    Scenario(
        "a stranger removes nobody",
        given=[room("r1", ["ana", "ben"])],
        when=delete(_ROOM + "/members/{ben}", as_="eve"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "hosts do not remove themselves",
        given=[room("r1", ["ana", "ben"])],
        when=delete(_ROOM + "/members/{ana}", as_="ana"),
        then=refused(422, "invalid_request").contains("leave").events(none),
    ),
    Scenario(
        "who is not in the room cannot be removed",
        given=[room("r1", ["ana", "ben"]), guest("eve")],
        when=delete(_ROOM + "/members/{eve}", as_="ana"),
        then=refused(404, "not_found").events(none),
    ),
    Scenario(
        "who has left already cannot be removed",
        given=[room("r1", ["ana", "ben"]), did(post(_ROOM + "/leave", as_="ben"))],
        when=delete(_ROOM + "/members/{ben}", as_="ana"),
        then=refused(404, "not_found"),
    ),
]

CHANGING = [
    Scenario(
        "a stranger sees nothing of a room",
        given=[room("r1", ["ana", "ben"], name="Secret club")],
        when=get(_ROOM, as_="eve"),
        then=refused(403, "not_a_member").without("ana", "ben", "Secret", "{r1.code}", "{ana}"),
    ),
    Scenario(
        "a room that does not exist is not found",
        when=get("/api/rooms/abcdefghijklmnop", as_="ana"),
        then=refused(404, "room_not_found"),
    ),
    Scenario(
        "a room is not sent again to whoever has it",
        given=[room("r1", ["ana"])],
        when=get(_ROOM, as_="ana", headers={"if-none-match": "*"}),
        then=status(304).empty().header("etag", '"[0-9a-f]+"'),
    ),
    Scenario(
        "the host renames the room",
        given=[room("r1", ["ana", "ben"])],
        when=change("ana", name=" Film   club 🎬 "),
        then=status(200)
        .json({"name": "Film club 🎬", "state": "open"})
        .events({"type": "roomUpdated", "data": {"name": "Film club 🎬"}}),
    ),
    Scenario(
        "the name that a room has already changes nothing",
        given=[
            room("r1", ["ana"], name="Club"),
            did(get(_EVENTS, as_="ana")),  # see above
            did(get(_ROOM, as_="ana"), keep="seen"),
        ],
        when=change("ana", name="Club"),
        then=status(200).json("{seen.all}").events(none),
    ),
    Scenario(
        "an empty name is refused, and the old one stays",
        given=[room("r1", ["ana"], name="Club")],
        when=change("ana", name=""),
        then=refused(422, "invalid_request").events(none),
        after=[(get(_ROOM, as_="ana"), status(200).json({"name": "Club"}))],
    ),
    Scenario(
        "an empty change changes nothing",
        given=[room("r1", ["ana"])],
        when=change("ana"),
        then=status(200).json({"version": 1}).events(none),
    ),
    Scenario(
        "only the host changes the room",
        given=[room("r1", ["ana", "ben"])],
        when=change("ben", state="closed"),
        then=refused(403, "not_the_host").events(none),
        after=[(get(_ROOM, as_="ana"), status(200).json({"state": "open"}))],
    ),
    Scenario(
        "a stranger does not change the room",
        given=[room("r1", ["ana"])],
        when=change("eve", name="hacked"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "the host closes the room",
        given=[room("r1", ["ana", "ben"])],
        when=change("ana", state="closed"),
        then=status(200).json({"state": "closed"}).events("roomClosed"),
    ),
    Scenario(
        "closing twice changes nothing",
        given=[room("r1", ["ana"]), did(change("ana", state="closed"))],
        when=change("ana", state="closed"),
        then=status(200).json({"state": "closed"}).events(none),
    ),
    Scenario(
        "a closed room can be opened again and takes votes",
        given=[room("r1", ["ana", "ben"]), did(change("ana", state="closed"))],
        when=change("ana", state="open"),
        then=status(200)
        .json({"state": "open"})
        .events({"type": "roomUpdated", "data": {"state": "open"}}),
        after=[(vote("r1", "ana", "jaws", "yes"), status(200))],
    ),
    *(
        Scenario(
            f"a room cannot be made {state!r} by hand",
            given=[room("r1", ["ana"])],
            when=change("ana", state=state),
            then=refused(422, "invalid_request").events(none),
        )
        for state in ("decided", "expired", "", 1)
    ),
    Scenario(
        "fields that are the room's own cannot be set",
        given=[room("r1", ["ana", "ben"])],
        when=change("ana", hostId="{ben}", capacity=100, members=[], code="AAAAAA", version=99),
        then=status(200)
        .json({"hostId": "{ana}", "capacity": 20, "code": "{r1.code}"})
        .events(none),
    ),
    Scenario(
        "a field in the body does not lead to another room",
        given=[room("r1", ["ana"]), room("r2", ["eve"], name="untouched")],
        when=patch(_ROOM, as_="ana", json={"roomId": "{r2}", "name": "mine"}),
        then=status(200).json({"id": "{r1}", "name": "mine"}),
        after=[(get("/api/rooms/{r2}", as_="eve"), status(200).json({"name": "untouched"}))],
    ),
    Scenario(
        "a field in the body does not tell who is removed",
        given=[room("r1", ["ana", "ben", "cleo"])],
        when=delete(_ROOM + "/members/{ben}", as_="ana", json={"userId": "{cleo}"}),
        then=status(204),
        after=[(get(_ROOM, as_="cleo"), status(200).json({"members": length(2)}))],
    ),
    Scenario(
        "the host deletes the room for everybody",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes"})],
        when=delete(_ROOM, as_="ana"),
        then=status(204).empty(),
        after=[
            (get(_ROOM, as_="ana"), refused(404, "room_not_found")),
            (get(_ROOM, as_="ben"), refused(404, "room_not_found")),
            (get(_ROOM + "/events", as_="ben"), refused(404, "room_not_found")),
            (get(_ROOMS, as_="ben"), status(200).json({"items": []})),
            (delete(_ROOM, as_="ana"), refused(404, "room_not_found")),
        ],
    ),
    Scenario(
        "only the host deletes the room",
        given=[room("r1", ["ana", "ben"])],
        when=delete(_ROOM, as_="ben"),
        then=refused(403, "not_the_host"),
        after=[(get(_ROOM, as_="ben"), status(200))],
    ),
]

LISTS = [
    Scenario(
        "my rooms are listed newest first, with what one wants to know",
        given=[
            room("r1", ["ana", "ben"], name="first"),
            room("r2", ["ben", "ana"], name="second"),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=get(_ROOMS, as_="ana"),
        then=status(200).json(
            {
                "items": [
                    {
                        "id": "{r2}",
                        "role": "member",
                        "state": "open",
                        "memberCount": 2,
                        "matchCount": 0,
                        "latestMatch": ABSENT,
                    },
                    {
                        "id": "{r1}",
                        "role": "host",
                        "state": "decided",
                        "matchCount": 1,
                        "latestMatch": {"titleId": "{r1.jaws}", "title": "jaws"},
                    },
                ],
                "cursor": None,
            }
        ),
    ),
    Scenario(
        "somebody without rooms has an empty list",
        given=[room("r1", ["ana"])],
        when=get(_ROOMS, as_="ben"),
        then=status(200).json({"items": [], "cursor": None}),
    ),
    Scenario(
        "a list goes on where it broke off",
        given=[
            room("r1", ["ana"]),
            room("r2", ["ana"]),
            room("r3", ["ana"]),
            did(get(_ROOMS + "?limit=2", as_="ana"), keep="page"),
        ],
        when=get(_ROOMS + "?limit=2&cursor={page.cursor}", as_="ana"),
        then=status(200).json({"items": [{"id": "{r1}"}], "cursor": None}),
    ),
    *(
        Scenario(
            f"a cursor that was {name} is refused",
            given=[
                room("r1", ["ana"]),
                room("r2", ["ana"]),
                room("r3", ["ben"]),
                room("r4", ["ben"]),
                did(get(_ROOMS + "?limit=1", as_="ana"), keep="page"),
                did(get(_ROOMS + "?limit=1", as_="ben"), keep="other"),
                did(get("/api/catalogue/titles?limit=1"), keep="titles"),
                did(get(_ROOM + "/deck?limit=1", as_="ana"), keep="deck"),
            ],
            when=get(_ROOMS + "?cursor=" + cursor, as_="ana"),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/cursor"}]}),
        )
        for name, cursor in (
            ("made up", "abc"),
            ("cut", "{page.cursor}"[:-1] + "}x"),
            ("lengthened", "{page.cursor}AAAA"),
            ("given to somebody else", "{other.cursor}"),
            ("given for another list", "{titles.cursor}"),
            ("given for a deck", "{deck.cursor}"),
            ("a cursor of events", "1"),
            ("no letters at all", "%00%ff%20"),
            ("made of other letters", "%F0%9F%A6%8A"),
        )
    ),
    *(
        Scenario(
            f"limit={limit} is refused",
            when=get(f"{_ROOMS}?limit={limit}", as_="ana"),
            then=refused(422, "invalid_request"),
        )
        for limit in ("0", "101", "-1", "1.5", "x", "", "99999999999999999999", "1&limit=2", "%00")
    ),
]

ALL = [*OPENING, *DECKS, *JOINING, *LEAVING, *CHANGING, *LISTS]


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_rooms(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_a_code_is_understood_in_small_letters_and_with_hyphens(world: World) -> None:
    code = world.room("r1", ["ana"], ["jaws"], {})["code"]
    for who, written in (
        ("ben", code.lower()),
        ("cleo", f"{code[:3]}-{code[3:]}"),
        ("dan", " ".join(code.lower())),
        ("eve", f"{code[:3]} - {code[3:]}"),
    ):
        assert world.join(written, who).status == 200, written


def test_every_page_of_a_long_list_together_is_the_whole_list(world: World) -> None:
    made = [world.room(f"r{n}", ["ana"], ["jaws"], {})["id"] for n in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = world.send(get(f"/api/rooms?limit=3{more}", as_="ana")).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["cursor"]
        pages += 1
        assert pages < 10
    assert seen == made[::-1]


def test_two_people_cannot_take_the_last_seat(world: World) -> None:
    code = world.room("r1", ["ana"], ["jaws"], {"capacity": 3})["code"]
    tokens = [world.guest(f"p{n}").token for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda token: world.client.post(
                    "/api/rooms/join", token=token, json={"code": code}
                ),
                tokens,
            )
        )
    assert sorted(answer.status for answer in answers) == [200, 200, *[409] * 6]
    assert {answer.code for answer in answers} == {None, "room_full"}
    assert len(world.send(get("/api/rooms/{r1}", as_="ana")).json["members"]) == 3


def test_somebody_who_joins_six_times_at_once_takes_one_seat(world: World) -> None:
    code = world.room("r1", ["ana"], ["jaws"], {"capacity": 3})["code"]
    world.guest("ben")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: world.join(code, "ben"), range(6)))
    assert {answer.status for answer in answers} == {200}
    assert world.join(code, "cleo").status == 200
    assert world.join(code, "dan").code == "room_full"
    joined = [event for event in world.settled("r1") if event["type"] == "memberJoined"]
    assert len(joined) == 3


def test_somebody_who_leaves_four_times_at_once_frees_one_seat(world: World) -> None:
    code = world.room("r1", ["ana", "ben"], ["jaws"], {"capacity": 2})["code"]
    with ThreadPoolExecutor(4) as pool:
        leave = post(_ROOM + "/leave", as_="ben")
        answers = list(pool.map(lambda _: world.send(leave), range(4)))
    assert sorted(answer.status for answer in answers) == [204, 403, 403, 403]
    assert world.join(code, "cleo").status == 200
    assert world.join(code, "dan").code == "room_full"


def test_nobodys_address_shows_in_a_room(world: World) -> None:
    world.user("ana")
    world.user("ben")
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}).do(world)
    world.settled("r1")
    for path in ("", "/events", "/results", "/deck", "/next"):
        assert "@" not in world.send(get(_ROOM + path, as_="ben")).text, path
    assert "@" not in world.send(get("/api/me/matches", as_="ben")).text


def test_a_cursor_that_is_too_old_is_gone_politely(embedded: Server) -> None:
    """Made with the server's own key: a day is too long for a test to wait."""
    world = Host(embedded.base_url).world()
    made = [world.room(f"r{n}", ["ana"], ["jaws"], {})["id"] for n in range(2)]
    key = (embedded.data / "keys" / "cursor.key").read_bytes()
    scope = f"rooms:{world.people['ana'].id}"
    position = cursors.read(
        key, scope, world.send(get(_ROOMS + "?limit=1", as_="ana")).json["cursor"], Millis(0)
    )
    yesterday = Millis(int(time.time() * 1000) - DAY)
    old = cursors.write(key, scope, position, Millis(yesterday - 1000))
    answer = world.send(get(f"{_ROOMS}?cursor={old}", as_="ana"))
    assert (answer.status, answer.code) == (410, "gone")
    young = cursors.write(key, scope, position, Millis(yesterday + 60_000))
    answer = world.send(get(f"{_ROOMS}?cursor={young}", as_="ana"))
    assert [item["id"] for item in answer.json["items"]] == made[:1]


# ------------------------------------------------------------------------------ doing things once


def test_the_same_key_gives_the_same_room(world: World) -> None:
    call = post(_ROOMS, as_="ana", json={"deck": FILMS}, headers={"idempotency-key": "k1"})
    first, second = world.send(call), world.send(call)
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert len(world.send(get(_ROOMS, as_="ana")).json["items"]) == 1


def test_the_same_key_gives_the_same_room_though_the_fields_are_in_another_order(
    world: World,
) -> None:
    headers = {"idempotency-key": "k1"}
    one = {"name": "x", "capacity": 5, "deck": FILMS}
    other = {"deck": dict(reversed(FILMS.items())), "capacity": 5, "name": "x"}
    first = world.send(post(_ROOMS, as_="ana", json=one, headers=headers))
    second = world.send(post(_ROOMS, as_="ana", json=other, headers=headers))
    assert first.json == second.json


def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    headers = {"idempotency-key": "k1"}
    world.send(post(_ROOMS, as_="ana", json={"deck": FILMS}, headers=headers))
    other = world.send(post(_ROOMS, as_="ana", json={"deck": FILMS, "name": "x"}, headers=headers))
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert len(world.send(get(_ROOMS, as_="ana")).json["items"]) == 1


def test_the_same_key_of_somebody_else_is_another_key(world: World) -> None:
    headers = {"idempotency-key": "k1"}
    mine = world.send(post(_ROOMS, as_="ana", json={"deck": FILMS}, headers=headers))
    theirs = world.send(post(_ROOMS, as_="ben", json={"deck": FILMS}, headers=headers))
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.json["id"] != theirs.json["id"]


def test_a_request_that_was_refused_does_not_use_its_key_up(world: World) -> None:
    headers = {"idempotency-key": "k1"}
    bad = world.send(post(_ROOMS, as_="ana", json={"deck": {}}, headers=headers))
    assert bad.status == 422
    good = world.send(post(_ROOMS, as_="ana", json={"deck": FILMS}, headers=headers))
    assert good.status == 201


@pytest.mark.parametrize("key", ["x" * 255, "ünïcode", "a,b;c d", "../..", "%00"])
def test_a_key_can_be_any_text(key: str, world: World) -> None:
    call = post(_ROOMS, as_="ana", json={"deck": FILMS}, headers={"idempotency-key": key})
    assert world.send(call).json == world.send(call).json


def test_eight_requests_at_once_with_one_key_open_one_room(world: World) -> None:
    token = world.guest("ana").token
    deck = {"source": "catalogue", "size": 20}

    def send(_: int):
        return world.client.post(
            _ROOMS, token=token, json={"deck": deck}, headers={"idempotency-key": "k1"}
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {answer.status for answer in answers} == {201}, [str(answer) for answer in answers]
    assert len({answer.body for answer in answers}) == 1
    assert len(world.send(get(_ROOMS, as_="ana")).json["items"]) == 1


def test_codes_differ_and_do_not_look_alike(world: World) -> None:
    codes = {world.room(f"r{n}", ["ana"], ["jaws"], {})["code"] for n in range(20)}
    assert len(codes) == 20
    assert all(re.fullmatch(r"[23456789ABCDEFGHJKMNPQRSTUVWXYZ]{6}", code) for code in codes)


@pytest.mark.one_process
def test_the_join_link_leads_to_a_page(world: World) -> None:
    room_shape = world.room("r1", ["ana"], ["jaws"], {})
    base, _, code = room_shape["joinUrl"].partition("/r/")
    assert base == world.client.base_url
    assert code == room_shape["code"]
    page = world.client.get(f"/r/{code}")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
