"""What the group thinks, best first."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.consensus import AtLeast, Easing, Share, Unanimous
from trinity.domain.ranking import rank
from trinity.domain.titles import Title

USERS = [f"u{n}" for n in range(5)]
PRESENT = frozenset(USERS[:4])
SIZE = 5


def film(n, rating=None):
    return Title(id=f"t{n}", title=f"T{n}", media_type="movie", genres=(), rating=rating)


RATINGS = st.none() | st.integers(0, 10).map(float)
DECKS = st.lists(RATINGS, min_size=SIZE, max_size=SIZE).map(
    lambda ratings: [film(n, rating) for n, rating in enumerate(ratings)]
)
BALLOTS = st.dictionaries(
    st.sampled_from([f"t{n}" for n in range(SIZE)]),
    st.dictionaries(
        st.sampled_from(USERS), st.sampled_from(["yes", "no", "super", "veto"]), min_size=1
    ),
)
RULES = st.sampled_from([Unanimous(), AtLeast(2), Share(50), Easing()])


@given(DECKS, BALLOTS, RULES)
def test_exactly_the_titles_that_somebody_present_has_voted_on_are_ranked(deck, ballots, rule):
    ranked = [row.title_id for row in rank(deck, ballots, PRESENT, rule)]
    voted = {title for title, ballot in ballots.items() if ballot.keys() & PRESENT}
    assert sorted(ranked) == sorted(voted)


@given(DECKS, BALLOTS, RULES)
def test_better_comes_before_worse(deck, ballots, rule):
    rows = rank(deck, ballots, PRESENT, rule)
    position = {title.id: n for n, title in enumerate(deck)}
    for row, worse in itertools.pairwise(rows):
        if (row.veto > 0) != (worse.veto > 0):
            assert worse.veto
        elif row.score != worse.score:
            assert row.score > worse.score
        elif row.no != worse.no:
            assert row.no < worse.no
        elif (row.title.rating or 0) != (worse.title.rating or 0):
            assert (row.title.rating or 0) > (worse.title.rating or 0)
        else:
            assert position[row.title_id] < position[worse.title_id]


@given(DECKS, BALLOTS, RULES)
def test_counts_add_up_and_scores_stay_in_bounds(deck, ballots, rule):
    for row in rank(deck, ballots, PRESENT, rule):
        votes = [c for u, c in ballots[row.title_id].items() if u in PRESENT]
        assert row.yes + row.no + row.super + row.veto == len(votes)
        assert 0 <= row.score <= 1.25
        assert row.reason.endswith(".")
        if row.veto:
            assert row.score == 0
            assert row.reason.startswith("Out: vetoed by")


@given(DECKS, BALLOTS, RULES, st.sampled_from(["yes", "no", "super", "veto"]))
def test_votes_of_the_absent_do_not_change_the_ranking(deck, ballots, rule, choice):
    absent = USERS[-1]
    other = {title: {**ballot, absent: choice} for title, ballot in ballots.items()}
    without = {
        title: {u: c for u, c in ballot.items() if u != absent} for title, ballot in ballots.items()
    }
    assert rank(deck, other, PRESENT, rule) == rank(deck, without, PRESENT, rule)


@given(DECKS, BALLOTS, st.sampled_from([f"t{n}" for n in range(SIZE)]))
def test_a_no_that_becomes_a_yes_never_moves_a_title_down(deck, ballots, title):
    user = USERS[0]
    ballot = {u: c for u, c in ballots.get(title, {}).items() if u != user}

    def place(choice):
        rows = rank(deck, {**ballots, title: {**ballot, user: choice}}, PRESENT, Unanimous())
        return [row.title_id for row in rows].index(title)

    assert place("super") <= place("yes") <= place("no")


def test_the_reason_is_a_sentence_for_people():
    deck = [film(n) for n in range(6)]
    four = dict.fromkeys(PRESENT, "yes")
    ballots = {
        "t0": four,
        "t1": {**four, "u0": "super"},
        "t2": {"u0": "yes", "u1": "no"},
        "t3": {"u0": "yes"},
        "t4": {"u0": "no"},
        "t5": {"u0": "yes", "u1": "veto", "u2": "veto"},
    }
    reasons = {row.title_id: row.reason for row in rank(deck, ballots, PRESENT, AtLeast(2))}
    assert reasons == {
        "t0": "Everybody said yes.",
        "t1": "Everybody said yes, one person with a super.",
        "t2": "1 of 4 said yes; the rule asks for 2.",
        "t3": "1 of 4 said yes, nobody said no; the rule asks for 2.",
        "t4": "Nobody said yes; the rule asks for 2.",
        "t5": "Out: vetoed by 2 people.",
    }
