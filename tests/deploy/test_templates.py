"""The templates: what AWS is asked for, and what it must never be asked for."""

import filecmp
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint
from deploy.api import PEOPLE, ROOMS, SYSTEM
from deploy.app import synthesise
from deploy.artefacts import SETTINGS
from deploy.exceptions import accept
from deploy.local import STUBS
from deploy.stages import CRITICAL, STAGES, Stage

from deploy import coverage, permissions
from tests.deploy.conftest import Assembly, Built
from trinity.domain.ids import DAY
from trinity.domain.rooms import DECK_KEPT_FOR
from trinity.topology import FUNCTIONS, Function

ROOM_TO_GROW = 400
"""Resources of a stack; CloudFormation ends at 500."""

STATEFUL = {
    "AWS::DynamoDB::GlobalTable",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::KMS::Key",
    "AWS::Events::EventBus",
}

SERVICE_ALONE = {
    "Mutation.publishRoomEvent",
    "Mutation.publishPresence",
    "Mutation.endSubscriptions",
}

everywhere = pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
each = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)


def stack_of(function: Function, stage: str) -> str:
    if not (function.route or function.fields):
        return f"trinity-{stage}-work"
    folder = function.module.partition(".")[0]
    stacks = {"system": SYSTEM, "rooms": ROOMS, "people": PEOPLE}
    (stack,) = (name for name, folders in stacks.items() if folder in folders)
    return f"trinity-{stage}-{stack}"


def of_api(assembly: Assembly, kind: str, stage: str = "prod") -> dict[str, Any]:
    """Return the resources of a type of all stacks of the API."""
    stacks = [f"trinity-{stage}-{part}" for part in ("system", "rooms", "people")]
    return {f"{s}/{k}": v for s in stacks for k, v in assembly.resources(s, kind).items()}


def found(assembly: Assembly, function: Function, kind: str, stage: str = "prod") -> dict[str, Any]:
    """Return the one resource of a type that belongs to a function."""
    name = "".join(part.capitalize() for part in function.name.split("_"))
    matching = {
        logical: properties
        for logical, properties in assembly.resources(stack_of(function, stage), kind).items()
        if re.match(rf"{name}(Function|Role|Log|Alias|Route|Integration)[0-9A-F]{{8}}$", logical)
        or re.match(rf"{name}(Function|Role|Log|Alias|Route|Integration)$", logical)
    }
    (properties,) = matching.values()
    return properties


class TestStacks:
    """How resources are spread."""

    def test_every_stage_has_its_stacks(self, assembly: Assembly) -> None:
        parts = ("data", "edge", "system", "rooms", "people", "work", "watch")
        wanted = [f"trinity-{stage}-{part}" for stage in STAGES for part in parts]
        wanted += [f"trinity-prod-multi-region-second-{part}" for part in parts]
        wanted += ["trinity-prod-network"]
        assert assembly.names() == sorted(wanted)

    def test_no_stack_comes_near_the_limit_of_cloudformation(self, assembly: Assembly) -> None:
        sizes = {name: len(assembly.template(name)["Resources"]) for name in assembly.names()}
        assert {name: size for name, size in sizes.items() if size > ROOM_TO_GROW} == {}

    def test_what_lasts_is_in_the_stacks_of_data_alone(self, assembly: Assembly) -> None:
        for name in assembly.names():
            kinds = {r["Type"] for r in assembly.template(name)["Resources"].values()}
            if name.endswith("-edge"):
                kinds -= {"AWS::SecretsManager::Secret"}  # it is drawn anew with its stack
            assert name.endswith("-data") or not kinds & STATEFUL, name

    @everywhere
    def test_what_lasts_outlives_its_stack_where_a_stage_keeps_it(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        template = assembly.template(f"trinity-{stage.name}-data")
        # What came with a deployment that failed goes, for the next one needs its name.
        gone, replaced = ("RetainExceptOnCreate", "Retain") if stage.keep else ("Delete", "Delete")
        for logical, resource in template["Resources"].items():
            if resource["Type"] in STATEFUL - {"AWS::Events::EventBus"}:
                assert resource["DeletionPolicy"] == gone, logical
                assert resource["UpdateReplacePolicy"] == replaced, logical

    @everywhere
    def test_logs_are_kept_as_long_as_the_stage_says(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        parts = ["edge", "system", "rooms", "people", "work", *(["network"] if stage.redis else [])]
        for part in parts:
            resources = assembly.template(f"trinity-{stage.name}-{part}")["Resources"].values()
            kept = [r for r in resources if r["Type"] == "AWS::Logs::LogGroup"]
            assert kept, part
            for log in kept:
                assert log["Properties"]["RetentionInDays"] == stage.log_days
                assert log["DeletionPolicy"] == ("RetainExceptOnCreate" if stage.keep else "Delete")

    def test_the_same_sources_give_the_same_templates(
        self, assembly: Assembly, aws: Built, tmp_path: Path
    ) -> None:
        """Also in another process, with temporary files elsewhere and sets in another order."""
        elsewhere, output = tmp_path / "tmp", tmp_path / "cdk.out"
        elsewhere.mkdir()
        subprocess.run(
            [sys.executable, "-m", "deploy.app", "--built", aws.folder, "--output", output],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TMPDIR": str(elsewhere), "PYTHONHASHSEED": "1"},
            capture_output=True,
            timeout=300,
            check=True,
        )
        names = [file.name for file in assembly.folder.glob("*.json")]
        names = [name for name in names if not name.startswith("validation-report")]
        same, different, missing = filecmp.cmpfiles(assembly.folder, output, names, shallow=False)
        assert (different, missing) == ([], [])
        assert len(same) > len(STAGES)


class TestRules:
    """cfn-lint and cdk-nag."""

    def test_cfn_lint_finds_nothing(self, assembly: Assembly) -> None:
        regions = ["us-east-1", "eu-west-1"]
        findings = [
            f"{file.name}: {match}"
            for file in assembly.files()
            for match in lint(file.read_text(), regions=regions)
        ]
        assert findings == []

    def test_cdk_nag_stops_a_template_that_breaks_a_rule(self, tmp_path: Path) -> None:
        app = App(outdir=str(tmp_path))
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        stack = Stack(app, "stack")
        accepted = sqs.Queue(stack, "Accepted", enforce_ssl=True)
        accept(accepted, "SQS3", "this one, and not the other")
        sqs.Queue(stack, "Other", enforce_ssl=True)
        with pytest.raises(RuntimeError, match="stack/Other/Resource") as refused:
            app.synth()
        assert "stack/Accepted" not in str(refused.value)

    def test_what_is_accepted_is_accepted_for_one_resource_with_a_reason(
        self, assembly: Assembly
    ) -> None:
        for name in assembly.names():
            for logical, resource in assembly.template(name)["Resources"].items():
                config = resource.get("Metadata", {}).get("cfn-lint")
                if config is not None:
                    assert len(config["reason"]) > 20, logical


class TestTable:
    """The one table."""

    @everywhere
    def test_it_is_kept_safe(self, assembly: Assembly, stage: Stage) -> None:
        table = assembly.only(f"trinity-{stage.name}-data", "AWS::DynamoDB::GlobalTable")
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
        assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
        assert [key["AttributeName"] for key in table["KeySchema"]] == ["PK", "SK"]
        for replica in table["Replicas"]:
            recovery = replica["PointInTimeRecoverySpecification"]
            assert recovery["PointInTimeRecoveryEnabled"] is True
            assert replica["DeletionProtectionEnabled"] is stage.keep

    def test_it_is_in_two_regions_where_the_stage_is(self, assembly: Assembly) -> None:
        table = assembly.only("trinity-prod-multi-region-data", "AWS::DynamoDB::GlobalTable")
        assert {replica["Region"] for replica in table["Replicas"]} == {"us-east-1", "eu-west-1"}


class TestBuckets:
    """Buckets."""

    @everywhere
    def test_they_are_private_versioned_encrypted_and_tidied(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        buckets = assembly.resources(f"trinity-{stage.name}-data", "AWS::S3::Bucket")
        assert len(buckets) >= 5
        for logical, bucket in buckets.items():
            assert all(bucket["PublicAccessBlockConfiguration"].values()), logical
            # Files of people are to be gone when they are removed.
            kept = None if logical.startswith("Uploads") else {"Status": "Enabled"}
            assert bucket.get("VersioningConfiguration") == kept, logical
            assert bucket["BucketEncryption"], logical
            assert bucket["LifecycleConfiguration"]["Rules"], logical

    def test_their_names_fit_whatever_the_region(self, assembly: Assembly) -> None:
        session = boto3.session.Session()
        regions = {
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("s3", partition_name=partition)
        }
        assert len(regions) > 30
        for stack in (f"trinity-{name}" for name in (*STAGES, f"{TWO.name}-second")):
            for bucket in assembly.resources(f"{stack}-data", "AWS::S3::Bucket").values():
                name = plain(bucket["BucketName"]).replace("*", "123456789012")
                here = "eu-west-1" if stack == SECOND else "us-east-1"
                assert here in name
                assert len(name) - len(here) + max(map(len, regions)) <= 63, name

    def test_what_the_trail_wrote_goes_after_a_year(self, assembly: Assembly) -> None:
        trail = assembly.only("trinity-prod-data", "AWS::CloudTrail::Trail")
        bucket = assembly.resources("trinity-prod-data", "AWS::S3::Bucket")[
            trail["S3BucketName"]["Ref"]
        ]
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 365)
        assert "Prefix" not in rule

    @everywhere
    def test_cloudfront_reads_for_a_distribution_of_this_account(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        policies = assembly.resources(f"trinity-{stage.name}-data", "AWS::S3::BucketPolicy")
        reads = [
            (plain(statement["Resource"]).rpartition("/")[2], statement["Condition"])
            for policy in policies.values()
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        ]
        assert len(reads) == 2  # the page and pictures
        for _, condition in reads:
            (source,) = condition["ArnLike"].values()
            assert condition == {"ArnLike": {"aws:SourceArn": source}}
            assert plain(source) == "arn:*:cloudfront::*:distribution/*"

    @everywhere
    def test_old_decks_go_and_removed_pictures_are_not_kept(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        buckets = assembly.resources(f"trinity-{stage.name}-data", "AWS::S3::Bucket")
        (blobs,) = (bucket for name, bucket in buckets.items() if name.startswith("Blobs"))
        rules = {rule.get("Prefix"): rule for rule in blobs["LifecycleConfiguration"]["Rules"]}
        assert all(rule["Status"] == "Enabled" for rule in rules.values())
        assert rules["blobs/"]["ExpirationInDays"] * DAY == DECK_KEPT_FOR
        assert rules["media/"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
        assert rules["media/"]["ExpiredObjectDeleteMarker"] is True
        assert "ExpirationInDays" not in rules["media/"]  # they stay as long as they are shown

    @everywhere
    def test_they_talk_tls_alone(self, assembly: Assembly, stage: Stage) -> None:
        name = f"trinity-{stage.name}-data"
        guarded = set()
        for policy in assembly.resources(name, "AWS::S3::BucketPolicy").values():
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Deny" and statement["Condition"] == {
                    "Bool": {"aws:SecureTransport": "false"}
                }:
                    guarded.add(policy["Bucket"]["Ref"])
        assert guarded == assembly.resources(name, "AWS::S3::Bucket").keys()


@each
class TestFunction:
    """Each function of the topology."""

    def test_it_is_what_the_topology_says(self, assembly: Assembly, function: Function) -> None:
        lambda_ = found(assembly, function, "AWS::Lambda::Function")
        assert lambda_["Handler"] == f"trinity.handlers.{function.module}.handler"
        assert lambda_["MemorySize"] == function.memory_mb
        assert lambda_["Timeout"] == function.timeout_s
        assert lambda_["Architectures"] == ["arm64"]
        assert lambda_["Runtime"] == "python3.13"
        assert lambda_["TracingConfig"] == {"Mode": "Active"}
        assert lambda_.get("ReservedConcurrentExecutions") == function.concurrency

    def test_its_log_ends_some_day(self, assembly: Assembly, function: Function) -> None:
        log = found(assembly, function, "AWS::Logs::LogGroup")
        assert log["RetentionInDays"] == STAGES["prod"].log_days
        assert log["LogGroupName"] == f"/trinity/prod/{function.name}"

    def test_it_is_called_by_an_alias(self, assembly: Assembly, function: Function) -> None:
        alias = found(assembly, function, "AWS::Lambda::Alias")
        assert "Version" in str(alias["FunctionVersion"])

    def test_its_environment_holds_no_secret(self, assembly: Assembly, function: Function) -> None:
        lambda_ = found(assembly, function, "AWS::Lambda::Function")
        for name in lambda_["Environment"]["Variables"]:
            assert not re.search("TOKEN|PASSWORD|KEY", name), name

    def test_its_role_is_its_own(self, assembly: Assembly, function: Function) -> None:
        lambda_ = found(assembly, function, "AWS::Lambda::Function")
        (role, what) = lambda_["Role"]["Fn::GetAtt"]
        assert role.startswith(function.name.replace("_", "").capitalize()[:1])
        others = assembly.resources(stack_of(function, "prod"), "AWS::Lambda::Function")
        assert sum(o["Role"]["Fn::GetAtt"] == [role, what] for o in others.values()) == 1


def test_artefacts_are_built_for_the_settings_that_functions_are_given(
    assembly: Assembly,
) -> None:
    """A setting chooses an adapter, which is in the zip only if it was set while that was made."""
    plain = {"TRINITY_PUBLIC_URL", "TRINITY_ISSUER_URL", "TRINITY_METRICS_NAMESPACE"}
    plain |= {
        "TRINITY_MAIL_FROM",
        "TRINITY_PROXIES",
        "TRINITY_PROXIES_WORD",
        "TRINITY_REDIS_URL",
    }  # the cache: see `artefacts._function`
    given = {
        name
        for function in FUNCTIONS
        for name in found(assembly, function, "AWS::Lambda::Function")["Environment"]["Variables"]
    }
    assert given - plain <= SETTINGS.keys()


class TestPermissions:
    """What roles may do."""

    def test_no_action_has_a_wildcard(self, assembly: Assembly) -> None:
        for name in assembly.names():
            policies = {
                **assembly.resources(name, "AWS::IAM::Role"),
                **assembly.resources(name, "AWS::IAM::Policy"),
            }
            for logical, properties in policies.items():
                for statement in _statements(properties):
                    actions = statement["Action"]
                    for action in [actions] if isinstance(actions, str) else actions:
                        assert "*" not in action, (name, logical, action)

    def test_resources_are_named_but_where_aws_has_none_finer(self, assembly: Assembly) -> None:
        coarse = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
        coarse |= set(permissions.ATTACHING)
        for name in assembly.names():
            for logical, properties in assembly.resources(name, "AWS::IAM::Role").items():
                for statement in _statements(properties):
                    if statement["Resource"] == "*":
                        assert set(statement["Action"]) <= coarse, (name, logical)

    def test_code_of_functions_in_a_network_may_not_touch_the_network(
        self, assembly: Assembly
    ) -> None:
        for function in FUNCTIONS:
            lambda_ = found(assembly, function, "AWS::Lambda::Function")
            role = assembly.resources(stack_of(function, "prod"), "AWS::IAM::Role")[
                lambda_["Role"]["Fn::GetAtt"][0]
            ]
            denied = [s for s in _statements(role) if s["Effect"] == "Deny"]
            assert bool(denied) == ("VpcConfig" in lambda_), function.name
            for statement in denied:
                assert set(statement["Action"]) == set(permissions.ATTACHING)
                told = str(statement["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"])
                assert told.count(f":function:{lambda_['FunctionName']}'") == 1, told


def _statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if "PolicyDocument" in properties:
        documents.append(properties["PolicyDocument"])
    return [statement for document in documents for statement in document["Statement"]]


class TestFront:
    """HTTP API, AppSync and CloudFront."""

    def test_each_route_has_its_authorizer(self, assembly: Assembly) -> None:
        routes = {
            route["RouteKey"]: route["AuthorizationType"]
            for route in of_api(assembly, "AWS::ApiGatewayV2::Route").values()
        }
        assert routes == {
            f.route: "JWT" if f.auth == "user" else "NONE" for f in FUNCTIONS if f.route
        }

    @pytest.mark.parametrize("stack", [*STAGES, "prod-multi-region-second"])
    def test_documents_of_the_issuer_are_there_long_before_the_authorizer_that_reads_them(
        self, assembly: Assembly, stack: str
    ) -> None:
        system, rooms = f"trinity-{stack}-system", f"trinity-{stack}-rooms"
        documents = assembly.resources(system, "AWS::ApiGatewayV2::Route").values()
        wellknown = {"GET /.well-known/openid-configuration", "GET /.well-known/jwks.json"}
        assert wellknown <= {route["RouteKey"] for route in documents}
        stacks = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
        assert assembly.only(rooms, "AWS::ApiGatewayV2::Authorizer")
        assert system in stacks[rooms]["dependencies"]

    def test_each_field_has_a_direct_resolver_but_subscriptions(self, assembly: Assembly) -> None:
        resolvers = of_api(assembly, "AWS::AppSync::Resolver").values()
        direct = {f"{r['TypeName']}.{r['FieldName']}" for r in resolvers if "Code" not in r}
        fields = {field for f in FUNCTIONS for field in f.fields}
        assert direct == {field for field in fields if not field.startswith("Subscription.")}
        coded = {f"{r['TypeName']}.{r['FieldName']}" for r in resolvers if "Code" in r}
        assert coded - SERVICE_ALONE == fields - direct
        assert coded >= SERVICE_ALONE

    @pytest.mark.parametrize(
        ("field", "argument"), [("publishRoomEvent", "event"), ("publishPresence", "presence")]
    )
    def test_what_the_service_tells_is_answered_as_it_came(
        self, assembly: Assembly, field: str, argument: str
    ) -> None:
        told = {"roomId": "r1"}
        ran = resolve(assembly, field, {"args": {argument: told}, "result": told})
        assert ran == {"asked": {"payload": told}, "answered": told, "calls": []}

    @pytest.mark.parametrize("field", ["onRoomEvent", "onPresence"])
    def test_a_subscription_asks_its_function_and_can_be_ended(
        self, assembly: Assembly, field: str
    ) -> None:
        context = {
            "args": {"roomId": "r1"},
            "identity": {"sub": "ana", "claims": {"sub": "ana", "sid": "s"}},
            "request": {"headers": {}},
            "info": {"fieldName": field, "parentTypeName": "Subscription"},
            "source": None,
            "prev": None,
            "stash": {},
        }
        ran = resolve(assembly, field, context)
        asked = {name: part for name, part in context.items() if name != "args"}
        asked["arguments"] = context["args"]  # as a direct resolver would have it
        assert ran["asked"] == {"operation": "Invoke", "payload": asked}
        assert ran["answered"] is None
        [[name, given]] = ran["calls"]
        assert name == "setSubscriptionInvalidationFilter"
        [group] = given["filterGroup"]

        def ended(payload: dict[str, str]) -> bool:
            return all(
                payload[rule["fieldName"]]
                in (rule["value"] if rule["operator"] == "in" else [rule["value"]])
                for rule in group["filters"]
            )

        def meant(**arguments: str) -> dict[str, str]:
            calls = resolve(assembly, "endSubscriptions", {"args": arguments})["calls"]
            [payload] = [c["payload"] for _, c in calls if c["subscriptionField"] == field]
            return payload  # type: ignore[no-any-return]

        assert ended(meant(roomId="r1", userId="ana"))
        assert ended(meant(roomId="r1"))
        assert not ended(meant(roomId="r1", userId="ben"))
        assert not ended(meant(roomId="r2", userId="ana"))
        assert not ended(meant(roomId="r2"))

    def test_who_may_not_follow_is_told_why(self, assembly: Assembly) -> None:
        error = {"message": "You are not in this room.", "type": "NotAMember"}
        ran = resolve(assembly, "onRoomEvent", {"args": {"roomId": "r1"}, "error": error})
        assert ran["error"] == [error["message"], error["type"]]
        assert ran["calls"] == []

    @everywhere
    def test_requests_are_throttled_and_written_down(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        http = assembly.only(f"trinity-{stage.name}-edge", "AWS::ApiGatewayV2::Stage")
        assert http["DefaultRouteSettings"]["ThrottlingRateLimit"] == stage.requests_per_s
        written = http["AccessLogSettings"]["Format"]
        assert "requestId" in written
        assert not re.search("identity|authorizer|path|query", written)

    def test_people_come_through_a_firewall(self, assembly: Assembly) -> None:
        distribution = assembly.only("trinity-prod-edge", "AWS::CloudFront::Distribution")
        assert distribution["DistributionConfig"]["WebACLId"]
        firewall = assembly.only("trinity-prod-edge", "AWS::WAFv2::WebACL")
        assert {rule["Name"] for rule in firewall["Rules"]} >= {"PerAddress"}

    @everywhere
    def test_an_error_answers_only_whom_it_was_meant_for(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        distribution = assembly.only(f"trinity-{stage.name}-edge", "AWS::CloudFront::Distribution")
        errors = distribution["DistributionConfig"]["CustomErrorResponses"]
        # All that CloudFront keeps by itself, and bodies stay those of the origin.
        assert errors == [
            {"ErrorCode": status, "ErrorCachingMinTTL": 0}
            for status in (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
        ]

    @everywhere
    def test_functions_know_what_cloudfront_says_and_templates_do_not(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        edge = f"trinity-{stage.name}-edge"
        config = assembly.only(edge, "AWS::CloudFront::Distribution")["DistributionConfig"]
        origins = {o["Id"]: o.get("OriginCustomHeaders") for o in config["Origins"]}
        paths = {
            b["PathPattern"]: origins.get(b["TargetOriginId"]) for b in config["CacheBehaviors"]
        }
        said = paths.pop("/api/*")
        told = {path for path, headers in paths.items() if headers == said}
        assert told == {"/api/catalogue/*", "/.well-known/*", "/graphql"}
        ((logical, secret),) = assembly.resources(edge, "AWS::SecretsManager::Secret").items()
        parts = ["{{resolve:secretsmanager:", {"Ref": logical}, ":SecretString:::}}"]
        value = {"Fn::Join": ["", parts]}
        assert said == [{"HeaderName": "X-Trinity-Proxies", "HeaderValue": value}]
        word = f"{{{{resolve:secretsmanager:{secret['Name']}:SecretString:::}}}}"
        stacks = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
        for region in ("", "-second") if stage.second_region else ("",):
            for part in ("system", "rooms", "people"):
                stack = f"trinity-{stage.name}{region}-{part}"
                assert edge in stacks[stack]["dependencies"]
                for function in assembly.resources(stack, "AWS::Lambda::Function").values():
                    assert function["Environment"]["Variables"]["TRINITY_PROXIES_WORD"] == word

    @everywhere
    def test_the_page_is_answered_for_as_by_the_embedded_host(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        def answer(path: str) -> Any:
            return asked_for(assembly, stage, path)

        for path in ("/", "/index.html", "/app.js", "/live.js", "/icon.svg", "/style.css"):
            assert answer(path) == {"uri": path}, path
        assert answer("/r/ABCDEF") == {"uri": "/index.html"}
        for path in ("/wp-login.php", "/app", "/r", "/r/ABCDEF/more", "/static/app.js", "/graphq"):
            missing = answer(path)
            assert missing["statusCode"] == 404, path
            assert missing["body"].startswith("<!doctype html>")
            assert "There is no such page" in missing["body"]
            assert missing["headers"]["content-type"]["value"] == "text/html; charset=utf-8"

    @everywhere
    def test_the_page_is_told_the_name_that_appsync_knows_itself_by(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        config = asked_for(assembly, stage, "/config.json")
        assert config["statusCode"] == 200
        assert config["headers"]["content-type"]["value"] == "application/json"
        assert json.loads(config["body"]) == {"graphqlHost": "host of GraphQLUrl"}


def asked_for(assembly: Assembly, stage: Stage, path: str) -> Any:
    """Run the function in front of the page: what it answers with, or the request it lets pass."""
    functions = assembly.resources(f"trinity-{stage.name}-edge", "AWS::CloudFront::Function")
    distribution = assembly.only(f"trinity-{stage.name}-edge", "AWS::CloudFront::Distribution")
    [before] = distribution["DistributionConfig"]["DefaultCacheBehavior"]["FunctionAssociations"]
    assert before["EventType"] == "viewer-request"
    [logical, _] = before["FunctionARN"]["Fn::GetAtt"]
    parts = functions[logical]["FunctionCode"]["Fn::Join"][1]
    code = "".join(p if isinstance(p, str) else _host_of(p) for p in parts)
    assert len(code.encode()) < 8 * 1024  # CloudFront takes 10 KB
    event = {"request": {"uri": path}}
    script = f"{code}console.log(JSON.stringify(handler({json.dumps(event)})));"
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def _host_of(value: Any) -> str:
    [index, split] = value["Fn::Select"]
    [separator, url] = split["Fn::Split"]
    assert (index, separator) == (2, "/")
    return f"host of {url['Fn::GetAtt'][1]}"


_HARNESS = """
const calls = [];
const note = (name) => (given) => { calls.push([name, given]); };
const extensions = {
  setSubscriptionInvalidationFilter: note('setSubscriptionInvalidationFilter'),
  invalidateSubscriptions: note('invalidateSubscriptions'),
};
class Failed { constructor(...said) { this.said = said; } }
const util = { error: (...said) => { throw new Failed(...said); } };
const ctx = CONTEXT;
CODE
let ran = { asked: request(ctx), calls };
try { ran.answered = response(ctx); } catch (e) { ran.error = e.said ?? String(e); }
console.log(JSON.stringify(ran));
"""


def resolve(assembly: Assembly, field: str, context: dict[str, Any]) -> Any:
    """Run the code of a resolver, and return what it asks, answers and calls."""
    resolvers = of_api(assembly, "AWS::AppSync::Resolver").values()
    [code] = [r["Code"] for r in resolvers if r["FieldName"] == field]
    plain = re.sub(r"^import .*$", "", code, flags=re.MULTILINE).replace(
        "export function", "function"
    )
    script = _HARNESS.replace("CONTEXT", json.dumps(context)).replace("CODE", plain)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


class TestStages:
    """What stages ask for."""

    def test_new_versions_are_tried_on_a_tenth_and_taken_back(self, assembly: Assembly) -> None:
        groups = of_api(assembly, "AWS::CodeDeploy::DeploymentGroup")
        assert len(groups) == len(CRITICAL)
        for group in groups.values():
            config = group["DeploymentConfigName"]
            assert config == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
            assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
            assert len(group["AlarmConfiguration"]["Alarms"]) == 2

    def test_a_new_version_is_taken_back_for_faults_of_its_own(self, assembly: Assembly) -> None:
        """Lambda counts neither: a fault is answered, and over GraphQL a refusal is raised."""
        filters = of_api(assembly, "AWS::Logs::MetricFilter").values()
        by_log = {
            f["LogGroupName"]["Ref"]: f["MetricTransformations"][0]
            for f in filters
            if f["FilterPattern"] == "{ $.errors > 0 }"
        }
        assert len(by_log) == len(CRITICAL)
        for counted in by_log.values():
            assert (counted["MetricNamespace"], counted["MetricName"]) == (
                "Trinity/prod",
                "Failing",
            )
            assert {d["Key"]: d["Value"] for d in counted["Dimensions"]} == {
                "operation": "$.operation",
                "version": "$.function_version",
            }
        alarms = list(of_api(assembly, "AWS::CloudWatch::Alarm").values())
        fails = {
            named["operation"]: named["version"]["Fn::GetAtt"]
            for alarm in alarms
            if (alarm["Namespace"], alarm["MetricName"]) == ("Trinity/prod", "Failing")
            for named in [{d["Name"]: d["Value"] for d in alarm["Dimensions"]}]
        }
        assert fails.keys() == set(CRITICAL)
        assert all(what == "Version" for _, what in fails.values())
        dying = {f["MetricTransformations"][0]["MetricName"] for f in filters} - {"Failing"}
        assert dying == {f"Dying-{name}" for name in CRITICAL}
        assert dying <= {alarm["MetricName"] for alarm in alarms}

    def test_environments_are_kept_warm_as_the_stage_wants(self, assembly: Assembly) -> None:
        targets = of_api(assembly, "AWS::ApplicationAutoScaling::ScalableTarget")
        assert len(targets) == len(CRITICAL)
        for target in targets.values():
            assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
            prod = STAGES["prod"]
            assert (target["MinCapacity"], target["MaxCapacity"]) == (
                prod.warm_count,
                prod.warm_most,
            )
        assert of_api(assembly, "AWS::ApplicationAutoScaling::ScalableTarget", "dev") == {}
        policies = of_api(assembly, "AWS::ApplicationAutoScaling::ScalingPolicy")
        assert {policy["ScalingTargetId"]["Ref"] for policy in policies.values()} == {
            name.partition("/")[2] for name in targets
        }
        for policy in policies.values():
            assert policy["PolicyType"] == "TargetTrackingScaling"
            tracked = policy["TargetTrackingScalingPolicyConfiguration"]
            kind = tracked["PredefinedMetricSpecification"]["PredefinedMetricType"]
            assert kind == "LambdaProvisionedConcurrencyUtilization"
            assert 0.5 <= tracked["TargetValue"] <= 0.9  # AWS takes it between 0.1 and 0.9
        for function in FUNCTIONS:
            if function.route or function.fields:
                snap = found(assembly, function, "AWS::Lambda::Function", "prod-multi-region").get(
                    "SnapStart"
                )
                assert (snap is not None) == (function.name in CRITICAL)

    def test_functions_live_beside_the_cache_only_if_they_share_it(
        self, assembly: Assembly
    ) -> None:
        for function in FUNCTIONS:
            lambda_ = found(assembly, function, "AWS::Lambda::Function")
            shares = ("cache", "share") in function.grants
            assert ("VpcConfig" in lambda_) == shares, function.name
            assert ("TRINITY_REDIS_URL" in lambda_["Environment"]["Variables"]) == shares
        assert assembly.resources("trinity-prod-network", "AWS::EC2::NatGateway") == {}

    def test_every_resource_is_billed_to_its_stage(self, assembly: Assembly) -> None:
        for stage in STAGES.values():
            for part in ("data", "edge", "system", "rooms", "people", "work", "watch"):
                template = json.dumps(assembly.template(f"trinity-{stage.name}-{part}"))
                tags = re.findall(r'{"Key": "trinity-stage", "Value": "([a-z-]+)"}', template)
                assert set(tags) == {stage.name}, part


TWO = STAGES["prod-multi-region"]
FIRST, SECOND = f"trinity-{TWO.name}", f"trinity-{TWO.name}-second"
watched = pytest.mark.parametrize("stack", [*(f"trinity-{name}" for name in STAGES), SECOND])
MAPPING = "AWS::Lambda::EventSourceMapping"


def plain(value: Any) -> str:
    """Return a joined text with `*` for what only CloudFormation knows."""
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else "*" for part in value["Fn::Join"][1])


def listens(assembly: Assembly, stack: str) -> tuple[int, int]:
    """Return how many mappings of the stream and running clocks a stack has."""
    mappings = assembly.resources(f"{stack}-work", MAPPING).values()
    streams = [m for m in mappings if "StartingPosition" in m]
    clocks = assembly.resources(f"{stack}-work", "AWS::Scheduler::Schedule").values()
    return len(streams), sum(clock["State"] == "ENABLED" for clock in clocks)


class TestTwoRegions:
    """The stage that has a second region."""

    def test_buckets_that_both_regions_read_are_copied(self, assembly: Assembly) -> None:
        copies = set()
        for stack in (FIRST, SECOND):
            for bucket in assembly.resources(f"{stack}-data", "AWS::S3::Bucket").values():
                configuration = bucket.get("ReplicationConfiguration")
                if configuration is None:
                    continue
                if "Fn::If" in configuration:
                    told, configuration, otherwise = configuration["Fn::If"]
                    assert (stack, told, otherwise) == (SECOND, "Copies", {"Ref": "AWS::NoValue"})
                assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
                (rule,) = configuration["Rules"]
                assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
                assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}
                target = plain(rule["Destination"]["Bucket"]).removeprefix("arn:*:s3:::")
                copies.add((plain(bucket["BucketName"]), target))
        here, there = (f"trinity-{TWO.name}-*-{r}-" for r in ("us-east-1", "eu-west-1"))
        assert copies == {
            (f"{here}blobs", f"{there}blobs"),
            (f"{here}archive", f"{there}archive"),
            (f"{here}web", f"{there}web"),
            (f"{there}blobs", f"{here}blobs"),
            (f"{there}archive", f"{here}archive"),
        }

    def test_the_second_region_copies_when_the_first_is_there(self, assembly: Assembly) -> None:
        told = assembly.template(f"{SECOND}-data")["Parameters"]["CopyBack"]
        assert (told["Default"], told["AllowedValues"]) == ("no", ["no", "yes"])
        stacks = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
        assert f"{SECOND}-data" in stacks[f"{FIRST}-data"]["dependencies"]
        # They read secrets, which the first one puts here.
        for part in ("system", "rooms", "people", "work"):
            assert {f"{FIRST}-data", f"{FIRST}-edge"} <= {
                *stacks[f"{SECOND}-{part}"]["dependencies"]
            }

    @pytest.mark.parametrize("stack", [FIRST, SECOND])
    def test_who_copies_may_do_nothing_else(self, assembly: Assembly, stack: str) -> None:
        (copier,) = (
            role
            for logical, role in assembly.resources(f"{stack}-data", "AWS::IAM::Role").items()
            if logical.startswith("Copier")
        )
        (trusted,) = copier["AssumeRolePolicyDocument"]["Statement"]
        assert trusted["Principal"] == {"Service": "s3.amazonaws.com"}
        written = {
            plain(resource).rpartition("1-")[2]
            for statement in _statements(copier)
            if "s3:ReplicateObject" in statement["Action"]
            for resource in statement["Resource"]
        }
        wanted = {"blobs/*", "archive/*"} | ({"web/*"} if stack == FIRST else set())
        assert written == wanted

    def test_files_come_from_the_other_region_where_the_first_has_none(
        self, assembly: Assembly
    ) -> None:
        distribution = assembly.only(f"{FIRST}-edge", "AWS::CloudFront::Distribution")
        config = distribution["DistributionConfig"]
        hosts = {o["Id"]: plain(o["DomainName"]) for o in config["Origins"] if _of_s3(o)}
        groups = {}
        for group in config["OriginGroups"]["Items"]:
            members = [hosts[member["OriginId"]] for member in group["Members"]["Items"]]
            codes = group["FailoverCriteria"]["StatusCodes"]["Items"]
            assert set(codes) >= {403, 404, 500, 502, 503, 504}
            groups[group["Id"]] = members
        name = f"trinity-{TWO.name}-*"

        def of_both(bucket: str) -> list[str]:
            regions = ("us-east-1", "eu-west-1")
            return [f"{name}-{r}-{bucket}.s3.{r}.amazonaws.com" for r in regions]

        (pictures,) = (b for b in config["CacheBehaviors"] if b["PathPattern"] == "/media/*")
        page = config["DefaultCacheBehavior"]
        assert groups[page["TargetOriginId"]] == of_both("web")
        assert groups[pictures["TargetOriginId"]] == of_both("blobs")

    def test_cloudfront_is_asked_for_no_failover_that_it_refuses(self, assembly: Assembly) -> None:
        distribution = assembly.only(f"{FIRST}-edge", "AWS::CloudFront::Distribution")
        config = distribution["DistributionConfig"]
        groups = {group["Id"] for group in config["OriginGroups"]["Items"]}
        for behavior in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
            if behavior["TargetOriginId"] in groups:
                methods = behavior.get("AllowedMethods", ["GET", "HEAD"])
                assert set(methods) <= {"GET", "HEAD", "OPTIONS"}, behavior

    def test_both_apis_are_asked_in_the_region_that_is_well(self, assembly: Assembly) -> None:
        distribution = assembly.only(f"{FIRST}-edge", "AWS::CloudFront::Distribution")
        config = distribution["DistributionConfig"]
        hosts = {origin["Id"]: origin["DomainName"] for origin in config["Origins"]}
        asked = {b["PathPattern"]: hosts.get(b["TargetOriginId"]) for b in config["CacheBehaviors"]}
        name = f"api.{TWO.domain}"
        for path in ("/api/*", "/api/catalogue/*", "/.well-known/*", "/graphql"):
            assert asked[path] == name
        for stack, role in ((FIRST, "PRIMARY"), (SECOND, "SECONDARY")):
            records = assembly.resources(f"{stack}-edge", "AWS::Route53::RecordSet").values()
            (record,) = (record for record in records if "Failover" in record)
            assert (record["Name"].rstrip("."), record["Failover"]) == (name, role)
            health = assembly.resources(f"{stack}-edge", "AWS::Route53::HealthCheck")
            assert record["HealthCheckId"]["Fn::GetAtt"][0] in health
            (check,) = health.values()
            assert check["HealthCheckConfig"]["ResourcePath"] == "/api/health"

    @pytest.mark.parametrize("stack", [FIRST, SECOND])
    def test_the_name_of_both_regions_comes_after_what_it_leads_to(
        self, assembly: Assembly, stack: str
    ) -> None:
        resources = assembly.template(f"{stack}-edge")["Resources"]
        (mapping,) = (r for r in resources.values() if r["Type"] == "AWS::ApiGatewayV2::ApiMapping")
        (http,) = assembly.resources(f"{stack}-edge", "AWS::ApiGatewayV2::Stage")
        assert http in mapping["DependsOn"]

    def test_the_domain_leads_to_cloudfront_by_both_kinds_of_addresses(
        self, assembly: Assembly
    ) -> None:
        edge = f"{FIRST}-edge"
        (distribution,) = assembly.resources(edge, "AWS::CloudFront::Distribution")
        config = assembly.only(edge, "AWS::CloudFront::Distribution")["DistributionConfig"]
        assert config["IPV6Enabled"] is True
        kinds = {
            record["Type"]
            for record in assembly.resources(edge, "AWS::Route53::RecordSet").values()
            if record["AliasTarget"]["DNSName"] == {"Fn::GetAtt": [distribution, "DomainName"]}
        }
        assert kinds == {"A", "AAAA"}

    @pytest.mark.parametrize("stack", [FIRST, SECOND])
    def test_the_common_name_leads_to_the_api_over_tls(
        self, assembly: Assembly, stack: str
    ) -> None:
        edge = f"{stack}-edge"
        ((name, domain),) = assembly.resources(edge, "AWS::ApiGatewayV2::DomainName").items()
        assert domain["DomainName"] == f"api.{TWO.domain}"
        (configuration,) = domain["DomainNameConfigurations"]
        assert configuration["EndpointType"] == "REGIONAL"
        # The only policy that HTTP APIs have, and so what they take where nothing is said:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-custom-domain-tls-version.html
        assert configuration.get("SecurityPolicy", "TLS_1_2") == "TLS_1_2"
        certificates = assembly.resources(edge, "AWS::CertificateManager::Certificate")
        its_own = certificates[configuration["CertificateArn"]["Ref"]]
        assert its_own["DomainName"] == domain["DomainName"]
        mapping = assembly.only(edge, "AWS::ApiGatewayV2::ApiMapping")
        (api,) = assembly.resources(edge, "AWS::ApiGatewayV2::Api")
        assert (mapping["DomainName"], mapping["ApiId"]) == ({"Ref": name}, {"Ref": api})

    def test_certificates_are_proved_by_dns_in_our_zone(self, assembly: Assembly) -> None:
        proved = []
        for stack in (FIRST, SECOND):
            certificates = assembly.resources(
                f"{stack}-edge", "AWS::CertificateManager::Certificate"
            )
            for certificate in certificates.values():
                assert certificate["ValidationMethod"] == "DNS"
                assert certificate["DomainValidationOptions"] == [
                    {"DomainName": certificate["DomainName"], "HostedZoneId": TWO.hosted_zone_id}
                ]
                proved.append(certificate["DomainName"])
        name = f"api.{TWO.domain}"
        assert sorted(proved) == sorted([TWO.domain, name, name])

    @pytest.mark.parametrize("stack", [FIRST, SECOND])
    def test_graphql_goes_with_the_http_api(self, assembly: Assembly, stack: str) -> None:
        edge = f"{stack}-edge"
        route = assembly.only(edge, "AWS::ApiGatewayV2::Route")
        ((logical, integration),) = assembly.resources(
            edge, "AWS::ApiGatewayV2::Integration"
        ).items()
        assert route["RouteKey"] == "ANY /graphql"
        assert route["Target"]["Fn::Join"][1] == ["integrations/", {"Ref": logical}]
        (api,) = assembly.resources(edge, "AWS::AppSync::GraphQLApi")
        assert integration["IntegrationUri"] == {"Fn::GetAtt": [api, "GraphQLUrl"]}

    def test_secrets_are_in_both_and_may_be_read_in_both(self, assembly: Assembly) -> None:
        secrets = assembly.resources(f"{FIRST}-data", "AWS::SecretsManager::Secret").values()
        for secret in secrets:
            assert secret["ReplicaRegions"] == [{"Region": TWO.second_region}]
        names = {secret["Name"] for secret in secrets}
        # AWS ends the ARN of a secret with six letters, and a policy has to name them.
        read = {
            plain(resource).rpartition(":secret:")[2]
            for part in ("system", "rooms", "people", "work")
            for role in assembly.resources(f"{SECOND}-{part}", "AWS::IAM::Role").values()
            for statement in _statements(role)
            if "secretsmanager:GetSecretValue" in statement["Action"]
            for resource in [statement["Resource"]]
        }
        assert read == {f"{name}-??????" for name in names}

    def test_what_belongs_to_the_account_is_made_once(self, assembly: Assembly) -> None:
        for kind, name in (
            ("AWS::CloudWatch::Dashboard", lambda one: one["DashboardName"]),
            ("AWS::Budgets::Budget", lambda one: one["Budget"]["BudgetName"]),
        ):
            made = [
                name(one)
                for stack in assembly.names()
                for one in assembly.resources(stack, kind).values()
            ]
            assert len(made) == len(set(made)) >= len(STAGES), made

    def test_a_copy_that_fails_is_told(self, assembly: Assembly) -> None:
        for stack, buckets in (
            (FIRST, {"blobs", "archive", "web"}),
            (SECOND, {"blobs", "archive"}),
        ):
            alarms = assembly.resources(f"{stack}-watch", "AWS::CloudWatch::Alarm").values()
            about = {
                alarm["AlarmName"].rpartition("-")[2]
                for alarm in alarms
                if alarm.get("MetricName") == "OperationsFailedReplication"
            }
            assert about == buckets

    def test_a_region_that_stands_by_tells_nothing_twice(self, assembly: Assembly) -> None:
        clocks = sum(len(function.schedules) for function in FUNCTIONS)
        feeds = sum(bool(function.streams) for function in FUNCTIONS)
        assert listens(assembly, FIRST) == (feeds, clocks)
        assert listens(assembly, SECOND) == (0, 0)

    def test_what_came_up_in_a_region_is_worked_off_there(self, assembly: Assembly) -> None:
        for stack in (FIRST, SECOND):
            mappings = assembly.resources(f"{stack}-work", MAPPING).values()
            of_queues = [m for m in mappings if "StartingPosition" not in m]
            assert len(of_queues) == sum(f.queue is not None for f in FUNCTIONS)
            assert not any(mapping.get("Enabled") is False for mapping in of_queues)

    def test_the_work_can_be_moved(self, aws: Built, tmp_path: Path) -> None:
        stream = f"arn:aws:dynamodb:{TWO.second_region}:1:table/t/stream/2026"
        synthesise([replace(TWO, second_stream=stream)], aws.folder, tmp_path)
        moved = Assembly(tmp_path)
        clocks = sum(len(function.schedules) for function in FUNCTIONS)
        feeds = sum(bool(function.streams) for function in FUNCTIONS)
        assert listens(moved, FIRST) == (0, 0)
        assert listens(moved, SECOND) == (feeds, clocks)
        for mapping in moved.resources(f"{SECOND}-work", MAPPING).values():
            if "StartingPosition" in mapping:
                assert mapping["EventSourceArn"] == stream
                # Nothing is missed: whoever gets a change again knows it.
                assert mapping["StartingPosition"] == "TRIM_HORIZON"

    def test_a_stream_of_another_region_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no stream of the second region"):
            replace(TWO, second_stream="arn:aws:dynamodb:us-east-1:1:table/t/stream/2026")


def _of_s3(origin: dict[str, Any]) -> bool:
    return "S3OriginConfig" in origin


@pytest.fixture(scope="module")
def with_tmdb(aws: Built, tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The stage with a shared cache, asking TMDB."""
    folder = tmp_path_factory.mktemp("tmdb")
    synthesise([replace(STAGES["prod"], tmdb=True)], aws.folder, folder)
    return Assembly(folder)


class TestTmdb:
    """A stage that asks The Movie Database."""

    def test_its_token_is_in_a_secret_that_the_template_does_not_know(
        self, with_tmdb: Assembly
    ) -> None:
        secrets = with_tmdb.resources("trinity-prod-data", "AWS::SecretsManager::Secret").values()
        (secret,) = (one for one in secrets if one["Name"] == "trinity/prod/tmdb")
        assert not {"SecretString", "GenerateSecretString"} & secret.keys()

    def test_those_who_read_the_catalogue_may_read_it_and_nobody_else(
        self, with_tmdb: Assembly
    ) -> None:
        exports = with_tmdb.template("trinity-prod-data")["Outputs"]
        (secret,) = (
            logical
            for logical, one in with_tmdb.resources(
                "trinity-prod-data", "AWS::SecretsManager::Secret"
            ).items()
            if one["Name"] == "trinity/prod/tmdb"
        )
        (export,) = (o["Export"]["Name"] for o in exports.values() if o["Value"] == {"Ref": secret})
        arn = {"Fn::ImportValue": export}
        for function in FUNCTIONS:
            role = found(with_tmdb, function, "AWS::IAM::Role")
            may = any(
                arn in (s["Resource"] if isinstance(s["Resource"], list) else [s["Resource"]])
                for s in _statements(role)
            )
            given = found(with_tmdb, function, "AWS::Lambda::Function")["Environment"]["Variables"]
            reads = ("catalogue", "read") in function.grants
            assert may == reads, function.name
            assert given.get("TRINITY_TMDB_SECRET") == (arn if reads else None), function.name

    def test_whoever_asks_it_is_not_shut_in_with_the_cache(self, with_tmdb: Assembly) -> None:
        shut_in = {
            f.name for f in FUNCTIONS if "VpcConfig" in found(with_tmdb, f, "AWS::Lambda::Function")
        }
        asks = {f.name for f in FUNCTIONS if ("catalogue", "read") in f.grants}
        shares = {f.name for f in FUNCTIONS if ("cache", "share") in f.grants}
        assert asks & shares  # or this test would say nothing
        assert shut_in == shares - asks

    def test_no_other_stage_has_a_trace_of_it(self, assembly: Assembly) -> None:
        for file in assembly.files():
            assert "tmdb" not in file.read_text().lower(), file.name


class TestTrail:
    """What is written down of what is done in the account."""

    @everywhere
    def test_it_says_who_took_uploads_and_what_was_done_to_what_lasts(
        self, assembly: Assembly, stage: Stage
    ) -> None:
        trail = assembly.only(f"trinity-{stage.name}-data", "AWS::CloudTrail::Trail")
        assert trail["IsLogging"] is True
        assert trail["IsMultiRegionTrail"] is True
        assert trail["IncludeGlobalServiceEvents"] is True
        assert trail["EnableLogFileValidation"] is True  # nobody changes what was written
        (selector,) = trail["EventSelectors"]
        # Those are of the whole account, and a second copy of them has a price.
        assert selector["IncludeManagementEvents"] is stage.keep
        (objects,) = selector["DataResources"]
        assert objects["Type"] == "AWS::S3::Object"
        assert len(objects["Values"]) == (2 if stage.second_region else 1)
        for bucket in objects["Values"]:
            assert plain(bucket).endswith("/")

    def test_there_is_one_for_both_regions(self, assembly: Assembly) -> None:
        assert assembly.resources(f"{SECOND}-data", "AWS::CloudTrail::Trail") == {}

    @watched
    def test_events_of_a_month_can_be_played_again(self, assembly: Assembly, stack: str) -> None:
        archive = assembly.only(f"{stack}-data", "AWS::Events::Archive")
        (bus,) = assembly.resources(f"{stack}-data", "AWS::Events::EventBus")
        assert archive["SourceArn"] == {"Fn::GetAtt": [bus, "Arn"]}
        assert archive["EventPattern"] == {"source": ["trinity"]}
        assert archive["RetentionDays"] == 30


class TestNetwork:
    """The network of the shared cache."""

    NAME = "trinity-prod-network"

    def test_the_cache_has_a_limit_and_a_wall(self, assembly: Assembly) -> None:
        cache = assembly.only(self.NAME, "AWS::ElastiCache::ServerlessCache")
        assert cache["Engine"] == "valkey"
        assert cache["CacheUsageLimits"]["DataStorage"] == {"Maximum": 1, "Unit": "GB"}
        assert cache["CacheUsageLimits"]["ECPUPerSecond"] == {"Maximum": 5000}
        walls = assembly.resources(self.NAME, "AWS::EC2::SecurityGroup")
        (wall,) = (group["Fn::GetAtt"][0] for group in cache["SecurityGroupIds"])
        assert "SecurityGroupIngress" not in walls[wall]  # none of its own, and these:
        assert self._lets_in(assembly, wall) == [("Functions", 6379, 6379)]
        subnets = assembly.resources(self.NAME, "AWS::EC2::Subnet")
        assert {subnet["Ref"] for subnet in cache["SubnetIds"]} == subnets.keys()
        assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets.values())

    def test_only_functions_find_the_way_to_the_secrets(self, assembly: Assembly) -> None:
        (endpoint,) = (
            one
            for one in assembly.resources(self.NAME, "AWS::EC2::VPCEndpoint").values()
            if one["VpcEndpointType"] == "Interface"
        )
        (wall,) = (group["Fn::GetAtt"][0] for group in endpoint["SecurityGroupIds"])
        assert self._lets_in(assembly, wall) == [("Functions", 443, 443)]

    def test_what_was_refused_is_written_down(self, assembly: Assembly) -> None:
        flows = assembly.only(self.NAME, "AWS::EC2::FlowLog")
        (log,) = assembly.resources(self.NAME, "AWS::Logs::LogGroup")
        (vpc,) = assembly.resources(self.NAME, "AWS::EC2::VPC")
        assert (flows["ResourceId"], flows["LogGroupName"]) == ({"Ref": vpc}, {"Ref": log})
        assert flows["TrafficType"] == "REJECT"

    def _lets_in(self, assembly: Assembly, wall: str) -> list[tuple[str, int, int]]:
        """Return whom a wall lets in, and to which ports."""
        return [
            (rule["SourceSecurityGroupId"]["Fn::GetAtt"][0][:9], rule["FromPort"], rule["ToPort"])
            for rule in assembly.resources(self.NAME, "AWS::EC2::SecurityGroupIngress").values()
            if rule["GroupId"] == {"Fn::GetAtt": [wall, "GroupId"]}
        ]


class TestQueues:
    """Who may put something into a queue."""

    @pytest.mark.parametrize("stage", STAGES)
    def test_only_what_is_meant_to_fill_it(self, assembly: Assembly, stage: str) -> None:
        data, work = f"trinity-{stage}-data", f"trinity-{stage}-work"
        named = {
            logical: queue["QueueName"]
            for logical, queue in assembly.resources(data, "AWS::SQS::Queue").items()
        }
        rules = {
            rule["Name"]: f"arn:*:events:us-east-1:*:rule/trinity-{stage}/{rule['Name']}"
            for rule in assembly.resources(work, "AWS::Events::Rule").values()
        }
        let_in = set()
        for policy in assembly.resources(data, "AWS::SQS::QueuePolicy").values():
            (queue,) = (named[queue["Ref"]] for queue in policy["Queues"])
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Deny":
                    continue
                assert statement["Action"] == "sqs:SendMessage"
                (who,) = statement["Principal"].values()
                (source,) = statement["Condition"]["ArnEquals"].values()
                let_in.add((who, queue, source["Ref"][:7] if "Ref" in source else plain(source)))
        wanted = {("s3.amazonaws.com", f"trinity-{stage}-process-upload", _uploads(stage))}
        for name, arn in rules.items():
            wanted |= {("events.amazonaws.com", q, arn) for q in (name, f"{name}-dead")}
        for queue in (f.queue for f in FUNCTIONS if f.queue is not None and f.queue.channel):
            for name in (queue.name, queue.dead_letters):
                wanted.add(("sns.amazonaws.com", f"trinity-{stage}-{name}", "Notices"))
        assert let_in == wanted


def _uploads(stage: str) -> str:
    return f"arn:*:s3:::trinity-{stage}-*-us-east-1-uploads"


class TestSecrets:
    """What nobody else may know."""

    @everywhere
    def test_a_secret_that_is_copied_has_a_value(self, assembly: Assembly, stage: Stage) -> None:
        secrets = assembly.resources(f"trinity-{stage.name}-data", "AWS::SecretsManager::Secret")
        begins = {one["Name"]: one.get("SecretString") for one in secrets.values()}
        name = f"trinity/{stage.name}"
        assert begins == {
            f"{name}/signing": '{"keys": []}',  # a key in a template would be no secret
            f"{name}/cursors": None,
            f"{name}/push": None,
        }
        for secret in secrets.values():
            assert ("SecretString" in secret) != ("GenerateSecretString" in secret)


class TestFeeds:
    """Which changes wake a function."""

    def test_renewals_of_presence_wake_nobody(self, assembly: Assembly) -> None:
        mappings = assembly.resources("trinity-prod-work", "AWS::Lambda::EventSourceMapping")
        patterns = [
            json.loads(one["Pattern"])
            for mapping in mappings.values()
            for one in mapping.get("FilterCriteria", {}).get("Filters", [])
        ]
        of_presence = [one for one in patterns if "HERE#" in json.dumps(one)]
        keys = {"Keys": {"SK": {"S": [{"prefix": "HERE#"}]}}}
        assert of_presence == [{"eventName": ["INSERT", "REMOVE"], "dynamodb": keys}]


class TestClocks:
    """Who is called at a time of its own."""

    @pytest.mark.parametrize("stack", ["trinity-prod-work", f"{SECOND}-work"])
    def test_a_call_that_fails_again_and_again_is_kept(
        self, assembly: Assembly, stack: str
    ) -> None:
        """The clock only hands a call over; what becomes of it, Lambda alone knows."""
        kept = {
            function["FunctionName"]
            for function in assembly.resources(stack, "AWS::Lambda::Function").values()
            if "StreamFailures" in str(function.get("DeadLetterConfig"))
        }
        stage = stack.removesuffix("-work").removesuffix("-second")
        assert kept == {f"{stage}-{function.name}" for function in FUNCTIONS if function.schedules}


METRICS = {
    ("AWS/ApiGateway", "ApiId"): {"4xx", "5xx", "Count", "Latency"},
    ("AWS/AppSync", "GraphQLAPIId"): {
        "5XXError",
        "ActiveSubscriptions",
        "PublishDataMessageSuccess",
    },
    ("AWS/DynamoDB", "TableName"): {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
    ("AWS/Lambda", "FunctionName"): {
        "ConcurrentExecutions",
        "Duration",
        "IteratorAge",
        "Throttles",
    },
    ("AWS/S3", "DestinationBucket", "RuleId", "SourceBucket"): {"OperationsFailedReplication"},
    ("AWS/SQS", "QueueName"): {"ApproximateNumberOfMessagesVisible"},
}
"""Which metrics AWS publishes with exactly these dimensions: with others there is never a figure.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
https://docs.aws.amazon.com/appsync/latest/devguide/monitoring.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""


def metrics(assembly: Assembly, stack: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return namespace, name and dimensions of all metrics that alarms and dashboards look at."""
    looked_at = []
    for alarm in assembly.resources(stack, "AWS::CloudWatch::Alarm").values():
        parts = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        for metric in parts or [alarm]:
            dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
            looked_at.append((metric["Namespace"], metric["MetricName"], dimensions))
    for dashboard in assembly.resources(stack, "AWS::CloudWatch::Dashboard").values():
        for widget in json.loads(plain(dashboard["DashboardBody"]))["widgets"]:
            for space, name, *rest in widget["properties"]["metrics"]:
                named = [part for part in rest if isinstance(part, str)]
                looked_at.append((space, name, dict(zip(named[::2], named[1::2], strict=True))))
    return looked_at


class TestAlarms:
    """Who is woken by what."""

    @watched
    def test_what_an_alarm_says_may_be_sent(self, assembly: Assembly, stack: str) -> None:
        ((topic, _),) = assembly.resources(f"{stack}-watch", "AWS::SNS::Topic").items()
        policy = assembly.only(f"{stack}-watch", "AWS::SNS::TopicPolicy")
        assert policy["Topics"] == [{"Ref": topic}]
        may = {
            statement["Principal"]["Service"]
            for statement in policy["PolicyDocument"]["Statement"]
            if (statement["Effect"], statement["Action"]) == ("Allow", "sns:Publish")
        }
        pays = assembly.resources(f"{stack}-watch", "AWS::Budgets::Budget")
        assert may == {"cloudwatch.amazonaws.com"} | ({"budgets.amazonaws.com"} if pays else set())
        alarms = assembly.resources(f"{stack}-watch", "AWS::CloudWatch::Alarm")
        both = assembly.resources(f"{stack}-watch", "AWS::CloudWatch::CompositeAlarm")
        windows = json.dumps([alarm["AlarmRule"] for alarm in both.values()])
        for logical, alarm in {**alarms, **both}.items():
            told = [] if f'"{logical}"' in windows else [{"Ref": topic}]
            assert alarm.get("AlarmActions", []) == told, logical

    @watched
    def test_alarms_can_be_encrypted_by_who_sends_them(
        self, assembly: Assembly, stack: str
    ) -> None:
        topic = assembly.only(f"{stack}-watch", "AWS::SNS::Topic")
        ((name, key),) = assembly.resources(f"{stack}-data", "AWS::KMS::Key").items()
        assert name in topic["KmsMasterKeyId"]["Fn::ImportValue"]
        assert key["EnableKeyRotation"] is True
        (alarms,) = (s for s in key["KeyPolicy"]["Statement"] if s.get("Sid") == "Alarms")
        assert set(alarms["Principal"]["Service"]) >= {
            "cloudwatch.amazonaws.com",
            "budgets.amazonaws.com",
        }
        assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]

    @watched
    def test_what_is_looked_at_is_there(self, assembly: Assembly, stack: str) -> None:
        own = {
            (change["MetricNamespace"], change["MetricName"])
            for log in assembly.resources(f"{stack}-watch", "AWS::Logs::MetricFilter").values()
            for change in log["MetricTransformations"]
        }
        looked_at = metrics(assembly, f"{stack}-watch")
        assert {space for space, _, _ in looked_at} >= {kind for kind, *_ in METRICS} - {"AWS/S3"}
        for space, name, dimensions in looked_at:
            known = METRICS.get((space, *sorted(dimensions)), set())
            assert name in known or ((space, name) in own and not dimensions), (space, name)

    @watched
    def test_whoever_people_wait_for_is_not_turned_away_unnoticed(
        self, assembly: Assembly, stack: str
    ) -> None:
        stage = STAGES[stack.removeprefix("trinity-").removesuffix("-second")]
        told = {
            alarm["AlarmName"].rpartition("-")[2]: alarm
            for alarm in assembly.resources(f"{stack}-watch", "AWS::CloudWatch::Alarm").values()
            if alarm.get("MetricName") == "Throttles"
        }
        limited = {f.name for f in FUNCTIONS if f.concurrency is not None and stage.reserve}
        assert told.keys() == {*CRITICAL, *limited}
        called = [str(alarm["Dimensions"]) for alarm in told.values()]
        assert len(set(called)) == len(told)  # each its own

    @watched
    def test_whoever_reads_the_stream_is_watched_for_being_late(
        self, assembly: Assembly, stack: str
    ) -> None:
        alarms = assembly.resources(f"{stack}-watch", "AWS::CloudWatch::Alarm").values()
        told = {a["AlarmName"] for a in alarms if a.get("MetricName") == "IteratorAge"}
        name = stack.removesuffix("-second")
        assert told == {f"{name}-Behind-{f.name}" for f in FUNCTIONS if f.streams}

    @watched
    def test_who_watches_comes_after_all_that_is_watched(
        self, assembly: Assembly, stack: str
    ) -> None:
        stacks = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
        before = set(stacks[f"{stack}-watch"]["dependencies"])
        parts = ("data", "edge", "system", "rooms", "people", "work")
        assert before >= {f"{stack}-{part}" for part in parts}

    def test_every_queue_of_failures_has_an_alarm(self, assembly: Assembly) -> None:
        alarms = assembly.resources("trinity-prod-watch", "AWS::CloudWatch::Alarm")
        names = {alarm["AlarmName"] for alarm in alarms.values()}
        for function in FUNCTIONS:
            if function.queue is not None:
                assert f"trinity-prod-Dead-{function.queue.name}-dead" in names
        assert "trinity-prod-Dead-stream-failures" in names

    def test_every_alarm_leads_to_a_runbook_that_is_there(self, assembly: Assembly) -> None:
        runbooks = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
        headings = {
            re.sub(r"[^a-z0-9-]", "", line.lstrip("# ").lower().replace(" ", "-"))
            for line in runbooks.splitlines()
            if line.startswith("#")
        }
        stages = ("trinity-prod", FIRST, SECOND)
        for stack in (
            f"{stage}-{part}" for stage in stages for part in ("watch", "system", "rooms", "people")
        ):
            for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
                for alarm in assembly.resources(stack, kind).values():
                    if "AlarmDescription" not in alarm or "scaling" in alarm.get("AlarmName", ""):
                        continue
                    anchor = alarm["AlarmDescription"].rpartition("docs/runbooks.md#")[2]
                    assert anchor in headings, alarm["AlarmDescription"]


class TestCoverage:
    """docs/aws-coverage.md."""

    def test_the_page_says_of_every_resource_how_it_was_tried(self, assembly: Assembly) -> None:
        assert coverage.PAGE.read_text() == coverage.page(assembly.folder)

    def test_what_is_said_to_be_exercised_is_in_the_templates(self, assembly: Assembly) -> None:
        kinds = {
            resource["Type"]
            for name in assembly.names()
            for resource in assembly.template(name)["Resources"].values()
        }
        assert coverage.EXERCISED.keys() | STUBS.keys() <= kinds
        assert not coverage.EXERCISED.keys() & STUBS.keys()
