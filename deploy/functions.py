"""Lambda functions as the topology says: each with a role, a log, a version and an alias."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy import permissions
from deploy.artefacts import Artefacts
from deploy.exceptions import accept, shown, tolerate
from deploy.lasting import removal, retention
from deploy.stages import CRITICAL, Stage
from trinity.topology import Function

ALIAS = "live"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the functions of a stage work with.

    Attributes:
        artefacts: zips and layers, which lie in the folder `built`.
        arns: by the names that `permissions` uses.
        settings: environment variables by the resource of the grant that asks for them; those
            under "" are for every function.
        network: where functions live that use the shared cache; None: there is none.
        wall: the security group of these.
    """

    stage: Stage
    artefacts: Artefacts
    built: Path
    arns: Mapping[str, str]
    settings: Mapping[str, Mapping[str, str]]
    network: ec2.IVpc | None = None
    wall: ec2.ISecurityGroup | None = None

    def in_network(self, function: Function) -> bool:
        """Tell whether a function uses the shared cache, and so has to live where that is.

        From there no way leads out of AWS, so whoever asks TMDB stays outside and counts alone.
        """
        asks_tmdb = self.stage.tmdb and permissions.CATALOGUE in function.grants
        return self.network is not None and ("cache", "share") in function.grants and not asks_tmdb


class Layers(Construct):
    """The layers of a stack; those that no function of it uses are left out."""

    def __init__(
        self, scope: Construct, around: Surroundings, functions: Sequence[Function]
    ) -> None:
        super().__init__(scope, "Layers")
        built = around.artefacts
        used = {layer for f in functions for layer in built.functions[f.name].layers}
        self._versions = {
            name: lambda_.LayerVersion(
                self,
                name.capitalize(),
                code=lambda_.Code.from_asset(
                    str(around.built / built.layers[name].file),
                    asset_hash=built.layers[name].digest,
                ),
                compatible_runtimes=[runtime(built)],
                compatible_architectures=[lambda_.Architecture.ARM_64],
                description=f"Trinity: {name}",
            )
            for name in sorted(used)
        }

    def of(self, names: Sequence[str]) -> list[lambda_.ILayerVersion]:
        """Return layers by name."""
        return [self._versions[name] for name in names]


class LambdaFunction(Construct):
    """One function of the topology.

    Attributes:
        alias: what everybody calls; it leads to the newest version that proved itself.
        function: what is behind it.
    """

    def __init__(
        self, scope: Construct, function: Function, around: Surroundings, layers: Layers
    ) -> None:
        super().__init__(scope, pascal(function.name))
        stage = around.stage
        artefact = around.artefacts.functions[function.name]
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=log_name(stage, function.name),
            retention=retention(stage),
            removal_policy=removal(stage),
        )
        in_vpc = around.in_network(function)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name(stage, function.name),
            description=function.route or function.module,
            runtime=runtime(around.artefacts),
            architecture=lambda_.Architecture.ARM_64,
            handler=artefact.handler,
            code=lambda_.Code.from_asset(
                str(around.built / artefact.file), asset_hash=artefact.digest
            ),
            layers=layers.of(artefact.layers),
            memory_size=function.memory_mb,
            timeout=Duration.seconds(function.timeout_s),
            environment=_environment(function, around),
            role=_role(self, function, around, log, in_vpc=in_vpc),
            log_group=log,
            tracing=lambda_.Tracing.ACTIVE,
            reserved_concurrent_executions=function.concurrency if stage.reserve else None,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS
            if stage.warm == "snapstart" and function.name in CRITICAL
            else None,
            vpc=around.network if in_vpc else None,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
            if in_vpc
            else None,
            security_groups=[around.wall] if in_vpc and around.wall else None,
            # A clock does not wait for what becomes of its call, and Lambda tries it thrice:
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
            dead_letter_queue=sqs.Queue.from_queue_arn(
                self, "Failures", around.arns["stream-failures"]
            )
            if function.schedules
            else None,
        )
        accept(
            self.function,
            "L1",
            "The bytecode in the zip is for this version of Python, so that it need not be compiled"
            " at each cold start; a newer one comes with the artefacts.",
        )
        tolerate(self.function, "W3005", "CDK says twice that a role comes before its function.")
        # CloudFormation removes a version as soon as the alias has left it, so that none piles up.
        self.alias = lambda_.Alias(
            self, "Alias", alias_name=ALIAS, version=self.function.current_version
        )
        if function.name in CRITICAL:
            self._keep_warm(stage)
            self._deploy_carefully(stage, function.name, log)

    def _keep_warm(self, stage: Stage) -> None:
        if stage.warm == "provisioned":
            target = self.alias.add_auto_scaling(
                min_capacity=stage.warm_count, max_capacity=stage.warm_most
            )
            target.scale_on_utilization(utilization_target=0.7)

    def _deploy_carefully(self, stage: Stage, function: str, log: logs.LogGroup) -> None:
        if not stage.canary:
            return
        version = self.function.current_version.version
        failing = logs.MetricFilter(
            self,
            "Failing",
            log_group=log,
            metric_namespace=f"Trinity/{stage.name}",
            metric_name="Failing",
            # A fault is answered with 500, so Lambda sees none; and a refusal over GraphQL, which
            # is no fault, is an error to Lambda. The functions themselves know.
            filter_pattern=logs.FilterPattern.number_value("$.errors", ">", 0),
            metric_value="1",
            dimensions={"operation": "$.operation", "version": "$.function_version"},
        )
        dying = logs.MetricFilter(
            self,
            "Dying",
            log_group=log,
            metric_namespace=f"Trinity/{stage.name}",
            metric_name=f"Dying-{function}",
            # What Lambda writes where the function could not any more:
            # https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
            filter_pattern=logs.FilterPattern.any_term(
                "Task timed out", "Runtime exited", "Runtime.ImportModuleError", "Runtime.ExitError"
            ),
            metric_value="1",
        )
        versions = {"operation": function, "version": version}
        alarms = [
            self._alarm("NewVersionFails", failing.metric(dimensions_map=versions)),
            self._alarm("NewVersionDies", dying.metric()),
        ]
        codedeploy.LambdaDeploymentGroup(
            self,
            "Canary",
            alias=self.alias,
            role=_deployer(Stack.of(self)),
            deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
            alarms=alarms,
        )

    def _alarm(self, name: str, metric: cloudwatch.Metric) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            alarm_description="A new version fails and is taken back: docs/runbooks.md#canary",
            metric=metric.with_(period=Duration.minutes(1), statistic="Sum"),
            threshold=1,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _deployer(stack: Stack) -> iam.IRole:
    """Return the role that CodeDeploy has in a stack."""
    known = stack.node.try_find_child("Deployer")
    if isinstance(known, iam.Role):
        return known
    role = iam.Role(
        stack,
        "Deployer",
        description="CodeDeploy shifts requests to new versions",
        assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"),
    )
    accept(
        role,
        "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
        "AWSCodeDeployRoleForLambdaLimited]",
        "What CodeDeploy needs for Lambda, AWS knows best, and limits to that.",
    )
    return role


def function_name(stage: Stage, function: str) -> str:
    """Return the name of a Lambda function."""
    return f"trinity-{stage.name}-{function}"


def log_name(stage: Stage, function: str) -> str:
    """Return the name of a function's log group."""
    return f"/trinity/{stage.name}/{function}"


def runtime(artefacts: Artefacts) -> lambda_.Runtime:
    """Return the Lambda runtime that the artefacts were compiled for."""
    return lambda_.Runtime(
        f"python{artefacts.python}", lambda_.RuntimeFamily.PYTHON, supports_snap_start=True
    )


def pascal(name: str) -> str:
    """Return `cast_votes` as `CastVotes`, as resources are called."""
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))


def _environment(function: Function, around: Surroundings) -> dict[str, str]:
    """Return the settings of a function: names of what it was granted, and nothing else."""
    found = dict(around.settings[""])
    for resource, what in function.grants:
        found |= around.settings.get(resource, {})
        if what == "share" and around.in_network(function):
            found |= around.settings["shared cache"]
    if function.queue is not None:
        found |= around.settings["queue"]
    return dict(sorted(found.items()))


def _role(
    scope: Construct,
    function: Function,
    around: Surroundings,
    log: logs.LogGroup,
    *,
    in_vpc: bool,
) -> iam.IRole:
    """Return a role with one inline policy: all that `permissions` says and nothing more."""
    arns = {**around.arns, "log": log.log_group_arn}
    statements = permissions.statements(function, in_vpc=in_vpc, tmdb=around.stage.tmdb)
    granted = {name for statement in statements for name in statement.resources}
    document = iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                actions=list(statement.actions),
                resources=[
                    "*" if name == permissions.ANY else arns[name] for name in statement.resources
                ],
            )
            for statement in statements
        ]
    )
    if in_vpc:
        # Lambda needs these to attach the function to the network; its code does not:
        # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-best-practice-security
        itself = Stack.of(scope).format_arn(
            service="lambda",
            resource="function",
            resource_name=function_name(around.stage, function.name),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        document.add_statements(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=list(permissions.ATTACHING),
                resources=["*"],
                conditions={"ArnEquals": {"lambda:SourceFunctionArn": itself}},
            )
        )
    role = iam.Role(
        scope,
        "Role",
        description=f"Trinity ({around.stage.name}): {function.name}",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        inline_policies={"Granted": document},
    )
    if permissions.ANY in granted:
        accept(role, "IAM5[Resource::*]", "For traces and network interfaces AWS has none finer.")
    for name in sorted(granted - {permissions.ANY}):
        if arns[name].endswith("/*"):
            accept(
                role,
                f"IAM5[Resource::{shown(scope, arns[name])}]",
                "Objects are named by what is in them, streams by when they began.",
            )
    # CDK would add a policy of its own for what it sees; all of that is in ours already.
    return role.without_policy_updates()
