"""What holds for every response, whatever was asked: conventions, and the API's document."""

import re
from typing import Any

import jsonschema_rs

from tests.server import Client, Response

PROBLEM = "application/problem+json"
_MEMBERS = {"type", "title", "status", "detail", "code", "instance"}


def violations(response: Response) -> list[str]:
    """Return which conventions a response of the API breaks."""
    found = []
    if response.status >= 500:
        found.append(f"the status is {response.status}")
    if not response.headers.get("x-request-id"):
        found.append("there is no X-Request-Id")
    if response.status in (204, 304) and response.body:
        found.append(f"{response.status} has a body")
    if response.status >= 400:
        found += _problem_violations(response)
    if response.status == 401 and "www-authenticate" not in response.headers:
        found.append("401 without WWW-Authenticate")
    if response.status == 405 and not response.headers.get("allow"):
        found.append("405 without Allow")
    if response.status == 429 and int(response.headers.get("retry-after", "0")) < 1:
        found.append("429 without Retry-After")
    return found


def _problem_violations(response: Response) -> list[str]:
    if response.headers.get("content-type") != PROBLEM:
        return [f"{response.status} is {response.headers.get('content-type')}, not {PROBLEM}"]
    problem = response.json
    found = []
    if missing := _MEMBERS - problem.keys():
        found.append(f"the problem lacks {sorted(missing)}")
    elif problem["status"] != response.status:
        found.append(f"the problem says {problem['status']}, the response {response.status}")
    elif response.headers.get("x-request-id", "?") not in problem["instance"]:
        found.append("the instance does not name the request")
    elif not problem["detail"] or not problem["title"]:
        found.append("the problem says nothing to people")
    return found


class Document:
    """The OpenAPI document that a host serves, to hold responses against.

    Args:
        client: of the host.
    """

    def __init__(self, client: Client) -> None:
        answer = client.get("/api/openapi.json")
        assert answer.status == 200, answer
        self.document: dict[str, Any] = answer.json
        self._routes = [
            (re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))), operations)
            for path, operations in sorted(
                self.document["paths"].items(), key=lambda item: item[0].count("{")
            )
        ]
        self._validators: dict[int, Any] = {}

    def violations(self, method: str, path: str, response: Response) -> list[str]:
        """Return how a response differs from what the document says of its operation."""
        found = violations(response)
        operation = self._operation(method, path.partition("?")[0])
        if operation is None:
            return found
        documented = operation["responses"].get(str(response.status))
        if documented is None:
            return [*found, f"{operation['operationId']} does not document {response.status}"]
        if response.code is not None and f"`{response.code}`" not in documented["description"]:
            found.append(
                f"{operation['operationId']} does not document {response.status} {response.code}"
            )
        content = documented.get("content")
        if content is None:
            return [*found, "a body where none is documented"] if response.body else found
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            return [*found, f"{kind} is not documented"]
        body = response.json if kind.endswith("json") else response.text
        errors = self._validator(content[kind]["schema"]).iter_errors(body)
        return found + [f"{error.instance_path}: {error.message}" for error in errors]

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, operations in self._routes:
            if pattern.fullmatch(path):
                operation: dict[str, Any] | None = operations.get(method.lower())
                return operation
        return None

    def _validator(self, schema: dict[str, Any]) -> Any:
        known = self._validators.get(id(schema))
        if known is None:
            whole = {**schema, "components": self.document["components"]}
            known = self._validators[id(schema)] = jsonschema_rs.Draft202012Validator(whole)
        return known
