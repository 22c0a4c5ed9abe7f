"""Scenarios: what is given, one request, and what comes of it. Data, and one runner that plays it.

Texts may refer to what a scenario has made so far: `{ana}` is her user id, `{ana.token}` her access
token, `{r1}` the id of a room, `{r1.code}` its code, `{r1.jaws}` the id of a title of its deck,
`{page.items.0.id}` a piece of an answer that was kept with `did(..., keep="page")`, and
`{page.all}` the whole of it; `{when.id}` is a piece of the answer to the request in question.
"""

import dataclasses
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tests.acceptance.contract import Document
from tests.server import Client, Response, eventually

PASSWORD = "correct horse battery"
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_:-]+)*)\}")


# ------------------------------------------------------------------------------------- patterns


class Pattern:
    """Something to compare with that is not one value.

    Args:
        name: for messages.
        test: whether a value fits.
    """

    def __init__(self, name: str, test: Callable[[Any], bool]) -> None:
        self.name = name
        self.test = test

    def __repr__(self) -> str:
        return self.name


ANY = Pattern("anything", lambda _: True)
ABSENT = Pattern("nothing", lambda _: False)
TEXT = Pattern("a text", lambda value: isinstance(value, str) and value != "")
TIME = Pattern(
    "a time in UTC",
    lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None,
)


def like(pattern: str) -> Pattern:
    """A text in which a regular expression is found."""
    return Pattern(f"like {pattern!r}", lambda value: re.search(pattern, value) is not None)


def length(count: int) -> Pattern:
    """Something with so many elements."""
    return Pattern(f"{count} elements", lambda value: len(value) == count)


def each(pattern: Any) -> Pattern:
    """A list, not empty, of which each element fits."""
    return Pattern(
        f"each {pattern!r}",
        lambda value: value != [] and not any(differences(pattern, one) for one in value),
    )


def satisfies(name: str, test: Callable[[Any], bool]) -> Pattern:
    """Whatever passes a test of one's own."""
    return Pattern(name, test)


def differences(expected: Any, actual: Any, at: str = "$") -> list[str]:
    """Return where a value differs; of objects only the named members are looked at."""
    if isinstance(expected, Pattern):
        return [] if expected.test(actual) else [f"{at}: {actual!r} is not {expected}"]
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        found = []
        for name, value in expected.items():
            if value is ABSENT:
                found += [f"{at}.{name}: {actual[name]!r} should not be"] if name in actual else []
            elif name not in actual:
                found.append(f"{at}.{name} is missing")
            else:
                found += differences(value, actual[name], f"{at}.{name}")
        return found
    if isinstance(expected, list | tuple) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{at}: {len(actual)} elements, not {len(expected)}: {actual!r}"]
        return [
            text
            for place, (one, other) in enumerate(zip(expected, actual, strict=True))
            for text in differences(one, other, f"{at}[{place}]")
        ]
    same = expected == actual and type(expected) is type(actual)
    return [] if same else [f"{at}: {actual!r} is not {expected!r}"]


# ------------------------------------------------------------------------------------- requests


@dataclasses.dataclass(frozen=True)
class Call:
    """One request; `as_` names who sends it."""

    method: str
    path: str
    as_: str | None = None
    json: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def get(path: str, **more: Any) -> Call:
    return Call("GET", path, **more)


def post(path: str, **more: Any) -> Call:
    return Call("POST", path, **more)


def patch(path: str, **more: Any) -> Call:
    return Call("PATCH", path, **more)


def delete(path: str, **more: Any) -> Call:
    return Call("DELETE", path, **more)


def vote(room: str, who: str, title: str, choice: str) -> Call:
    """One vote of one member."""
    json = {"titleId": f"{{{room}.{title}}}", "choice": choice}
    return post(f"/api/rooms/{{{room}}}/votes", as_=who, json=json)


# --------------------------------------------------------------------------------- expectations


@dataclasses.dataclass(frozen=True)
class Expected:
    """What should come back, and what should happen in the room."""

    status_code: int
    error_code: str | None = None
    content: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    header_patterns: tuple[tuple[str, str], ...] = ()
    is_empty: bool = False
    event_patterns: tuple[Any, ...] | None = None
    event_room: str = "r1"

    def code(self, code: str) -> "Expected":
        """The code of the problem."""
        return dataclasses.replace(self, error_code=code)

    def json(self, pattern: Any) -> "Expected":
        """The body, as `differences` compares it."""
        return dataclasses.replace(self, content=(*self.content, pattern))

    def contains(self, *texts: str) -> "Expected":
        """What the body must hold somewhere."""
        return dataclasses.replace(self, texts=self.texts + texts)

    def without(self, *texts: str) -> "Expected":
        """What neither body nor headers may hold anywhere."""
        return dataclasses.replace(self, forbidden=self.forbidden + texts)

    def header(self, name: str, pattern: str) -> "Expected":
        """A header, as a regular expression that fits all of it."""
        patterns = (*self.header_patterns, (name.lower(), pattern))
        return dataclasses.replace(self, header_patterns=patterns)

    def empty(self) -> "Expected":
        """There is no body."""
        return dataclasses.replace(self, is_empty=True)

    def events(self, *patterns: Any, room: str = "r1") -> "Expected":
        """Exactly what happens in the room, in order; `none` for nothing.

        A pattern is a type of event or an object with members of it.
        """
        expected = () if patterns == (none,) else patterns
        return dataclasses.replace(self, event_patterns=expected, event_room=room)


none = object()


def status(code: int) -> Expected:
    return Expected(code)


def refused(code: int, error: str) -> Expected:
    """A refusal that changes nothing."""
    return Expected(code, error)


# ---------------------------------------------------------------------------------------- world


class Step(Protocol):
    """Something that is given."""

    def do(self, world: "World") -> None: ...


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Its name is the sentence that breaks when it fails.

    Attributes:
        given: what has happened before.
        when: the one request.
        then: what comes of it.
        after: what can be seen afterwards.
        one_process: it is true only where one process does everything.
    """

    name: str
    when: Call
    then: Expected
    given: Sequence[Step] = ()
    after: Sequence[tuple[Call, Expected]] = ()
    one_process: bool = False

    @property
    def refuses(self) -> bool:
        """Whether something is refused in it."""
        told_of = [step.outcome for step in self.given if isinstance(step, told)]
        seen = [expected for _, expected in self.after]
        return any(one.error_code for one in (self.then, *told_of, *seen))


@dataclasses.dataclass
class Person:
    """Somebody and his tokens."""

    id: str
    name: str
    token: str
    refresh: str
    email: str | None = None


class Barrier:
    """Tells when all that has been written so far is in the event logs.

    A room of its own is changed, and when that is in its log, so is everything before it: the host
    hands changes over in their order.

    Args:
        client: of the host.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        session = client.post("/api/auth/guest", json={"name": "Barrier"}).json
        self._token = session["accessToken"]
        deck = {"source": "list", "items": [{"title": "barrier"}]}
        room = client.post("/api/rooms", token=self._token, json={"deck": deck}).json
        self._path = f"/api/rooms/{room['id']}"
        self._title = client.get(f"{self._path}/deck", token=self._token).json["items"][0]["id"]
        self._voted = False
        self._after = "0"

    def wait(self) -> None:
        """Return when the logs are up to date."""
        votes = f"{self._path}/votes"
        if self._voted:
            done = self._client.delete(f"{votes}/{self._title}", token=self._token)
        else:
            json = {"titleId": self._title, "choice": "no"}
            done = self._client.post(votes, token=self._token, json=json)
        assert done.status < 300, done
        self._voted = not self._voted
        self._await("progress", lambda _: True)
        # A vote may ease the rule of a room, and that may make a match: one round for each.
        for _ in range(2):
            name = uuid.uuid4().hex
            done = self._client.patch(self._path, token=self._token, json={"name": name})
            assert done.status == 200, done
            self._await("roomUpdated", lambda data, name=name: data.get("name") == name)

    def _await(self, kind: str, test: Callable[[Any], bool]) -> None:
        def look() -> bool:
            path = f"{self._path}/events?after={self._after}"
            page = self._client.get(path, token=self._token).json
            self._after = page["cursor"]
            return any(event["type"] == kind and test(event["data"]) for event in page["items"])

        eventually(look, f"the event log tells of {kind}")


class Host:
    """Where scenarios are played.

    Args:
        base_url: of the HTTP API.
        graphql_url: of the GraphQL API; None: `/graphql` on the same server.
        one_process: there is one process that does everything. On AWS there are many, so what one
            remembers of a room another finds out a few seconds later, and progress is told as soon
            as the changes are read and not after a while.
    """

    def __init__(
        self, base_url: str, graphql_url: str | None = None, *, one_process: bool = True
    ) -> None:
        self.one_process = one_process
        self.client = Client(base_url)
        self.graphql = Client((graphql_url or f"{base_url}/graphql").removesuffix("/graphql"))
        self.document = Document(self.client)
        self._barrier: Barrier | None = None

    @property
    def barrier(self) -> Barrier:
        if self._barrier is None:
            self._barrier = Barrier(self.client)
        return self._barrier

    def world(self) -> "World":
        """A world of its own: people and rooms that no other test knows."""
        return World(self)


class World:
    """What one scenario has made, by name."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client = host.client
        self.graphql = host.graphql
        self.people: dict[str, Person] = {}
        self.kept: dict[str, Any] = {}

    # Making things

    def guest(self, name: str) -> Person:
        """Make a guest."""
        answer = self.client.post("/api/auth/guest", json={"name": name})
        assert answer.status == 201, answer
        return self._enter(name, answer.json)

    def user(self, name: str) -> Person:
        """Register somebody."""
        email = f"{name}.{uuid.uuid4().hex}@example.org"
        json = {"email": email, "password": PASSWORD, "name": name}
        answer = self.client.post("/api/auth/register", json=json)
        assert answer.status == 201, answer
        return self._enter(name, answer.json, email)

    def _enter(self, name: str, session: Any, email: str | None = None) -> Person:
        person = Person(
            session["user"]["id"], name, session["accessToken"], session["refreshToken"], email
        )
        self.people[name] = person
        return person

    def person(self, name: str) -> Person:
        """Return somebody; who was never heard of before comes in as a guest."""
        return self.people.get(name) or self.guest(name)

    def token(self, name: str) -> str:
        return self.person(name).token

    def room(self, name: str, members: Sequence[str], deck: Any, spec: Mapping[str, Any]) -> Any:
        """Open a room, let all members in, and remember it with its titles by name."""
        if isinstance(deck, list):
            deck = {"source": "list", "items": [{"title": title} for title in deck]}
        host, *others = members
        json = {"deck": self.fill(deck), **self.fill(dict(spec))}
        answer = self.client.post("/api/rooms", token=self.token(host), json=json)
        assert answer.status == 201, answer
        room = answer.json
        for other in others:
            joined = self.join(room["code"], other)
            assert joined.status == 200, joined
        path = f"/api/rooms/{room['id']}/deck"
        titles = self.client.get(path, token=self.token(host)).json["items"]
        self.kept[name] = room | {title["title"]: title["id"] for title in titles}
        return self.kept[name]

    def join(self, code: str, who: str) -> Response:
        return self.client.post("/api/rooms/join", token=self.token(who), json={"code": code})

    # Looking things up

    def fill(self, value: Any) -> Any:
        """Return a value with its references replaced."""
        if isinstance(value, str):
            whole = _PLACE.fullmatch(value)
            if whole is not None:
                return self._look_up(whole[1])
            return _PLACE.sub(lambda place: str(self._look_up(place[1])), value)
        if isinstance(value, Mapping):
            return {self.fill(name): self.fill(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(one) for one in value]
        return value

    def _look_up(self, path: str) -> Any:
        name, *steps = path.split(".")
        if name in self.kept:
            found = self.kept[name]
            if not steps and isinstance(found, Mapping) and "id" in found:
                return found["id"]
            for step in steps if steps != ["all"] else ():
                found = found[int(step)] if isinstance(found, list) else found[step]
            return found
        person = self.person(name)
        return getattr(person, steps[0]) if steps else person.id

    # Asking

    def send(self, call: Call) -> Response:
        """Send a request, and hold the response against the conventions."""
        path = self.fill(call.path)
        response = self.client.request(
            call.method,
            path,
            json=self.fill(call.json),
            body=call.body,
            token=self.token(call.as_) if call.as_ else None,
            headers=self.fill(call.headers),
        )
        broken = self.host.document.violations(call.method, path, response)
        assert not broken, f"{call}: {broken}\n{response}"
        return response

    def events(self, room: str, after: str = "0") -> list[Any]:
        """Return the log of a room after a cursor, as one of its members sees it."""
        path = f"/api/rooms/{self.fill('{' + room + '}')}/events?limit=500&after={after}"
        for person in self.people.values():
            answer = self.client.get(path, token=person.token)
            if answer.status == 200:
                items: list[Any] = answer.json["items"]
                return items
        raise AssertionError(f"nobody can read the events of {room}")

    def settled(self, room: str, after: str = "0") -> list[Any]:
        """Return the log of a room when all that has happened is in it."""
        self.host.barrier.wait()
        return self.events(room, after)


# ---------------------------------------------------------------------------------------- steps


@dataclasses.dataclass(frozen=True)
class guest:
    """Somebody with a name."""

    name: str

    def do(self, world: World) -> None:
        world.guest(self.name)


@dataclasses.dataclass(frozen=True)
class user:
    """Somebody with an account."""

    name: str

    def do(self, world: World) -> None:
        world.user(self.name)


@dataclasses.dataclass(frozen=True)
class _Room:
    name: str
    members: Sequence[str]
    deck: Any
    spec: Mapping[str, Any]

    def do(self, world: World) -> None:
        world.room(self.name, self.members, self.deck, self.spec)


def room(key: str, members: Sequence[str], deck: Any = ("jaws", "heat", "alien"), /, **spec: Any):
    """A room; the first of its members is the host."""
    return _Room(key, members, list(deck) if isinstance(deck, tuple) else deck, spec)


@dataclasses.dataclass(frozen=True)
class _Votes:
    room: str
    by_person: Mapping[str, Mapping[str, str]]

    def do(self, world: World) -> None:
        for who, ballots in self.by_person.items():
            votes = [
                {"titleId": f"{{{self.room}.{title}}}", "choice": choice}
                for title, choice in ballots.items()
            ]
            path = f"/api/rooms/{{{self.room}}}/votes"
            answer = world.send(post(path, as_=who, json={"votes": votes}))
            assert answer.status == 200, answer


def votes(room: str, **by_person: Mapping[str, str]):
    """Votes, in this order: `votes("r1", ana={"jaws": "yes"})`."""
    return _Votes(room, by_person)


@dataclasses.dataclass(frozen=True)
class did:
    """A request that went well; its answer can be kept under a name."""

    call: Call
    keep: str | None = None

    def do(self, world: World) -> None:
        answer = world.send(self.call)
        assert answer.status < 400, f"{self.call}: {answer}"
        if self.keep is not None:
            world.kept[self.keep] = answer.json


@dataclasses.dataclass(frozen=True)
class told:
    """A request that had this outcome, whatever it was."""

    call: Call
    outcome: Expected

    def do(self, world: World) -> None:
        _check(world, self.call, self.outcome, world.send(self.call))


# --------------------------------------------------------------------------------------- runner


def play(scenario: Scenario, host: Host) -> None:
    """Play a scenario."""
    world = host.world()
    for step in scenario.given:
        step.do(world)
    then = scenario.then
    watched = then.event_room if then.event_patterns is not None else None
    before = world.settled(watched) if watched is not None else []
    world.kept["when"] = None
    response = world.send(scenario.when)
    if response.headers.get("content-type", "").endswith("json") and response.body:
        world.kept["when"] = response.json
    _check(world, scenario.when, then, response)
    if watched is not None:
        cursor = before[-1]["cursor"] if before else "0"
        _check_events(world, then, world.settled(watched, cursor))
    for call, expected in scenario.after:
        _check(world, call, expected, world.send(call))


def _check(world: World, call: Call, expected: Expected, response: Response) -> None:
    about = f"{call}\n{response}"
    assert response.status == expected.status_code, f"expected {expected.status_code}: {about}"
    if expected.error_code is not None:
        assert response.code == expected.error_code, f"expected {expected.error_code}: {about}"
    elif response.status >= 400:
        raise AssertionError(f"the scenario does not say with which code it is refused: {about}")
    if expected.is_empty:
        assert response.body == b"", about
    for pattern in expected.content:
        differs = differences(world.fill(pattern), response.json)
        assert not differs, f"{differs}: {about}"
    for text in expected.texts:
        assert world.fill(text) in response.text, f"{text} is missing: {about}"
    whole = f"{response.headers} {response.body.decode()}"
    for text in expected.forbidden:
        assert world.fill(text) not in whole, f"{text} should not be there: {about}"
    for name, pattern in expected.header_patterns:
        value = response.headers.get(name)
        fits = value is not None and re.fullmatch(world.fill(pattern), value)
        assert fits, f"{name} is {value!r}: {about}"


def _check_events(world: World, expected: Expected, events: list[Any]) -> None:
    patterns = [
        {"type": pattern} if isinstance(pattern, str) else pattern
        for pattern in expected.event_patterns or ()
    ]
    seen_events, wanted = events, world.fill(patterns)
    if not world.host.one_process:  # progress may come before or after what else has happened
        seen_events, wanted = (
            sorted(some, key=lambda event: event["type"] == "progress") for some in (events, wanted)
        )
    differs = differences(wanted, seen_events)
    assert not differs, f"events: {differs}"
    seen = json.dumps(events, ensure_ascii=False)
    for text in expected.forbidden:
        assert world.fill(text) not in seen, f"{text} should not be in the events: {seen}"
