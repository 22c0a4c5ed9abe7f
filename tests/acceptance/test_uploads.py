"""Uploads: asking for a form, posting a file, what becomes of it, and who sees it."""

import base64
import dataclasses
import io
import json
import random
import struct
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests import forms
from tests.acceptance.scenarios import (
    ABSENT,
    TEXT,
    TIME,
    Host,
    Scenario,
    World,
    delete,
    did,
    get,
    guest,
    length,
    like,
    none,
    play,
    post,
    refused,
    room,
    status,
)
from tests.server import Response, eventually

_UPLOADS = "/api/uploads"
MEDIA = like(r"^https?://[^/]+/media/[0-9a-f]{64}\.webp$")
MEDIA_PATH = like(r"^/media/[0-9a-f]{64}\.webp$")
PICTURE = {"small": MEDIA, "medium": MEDIA, "large": MEDIA}
MIB = 1024 * 1024


def picture(kind: str = "PNG", size: tuple[int, int] = (300, 200), **more: Any) -> bytes:
    """Return a picture that no other test has."""
    colour = tuple(random.randbytes(3))
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **more)
    return file.getvalue()


def huge_head() -> bytes:
    """Return a small PNG file that says it has 900 megapixels."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = b""
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        checked = name + data
        chunks += struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
    return b"\x89PNG\r\n\x1a\n" + chunks


def with_gps() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "A camera of mine"
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 17.0)})
    return picture("JPEG", exif=exif)


def asking(who: str = "ana", **changes: Any):
    """Ask for a form for an avatar, but for what is named; `ABSENT` leaves a field out."""
    asked = {"kind": "avatar", "contentType": "image/png", "size": 1000, **changes}
    json = {name: value for name, value in asked.items() if value is not ABSENT}
    return post(_UPLOADS, as_=who, json=json)


def send(world: World, who: str, kind: str, content: bytes, **fields: Any) -> Any:
    """Ask for a form, post a file, and return what becomes of it."""
    content_type = "text/csv" if kind == "list" else "image/png"
    asked = {"contentType": content_type, **fields, "kind": kind, "size": max(1, len(content))}
    form = world.send(post(_UPLOADS, as_=who, json=asked)).json
    posted = forms.post(form["url"], form["fields"], content)
    assert posted.status == 204, posted
    return outcome(world, who, form["uploadId"])


def outcome(world: World, who: str, upload: str) -> Any:
    def finished() -> Any:
        told = world.send(get(f"{_UPLOADS}/{upload}", as_=who)).json
        return told if told["state"] in ("ready", "rejected") else None

    return eventually(finished, "the upload is processed", within_s=20.0)


@dataclasses.dataclass(frozen=True)
class sent:
    """A file that somebody has sent, and what became of it, under a name."""

    keep: str
    who: str
    kind: str
    content: bytes
    fields: tuple[tuple[str, Any], ...] = ()

    def do(self, world: World) -> None:
        told = send(world, self.who, self.kind, self.content, **world.fill(dict(self.fields)))
        world.kept[self.keep] = told


def cover(keep: str, who: str, content: bytes) -> sent:
    return sent(keep, who, "cover", content, (("roomId", "{r1}"),))


def looking(upload: str, who: str = "ana"):
    return get(f"{_UPLOADS}/{{{upload}.uploadId}}", as_=who)


def invalid(pointer: str):
    return refused(422, "invalid_request").json({"errors": [{"pointer": pointer, "message": TEXT}]})


FORM = {"uploadId": TEXT, "url": like("^https?://"), "expiresAt": TIME, "fields": {"key": TEXT}}

# ------------------------------------------------------------------------------------------- asking

ASKING = [
    Scenario("a guest gets a form for a picture", asking(), status(201).json(FORM)),
    Scenario(
        "a form is for this file alone",
        asking(contentType="image/webp"),
        status(201).json({"fields": {"Content-Type": "image/webp", "policy": TEXT}}),
    ),
    Scenario("the largest picture is taken", asking(size=10 * MIB), status(201)),
    Scenario("a larger picture is not", asking(size=10 * MIB + 1), invalid("/size")),
    Scenario(
        "the largest list is taken",
        asking(kind="list", contentType="text/plain", size=4 * MIB),
        status(201),
    ),
    Scenario(
        "a larger list is not",
        asking(kind="list", contentType="text/plain", size=4 * MIB + 1),
        invalid("/size"),
    ),
    *(
        Scenario(f"{value!r} is no {field}", asking(**{field: value}), invalid(f"/{field}"))
        for field, value in [
            ("kind", "banner"),
            ("kind", ABSENT),
            ("kind", None),
            ("contentType", "image/svg+xml"),
            ("contentType", "text/html"),
            ("contentType", "text/csv"),
            ("contentType", ABSENT),
            ("size", 0),
            ("size", -1),
            ("size", 1.5),
            ("size", "1000"),
            ("size", ABSENT),
            ("roomId", ""),
            ("roomId", "x"),
        ]
    ),
    Scenario(
        "a list is no picture",
        asking(kind="list", contentType="image/png"),
        invalid("/contentType"),
    ),
    Scenario("a cover is for a room", asking(kind="cover"), invalid("/roomId")),
    Scenario(
        "a cover is for a room that there is",
        asking(kind="cover", roomId="nowhere"),
        refused(404, "room_not_found"),
    ),
    Scenario(
        "a member gives a room no cover",
        asking("ben", kind="cover", roomId="{r1}"),
        refused(403, "not_the_host"),
        given=[room("r1", ["ana", "ben"])],
    ),
    Scenario(
        "a stranger gives a room no cover",
        asking("eve", kind="cover", roomId="{r1}"),
        refused(403, "not_a_member"),
        given=[room("r1", ["ana"])],
    ),
    Scenario("without a token there is no form", post(_UPLOADS), refused(401, "unauthenticated")),
    Scenario(
        "the same key gives the same form",
        dataclasses.replace(asking(), headers={"idempotency-key": "form-1"}),
        status(201).json({"uploadId": "{first.uploadId}", "fields": "{first.fields}"}),
        given=[did(dataclasses.replace(asking(), headers={"idempotency-key": "form-1"}), "first")],
    ),
    Scenario(
        "an upload waits for its file",
        looking("form"),
        status(200).json({"state": "waiting", "kind": "avatar", "url": ABSENT, "reason": ABSENT}),
        given=[did(asking(), "form")],
    ),
    Scenario(
        "nobody is told of the uploads of others",
        looking("form", "eve"),
        refused(404, "not_found").without("{form.uploadId}"),
        given=[did(asking(), "form"), guest("eve")],
    ),
    Scenario(
        "nobody is told of what there is not",
        get(f"{_UPLOADS}/nothing", as_="ana"),
        refused(404, "not_found"),
    ),
]


@pytest.mark.parametrize("scenario", ASKING, ids=lambda scenario: scenario.name)
def test_asking(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


# ----------------------------------------------------------------------------------------- pictures

PICTURES = [
    Scenario(
        "a picture of oneself is in the profile",
        get("/api/me", as_="ana"),
        status(200).json({"avatarUrl": "{a.url}", "avatar": "{a.picture}"}),
        given=[sent("a", "ana", "avatar", picture())],
        after=[(looking("a"), status(200).json({"state": "ready", "picture": PICTURE}))],
    ),
    Scenario(
        "a picture of oneself is in the rooms, for all to see",
        get("/api/rooms/{r1}", as_="ben"),
        status(200).json(
            {"members": [{"name": "ana", "avatarUrl": "{a.url}"}, {"avatarUrl": ABSENT}]}
        ),
        given=[
            sent("a", "ana", "avatar", picture("JPEG")),
            room("r1", ["ana", "ben"]),
        ],
    ),
    Scenario(
        "rooms are told when a picture is taken away",
        delete("/api/me/avatar", as_="ana"),
        status(204).empty().events({"type": "memberUpdated", "data": {"avatarUrl": ABSENT}}),
        given=[sent("a", "ana", "avatar", picture("WEBP")), room("r1", ["ana", "ben"])],
        after=[
            (get("/api/me", as_="ana"), status(200).json({"avatarUrl": ABSENT, "avatar": ABSENT})),
            (
                get("/api/rooms/{r1}", as_="ben"),
                status(200).json({"members": [{"avatarUrl": ABSENT}, {"avatarUrl": ABSENT}]}),
            ),
        ],
    ),
    Scenario(
        "to be without a picture that was never there is fine",
        delete("/api/me/avatar", as_="ana"),
        status(204).empty().events(none),
        given=[room("r1", ["ana", "ben"])],
    ),
    Scenario(
        "a guest who registers keeps the picture",
        post(
            "/api/auth/register",
            as_="ana",
            json={"email": "{form.uploadId}@example.org", "password": "long enough", "name": "Ana"},
        ),
        status(201).json({"user": {"avatarUrl": "{a.url}"}}),
        given=[did(asking(), "form"), sent("a", "ana", "avatar", picture())],
    ),
    Scenario(
        "a cover shows in its room",
        get("/api/rooms/{r1}", as_="ben"),
        status(200).json({"coverUrl": MEDIA, "cover": "{c.picture}"}),
        given=[room("r1", ["ana", "ben"]), cover("c", "ana", picture("GIF"))],
        after=[
            (
                get("/api/rooms", as_="ben"),
                status(200).json({"items": [{"coverUrl": "{c.picture.small}"}]}),
            ),
        ],
    ),
    Scenario(
        "a cover is taken away by its host",
        delete("/api/rooms/{r1}/cover", as_="ana"),
        status(204).empty().events({"type": "roomUpdated", "data": {"coverUrl": None}}),
        given=[room("r1", ["ana", "ben"]), cover("c", "ana", picture())],
        after=[(get("/api/rooms/{r1}", as_="ben"), status(200).json({"coverUrl": ABSENT}))],
    ),
    Scenario(
        "a cover is taken away by nobody else",
        delete("/api/rooms/{r1}/cover", as_="ben"),
        refused(403, "not_the_host").events(none),
        given=[room("r1", ["ana", "ben"]), cover("c", "ana", picture())],
    ),
    *(
        Scenario(
            f"{what} is rejected with a reason",
            looking("a"),
            status(200).json({"state": "rejected", "reason": like(reason), "url": ABSENT}),
            given=[sent("a", "ana", "avatar", content)],
            after=[(get("/api/me", as_="ana"), status(200).json({"avatarUrl": ABSENT}))],
        )
        for what, content, reason in [
            ("a text", b"hello", "Choose a JPEG, PNG, WebP or GIF"),
            ("a page", b"<html><script>alert(1)</script>", "Choose a JPEG, PNG, WebP or GIF"),
            ("a drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Choose a JPEG"),
            ("a picture of another kind", picture("TIFF"), "Choose a JPEG, PNG, WebP or GIF"),
            ("half a picture", picture("JPEG", (900, 600))[:900], "This (picture|file) is"),
            ("a huge picture", huge_head(), "too large: 60 megapixels"),
        ]
    ),
]


@pytest.mark.parametrize("scenario", PICTURES, ids=lambda scenario: scenario.name)
def test_pictures(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


@pytest.mark.parametrize("kind", ["avatar", "cover"])
def test_those_in_a_room_are_told_of_a_picture(kind: str, world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    before = world.settled("r1")[-1]["cursor"]
    where = {"roomId": world.kept["r1"]["id"]} if kind == "cover" else {}
    told = send(world, "ana", kind, picture(), **where)
    (event,) = world.settled("r1", before)
    if kind == "avatar":
        assert event["type"] == "memberUpdated"
        assert event["data"]["userId"] == world.people["ana"].id
        assert event["data"]["avatarUrl"] == urlsplit(told["url"]).path
    else:
        assert event["type"] == "roomUpdated"
        assert event["data"] == {"coverUrl": urlsplit(told["picture"]["large"]).path}


def fetched(world: World, url: str, **more: Any) -> Response:
    return world.client.get(urlsplit(url).path, **more)


def test_nothing_is_left_of_where_a_picture_was_taken(world: World) -> None:
    content = with_gps()
    assert Image.open(io.BytesIO(content)).getexif().get_ifd(0x8825)
    told = send(world, "ana", "avatar", content, contentType="image/jpeg")
    sizes = []
    for url in told["picture"].values():
        made = fetched(world, url).body
        assert not any(mark in made for mark in (b"EXIF", b"Exif", b"camera", b"XMP", b"ICCP"))
        image = Image.open(io.BytesIO(made))
        assert (image.format, dict(image.getexif())) == ("WEBP", {})
        sizes.append(image.size)
    assert sizes == [(64, 64), (192, 192), (200, 200)]


def test_a_cover_that_lies_on_its_side_stands_up(world: World) -> None:
    made = world.room("r1", ["ana"], ["jaws"], {})
    content = with_gps()
    told = send(world, "ana", "cover", content, contentType="image/jpeg", roomId=made["id"])
    image = Image.open(io.BytesIO(fetched(world, told["picture"]["small"]).body))
    assert image.size == (200, 300)


def test_what_a_file_calls_itself_does_not_matter(world: World) -> None:
    told = send(world, "ana", "avatar", picture("PNG"), contentType="image/jpeg")
    assert told["state"] == "ready"


# -------------------------------------------------------------------------------------------- media


def test_a_picture_is_served_for_good_and_as_nothing_else(world: World) -> None:
    url = send(world, "ana", "avatar", picture())["url"]
    answer = fetched(world, url)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.body[8:12] == b"WEBP"
    head = world.client.request("HEAD", urlsplit(url).path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.body))
    tag = {"if-none-match": answer.headers["etag"]}
    assert fetched(world, url, headers=tag).status == 304
    assert world.client.post(urlsplit(url).path).status == 405


def test_the_same_picture_has_the_same_address_whoever_sends_it(world: World) -> None:
    content = picture()
    urls = [send(world, who, "avatar", content)["url"] for who in ("ana", "ben")]
    assert urls[0] == urls[1]
    world.send(delete("/api/me/avatar", as_="ana"))
    assert fetched(world, urls[1]).status == 200


@pytest.mark.parametrize(
    "path",
    [
        f"/media/{'0' * 64}.webp",
        f"/media/{'0' * 63}.webp",
        f"/media/{'A' * 64}.webp",
        f"/media/{'0' * 64}",
        f"/media/{'0' * 64}.png",
        "/media/",
        "/media/../keys/cursor.key",
        "/media/..%2f..%2fkeys%2fcursor.key",
        "/media/%00.webp",
        "/uploads",
        "/uploads/uploads/x/y",
    ],
)
def test_nothing_else_is_served_beside_pictures(path: str, world: World) -> None:
    answer = world.client.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_a_list_is_for_nobody_to_see(world: World) -> None:
    upload = send(world, "ana", "list", b"A very private list\n")
    made = world.room("r1", ["ana"], {"source": "upload", "uploadId": upload["uploadId"]}, {})
    assert made["deckSize"] == 1
    assert {"url", "picture"}.isdisjoint(upload)


# -------------------------------------------------------------------------------------------- lists

CSV = b'Title,Year,Notes\r\nHeat,1995,"good, long"\r\nAlien,1979,\r\nHeat,1995,again\r\n'


def deck_of(upload: str, **more: Any) -> dict[str, Any]:
    return {"source": "upload", "uploadId": f"{{{upload}.uploadId}}", **more}


def opening(who: str = "ana", **deck: Any):
    return post("/api/rooms", as_=who, json={"deck": {"source": "upload", **deck}})


LISTS = [
    Scenario(
        "a list becomes a deck",
        get("/api/rooms/{r1}/deck", as_="ana"),
        status(200).json(
            {
                "items": [
                    {"title": "Heat", "year": 1995, "overview": "good, long", "mediaType": "other"},
                    {"title": "Alien", "year": 1979, "overview": ABSENT},
                ]
            }
        ),
        given=[sent("l", "ana", "list", CSV), room("r1", ["ana"], deck_of("l"))],
        after=[(looking("l"), status(200).json({"state": "ready", "entries": 2, "url": ABSENT}))],
    ),
    *(
        Scenario(
            f"a list in {encoding} is read",
            opening(uploadId="{l.uploadId}"),
            status(201).json({"deckSize": 2}),
            given=[sent("l", "ana", "list", "Füße\nHände €\n".encode(encoding))],
        )
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252")
    ),
    Scenario(
        "of a long list a deck has at most 500",
        opening(uploadId="{l.uploadId}"),
        status(201).json({"deckSize": 500}),
        given=[sent("l", "ana", "list", "\n".join(map(str, range(5000))).encode())],
        after=[(looking("l"), status(200).json({"entries": 5000}))],
    ),
    Scenario(
        "a deck of a list can be smaller",
        opening(uploadId="{l.uploadId}", size=3),
        status(201).json({"deckSize": 3}),
        given=[sent("l", "ana", "list", b"a\nb\nc\nd\ne")],
    ),
    *(
        Scenario(
            f"{size!r} is no size of a deck of a list",
            opening(uploadId="x", size=size),
            invalid("/deck/size"),
        )
        for size in (0, 501, "x")
    ),
    Scenario(
        "nobody opens a room with the list of another",
        opening("eve", uploadId="{l.uploadId}"),
        invalid("/deck/uploadId"),
        given=[sent("l", "ana", "list", b"a\nb")],
    ),
    Scenario(
        "nobody opens a room with a picture",
        opening(uploadId="{a.uploadId}"),
        invalid("/deck/uploadId"),
        given=[sent("a", "ana", "avatar", picture())],
    ),
    Scenario(
        "nobody opens a room with a list that there is not",
        opening(uploadId="nothing"),
        invalid("/deck/uploadId"),
    ),
    Scenario("a list has a name", opening(), invalid("/deck/uploadId")),
    Scenario(
        "a list that has not arrived is waited for",
        opening(uploadId="{form.uploadId}"),
        refused(409, "upload_not_ready"),
        given=[did(asking(kind="list", contentType="text/csv"), "form")],
    ),
    Scenario(
        "what is wrong with a list is told by line",
        looking("l"),
        status(200).json(
            {
                "state": "rejected",
                "reason": "Line 2 has “soon” where a year belongs. One more line is wrong.",
                "errors": [
                    {"line": 2, "message": "has “soon” where a year belongs"},
                    {"line": 4, "message": "has no title"},
                ],
                "entries": ABSENT,
            }
        ),
        given=[sent("l", "ana", "list", b"Title,Year\nHeat,soon\nAlien,1979\n,1980\n")],
        after=[(opening(uploadId="{l.uploadId}"), invalid("/deck/uploadId"))],
    ),
    Scenario(
        "all errors of a list but twenty are left out",
        looking("l"),
        status(200).json({"errors": length(20)}),
        given=[sent("l", "ana", "list", b"Title,Year\n" + b"Heat,soon\n" * 100)],
    ),
    *(
        Scenario(
            f"{what} is rejected with a reason",
            looking("l"),
            status(200).json({"state": "rejected", "reason": like(reason)}),
            given=[sent("l", "ana", "list", content)],
        )
        for what, content, reason in [
            ("a workbook", b"PK\x03\x04\x14\0\6\0", "Save the list as CSV"),
            ("a picture in place of a list", picture(), "Save the list as CSV"),
            ("a blank list", b"\n\n", "This list is empty"),
            ("a list that is too long", b"a\n" * 5001, "more than 5,000 entries"),
        ]
    ),
]


@pytest.mark.parametrize("scenario", LISTS, ids=lambda scenario: scenario.name)
def test_lists(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_a_plain_text_keeps_its_commas(world: World) -> None:
    content = b"The Good, the Bad and the Ugly\n"
    upload = send(world, "ana", "list", content, contentType="text/plain")
    world.room("r1", ["ana"], {"source": "upload", "uploadId": upload["uploadId"]}, {})
    assert "The Good, the Bad and the Ugly" in world.kept["r1"]


# -------------------------------------------------------------------------------------------- forms


def altered(policy: str) -> str:
    document = json.loads(base64.b64decode(policy))
    document["expiration"] = "2999-01-01T00:00:00Z"
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("change", "size", "expected"),
    [
        (lambda f: f, 1001, (400, "EntityTooLarge")),
        (lambda f: f, 300_000, (400, "EntityTooLarge")),
        (lambda f: f, 0, (400, "EntityTooSmall")),
        (lambda f: f | {"Content-Type": "text/html"}, 9, (403, "AccessDenied")),
        (lambda f: f | {"key": f["key"] + "x"}, 9, (403, "AccessDenied")),
        (lambda f: f | {"policy": altered(f["policy"])}, 9, (403, "SignatureDoesNotMatch")),
        (lambda f: f | {"x-amz-signature": "0" * 64}, 9, (403, "SignatureDoesNotMatch")),
        (lambda f: {"acl": "public-read", **f}, 9, (403, "AccessDenied")),
        (lambda _: {"key": "uploads/a/b"}, 9, (403, "AccessDenied")),
    ],
)
def test_a_form_takes_the_file_that_it_is_for_and_no_other(
    change: Any, size: int, expected: tuple[int, str], world: World
) -> None:
    form = world.send(asking()).json
    posted = forms.post(form["url"], change(form["fields"]), b"x" * size)
    assert (posted.status, posted.code) == expected
    state = world.send(get(f"{_UPLOADS}/{form['uploadId']}", as_="ana")).json["state"]
    assert state == "waiting"
    good = picture()
    assert forms.post(form["url"], form["fields"], good).status == 204
    assert outcome(world, "ana", form["uploadId"])["state"] == "ready"


def test_a_file_may_be_larger_than_any_other_request(world: World) -> None:
    noise = Image.frombytes("RGB", (1500, 1500), random.Random(1).randbytes(1500 * 1500 * 3))
    file = io.BytesIO()
    noise.save(file, "PNG")
    assert len(file.getvalue()) > 6 * MIB
    assert send(world, "ana", "avatar", file.getvalue())["state"] == "ready"


def test_the_server_answers_others_while_it_works_on_a_large_picture(world: World) -> None:
    content = picture("PNG", (9000, 6000))
    json = {"kind": "avatar", "contentType": "image/png", "size": len(content)}
    form = world.send(post(_UPLOADS, as_="ana", json=json)).json
    assert forms.post(form["url"], form["fields"], content).status == 204
    answers = 0
    while world.send(looking_at(form["uploadId"])).json["state"] in ("waiting", "processing"):
        assert world.client.get("/api/health").status == 200
        answers += 1
        assert answers < 100_000, "the picture is never done"
    assert answers >= 10, "nobody was answered meanwhile"
    assert outcome(world, "ana", form["uploadId"])["state"] == "ready"


def looking_at(upload: str):
    return get(f"{_UPLOADS}/{upload}", as_="ana")
