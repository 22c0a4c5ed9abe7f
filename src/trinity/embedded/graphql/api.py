"""AppSync's HTTP endpoint on one machine: `POST /graphql`.

Requests, statuses and errors: https://docs.aws.amazon.com/appsync/latest/devguide/graphql-overview.html
What is not on AWS's pages is what its clients expect and people who use the service report. Errors
keep `errorType`, `errorInfo` and `data` beside the message, never in `extensions`, and every answer
that is no 200 names its type in `x-amzn-ErrorType`, from which Amplify takes it.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute,
)
from graphql.execution.values import get_directive_values
from graphql.type import GraphQLIncludeDirective, GraphQLObjectType, GraphQLSkipDirective

from trinity.common.requests import Event, Response
from trinity.common.telemetry import Log
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.embedded.authorizer import Authorizer
from trinity.embedded.graphql import schema as schemas
from trinity.embedded.graphql.documents import Document, Documents, Invalid, locations, problem
from trinity.ports import Unavailable
from trinity.topology import FUNCTIONS, Function

Call = Callable[[Function, Event], Awaitable[Any]]

_UNAUTHORIZED = "You are not authorized to make this call."

# Of browsers: https://fetch.spec.whatwg.org/#http-cors-protocol
_EXPOSED = "x-amzn-RequestId,x-amzn-ErrorType"
_PREFLIGHT_HOLDS_S = "172800"


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client sends: https://graphql.org/learn/serving-over-http/."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class Refused(Exception):
    """A request that does not get as far as GraphQL.

    Attributes:
        status: of HTTP.
        error_type: AppSync's name for it.
    """

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class _Failed(Exception):
    """A field whose function has failed."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Request(NamedTuple):
    """What the resolvers of one request need to know.

    Attributes:
        document: what is executed.
        identity: who asks, as AppSync tells it of a user with a token.
        headers: of the request, their names in lower case.
        domain: the host name that the client has used.
    """

    document: Document
    identity: dict[str, Any]
    headers: dict[str, str]
    domain: str


class Api:
    """Answers GraphQL requests.

    Args:
        call: calls a function with an event.
        authorizer: verifies access tokens.
        request_id: makes an id that no other request has.
        log: where faults go.
        introspection: whether clients may ask for the schema.
    """

    def __init__(
        self,
        call: Call,
        authorizer: Authorizer,
        request_id: Callable[[], str],
        log: Log,
        *,
        introspection: bool,
    ) -> None:
        self._call = call
        self._authorizer = authorizer
        self._request_id = request_id
        self._log = log
        self.schema = schemas.load()
        self.documents = Documents(self.schema, introspection=introspection)
        self._resolve_by_functions()

    async def answer(self, scope: dict[str, Any], body: bytes | None) -> Response:
        """Answer one request.

        Args:
            scope: of the request, as ASGI has it.
            body: all of it, None if it is too large.
        """
        request_id = self._request_id()
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        headers = {
            "content-type": "application/json",
            "cache-control": "no-store",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": _EXPOSED,
            "x-amzn-requestid": request_id,
            "x-request-id": request_id,
        }
        if scope["method"] == "OPTIONS":
            headers["access-control-allow-methods"] = "POST, OPTIONS"
            headers["access-control-allow-headers"] = sent.get(
                "access-control-request-headers", "authorization, content-type, x-amz-user-agent"
            )
            headers["access-control-max-age"] = _PREFLIGHT_HOLDS_S
            return {"statusCode": 200, "headers": headers}
        try:
            answer = await self._answer(scope, sent, body, request_id)
        except Refused as refusal:
            fields = {"operation": "graphql", "correlation_id": request_id}
            self._log("info", refusal.error_type, **fields, status=refusal.status)
            headers["x-amzn-errortype"] = refusal.error_type
            error = {"errorType": refusal.error_type, "message": str(refusal)}
            content = msgspec.json.encode({"errors": [error]})
            return {"statusCode": refusal.status, "headers": headers, "body": content}
        return {"statusCode": 200, "headers": headers, "body": msgspec.json.encode(answer)}

    async def _answer(
        self, scope: dict[str, Any], headers: dict[str, str], body: bytes | None, request_id: str
    ) -> dict[str, Any]:
        if scope["method"] != "POST":
            raise Refused(405, "MethodNotAllowedException", "Send queries with POST.")
        identity = self.identity(headers.get("authorization"))
        if identity is None:
            missing = not headers.keys() & {"authorization", "x-api-key"}
            message = "Missing authorization header" if missing else _UNAUTHORIZED
            raise Refused(401, "UnauthorizedException", message)
        asked = _read(body)
        try:
            document = self.documents.read(asked.query)
        except Invalid as invalid:
            return {"data": None, "errors": invalid.problems}
        operation = _operation(document, asked.operation_name)
        if operation.operation is OperationType.SUBSCRIPTION:
            message = "Subscriptions are not supported over HTTP; follow them over the WebSocket."
            return {"data": None, "errors": [problem(message, "OperationNotSupported")]}
        client = scope["client"] or ("127.0.0.1", 0)
        domain, _, port = headers.get("host", "localhost").rpartition(":")
        headers |= {
            "x-amzn-requestid": request_id,
            # Only what we have seen ourselves: limits go by it.
            "x-forwarded-for": client[0],
            "x-forwarded-proto": scope["scheme"],
        }
        request = Request(
            document=document,
            identity=identity,
            headers=headers,
            domain=domain if port.isdigit() else headers.get("host", "localhost"),
        )
        return await self.execute(request, asked.variables, asked.operation_name)

    def identity(self, authorization: str | None) -> dict[str, Any] | None:
        """Return the identity of a user, None if the token, bare or after `Bearer`, is not valid.

        Of an OIDC token AppSync tells the claims as they are; API Gateway makes texts of them.
        """
        if authorization is None:
            return None
        bare = " " not in authorization
        claims = self._authorizer.claims(f"Bearer {authorization}" if bare else authorization)
        if claims is None:
            return None
        typed: dict[str, Any] = dict(claims)
        typed |= {name: int(claims[name]) for name in ("exp", "iat")}
        typed["guest"] = claims.get("guest") == "true"
        return {"sub": claims["sub"], "issuer": claims["iss"], "claims": typed}

    async def execute(
        self, request: Request, variables: dict[str, Any] | None, name: str | None
    ) -> dict[str, Any]:
        """Execute a query, or the fields of a mutation one after the other.

        Args:
            request: what the resolvers need.
            variables: as they were sent.
            name: of the operation, if there are several.
        """
        result = execute(
            self.schema,
            request.document.node,
            context_value=request,
            variable_values=variables or {},
            operation_name=name or None,
            field_resolver=_member,
        )
        if inspect.isawaitable(result):
            result = await result
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [self._problem(error) for error in result.errors]
        return answer

    def _resolve_by_functions(self) -> None:
        for function in FUNCTIONS:
            for name in function.fields:
                parent, _, field = name.partition(".")
                if parent != "Subscription":
                    _object(self.schema, parent).fields[field].resolve = self._resolver(function)
        for kind in self.schema.type_map.values():
            if isinstance(kind, GraphQLObjectType) and kind.ast_node is not None:
                for field in kind.fields.values():
                    node = field.ast_node
                    if node is not None and schemas.USER not in schemas.modes(node, kind.ast_node):
                        field.resolve = _deny

    def _resolver(self, function: Function) -> Callable[..., Awaitable[Any]]:
        async def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
            try:
                return await self._call(function, event(source, info, arguments))
            except Unavailable:
                refusal: DomainError = errors.ServiceUnavailable()
            except DomainError as error:
                refusal = error
            raise _Failed(type(refusal).__name__, str(refusal))

        return resolve

    def _problem(self, error: GraphQLError) -> dict[str, Any]:
        """Return an error of executing as AppSync writes it."""
        cause = error.original_error
        if error.path is None:
            return problem(_of_variables(error.message), nodes_of=error)
        found = {
            "path": error.path,
            "data": None,
            "errorType": None,
            "errorInfo": None,
            "locations": locations(error),
            "message": error.message,
        }
        if isinstance(cause, _Failed):
            return found | {"errorType": cause.error_type}
        # What a function has returned does not fit the schema.
        self._log.exception("the answer does not fit the schema", cause or error)
        return found | {"errorType": "InternalError", "message": errors.InternalError().detail}


def event(source: Any, info: GraphQLResolveInfo, arguments: dict[str, Any]) -> Event:
    """Return the event of a direct Lambda resolver: the whole context of a field.

    https://docs.aws.amazon.com/appsync/latest/devguide/resolver-mapping-template-reference-lambda.html
    """
    request: Request = info.context
    return {
        "arguments": arguments,
        "identity": request.identity,
        "source": source,
        "request": {"headers": request.headers, "domainName": request.domain},
        "prev": None,
        "stash": {},
        "info": {
            "fieldName": info.field_name,
            "parentTypeName": info.parent_type.name,
            "variables": info.variable_values,
            "selectionSetList": list(dict.fromkeys(_selected(info, info.field_nodes))),
            "selectionSetGraphQL": "\n".join(map(request.document.printed, info.field_nodes)),
        },
    }


def _read(body: bytes | None) -> _Body:
    if body is None:
        raise Refused(413, "RequestTooLargeException", errors.PayloadTooLarge().detail)
    if not body:
        raise Refused(400, "MalformedHttpRequestException", "Request body is empty.")
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "Unable to parse GraphQL query."
        raise Refused(400, "MalformedHttpRequestException", message) from None


def _operation(document: Document, name: str | None) -> OperationDefinitionNode:
    if name:
        if name not in document.operations:
            raise Refused(400, "BadRequestException", f"Unknown operation named '{name}'.")
        return document.operations[name]
    if len(document.operations) != 1:
        raise Refused(400, "BadRequestException", "Missing operation name.")
    return next(iter(document.operations.values()))


def _object(schema: GraphQLSchema, name: str) -> GraphQLObjectType:
    kind = schema.type_map[name]
    if not isinstance(kind, GraphQLObjectType):
        raise TypeError(f"{name} is no object type")
    return kind


def _member(source: Any, info: GraphQLResolveInfo, **_: Any) -> Any:
    return source.get(info.field_name)


def _deny(_source: Any, info: GraphQLResolveInfo, **_: Any) -> Any:
    where = f"{info.field_name} on type {info.parent_type.name}"
    raise _Failed("Unauthorized", f"Not Authorized to access {where}")


def _selected(info: GraphQLResolveInfo, fields: Iterable[FieldNode]) -> Iterable[str]:
    """Yield what is selected: `author`, `author/name`, and so on, by the names of the answer."""
    for field in fields:
        if field.selection_set is not None:
            yield from _below(info, field.selection_set, "")


def _below(info: GraphQLResolveInfo, selected: SelectionSetNode, prefix: str) -> Iterable[str]:
    for node in selected.selections:
        if not _included(info, node):
            continue
        if isinstance(node, FieldNode):
            name = prefix + (node.alias or node.name).value
            yield name
            if node.selection_set is not None:
                yield from _below(info, node.selection_set, name + "/")
        elif isinstance(node, InlineFragmentNode):
            yield from _below(info, node.selection_set, prefix)
        elif isinstance(node, FragmentSpreadNode):
            yield from _below(info, info.fragments[node.name.value].selection_set, prefix)


def _included(info: GraphQLResolveInfo, node: Any) -> bool:
    if not node.directives:
        return True
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])


# What graphql-core says of a variable, and what graphql-java does.
_VARIABLES = (
    (
        r"Variable '\$(\w+)' of (?:required|non-null) type '(.+)' (?:was not|must not) .+",
        r"Variable '\1' has coerced Null value for NonNull type '\2'",
    ),
    (r"Variable '\$(\w+)' got invalid value (.+)", r"Variable '\1' has an invalid value: \2"),
)


def _of_variables(message: str) -> str:
    for found, said in _VARIABLES:
        if re.fullmatch(found, message, re.DOTALL):
            return re.sub(found, said, message, count=1, flags=re.DOTALL)
    return message
