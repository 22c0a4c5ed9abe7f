"""Schemas of events: true, described, and changed in no way that breaks a reader."""

import copy
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.domain_events import FACTS, DomainEvent
from trinity.event_schemas import breaks, schemas

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "schema" / "events"
EXAMPLES = sorted((FOLDER / "examples").glob("*.json"))
FACT_NAMES = [f"{name}.v{kind.version}" for name, kind in FACTS.items()]


def validator(schema: Any) -> Any:
    return jsonschema_rs.Draft202012Validator(schema)


# ----------------------------------------------------------------------------- what is released


def test_every_event_has_a_schema_and_an_example() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} >= {*FACT_NAMES, "DomainEvent.v1"}
    assert {path.stem for path in EXAMPLES} >= set(FACT_NAMES)


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_one(name: str) -> None:
    jsonschema_rs.meta.validate(schemas()[name])


@pytest.mark.parametrize("name", schemas())
def test_every_field_is_described(name: str) -> None:
    whole = schemas()[name]
    for part in (whole, *whole.get("$defs", {}).values()):
        assert part["description"]
        assert all(field["description"] for field in part["properties"].values())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_what_the_schemas_say_and_what_is_read(path: Path) -> None:
    sent = json.loads(path.read_text())
    name = f"{sent['type']}.v{sent['version']}"
    assert name == path.stem
    validator(json.loads((FOLDER / "DomainEvent.v1.json").read_text())).validate(sent)
    validator(json.loads((FOLDER / f"{name}.json").read_text())).validate(sent["data"])
    if name in FACT_NAMES:
        event = msgspec.json.decode(path.read_bytes(), type=DomainEvent)
        assert json.loads(msgspec.json.encode(event.fact)) == sent["data"]
        assert json.loads(msgspec.json.encode(event)) == sent


@pytest.mark.parametrize("name", FACT_NAMES)
def test_a_schema_refuses_what_lacks_a_field(name: str) -> None:
    data = json.loads((FOLDER / "examples" / f"{name}.json").read_text())["data"]
    schema = schemas()[name]
    for field in schema.get("required", ()):
        lacking = {key: value for key, value in data.items() if key != field}
        assert not validator(schema).is_valid(lacking)


def test_ids_of_examples_differ() -> None:
    ids = [json.loads(path.read_text())["id"] for path in EXAMPLES]
    assert len(set(ids)) == len(ids)


def test_make_docs_refuses_to_break_what_was_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "tools" / "write_docs.py")
    write_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_docs)
    monkeypatch.setattr(write_docs, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["write_docs.py"])
    shutil.copytree(ROOT / "schema", tmp_path / "schema")
    path = tmp_path / "schema" / "events" / "MatchFound.v1.json"
    released = json.loads(path.read_text())
    released["properties"]["poster"] = {"type": "string"}
    path.write_text(json.dumps(released))
    assert write_docs.main() == 1
    assert "MatchFound.v1: .poster was removed" in capsys.readouterr().out
    assert json.loads(path.read_text()) == released
    del released["properties"]["poster"]
    released["description"] = "An older one."
    path.write_text(json.dumps(released))
    assert write_docs.main() == 0
    assert json.loads(path.read_text()) == schemas()["MatchFound.v1"]


# -------------------------------------------------------------------------------- what breaks

RELEASED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 2, "maxLength": 5},
        "kind": {"enum": ["a", "b"]},
        "maybe": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "maxItems": 3},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["id", "kind", "parts"],
    "$defs": {
        "Part": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["n"],
        }
    },
}


def changed(*path: str, to: Any = None, remove: bool = False) -> dict[str, Any]:
    """Return the released schema with one thing changed."""
    new = copy.deepcopy(RELEASED)
    place = new
    for step in path[:-1]:
        place = place[step]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return new


P = "properties"
PART = ("$defs", "Part")
BREAKING = {
    "a field is removed": (changed(P, "maybe", remove=True), ".maybe was removed"),
    "a required field is removed": (changed(P, "id", remove=True), ".id was removed"),
    "a field is newly required": (
        changed("required", to=["id", "kind", "parts", "maybe"]),
        ".maybe is newly required",
    ),
    "a new field is required": (
        changed("required", to=["id", "kind", "parts", "x"]),
        ".x is newly required",
    ),
    "a field may be missing now": (
        changed("required", to=["id", "kind"]),
        ".parts is not always there any more",
    ),
    "a type is another": (
        changed(P, "id", to={"type": "integer"}),
        ".id was string and is integer",
    ),
    "a type is narrower": (
        changed(P, "maybe", to={"type": "integer", "minimum": 0}),
        ".maybe was integer or null and is integer",
    ),
    "a type is wider": (
        changed(P, "id", to={"type": ["string", "null"], "minLength": 2, "maxLength": 5}),
        ".id was string and is null or string",
    ),
    "a value is gone": (changed(P, "kind", "enum", to=["a"]), ".kind cannot be 'b' any more"),
    "values are only some now": (
        changed(P, "id", to={"type": "string", "enum": ["aa"]}),
        ".id could be anything of its type and is one of ['aa']",
    ),
    "a lower bound is higher": (
        changed(P, "id", "minLength", to=3),
        ".id is bound by minLength 3",
    ),
    "an upper bound is lower": (
        changed(P, "parts", "maxItems", to=2),
        ".parts is bound by maxItems 2",
    ),
    "a bound is new": (
        changed(P, "maybe", "anyOf", to=[{"type": "integer", "minimum": 1}, {"type": "null"}]),
        ".maybe is bound by minimum 1",
    ),
    "a form is new": (
        changed(P, "id", "pattern", to="^a"),
        ".id must have the pattern '^a'",
    ),
    "a field of a part is removed": (
        changed(*PART, P, "note", remove=True),
        ".parts[].note was removed",
    ),
    "a field of a part is another": (
        changed(*PART, P, "n", to={"type": "string"}),
        ".parts[].n was integer and is string",
    ),
    "members of a map are others": (
        changed(P, "counts", "additionalProperties", to={"type": "string"}),
        ".counts[] was integer and is string",
    ),
    "nothing further is allowed": (
        changed("additionalProperties", to=False),
        "[] was anything and is boolean",
    ),
    "the whole is something else": ({"type": "array"}, "the event was object and is array"),
}
HARMLESS = {
    "nothing changes": RELEASED,
    "a field is added": changed(P, "new", to={"type": "string"}),
    "a field of a part is added": changed(*PART, P, "new", to={"type": "string"}),
    "an enumeration grows": changed(P, "kind", "enum", to=["a", "b", "c"]),
    "bounds are looser": changed(P, "id", to={"type": "string", "maxLength": 9}),
    "a description is another": changed(P, "id", "description", to="another"),
    "a part is written where it stands": changed(P, "parts", "items", to=RELEASED["$defs"]["Part"]),
    "a type is written in another way": changed(
        P, "maybe", to={"type": ["null", "integer"], "minimum": 0}
    ),
}


@pytest.mark.parametrize("case", BREAKING)
def test_what_would_break_a_reader_is_told(case: str) -> None:
    new, reason = BREAKING[case]
    assert reason in breaks(RELEASED, new)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_breaks_no_reader_is_let_through(case: str) -> None:
    assert breaks(RELEASED, HARMLESS[case]) == []


@pytest.mark.parametrize("name", schemas())
def test_each_field_that_is_taken_from_an_event_is_missed(name: str) -> None:
    released = schemas()[name]
    for field in released["properties"]:
        new = copy.deepcopy(released)
        del new["properties"][field]
        assert breaks(released, new)


# ---------------------------------------------------------------------- any pair of schemas

LEAVES = st.one_of(
    st.builds(
        lambda low, width: {"type": "integer", "minimum": low, "maximum": low + width},
        st.integers(-2, 2),
        st.integers(0, 3),
    ),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 2)),
    st.just({"type": "boolean"}),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True).map(lambda v: {"enum": v}),
)


def with_null(inner: Any) -> Any:
    return st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner)


def objects(inner: Any) -> Any:
    fields = st.dictionaries(st.sampled_from("xyz"), st.tuples(inner, st.booleans()))
    return fields.map(
        lambda given: {
            "type": "object",
            "properties": {name: schema for name, (schema, _) in given.items()},
            "required": sorted(name for name, (_, needed) in given.items() if needed),
        }
    )


SCHEMAS = objects(
    st.recursive(
        LEAVES | with_null(LEAVES),
        lambda inner: objects(inner) | inner.map(lambda one: {"type": "array", "items": one}),
        max_leaves=4,
    )
)


def edited(schema: dict[str, Any], data: Any) -> dict[str, Any]:
    """Return a schema with a few changes, so that many pairs are nearly alike."""
    new = copy.deepcopy(schema)
    for _ in range(data.draw(st.integers(0, 2))):
        properties = new["properties"]
        name = data.draw(st.sampled_from("xyz"))
        match data.draw(st.sampled_from(["put", "drop", "require", "free"])):
            case "put":
                properties[name] = data.draw(LEAVES | with_null(LEAVES))
            case "drop":
                properties.pop(name, None)
                new["required"] = [other for other in new["required"] if other != name]
            case "require" if name in properties:
                new["required"] = sorted({*new["required"], name})
            case "free":
                new["required"] = [other for other in new["required"] if other != name]
    return new


def instances(schema: dict[str, Any]) -> Any:
    """Return a strategy for what a schema describes, without fields that it does not know."""
    if "anyOf" in schema:
        return st.one_of([instances(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "string":
            return st.text("ab", max_size=schema["maxLength"])
        case "array":
            return st.lists(instances(schema["items"]), max_size=2)
        case "object":
            parts = {name: instances(part) for name, part in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: part for name, part in parts.items() if name in schema["required"]},
                optional={n: part for n, part in parts.items() if n not in schema["required"]},
            )
    return st.none() if schema["type"] == "null" else st.booleans()


@given(st.data(), SCHEMAS)
def test_what_breaks_nothing_reads_all_that_was_ever_told(data: Any, old: dict[str, Any]) -> None:
    new = edited(old, data)
    if breaks(old, new):
        return
    event = data.draw(instances(old))
    assert validator(old).is_valid(event)
    assert validator(new).is_valid(event)


@given(st.data(), SCHEMAS)
def test_who_knows_the_released_schema_finds_all_that_it_promised(
    data: Any, old: dict[str, Any]
) -> None:
    new = edited(old, data)
    if breaks(old, new):
        return
    event = data.draw(instances(new))
    assert set(old["required"]) <= event.keys()


@given(SCHEMAS)
def test_a_schema_does_not_break_itself(schema: dict[str, Any]) -> None:
    assert breaks(schema, copy.deepcopy(schema)) == []
