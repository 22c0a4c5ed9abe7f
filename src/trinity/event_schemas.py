"""JSON Schemas (2020-12) of the domain events, made from their types, and what breaks them.

https://json-schema.org/draft/2020-12
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trinity.common.described import described
from trinity.domain import domain_events
from trinity.domain.domain_events import FACTS, DomainEvent

Schema = dict[str, Any]

ENVELOPE_VERSION = 1

# What is the same wherever it stands, unless its type says more.
_SHARED = {
    "roomId": "the room.",
    "userId": "the user.",
    "titleId": "the title.",
    "hostId": "the user who is its host.",
    "roomVersion": "of two events on one room the one with the larger is newer.",
}


def schemas() -> dict[str, Schema]:
    """Return the schema of the envelope and of every fact, by names like `MatchFound.v1`."""
    kinds: dict[str, type[msgspec.Struct]] = {f"DomainEvent.v{ENVELOPE_VERSION}": DomainEvent}
    kinds |= {f"{name}.v{kind.version}": kind for name, kind in sorted(FACTS.items())}
    return {name: _schema(name, kind) for name, kind in kinds.items()}


def breaks(released: Schema, new: Schema) -> list[str]:
    """Return in what a schema is no later edition of one that was released, in sentences.

    Both ways have to go well: who knows the released one reads new events, and who knows the new
    one reads those in the archive. So fields may be added that need not be there, bounds may be
    loosened, and enumerations may grow: consumers are told to skip a value that they do not know.
    All else needs a new version of the event.
    """
    return list(_breaks("", released, new, released.get("$defs", {}), new.get("$defs", {})))


# ------------------------------------------------------------------------------------- making


def _schema(name: str, kind: type[msgspec.Struct]) -> Schema:
    (top,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    structs = [k for k in vars(domain_events).values() if inspect.isclass(k)]
    types = {k.__name__: k for k in structs if issubclass(k, msgspec.Struct)}
    for part, schema in parts.items():
        _describe(schema, types[part])
    own = parts.pop(top["$ref"].rpartition("/")[2])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{name}.json",
        **own,
        **({"$defs": dict(sorted(parts.items()))} if parts else {}),
    }


def _describe(schema: Schema, kind: type[msgspec.Struct]) -> None:
    """Take the descriptions of fields from the docstring of their type."""
    schema["description"], told = described(kind)
    for field in msgspec.structs.fields(kind):
        description = told.get(field.name) or _SHARED.get(field.encode_name)
        if description is None:
            raise ValueError(f"{kind.__name__}.{field.name} has no description")
        schema["properties"][field.encode_name]["description"] = description
    if not kind.__struct_config__.omit_defaults:
        schema["required"] = list(schema["properties"])  # all of it is always told


# ---------------------------------------------------------------------------------- comparing

# For each JSON type the keywords that bound its values from below and from above, and others.
_NUMBER = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"), ("multipleOf",))
_BOUNDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "integer": _NUMBER,
    "number": _NUMBER,
    "string": (("minLength",), ("maxLength",), ("pattern", "format")),
    "array": (("minItems",), ("maxItems",), ("uniqueItems",)),
    "object": (("minProperties",), ("maxProperties",), ()),
}


def _breaks(
    place: str, released: Schema, new: Schema, old_defs: Schema, new_defs: Schema
) -> Iterator[str]:
    olds, news = _alternatives(released, old_defs), _alternatives(new, new_defs)
    if olds.keys() != news.keys():
        yield f"{place or 'the event'} was {_words(olds)} and is {_words(news)}"
    for kind in olds.keys() & news.keys():
        old, now = olds[kind], news[kind]
        yield from _narrowed(place, kind, old, now)
        if kind == "object":
            yield from _fields(place, old, now, old_defs, new_defs)
        if kind in ("object", "array"):
            part = "items" if kind == "array" else "additionalProperties"
            before, after = _inner(old, part), _inner(now, part)
            if before or after:
                yield from _breaks(f"{place}[]", before, after, old_defs, new_defs)


def _alternatives(schema: Schema, defs: Schema) -> dict[str, Schema]:
    """Return what a value may be, by its JSON type."""
    if "$ref" in schema:
        return _alternatives(defs[schema["$ref"].rpartition("/")[2]], defs)
    found: dict[str, Schema] = {}
    for one in schema.get("anyOf") or [schema]:
        more = dict.fromkeys(_kinds(one), one) if one is schema else _alternatives(one, defs)
        if more.keys() & found.keys():
            raise ValueError("alternatives of one JSON type cannot be compared yet")
        found |= more
    return found


def _kinds(schema: Schema) -> list[str]:
    """Return the JSON types of what is no reference; anything goes where nothing is said."""
    if "type" in schema:
        kinds = schema["type"]
        return [kinds] if isinstance(kinds, str) else list(kinds)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is None:
        return ["anything"]
    names: Mapping[type, str] = {
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
        type(None): "null",
    }
    return sorted({names[type(value)] for value in values})


def _words(alternatives: Mapping[str, Schema]) -> str:
    return " or ".join(sorted(alternatives))


def _narrowed(place: str, kind: str, old: Schema, now: Schema) -> Iterator[str]:
    values = now.get("enum", [now["const"]] if "const" in now else None)
    if values is not None:
        before = old.get("enum", [old["const"]] if "const" in old else None)
        if before is None:
            yield f"{place} could be anything of its type and is one of {values}"
        else:
            for value in before:
                if value not in values:
                    yield f"{place} cannot be {value!r} any more"
    lower, upper, forms = _BOUNDS.get(kind, ((), (), ()))
    for bound in (*lower, *upper):
        if bound in now:
            looser = bound in old and (
                now[bound] <= old[bound] if bound in lower else now[bound] >= old[bound]
            )
            if not looser:
                yield f"{place} is bound by {bound} {now[bound]}"
    for form in forms:
        if form in now and now[form] != old.get(form):
            yield f"{place} must have the {form} {now[form]!r}"


def _fields(
    place: str, old: Schema, now: Schema, old_defs: Schema, new_defs: Schema
) -> Iterator[str]:
    before, after = old.get("properties", {}), now.get("properties", {})
    needed_before, needed = set(old.get("required", ())), set(now.get("required", ()))
    for name in before:
        if name not in after:
            yield f"{place}.{name} was removed"
        else:
            yield from _breaks(f"{place}.{name}", before[name], after[name], old_defs, new_defs)
            if name in needed_before - needed:
                yield f"{place}.{name} is not always there any more"
    for name in sorted(needed - needed_before):
        yield f"{place}.{name} is newly required"


def _inner(schema: Schema, part: str) -> Schema:
    """Return what the members of a list or a map are."""
    if "prefixItems" in schema:
        raise ValueError("tuples cannot be compared yet")
    inner = schema.get(part, {})
    return inner if isinstance(inner, dict) else {"const": inner}
