"""Deploys the templates to a local AWS (MiniStack), as CloudFormation would to the real one.

What the emulator cannot create is left out only if it is named in `STUBS`, so that a hole in it
never becomes a hole in the tests; docs/aws-coverage.md lists what that is. What it reads in another
way than AWS does is rewritten here, each with a word on why. The templates know nothing of it.
"""

import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
ACCOUNT = "000000000000"
_PLACEHOLDER = {"Type": "AWS::CloudFormation::WaitConditionHandle", "Properties": {}}
_WITHIN_S = 180.0

Template = dict[str, Any]

STUBS: dict[str, str] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "unknown to MiniStack",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "unknown to MiniStack",
    "AWS::Budgets::Budget": "unknown to MiniStack",
    "AWS::CloudTrail::Trail": "unknown to MiniStack",
    "AWS::CloudWatch::CompositeAlarm": "unknown to MiniStack",
    "AWS::CodeDeploy::Application": "unknown to MiniStack",
    "AWS::CodeDeploy::DeploymentGroup": "unknown to MiniStack",
    "AWS::EC2::FlowLog": "unknown to MiniStack",
    "AWS::EC2::SecurityGroupIngress": "unknown to MiniStack",
    "AWS::ElastiCache::ServerlessCache": "unknown to MiniStack; a real Redis stands in",
    "AWS::Events::Archive": "unknown to MiniStack",
    "AWS::Scheduler::ScheduleGroup": "unknown to MiniStack",
}
"""Types of resources that a local deployment may do without, and why."""


class DeploymentFailed(RuntimeError):
    """The local AWS did not take a template; the message says what it said."""


@dataclass
class Deployment:
    """What came of it.

    Attributes:
        endpoint: of the local AWS; empty: it is the real one.
        outputs: of the stacks, without what they export to each other.
        resources: physical names by stack and logical name.
        stubbed: types by stack and logical name of what was left out.
        api_id: of the HTTP API on a local AWS, which has no host names of its own.
    """

    endpoint: str
    outputs: dict[str, str] = field(default_factory=dict)
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    stubbed: dict[str, dict[str, str]] = field(default_factory=dict)
    api_id: str = ""

    @property
    def url(self) -> str:
        """Where the HTTP API answers."""
        if not self.api_id:
            return self.outputs["HttpApiUrl"]
        return f"{self.endpoint}/_aws/execute-api/{self.api_id}/$default"

    @property
    def graphql_url(self) -> str:
        """Where AppSync answers."""
        return self.outputs["GraphqlUrl"]


def client(endpoint: str, service: str) -> Any:
    """Return a client of the local AWS, and of nothing else.

    Raises:
        DeploymentFailed: the endpoint is not on this machine.
    """
    if urlsplit(endpoint).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise DeploymentFailed(f"{endpoint} is not on this machine")
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  (any will do)
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def deploy(
    assembly: Path, endpoint: str, *, patch: Callable[[str, Template], None] | None = None
) -> Deployment:
    """Deploy all stacks of an assembly in the order of their dependencies.

    Args:
        assembly: the folder that `deploy.app` has written.
        endpoint: of the local AWS.
        patch: changes a template before it is deployed, for tests that take something away.

    Raises:
        DeploymentFailed: see there.
    """
    deployment = Deployment(endpoint)
    s3, cloudformation = client(endpoint, "s3"), client(endpoint, "cloudformation")
    ssm = client(endpoint, "ssm")
    ssm.put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
    )
    templates = f"templates-{ACCOUNT}"
    s3.create_bucket(Bucket=templates)
    manifest = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    for name, stack in _in_order(manifest):
        for asset_manifest in (manifest[d] for d in stack.get("dependencies", [])):
            if asset_manifest["type"] == "cdk:asset-manifest":
                _upload(s3, assembly, assembly / asset_manifest["properties"]["file"])
        template = json.loads((assembly / stack["properties"]["templateFile"]).read_text())
        if patch is not None:
            patch(name, template)
        template, stubbed = _without_stubs(template, _unknown(cloudformation, template))
        template = _rewrite(template, endpoint)
        key = f"{name}.json"
        s3.put_object(Bucket=templates, Key=key, Body=json.dumps(template).encode())
        outputs = _create(cloudformation, name, f"{endpoint}/{templates}/{key}")
        deployment.outputs |= {k: v for k, v in outputs.items() if not k.startswith("Exports")}
        deployment.resources[name] = _resources(cloudformation, name)
        deployment.stubbed[name] = stubbed
        _finish(endpoint, template, deployment.resources[name])
    (api,) = client(endpoint, "apigatewayv2").get_apis()["Items"]
    deployment.api_id = api["ApiId"]
    return deployment


# ------------------------------------------------------------------------------------- assembly


def _in_order(artifacts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the stacks, each after those that it depends on."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if name in done:
            return
        done.add(name)
        for dependency in artifacts[name].get("dependencies", []):
            yield from visit(dependency)
        if artifacts[name]["type"] == "aws:cloudformation:stack":
            yield name, artifacts[name]

    for name in artifacts:
        yield from visit(name)


def _upload(s3: Any, assembly: Path, manifest: Path) -> None:
    """Put the assets of a stack where its template looks for them."""
    for asset in json.loads(manifest.read_text()).get("files", {}).values():
        source = assembly / asset["source"]["path"]
        if asset["source"].get("packaging") == "zip" or source.is_dir():
            raise DeploymentFailed(f"{source} is a folder; artefacts are zips")
        for destination in asset["destinations"].values():
            bucket, key = (_filled(destination[name]) for name in ("bucketName", "objectKey"))
            try:
                s3.head_object(Bucket=bucket, Key=key)  # keys are hashes: it is there already
            except ClientError:
                s3.create_bucket(Bucket=bucket)
                s3.put_object(Bucket=bucket, Key=key, Body=source.read_bytes())


def _filled(text: str) -> str:
    values = {"AccountId": ACCOUNT, "Region": REGION, "Partition": "aws"}
    return re.sub(r"\$\{AWS::(\w+)\}", lambda found: values[found[1]], text)


# ---------------------------------------------------------------------------------------- stubs


def _unknown(cloudformation: Any, template: Template) -> set[str]:
    """Return the types of resources that the emulator does not know, by its own word."""
    types = sorted({resource["Type"] for resource in template["Resources"].values()})
    probe = {"Resources": {f"R{n}": {"Type": t, "Properties": {}} for n, t in enumerate(types)}}
    try:
        cloudformation.validate_template(TemplateBody=json.dumps(probe))
    except ClientError as error:
        message = error.response["Error"]["Message"]
        found = re.search(r"Unrecognized resource types: \[(.*?)\]", message)
        if found is None:
            raise
        return {name.strip() for name in found[1].split(",")}
    return set()


def _without_stubs(template: Template, unknown: set[str]) -> tuple[Template, dict[str, str]]:
    """Return a template without what cannot be created, and what that was."""
    refused = sorted(unknown - STUBS.keys())
    if refused:
        raise DeploymentFailed(f"MiniStack cannot create {', '.join(refused)}")
    template = copy.deepcopy(template)
    gone: dict[str, str] = {}
    for name, resource in template["Resources"].items():
        # Alarms on arithmetic are refused, too.
        arithmetic = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource.get(
            "Properties", {}
        )
        if resource["Type"] in unknown or arithmetic:
            gone[name] = resource["Type"]
    for name in gone:
        template["Resources"][name] = copy.deepcopy(_PLACEHOLDER)

    def cut(part: dict[str, Any]) -> Any:
        if part.keys() == {"Ref"} and part["Ref"] in gone:
            return f"stub-{part['Ref']}"
        if part.keys() == {"Fn::GetAtt"} and part["Fn::GetAtt"][0] in gone:
            return "stub-" + "-".join(part["Fn::GetAtt"])
        return part

    return _walk(template, cut), gone


def _walk(part: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a template with each of its objects changed, the outer ones first."""
    if isinstance(part, list):
        return [_walk(item, change) for item in part]
    if not isinstance(part, dict):
        return part
    changed = change(part)
    if not isinstance(changed, dict):
        return changed
    return {name: _walk(value, change) for name, value in changed.items()}


# --------------------------------------------------------------------------------------- quirks

# AppSync hands a direct resolver's function the whole context, and takes its answer or its error as
# it is. MiniStack breaks lists and takes errors for values there, and does both right in this code.
_DIRECT = """
import { util } from '@aws-appsync/utils';
export function request(ctx) {
  return { operation: 'Invoke', payload: ctx };
}
export function response(ctx) {
  if (ctx.error) util.error(ctx.error.message, ctx.error.type, ctx.result);
  return ctx.result;
}
"""


def _rewrite(template: Template, endpoint: str) -> Template:
    """Return a template that means on MiniStack what the given one means on AWS."""
    base, graphql = f"{endpoint}/_aws/execute-api/", f"{endpoint}/v1/apis/"

    def address(part: dict[str, Any]) -> Any:
        """The APIs answer below the endpoint, not at host names of their own."""
        joined = part.get("Fn::Join")
        if (
            joined
            and joined[0] == ""
            and len(joined[1]) > 2
            and joined[1][0] == "https://"
            and str(joined[1][2]).startswith(".execute-api.")
        ):
            return {"Fn::Join": ["", [base, joined[1][1], "/$default"]]}
        got = part.get("Fn::GetAtt")
        if got and got[1] == "GraphQLUrl":
            return {"Fn::Join": ["", [graphql, {"Fn::GetAtt": [got[0], "ApiId"]}, "/graphql"]]}
        return part

    def arn(part: dict[str, Any]) -> Any:
        """A reference to a secret is its ARN, not its name."""
        name = part.get("Ref")
        if name in secrets and len(part) == 1:
            return {"Fn::GetAtt": [name, "Id"]}
        return part

    resources = template["Resources"]
    secrets = {n for n, r in resources.items() if r["Type"] == "AWS::SecretsManager::Secret"}
    template = _walk(_walk(template, address), arn)
    port = urlsplit(endpoint).port
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::AppSync::Resolver" if "Code" not in properties:
                properties["Code"] = _DIRECT
                properties["Runtime"] = {"Name": "APPSYNC_JS", "RuntimeVersion": "1.0.0"}
            case "AWS::AppSync::GraphQLApi":
                # Resolvers are told who asks by a user pool alone. Nothing verifies the token
                # here: that AppSync does is not for this emulator to show.
                properties["AuthenticationType"] = "AMAZON_COGNITO_USER_POOLS"
                properties["UserPoolConfig"] = {
                    "UserPoolId": f"{REGION}_local",
                    "AwsRegion": REGION,
                    "DefaultAction": "ALLOW",
                }
                properties.pop("OpenIDConnectConfig", None)
            case "AWS::CloudFront::Distribution":
                # Hosts of amazonaws.com are refused as origins.
                for origin in properties["DistributionConfig"]["Origins"]:
                    found = re.search(r'(\{[^{}]*\}), "\.execute-api', json.dumps(origin))
                    if found and "CustomOriginConfig" in origin:
                        origin["DomainName"] = "127.0.0.1"
                        path = ["/_aws/execute-api/", json.loads(found[1]), "/$default"]
                        origin["OriginPath"] = {"Fn::Join": ["", path]}
                        origin["CustomOriginConfig"] = {
                            "OriginProtocolPolicy": "http-only",
                            "HTTPPort": port,
                        }
            case "AWS::S3::BucketPolicy" | "AWS::SQS::QueuePolicy" | "AWS::SNS::TopicPolicy":
                # There is no TLS on this machine, so what asks for it cannot be met.
                document = properties["PolicyDocument"]
                document["Statement"] = [
                    statement
                    for statement in document["Statement"]
                    if "SecureTransport" not in json.dumps(statement)
                    and "TlsVersion" not in json.dumps(statement)
                ]
            case "AWS::Scheduler::Schedule":
                properties.pop("GroupName", None)  # there are no groups
    return template


def _finish(endpoint: str, template: Template, physical: dict[str, str]) -> None:
    """Set by the services' own calls what CloudFormation forgets here."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::GlobalTable":
            client(endpoint, "dynamodb").update_time_to_live(
                TableName=physical[name],
                TimeToLiveSpecification=resource["Properties"]["TimeToLiveSpecification"],
            )


# --------------------------------------------------------------------------------------- stacks


def _create(cloudformation: Any, name: str, template_url: str) -> dict[str, str]:
    """Create a stack, wait for it, and return its outputs."""
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=template_url,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            raise DeploymentFailed(f"{name}: {stack['StackStatus']}\n{_why(cloudformation, name)}")
        time.sleep(0.05)
    raise DeploymentFailed(f"{name} was not there after {_WITHIN_S:g} s")


def _why(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = (event for event in events if event["ResourceStatus"].endswith("_FAILED"))
    return "\n".join(
        f"  {event['LogicalResourceId']} ({event['ResourceType']}):"
        f" {event.get('ResourceStatusReason')}"
        for event in failed
    )


def _resources(cloudformation: Any, name: str) -> dict[str, str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }
