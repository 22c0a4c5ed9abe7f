"""Families of refresh tokens, without their races: those are in tests/faults."""

import pytest

from trinity.domain.errors import InvalidToken, TokenReused
from trinity.domain.users import REFRESH_TOKEN_FOR, RESET_TOKEN_FOR
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.system.ids import SystemIds
from trinity.ports import TransactionCancelled
from trinity.store import keys, sessions

NOON = 1_800_000_000_000
IDS = SystemIds()


@pytest.fixture
def table(tmp_path):
    store = SqliteStore(tmp_path / "sessions.sqlite")
    yield store.table
    store.close()


def start(table, user="ana", now=NOON):
    return sessions.start(table, IDS, user, now)


def rotate(table, token, now=NOON):
    return sessions.rotate(table, IDS, token, now).token


def families(table, user="ana"):
    return len(table.query(keys.user_pk(user), prefix=keys.SESSION).items)


def test_each_token_leads_to_the_next_of_its_family(table):
    first = start(table)
    second = rotate(table, first)
    third = rotate(table, second)
    assert len({first, second, third}) == 3
    assert {sessions.family(t) for t in (first, second, third)} == {sessions.family(first)}
    assert families(table) == 1


def test_the_secrets_themselves_are_not_stored(table):
    token = start(table)
    stored = repr(table.query(keys.user_pk("ana")).items)
    assert token.rsplit(".", 1)[1] not in stored


def test_a_token_that_comes_back_ends_its_family_and_no_other(table):
    first, other = start(table), start(table)
    second = rotate(table, first)
    with pytest.raises(TokenReused):
        rotate(table, first)
    with pytest.raises(InvalidToken):
        rotate(table, second)
    assert rotate(table, other)


def test_a_guess_of_the_secret_ends_the_family_too(table):
    token = start(table)
    with pytest.raises(TokenReused):
        rotate(table, token[:-1] + "x")
    assert families(table) == 0


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.", ".b.c", "a#b.c.d", "a.b#.c", "ana.none.x"]
)
def test_what_is_no_token_is_refused_and_changes_nothing(table, token):
    start(table)
    with pytest.raises(InvalidToken):
        rotate(table, token)
    sessions.end(table, token)
    assert families(table) == 1


def test_a_token_of_one_user_is_none_of_another(table):
    token = start(table)
    _, family, secret = token.split(".")
    with pytest.raises(InvalidToken):
        rotate(table, f"eve.{family}.{secret}")
    assert rotate(table, token)


def test_a_session_that_is_used_goes_on_and_one_that_rests_ends_after_thirty_days(table):
    token = start(table)
    token = rotate(table, token, NOON + REFRESH_TOKEN_FOR - 1000)
    token = rotate(table, token, NOON + 2 * REFRESH_TOKEN_FOR - 2000)
    with pytest.raises(InvalidToken):
        rotate(table, token, NOON + 3 * REFRESH_TOKEN_FOR - 2000)


def test_a_session_that_had_rested_too_long_is_over_for_both_of_its_tokens(table):
    first = start(table)
    second = rotate(table, first)
    late = NOON + REFRESH_TOKEN_FOR
    with pytest.raises(InvalidToken):  # not reuse: there is nothing left to be stolen
        rotate(table, first, late)
    with pytest.raises(InvalidToken):
        rotate(table, second, late)
    assert families(table) == 0


def test_only_the_newest_token_logs_out(table):
    first = start(table)
    second = rotate(table, first)
    sessions.end(table, first)
    assert families(table) == 1
    sessions.end(table, second)
    sessions.end(table, second)
    assert families(table) == 0


def test_all_sessions_but_the_named_one_end(table):
    kept, other = start(table), start(table)
    theirs = start(table, "eve")
    sessions.end_all(table, "ana", but=sessions.family(kept))
    assert rotate(table, kept)
    assert rotate(table, theirs)
    with pytest.raises(InvalidToken):
        rotate(table, other)
    sessions.end_all(table, "ana")
    assert families(table) == 0


def test_a_reset_token_works_once_within_an_hour(table):
    token = sessions.start_reset(table, IDS, "ana", NOON)
    with pytest.raises(InvalidToken):
        sessions.find_reset(table, token + "x", NOON)
    with pytest.raises(InvalidToken):
        sessions.find_reset(table, token, NOON + RESET_TOKEN_FOR)
    reset = sessions.find_reset(table, token, NOON + RESET_TOKEN_FOR - 1000)
    assert reset.user == "ana"
    table.transact([reset.using_up])
    with pytest.raises(InvalidToken):
        sessions.find_reset(table, token, NOON)
    with pytest.raises(TransactionCancelled):
        table.transact([reset.using_up])
