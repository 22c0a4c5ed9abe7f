"""Problem documents: one for each error, with a status, a stable code and words for people."""

import re
from pathlib import Path
from typing import Any

import pytest

from trinity.common import problems
from trinity.domain import errors
from trinity.domain.errors import DomainError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def kinds(of: type[DomainError] = DomainError) -> list[type[DomainError]]:
    """Return all kinds of errors, those of kinds included."""
    found = []
    for kind in of.__subclasses__():
        found += [kind, *kinds(kind)]
    return found


ALL = sorted(kinds(), key=lambda kind: kind.__name__)
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.read_text().splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
class TestKind:
    """Each kind of error."""

    def test_it_has_a_status_and_a_title(self, kind: type[DomainError]) -> None:
        status, title = problems.STATUS[kind]
        assert 400 <= status < 600
        assert title[0].isupper()
        assert not title.endswith(".")

    def test_its_code_is_a_word_for_programs(self, kind: type[DomainError]) -> None:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)

    def test_it_has_a_sentence_for_people(self, kind: type[DomainError]) -> None:
        assert re.fullmatch(r"[A-Z].*\.", kind.default_detail)
        assert kind().detail == kind.default_detail

    def test_it_is_documented_in_the_words_of_its_class(self, kind: type[DomainError]) -> None:
        status, _ = problems.STATUS[kind]
        meaning = " ".join(str(kind.__doc__).split())
        assert (f"`{kind.code}`", str(status), meaning) in ROWS

    def test_its_document_has_what_rfc_9457_asks_for(self, kind: type[DomainError]) -> None:
        status, document = problems.problem(kind(), "req-1")
        assert document == {
            "type": f"urn:trinity:problem:{kind.code}",
            "title": problems.STATUS[kind][1],
            "status": status,
            "detail": kind.default_detail,
            "code": kind.code,
            "instance": "urn:trinity:request:req-1",
        }
        assert status == problems.STATUS[kind][0]


def test_nothing_has_a_status_that_is_no_error() -> None:
    assert set(problems.STATUS) == set(ALL)


def test_a_status_and_a_code_name_one_kind() -> None:
    pairs = [(status, kind.code) for kind, (status, _) in problems.STATUS.items()]
    assert len(set(pairs)) == len(pairs)


def test_no_two_kinds_share_a_title() -> None:
    titles = [title for _, title in problems.STATUS.values()]
    assert len(set(titles)) == len(titles)


def test_the_page_documents_nothing_that_does_not_exist() -> None:
    known = {(f"`{kind.code}`", str(status)) for kind, (status, _) in problems.STATUS.items()}
    assert {row[:2] for row in ROWS} == known
    assert len(ROWS) == len(known)


def test_a_detail_of_its_own_takes_the_place_of_the_usual_one() -> None:
    _, document = problems.problem(errors.Forbidden("Not today."), "r")
    assert document["detail"] == "Not today."


def test_what_is_wrong_with_the_input_is_told_by_pointers() -> None:
    wrong = [("/name", "is too long"), ("/deck/items/0/title", "is missing")]
    document: dict[str, Any]
    _, document = problems.problem(errors.InvalidRequest(errors=wrong), "r")
    assert document["errors"] == [
        {"pointer": "/name", "message": "is too long"},
        {"pointer": "/deck/items/0/title", "message": "is missing"},
    ]
