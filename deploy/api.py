"""The functions that people wait for, behind the routes and fields that the topology names."""

from aws_cdk import Environment, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_appsync as appsync
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.edge import Edge
from deploy.exceptions import accept
from deploy.functions import LambdaFunction, Layers, Surroundings, pascal
from trinity.topology import FUNCTIONS, Function

AUDIENCE = "trinity"
"""The `aud` of access tokens (common/tokens.py)."""


SYSTEM = ("system",)
ROOMS = ("rooms", "votes", "catalogue")
PEOPLE = ("auth", "users", "notifications", "reports", "uploads")
"""Folders of handlers. Each of the three has a stack, which takes no more than 500 resources.

That of the system is there before the others: its documents tell who issues tokens. An authorizer
reads them while it is created, and routes work only some time after CloudFormation calls them done.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""


class Api(Stack):
    """HTTP routes, GraphQL fields, and the function behind each.

    Attributes:
        functions: by name.
        authorizer: its id; the first stack with a function that asks for a token makes it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        env: Environment,
        edge: Edge,
        around: Surroundings,
        folders: tuple[str, ...],
        authorizer: str | None = None,
    ) -> None:
        super().__init__(
            scope, construct_id, env=env, description=f"Trinity ({around.stage.name}): the API"
        )
        self._edge = edge
        served = served_from(folders)
        layers = Layers(self, around, served)
        self.functions = {f.name: LambdaFunction(self, f, around, layers) for f in served}
        # One role for the gateway instead of a permission on each function.
        self._gateway = iam.Role(
            self,
            "Gateway",
            description=f"Trinity ({around.stage.name}): API Gateway calls functions",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            inline_policies={"Invoke": self._may_invoke([f for f in served if f.route])},
        )
        self.authorizer = authorizer
        if authorizer is None and any(f.auth == "user" for f in served):
            self.authorizer = self._authorizer()
            self._published()
        for function in served:
            if function.route:
                self._route(function)
        self._fields([f for f in served if f.fields], around)

    def _authorizer(self) -> str:
        authorizer = apigateway.CfnAuthorizer(
            self,
            "Authorizer",
            api_id=self._edge.http.api_id,
            name="trinity",
            authorizer_type="JWT",
            identity_source=["$request.header.Authorization"],
            jwt_configuration=apigateway.CfnAuthorizer.JWTConfigurationProperty(
                audience=[AUDIENCE], issuer=self._edge.issuer
            ),
        )
        identifier: str = authorizer.ref
        return identifier

    def _may_invoke(self, functions: list[Function]) -> iam.PolicyDocument:
        return iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"],
                    resources=[self.functions[f.name].alias.function_arn for f in functions],
                )
            ]
        )

    def _route(self, function: Function) -> None:
        called = self.functions[function.name]
        integration = apigateway.CfnIntegration(
            called,
            "Integration",
            api_id=self._edge.http.api_id,
            integration_type="AWS_PROXY",
            integration_uri=called.alias.function_arn,
            payload_format_version="2.0",
            credentials_arn=self._gateway.role_arn,
            timeout_in_millis=30_000 if function.timeout_s >= 30 else (function.timeout_s * 1000),
        )
        route = apigateway.CfnRoute(
            called,
            "Route",
            api_id=self._edge.http.api_id,
            route_key=str(function.route),
            target=f"integrations/{integration.ref}",
            authorization_type="JWT" if function.auth == "user" else "NONE",
            authorizer_id=self.authorizer if function.auth == "user" else None,
        )
        if function.auth == "none":
            accept(
                route, "APIG4", "For everybody: whoever comes here has no token yet, or need not."
            )

    def _fields(self, resolved: list[Function], around: Surroundings) -> None:
        if not resolved:
            return
        caller = iam.Role(
            self,
            "Resolvers",
            description=f"Trinity ({around.stage.name}): AppSync calls functions",
            assumed_by=iam.ServicePrincipal("appsync.amazonaws.com"),
            inline_policies={"Invoke": self._may_invoke(resolved)},
        )
        for function in resolved:
            called = self.functions[function.name]
            source = appsync.CfnDataSource(
                called,
                "Source",
                api_id=self._edge.graphql.api_id,
                name=pascal(function.name),
                type="AWS_LAMBDA",
                service_role_arn=caller.role_arn,
                lambda_config=appsync.CfnDataSource.LambdaConfigProperty(
                    lambda_function_arn=called.alias.function_arn
                ),
            )
            for field in function.fields:
                type_name, _, field_name = field.partition(".")
                # Without mapping template or code it is a direct Lambda resolver: the function
                # gets AppSync's whole context, and what it returns is the value of the field.
                follows = {"runtime": _JAVASCRIPT, "code": _FOLLOW}
                appsync.CfnResolver(
                    called,
                    pascal(field.replace(".", "_")),
                    api_id=self._edge.graphql.api_id,
                    type_name=type_name,
                    field_name=field_name,
                    data_source_name=source.attr_name,
                    **(follows if type_name == "Subscription" else {}),
                )

    def _published(self) -> None:
        """What the service tells is answered with, and AppSync hands answers to followers."""
        graphql = self._edge.graphql
        nothing = appsync.CfnDataSource(
            self, "Nothing", api_id=graphql.api_id, name="Nothing", type="NONE"
        )
        for field, code in (
            ("publishRoomEvent", _echo("event")),
            ("publishPresence", _echo("presence")),
            ("endSubscriptions", _END),
        ):
            appsync.CfnResolver(
                self,
                field[:1].upper() + field[1:],
                api_id=graphql.api_id,
                type_name="Mutation",
                field_name=field,
                data_source_name=nothing.attr_name,
                runtime=_JAVASCRIPT,
                code=code,
            )


_JAVASCRIPT = appsync.CfnResolver.AppSyncRuntimeProperty(name="APPSYNC_JS", runtime_version="1.0.0")


def _echo(argument: str) -> str:
    """Return the code of a resolver that answers with what it was given."""
    return f"""\
export function request(ctx) {{
  return {{ payload: ctx.args.{argument} }};
}}
export function response(ctx) {{
  return ctx.result;
}}
"""


# The function decides who may follow, as a direct resolver would have it decide. Whom the
# subscription belongs to is noted, so that it can be ended, alone or with all of its room.
# https://docs.aws.amazon.com/appsync/latest/devguide/extensions-js.html
_FOLLOW = """\
import { extensions, util } from '@aws-appsync/utils';
export function request(ctx) {
  const { args, identity, source, request, info, prev, stash } = ctx;
  const payload = { arguments: args, identity, source, request, info, prev, stash };
  return { operation: 'Invoke', payload };
}
export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  extensions.setSubscriptionInvalidationFilter({
    filterGroup: [{
      filters: [
        { fieldName: 'roomId', operator: 'eq', value: ctx.args.roomId },
        { fieldName: 'userId', operator: 'in', value: [ctx.identity.sub, '*'] },
      ],
    }],
  });
  return null;
}
"""
_END = """\
import { extensions } from '@aws-appsync/utils';
export function request(ctx) {
  return { payload: null };
}
export function response(ctx) {
  const payload = { roomId: ctx.args.roomId, userId: ctx.args.userId ?? '*' };
  extensions.invalidateSubscriptions({ subscriptionField: 'onRoomEvent', payload });
  extensions.invalidateSubscriptions({ subscriptionField: 'onPresence', payload });
  return true;
}
"""


def served_from(folders: tuple[str, ...]) -> list[Function]:
    """Return the functions with a route or a field that lie in some folders of handlers."""
    return [f for f in FUNCTIONS if (f.route or f.fields) and f.module.partition(".")[0] in folders]
