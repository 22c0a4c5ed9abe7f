"""Where everything lies in the one table.

| item         | PK            | SK                    |
|--------------|---------------|-----------------------|
| user         | `USER#id`     | `PROFILE`             |
| e-mail       | `EMAIL#addr`  | `EMAIL`               |
| session      | `USER#id`     | `SESSION#family`      |
| reset token  | `RESET#hash`  | `RESET`               |
| … asked for  | `USER#id`     | `FORGOTTEN#id`        |
| room         | `ROOM#id`     | `ROOM`                |
| code         | `CODE#code`   | `CODE`                |
| my room      | `USER#id`     | `ROOM#created#id`     |
| ballot       | `ROOM#id`     | `BALLOT#title`        |
| match        | `ROOM#id`     | `MATCH#title`         |
| room event   | `ROOM#id`     | `EVENT#number`        |
| event log    | `ROOM#id`     | `LOG`                 |
| presence     | `ROOM#id`     | `HERE#user`           |
| idempotency  | `USER#id`     | `ONCE#operation#hash` |
| book         | `REPORT#room` | `SUMMARY`             |
| votes in it  | `REPORT#room` | `TALLY#member`        |
| taste        | `USER#id`     | `TASTE#room`          |
| room of day  | `DAY#date`    | `ROOM#id`             |
| who is gone  | `GONE`        | `room#user`           |
| schedule     | `SCHEDULE#name`| `SCHEDULE`          |
| upload       | `USER#id`     | `UPLOAD#id`           |
| media file   | `MEDIA#blob`  | `MEDIA`               |
| leftover     | `LEFTOVERS`   | `due#upload`          |
| shelf        | `CATALOGUE`   | `SHELF#hash`          |
| preferences  | `USER#id`     | `NOTICE#PREFERENCES`  |
| browser      | `USER#id`     | `NOTICE#PUSH#id`      |
| webhook      | `USER#id`     | `NOTICE#WEBHOOK#id`   |
| delivery     | `USER#id`     | `SENT#notice`         |
| last mail    | `USER#id`     | `MAILED#room`         |
| invitation   | `USER#id`     | `INVITE#room`         |
| … by address | `ROOM#id`     | `INVITE#invitee`      |
| … delivery   | `ROOM#id`     | `SENT#notice`         |
| no mails     | `MUTED#invitee` | `MUTED`             |

An invitee is an address that has no account, as a keyed hash.
"""

from typing import Final

from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UploadId, UserId
from trinity.ports import Key

PROFILE: Final = "PROFILE"
ROOM: Final = "ROOM"
BALLOT: Final = "BALLOT#"
MATCH: Final = "MATCH#"
EVENT: Final = "EVENT#"
HERE: Final = "HERE#"
FORGOTTEN: Final = "FORGOTTEN#"
INVITE: Final = "INVITE#"
NOTICE: Final = "NOTICE#"
PREFERENCES: Final = "NOTICE#PREFERENCES"
BROWSER: Final = "NOTICE#PUSH#"
WEBHOOK: Final = "NOTICE#WEBHOOK#"
SESSION: Final = "SESSION#"
MY_ROOM: Final = "ROOM#"
TALLY: Final = "TALLY#"
TASTE: Final = "TASTE#"
UPLOAD: Final = "UPLOAD#"
LEFTOVERS: Final = "LEFTOVERS"
GONE: Final = "GONE"
CATALOGUE: Final = "CATALOGUE"
SHELF: Final = "SHELF#"


def gone(room: RoomId, user: UserId) -> Key:
    """Return the key of a note that the log of a room still names somebody who is gone."""
    return Key(GONE, f"{room}#{user}")


def user_pk(user: UserId) -> str:
    """Return the partition of all that belongs to a user."""
    return f"USER#{user}"


def room_pk(room: RoomId) -> str:
    """Return the partition of all that belongs to a room."""
    return f"ROOM#{room}"


def room_id(pk: str) -> RoomId:
    """Return the room that a partition belongs to."""
    return RoomId(pk.removeprefix("ROOM#"))


def user_id(pk: str) -> UserId:
    """Return the user that a partition belongs to."""
    return UserId(pk.removeprefix("USER#"))


def title_id(sk: str) -> TitleId:
    """Return the title that a ballot is about."""
    return TitleId(sk.removeprefix(BALLOT))


def profile(user: UserId) -> Key:
    """Return the key of a user."""
    return Key(user_pk(user), PROFILE)


def email(address: str) -> Key:
    """Return the key that makes an e-mail address unique."""
    return Key(f"EMAIL#{address}", "EMAIL")


def session(user: UserId, family: str) -> Key:
    """Return the key of a family of refresh tokens."""
    return Key(user_pk(user), SESSION + family)


def reset(token_hash: str) -> Key:
    """Return the key of a token that resets a password."""
    return Key(f"RESET#{token_hash}", "RESET")


def forgotten(user: UserId, request: str) -> Key:
    """Return the key of a wish for a mail to set a new password."""
    return Key(user_pk(user), FORGOTTEN + request)


def room(room: RoomId) -> Key:
    """Return the key of a room."""
    return Key(room_pk(room), ROOM)


def code(code: str) -> Key:
    """Return the key that makes a room code unique."""
    return Key(f"CODE#{code}", "CODE")


def my_room(user: UserId, created_at: Millis, room: RoomId) -> Key:
    """Return the key of a user's pointer to a room; the keys sort by the age of the room."""
    return Key(user_pk(user), f"{MY_ROOM}{created_at:015}#{room}")


def ballot(room: RoomId, title: TitleId) -> Key:
    """Return the key of the votes on one title."""
    return Key(room_pk(room), BALLOT + title)


def match(room: RoomId, title: TitleId) -> Key:
    """Return the key of a match."""
    return Key(room_pk(room), MATCH + title)


def event(room: RoomId, number: int) -> Key:
    """Return the key of an event in the log of a room."""
    return Key(room_pk(room), f"{EVENT}{number:012}")


def log(room: RoomId) -> Key:
    """Return the key of the head of a room's event log."""
    return Key(room_pk(room), "LOG")


def here(room: RoomId, user: UserId) -> Key:
    """Return the key of what tells that a member is in the room just now."""
    return Key(room_pk(room), HERE + user)


def report_pk(room: RoomId) -> str:
    """Return the partition of what is kept of a room for reports."""
    return f"REPORT#{room}"


def summary(room: RoomId) -> Key:
    """Return the key of what has come to a room."""
    return Key(report_pk(room), "SUMMARY")


def page(room: RoomId, member: str) -> Key:
    """Return the key of the votes of one member with their times."""
    return Key(report_pk(room), TALLY + member)


def taste(user: UserId, room: RoomId) -> Key:
    """Return the key of what a user votes for in a room."""
    return Key(user_pk(user), TASTE + room)


def day_pk(date: str) -> str:
    """Return the partition of the rooms that were opened on a day."""
    return f"DAY#{date}"


def room_of_day(date: str, room: RoomId) -> Key:
    """Return the key of how a room counts for its day."""
    return Key(day_pk(date), f"ROOM#{room}")


def once(user: UserId, operation: str, key_hash: str) -> Key:
    """Return the key under which the answer to an idempotent request is kept."""
    return Key(user_pk(user), f"ONCE#{operation}#{key_hash}")


def schedule(name: str) -> Key:
    """Return the key of what is known about the runs of a schedule."""
    return Key(f"SCHEDULE#{name}", "SCHEDULE")


def preferences(user: UserId) -> Key:
    """Return the key of what a user wants to hear of."""
    return Key(user_pk(user), PREFERENCES)


def browser(user: UserId, browser_id: str) -> Key:
    """Return the key of a browser that takes notices."""
    return Key(user_pk(user), BROWSER + browser_id)


def webhook(user: UserId, webhook_id: str) -> Key:
    """Return the key of a program that takes notices."""
    return Key(user_pk(user), WEBHOOK + webhook_id)


def mailed(user: UserId, room: RoomId) -> Key:
    """Return the key of what remembers the last mail about the matches of a room."""
    return Key(user_pk(user), f"MAILED#{room}")


def sent(pk: str, notice_id: str) -> Key:
    """Return the key of the mark that a notice was sent."""
    return Key(pk, f"SENT#{notice_id}")


def invitation(room: RoomId, user: UserId | None, invitee: str) -> Key:
    """Return the key of the invitation of a user, or else of an address, to a room."""
    return Key(user_pk(user), INVITE + room) if user else Key(room_pk(room), INVITE + invitee)


def invited(pk: str, sk: str) -> tuple[RoomId, UserId | None, str]:
    """Return what `invitation` has made a key of."""
    rest = sk.removeprefix(INVITE)
    return (RoomId(rest), user_id(pk), "") if pk.startswith("USER#") else (room_id(pk), None, rest)


def muted(invitee: str) -> Key:
    """Return the key of what keeps mails from an address that has no account."""
    return Key(f"MUTED#{invitee}", "MUTED")


def upload(user: UserId, upload: UploadId) -> Key:
    """Return the key of a file that a user sends."""
    return Key(user_pk(user), UPLOAD + upload)


def media(blob: BlobId) -> Key:
    """Return the key of what is known of a file of a picture."""
    return Key(f"MEDIA#{blob}", "MEDIA")


def shelf(name: str) -> Key:
    """Return the key of what is known of a wish for titles."""
    return Key(CATALOGUE, SHELF + name)


def leftover(due: Millis, upload: UploadId) -> Key:
    """Return the key of something to be looked at later; the keys sort by the time."""
    return Key(LEFTOVERS, f"{due:015}#{upload}")
