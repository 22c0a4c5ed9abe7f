"""What becomes of files: processed once, in sight until something newer is, then gone for good."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import ORIGIN, World
from trinity.common import messages
from trinity.common.requests import Origin
from trinity.domain import errors
from trinity.domain.ids import DAY, HOUR, MINUTE, RoomId, UploadId, UserId, blob_id
from trinity.domain.uploads import FORM_FOR, LARGEST, of_key
from trinity.handlers.rooms.create import CreateRoom, FromUpload, create_room
from trinity.handlers.rooms.deck import GetDeck, get_deck
from trinity.handlers.rooms.remove_cover import RemoveCover, remove_cover
from trinity.handlers.uploads.create import CreateUpload, create_upload
from trinity.handlers.uploads.get import GetUpload, get_upload
from trinity.handlers.users.delete_me import delete_me
from trinity.handlers.users.remove_avatar import remove_avatar
from trinity.store import keys, leftovers, rooms, users
from trinity.store import media as claims
from trinity.topology import FUNCTIONS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture
def ana(world: World) -> UserId:
    return world.guest("Ana")


def avatar(world: World, user: UserId) -> UploadId | None:
    found = users.get(world.table, user).avatar
    return found.upload if found is not None else None


def cover(world: World, room: str) -> UploadId | None:
    found = rooms.get(world.table, RoomId(room)).cover
    return found.upload if found is not None else None


class Told:
    """Somebody who follows all rooms."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def publish(self, _: RoomId, event: Any) -> None:
        self.events.append(event)

    def show(self, room: RoomId, presence: Any) -> None: ...

    def end(self, room: RoomId, user: UserId | None = None) -> None: ...


def settle(world: World) -> None:
    """Let a day pass, with everything that is done meanwhile."""
    seen = world.drain(world.feeds_at(0))
    for _ in range(DAY // HOUR):
        world.clock.advance(HOUR)
        world.sweep()
        world.work_off()
        seen = world.drain(seen)


def assert_tidy(world: World, *, shown: int) -> None:
    """So many pictures are in sight, and nothing else is left anywhere."""
    settle(world)
    assert len(world.media.content) == 3 * shown
    assert world.uploads.content == {}
    assert world.table.query(keys.LEFTOVERS).items == []


def test_the_storage_and_the_topology_mean_the_same_queue() -> None:
    (function,) = [f for f in FUNCTIONS if f.name == "process_upload"]
    assert function.queue is not None
    assert function.queue.name == messages.FILES


# ------------------------------------------------------------------------------- asking for a form


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"content_type": "text/csv"}, "/contentType"),
        ({"kind": "list", "content_type": "image/png"}, "/contentType"),
        ({"size": LARGEST["avatar"] + 1}, "/size"),
        ({"kind": "list", "content_type": "text/csv", "size": LARGEST["list"] + 1}, "/size"),
        ({"kind": "cover"}, "/roomId"),
        ({"room_id": "r1"}, "/roomId"),
    ],
)
def test_what_does_not_go_together_is_refused(
    world: World, ana: UserId, fields: dict[str, Any], pointer: str
) -> None:
    request = CreateUpload(**({"kind": "avatar", "content_type": "image/png", "size": 1} | fields))
    with pytest.raises(errors.InvalidRequest) as refused:
        world.call(create_upload, request, ana)
    assert [where for where, _ in refused.value.errors] == [pointer]


def test_the_largest_files_are_taken(world: World, ana: UserId) -> None:
    for kind, content_type in (("avatar", "image/gif"), ("list", "text/plain")):
        size = LARGEST[kind]  # type: ignore[index]
        request = CreateUpload(kind=kind, content_type=content_type, size=size)  # type: ignore[arg-type]
        form = world.call(create_upload, request, ana)
        assert form.fields["most"] == str(size)
        assert of_key(form.fields["key"]) == (ana, form.upload_id)
        assert form.url == f"{ORIGIN.base_url}/uploads"


def test_only_the_host_gives_a_room_its_cover(world: World, ana: UserId) -> None:
    ben = world.guest("Ben")
    room = world.create(ana)
    with pytest.raises(errors.NotAMember):
        world.ask(ben, "cover", room=room.id)
    world.join(ben, room.code)
    with pytest.raises(errors.NotTheHost):
        world.ask(ben, "cover", room=room.id)
    with pytest.raises(errors.RoomNotFound):
        world.ask(ana, "cover", room="nowhere")
    world.ask(ana, "cover", room=room.id)


def test_the_same_key_gives_the_same_form_and_one_upload(world: World, ana: UserId) -> None:
    request = CreateUpload(kind="avatar", content_type="image/png", size=1)
    again = Origin(ORIGIN.address, ORIGIN.base_url, None, "k1")
    first, second = (world.call(create_upload, request, ana, again) for _ in range(2))
    assert first == second
    assert len(world.table.query(keys.user_pk(ana), prefix=keys.UPLOAD).items) == 1
    with pytest.raises(errors.IdempotencyMismatch):
        world.call(create_upload, msgspec.structs.replace(request, size=2), ana, again)


def test_an_account_that_is_gone_leaves_nothing_behind_by_asking(world: World, ana: UserId) -> None:
    world.call(delete_me, by=ana)
    with pytest.raises(errors.Unauthenticated):
        world.ask(ana, "avatar")
    assert world.table.query(keys.user_pk(ana)).items == []


def test_nobody_is_told_of_the_uploads_of_others(world: World, ana: UserId) -> None:
    upload = world.ask(ana, "avatar")
    assert world.call(get_upload, GetUpload(upload_id=upload), ana).state == "waiting"
    for user, wanted in ((world.guest("Ben"), upload), (ana, "nothing")):
        with pytest.raises(errors.NotFound):
            world.call(get_upload, GetUpload(upload_id=UploadId(wanted)), user)


# --------------------------------------------------------------------------------------- pictures


def test_a_picture_of_oneself_shows_in_all_rooms_and_in_their_events(
    world: World, ana: UserId
) -> None:
    room = world.create(ana)
    seen = world.drain(world.feeds_at(0))
    told = Told()
    world.realtime.listen(told)
    upload = world.send(ana, "avatar", b"picture 1")
    world.work_off()
    shape = world.call(get_upload, GetUpload(upload_id=upload), ana)
    medium = blob_id(b"192 of picture 1")
    assert shape.state == "ready"
    assert shape.url == f"{ORIGIN.base_url}/media/{medium}.webp"
    assert world.media.get(medium) == b"192 of picture 1"
    world.drain(seen)
    assert rooms.get(world.table, room.id).members[ana].avatar == medium
    (event,) = told.events
    assert event["type"] == "memberUpdated"
    assert event["data"]["avatarUrl"] == f"/media/{medium}.webp"
    assert_tidy(world, shown=1)


def test_who_joins_brings_the_picture_along(world: World, ana: UserId) -> None:
    ben = world.guest("Ben")
    world.send(ben, "avatar", b"picture 1")
    world.work_off()
    joined = world.join(ben, world.create(ana).code)
    (shape,) = [member for member in joined.members if member.user_id == ben]
    assert shape.avatar_url == f"{ORIGIN.base_url}/media/{blob_id(b'192 of picture 1')}.webp"


def test_a_cover_shows_in_its_room_and_its_events_until_it_is_taken_away(
    world: World, ana: UserId
) -> None:
    room = world.create(ana)
    seen = world.drain(world.feeds_at(0))
    told = Told()
    world.realtime.listen(told)
    upload = world.send(ana, "cover", b"picture 1", room=room.id)
    world.work_off()
    assert cover(world, room.id) == upload
    seen = world.drain(seen)
    world.clock.advance(1)
    world.call(remove_cover, RemoveCover(room_id=room.id), ana)
    world.drain(seen)
    assert [(event["type"], event["data"]["coverUrl"]) for event in told.events] == [
        ("roomUpdated", f"/media/{blob_id(b'1280 of picture 1')}.webp"),
        ("roomUpdated", None),
    ]
    assert_tidy(world, shown=0)


def test_a_new_picture_takes_the_place_of_the_old_one_whose_files_go(
    world: World, ana: UserId
) -> None:
    world.send(ana, "avatar", b"picture 1")
    world.work_off()
    world.clock.advance(1)
    upload = world.send(ana, "avatar", b"picture 2")
    world.work_off()
    assert avatar(world, ana) == upload
    assert_tidy(world, shown=1)
    assert blob_id(b"64 of picture 2") in world.media.content


def test_of_two_pictures_the_one_that_was_chosen_later_stays(world: World, ana: UserId) -> None:
    first = world.send(ana, "avatar", b"picture 1")
    world.clock.advance(1)
    second = world.send(ana, "avatar", b"picture 2")
    world.process(ana, second)
    world.process(ana, first)
    assert avatar(world, ana) == second
    assert world.upload(ana, first).state == "rejected"
    assert "Another picture was chosen" in (world.upload(ana, first).reason or "")
    assert_tidy(world, shown=1)


def test_a_picture_that_was_taken_away_does_not_come_after_all(world: World, ana: UserId) -> None:
    upload = world.send(ana, "avatar", b"picture 1")
    world.clock.advance(1)
    world.call(remove_avatar, by=ana)
    world.work_off()
    assert avatar(world, ana) is None
    assert world.upload(ana, upload).state == "rejected"
    world.clock.advance(1)
    world.send(ana, "avatar", b"picture 2")
    world.work_off()
    assert avatar(world, ana) is not None
    assert_tidy(world, shown=1)


def test_a_picture_of_somebody_else_too_stays_as_long_as_one_shows_it(
    world: World, ana: UserId
) -> None:
    ben = world.guest("Ben")
    for user in (ana, ben):
        world.send(user, "avatar", b"picture of a cat")
    world.work_off()
    world.clock.advance(1)
    world.call(remove_avatar, by=ana)
    assert_tidy(world, shown=1)
    world.call(remove_avatar, by=ben)
    assert_tidy(world, shown=0)
    world.send(ana, "avatar", b"picture of a cat")  # once more, after its files were removed
    world.work_off()
    assert_tidy(world, shown=1)


def test_pictures_go_with_accounts_and_rooms(world: World, ana: UserId) -> None:
    ben = world.guest("Ben")
    room = world.create(ben)
    for user, kind, where in ((ana, "avatar", None), (ben, "cover", room.id)):
        world.send(user, kind, b"picture %s" % kind.encode(), room=where)  # type: ignore[arg-type]
    world.work_off()
    assert_tidy(world, shown=2)
    world.call(delete_me, by=ana)
    assert_tidy(world, shown=1)
    world.store.sweep_expired(world.clock.now() // 1000 + 90 * DAY // 1000)
    assert_tidy(world, shown=0)


def test_a_host_who_has_handed_over_gives_no_cover_any_more(world: World, ana: UserId) -> None:
    ben = world.guest("Ben")
    room = world.create(ana)
    world.join(ben, room.code)
    upload = world.send(ana, "cover", b"picture 1", room=room.id)
    world.leave(ana, room.id)
    world.work_off()
    assert world.upload(ana, upload).reason == "Only the host of a room can give it a cover."
    assert_tidy(world, shown=0)


def test_a_room_that_is_gone_takes_no_cover(world: World, ana: UserId) -> None:
    room = world.create(ana)
    upload = world.send(ana, "cover", b"picture 1", room=room.id)
    rooms.delete(world.table, world.cache, rooms.get(world.table, room.id))
    world.work_off()
    assert world.upload(ana, upload).reason == "The room of this cover does not exist any more."
    assert_tidy(world, shown=0)


def test_files_of_an_account_that_is_gone_are_removed_unseen(world: World, ana: UserId) -> None:
    world.send(ana, "avatar", b"picture 1")
    world.call(delete_me, by=ana)
    world.work_off()
    assert world.uploads.content == {}
    assert_tidy(world, shown=0)


# ------------------------------------------------------------------------------------------ lists


def test_a_list_becomes_the_deck_of_rooms_of_its_owner_alone(world: World, ana: UserId) -> None:
    upload = world.send(ana, "list", b"Title,Year\nHeat,1995\nAlien,1979\n")
    ask = CreateRoom(deck=FromUpload(upload_id=upload))
    with pytest.raises(errors.UploadNotReady):
        world.call(create_room, ask, ana)
    world.work_off()
    assert world.upload(ana, upload).entries == 2
    room = world.call(create_room, ask, ana)
    titles = world.call(get_deck, GetDeck(room_id=room.id), ana).body.items
    assert [(title.title, title.year) for title in titles] == [("Heat", 1995), ("Alien", 1979)]
    with pytest.raises(errors.InvalidRequest):
        world.call(create_room, ask, world.guest("Ben"))
    assert_tidy(world, shown=0)


def test_a_long_list_is_a_pool_from_which_each_room_draws_its_own(
    world: World, ana: UserId
) -> None:
    upload = world.send(ana, "list", "\n".join(f"Film {n}" for n in range(2000)).encode())
    world.work_off()
    assert world.upload(ana, upload).entries == 2000
    drawn = []
    for size in (500, 50, 50):
        ask = CreateRoom(deck=FromUpload(upload_id=upload, size=size))
        room = world.call(create_room, ask, ana)
        assert room.deck_size == size
        items = world.call(get_deck, GetDeck(room_id=room.id), ana).body.items
        numbers = [int(title.title.split()[1]) for title in items]
        assert numbers == sorted(set(numbers))
        drawn.append(tuple(numbers))
    assert drawn[1] != drawn[2]


def test_what_is_no_list_becomes_no_deck(world: World, ana: UserId) -> None:
    rejected = world.send(ana, "list", b"\0")
    picture = world.send(ana, "avatar", b"picture 1")
    world.work_off()
    for upload in (rejected, picture, UploadId("nothing")):
        with pytest.raises(errors.InvalidRequest) as refused:
            world.call(create_room, CreateRoom(deck=FromUpload(upload_id=upload)), ana)
        assert refused.value.errors[0][0] == "/deck/uploadId"


# ------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("kind", "content"), [("avatar", b"no picture"), ("list", b"Title,Year\nHeat,soon\n")]
)
def test_a_file_of_no_use_is_told_to_its_owner_and_is_no_failure(
    world: World, ana: UserId, kind: Any, content: bytes
) -> None:
    upload = world.send(ana, kind, content)
    world.work_off()
    shape = world.call(get_upload, GetUpload(upload_id=upload), ana)
    assert shape.state == "rejected"
    assert shape.reason
    assert world.queues.count("process-upload") == world.queues.count("process-upload-dead") == 0
    assert_tidy(world, shown=0)


def test_notices_in_any_order_and_number_come_to_the_same(world: World, ana: UserId) -> None:
    sent = [(kind, b"picture %d" % n) for n, kind in enumerate(("avatar", "avatar", "cover"))]
    for order in permutations([0, 1, 2]):
        room = world.create(ana)
        uploads = []
        for kind, content in sent:
            where = room.id if kind == "cover" else None
            uploads.append(world.send(ana, kind, content, room=where))  # type: ignore[arg-type]
            world.clock.advance(1)
        for number in (*order, *reversed(order)):
            world.process(ana, uploads[number])
        assert avatar(world, ana) == uploads[1]
        assert cover(world, room.id) == uploads[2]
        assert world.uploads.content == {}


def test_a_file_whose_notice_was_lost_is_processed_after_all(world: World, ana: UserId) -> None:
    upload = world.send(ana, "avatar", b"picture 1", notices=0)
    world.clock.advance(FORM_FOR)
    world.sweep()
    assert world.queues.count("process-upload") == 0, "the notice may still be on its way"
    world.clock.advance(leftovers.LOOK_AFTER)
    world.sweep()
    world.work_off()
    assert avatar(world, ana) == upload
    assert_tidy(world, shown=1)


def test_a_file_that_cannot_be_processed_is_given_up_in_the_end(world: World, ana: UserId) -> None:
    upload = world.send(ana, "avatar", b"picture 1", notices=0)
    sent = 0
    for _ in range(20):
        world.clock.advance(HOUR)
        world.sweep()
        for message in world.queues.receive("process-upload"):
            world.queues.delete("process-upload", [message.receipt])
            sent += 1
    assert sent == 3
    assert "could not be processed" in (world.upload(ana, upload).reason or "")
    assert_tidy(world, shown=0)


def test_who_never_sends_a_file_is_told_so(world: World, ana: UserId) -> None:
    upload = world.ask(ana, "avatar")
    world.clock.advance(FORM_FOR + leftovers.LOOK_AFTER)
    world.sweep()
    assert world.upload(ana, upload).reason == "No file arrived in time. Choose it again."
    assert_tidy(world, shown=0)


def test_a_file_that_comes_when_it_was_given_up_is_removed(world: World, ana: UserId) -> None:
    upload = world.ask(ana, "avatar")
    world.clock.advance(HOUR)
    world.sweep()
    world.uploads.arrive(f"uploads/{ana}/{upload}", b"picture 1")
    world.work_off()
    assert avatar(world, ana) is None
    assert world.uploads.content == {}


@pytest.mark.parametrize("key", ["blobs/x", "uploads/x", "uploads/../x", "uploads/a/b/c", ""])
def test_a_notice_of_something_else_does_nothing(world: World, key: str) -> None:
    world.uploads.content[key] = b"not ours"
    world.process_file(key)
    assert world.uploads.content == {key: b"not ours"}


def test_a_removal_that_broke_off_is_taken_over_and_nobody_stores_what_it_removes(
    world: World, ana: UserId
) -> None:
    class Died(BaseException):
        pass

    class Dying:
        def delete(self, blob: str) -> None:
            raise Died

    upload = world.send(ana, "avatar", b"picture 1")
    world.work_off()
    world.clock.advance(1)
    world.call(remove_avatar, by=ana)
    blob = blob_id(b"64 of picture 1")
    with pytest.raises(Died):
        claims.release(world.table, Dying(), blob, upload, world.clock.now())  # type: ignore[arg-type]
    other = world.send(world.guest("Ben"), "avatar", b"picture 1")
    with pytest.raises(claims.Unavailable):
        claims.claim(world.table, blob, other)
    now = world.clock.now()
    assert not claims.release(world.table, world.media, blob, upload, now)
    world.clock.advance(claims.TAKE_OVER_AFTER + MINUTE)
    assert claims.release(world.table, world.media, blob, upload, world.clock.now())
    assert blob not in world.media.content
    world.work_off()
    assert world.media.get(blob) == b"64 of picture 1"
    assert_tidy(world, shown=1)
