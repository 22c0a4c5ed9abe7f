"""What the group thinks of the titles of its deck, best first, and why."""

from collections.abc import Mapping, Sequence, Set

import msgspec

from trinity.domain.consensus import Ballot, Choice, Rule, needed
from trinity.domain.ids import TitleId, UserId
from trinity.domain.titles import Title


class Ranked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A title with the votes of those present.

    Attributes:
        yes: plain yes votes; `super` ones are counted apart.
        score: 0 to 1.25: the share of those present who want it, a super weighing a quarter
            more than a yes; 0 for a vetoed title.
        reason: one sentence for people.
    """

    title_id: TitleId
    title: Title
    yes: int
    no: int
    super: int
    veto: int
    score: float
    reason: str


def rank(
    deck: Sequence[Title],
    ballots: Mapping[TitleId, Ballot],
    present: Set[UserId],
    rule: Rule,
    eased: int = 0,
) -> list[Ranked]:
    """Order the titles that anybody present has voted on.

    The best compromise comes first: whom it pleases most (score), then whom it displeases least
    (noes), then the better rated, then the earlier in the deck. Vetoed titles come last.
    """
    wanted = needed(rule, len(present), eased)
    ranked: list[tuple[tuple[float, ...], Ranked]] = []
    for position, title in enumerate(deck):
        votes = [v for user, v in ballots.get(title.id, {}).items() if user in present]
        if not votes:
            continue
        row = _row(title, votes, len(present), wanted)
        order = (row.veto > 0, -row.score, row.no, -(title.rating or 0), position)
        ranked.append((order, row))
    ranked.sort(key=lambda pair: pair[0])
    return [row for _, row in ranked]


def _row(title: Title, votes: Sequence[Choice], present: int, wanted: int) -> Ranked:
    yes, no, sup, veto = (votes.count(choice) for choice in ("yes", "no", "super", "veto"))
    score = 0.0 if veto else round((yes + 1.25 * sup) / present, 3)
    return Ranked(
        title_id=title.id,
        title=title,
        yes=yes,
        no=no,
        super=sup,
        veto=veto,
        score=score,
        reason=_reason(yes, no, sup, veto, present, wanted),
    )


def _reason(yes: int, no: int, sup: int, veto: int, present: int, wanted: int) -> str:
    if veto:
        return f"Out: vetoed by {_people(veto)}."
    agreed = yes + sup
    if agreed == present:
        text = "Everybody said yes"
    elif agreed == 0:
        text = "Nobody said yes"
    else:
        text = f"{agreed} of {present} said yes"
    if sup:
        text += f", {_people(sup)} with a super"
    if no == 0 and 0 < agreed < present:
        text += ", nobody said no"
    if agreed < wanted:
        text += f"; the rule asks for {wanted}"
    return text + "."


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"
