"""When a group agrees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.consensus import (
    AtLeast,
    Easing,
    Share,
    Unanimous,
    agreement,
    easing_due,
    kind,
    may_complete,
    needed,
    vetoed,
)

USERS = [f"u{n}" for n in range(6)]
CHOICES = st.sampled_from(["yes", "no", "super", "veto"])
BALLOTS = st.dictionaries(st.sampled_from(USERS), CHOICES)
PRESENT = st.frozensets(st.sampled_from(USERS))
RULES = st.one_of(
    st.just(Unanimous()),
    st.builds(AtLeast, st.integers(1, 100)),
    st.builds(Share, st.integers(1, 100)),
    st.builds(Easing, st.lists(st.integers(1, 500), min_size=1, max_size=5).map(tuple)),
)
EASED = st.integers(0, 5)

EXAMPLES = [
    ("all of two", Unanimous(), "yy", 0, True),
    ("one of two", Unanimous(), "y-", 0, False),
    ("a no counts as no yes", Unanimous(), "yn", 0, False),
    ("a super is a yes", Unanimous(), "ys", 0, True),
    ("nobody agrees alone", Unanimous(), "y", 0, False),
    ("nobody agrees alone, though one is enough", AtLeast(1), "y", 0, False),
    ("one of two is enough if the rule says so", AtLeast(1), "y-", 0, True),
    ("two of three", AtLeast(2), "yyn", 0, True),
    ("a veto excludes", AtLeast(2), "yyv", 0, False),
    ("more than there are", AtLeast(4), "yyy", 0, False),
    ("exactly half", Share(50), "yn", 0, True),
    ("a third is less than half", Share(50), "ynn", 0, False),
    ("two thirds round up", Share(67), "yyn", 0, False),
    ("two thirds", Share(66), "yyn", 0, True),
    ("not eased yet", Easing(), "yyn", 0, False),
    ("eased by one", Easing(), "yyn", 1, True),
    ("eased by two, but two must agree", Easing(), "ynn", 2, False),
]


@pytest.mark.parametrize(
    ("rule", "votes", "eased", "agree"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_the_rules_say_what_people_expect(rule, votes, eased, agree):
    words = {"y": "yes", "n": "no", "s": "super", "v": "veto"}
    ballot = {USERS[n]: words[v] for n, v in enumerate(votes) if v != "-"}
    found = agreement(rule, ballot, set(USERS[: len(votes)]), eased)
    assert (found is not None) == agree


@given(RULES, BALLOTS, PRESENT, EASED, st.sampled_from(USERS), st.sampled_from(["yes", "super"]))
def test_one_more_yes_never_undoes_an_agreement(rule, ballot, present, eased, user, choice):
    if agreement(rule, ballot, present, eased) is not None:
        assert agreement(rule, {**ballot, user: choice}, present, eased) is not None


@given(RULES, BALLOTS, PRESENT, EASED, st.sampled_from(USERS), st.none() | CHOICES)
def test_votes_of_the_absent_never_matter(rule, ballot, present, eased, user, choice):
    if user not in present:
        other = {u: c for u, c in ballot.items() if u != user}
        if choice is not None:
            other[user] = choice
        assert agreement(rule, ballot, present, eased) == agreement(rule, other, present, eased)


@given(RULES, BALLOTS, PRESENT.filter(bool), EASED, st.data())
def test_one_veto_of_somebody_present_excludes(rule, ballot, present, eased, data):
    user = data.draw(st.sampled_from(sorted(present)))
    assert vetoed({**ballot, user: "veto"}, present)
    assert agreement(rule, {**ballot, user: "veto"}, present, eased) is None


@given(RULES, BALLOTS, st.frozensets(st.sampled_from(USERS), max_size=1), EASED)
def test_nobody_agrees_alone(rule, ballot, present, eased):
    assert agreement(rule, ballot, present, eased) is None


@given(RULES, BALLOTS, PRESENT, EASED)
def test_who_agrees_is_exactly_who_is_present_and_said_yes(rule, ballot, present, eased):
    found = agreement(rule, ballot, present, eased)
    if found is not None:
        yes = {u for u, c in ballot.items() if c in ("yes", "super") and u in present}
        assert list(found) == sorted(yes)
        assert len(found) >= needed(rule, len(present), eased)


@given(RULES, PRESENT.filter(lambda p: len(p) >= 2), EASED)
def test_if_all_say_yes_they_agree_unless_the_rule_asks_for_more_than_there_are(
    rule, present, eased
):
    found = agreement(rule, dict.fromkeys(present, "yes"), present, eased)
    if isinstance(rule, AtLeast) and rule.count > len(present):
        assert found is None
    else:
        assert found == tuple(sorted(present))


@given(RULES, st.integers(2, 100), EASED)
def test_at_least_one_is_needed_and_never_more_than_all_unless_a_count_is_asked(
    rule, present, eased
):
    count = needed(rule, present, eased)
    assert count >= 1
    if not isinstance(rule, AtLeast):
        assert count <= present
    if isinstance(rule, Unanimous | Easing):
        assert count >= 2


@given(st.integers(1, 100), st.integers(2, 100))
def test_a_share_is_the_smallest_number_that_reaches_its_percentage(percent, present):
    count = needed(Share(percent), present)
    assert 100 * count >= percent * present
    assert count == 1 or 100 * (count - 1) < percent * present


@given(RULES, st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 100))
def test_a_rule_eases_more_the_more_votes_there_are(rule, votes, more, present):
    now, later = easing_due(rule, votes, present), easing_due(rule, votes + more, present)
    assert 0 <= now <= later
    if not isinstance(rule, Easing):
        assert later == 0
    else:
        assert later <= len(rule.after)


def test_a_rule_eases_at_so_many_votes_a_head():
    rule = Easing((15, 25))
    assert [easing_due(rule, votes, 2) for votes in (0, 29, 30, 49, 50, 500)] == [0, 0, 1, 1, 2, 2]
    assert easing_due(rule, 500, 0) == 0


@given(RULES, BALLOTS, PRESENT, EASED, st.sampled_from(USERS), st.none() | CHOICES)
def test_a_vote_that_cannot_complete_an_agreement_never_does(
    rule, ballot, present, eased, user, choice
):
    after = {u: c for u, c in ballot.items() if u != user} | ({user: choice} if choice else {})
    before_agreed = agreement(rule, ballot, present, eased) is not None
    if not may_complete(choice, ballot.get(user)) and not before_agreed:
        assert agreement(rule, after, present, eased) is None


def test_each_rule_has_a_name():
    rules = [Unanimous(), AtLeast(1), Share(1), Easing()]
    assert [kind(rule) for rule in rules] == ["unanimous", "atLeast", "share", "easing"]
