"""What a member sees next, and when a deck is finished."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.consensus import vetoed
from trinity.domain.decks import complete, next_titles, progress

USERS = [f"u{n}" for n in range(4)]
ME = USERS[0]
PRESENT = frozenset(USERS[:3])
DECK = [f"t{n}" for n in range(6)]
BALLOTS = st.dictionaries(
    st.sampled_from(DECK),
    st.dictionaries(st.sampled_from(USERS), st.sampled_from(["yes", "no", "super", "veto"])),
)


def liked(ballots, title):
    return sum(c in ("yes", "super") for u, c in ballots.get(title, {}).items() if u in PRESENT)


@given(BALLOTS)
def test_next_is_each_unseen_title_that_no_veto_excludes_once(ballots):
    shown = next_titles(DECK, ballots, ME, PRESENT)
    unseen = {t for t in DECK if ME not in ballots.get(t, {})}
    assert len(shown) == len(set(shown))
    assert set(shown) == {t for t in unseen if not vetoed(ballots.get(t, {}), PRESENT)}


@given(BALLOTS)
def test_what_more_of_the_others_like_comes_first_and_ties_keep_the_order_of_the_deck(ballots):
    shown = next_titles(DECK, ballots, ME, PRESENT)
    for title, later in itertools.pairwise(shown):
        likes, fewer = liked(ballots, title), liked(ballots, later)
        assert likes > fewer or (likes == fewer and DECK.index(title) < DECK.index(later))


@given(BALLOTS)
def test_a_deck_is_complete_exactly_when_nobody_present_has_a_card_left(ballots):
    left = [next_titles(DECK, ballots, user, PRESENT) for user in PRESENT]
    assert complete(DECK, ballots, PRESENT) == (not any(left))


def test_an_empty_deck_is_complete():
    assert complete([], {}, PRESENT)


@given(BALLOTS)
def test_progress_counts_the_titles_that_each_has_voted_on(ballots):
    counts = progress(ballots.values(), USERS[:2])
    assert counts == {u: sum(u in b for b in ballots.values()) for u in USERS[:2]}
