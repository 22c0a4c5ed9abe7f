"""`python -m deploy.coverage`: writes docs/aws-coverage.md; nobody shall take an emulator for AWS.

For each type of resource in the templates it says whether it was exercised on the local AWS, was
only created there, is only looked at in the template, or neither.
"""

import json
import re
import sys
from pathlib import Path

from deploy.app import OUTPUT
from deploy.local import STUBS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "aws-coverage.md"
ASSERTIONS = ROOT / "tests" / "deploy" / "test_templates.py"

_ACCEPTANCE = "the acceptance suite (tests/acceptance, `-k aws`)"
_CLOUD = "tests/deploy/test_cloud.py"
EXERCISED = {
    "AWS::ApiGatewayV2::Api": _ACCEPTANCE,
    "AWS::ApiGatewayV2::Authorizer": f"{_ACCEPTANCE}: it verifies tokens by our documents",
    "AWS::ApiGatewayV2::Integration": _ACCEPTANCE,
    "AWS::ApiGatewayV2::Route": _ACCEPTANCE,
    "AWS::ApiGatewayV2::Stage": f"{_ACCEPTANCE}; throttling and access log do nothing there",
    "AWS::AppSync::DataSource": f"{_ACCEPTANCE}, by GraphQL",
    "AWS::AppSync::GraphQLApi": f"{_ACCEPTANCE}, by GraphQL; tokens are not verified there, and"
    " subscriptions are tried on the embedded host alone",
    "AWS::AppSync::GraphQLSchema": f"{_ACCEPTANCE}, by GraphQL",
    "AWS::AppSync::Resolver": f"{_ACCEPTANCE}, by GraphQL, rewritten as code (deploy/local.py)",
    "AWS::DynamoDB::GlobalTable": f"{_ACCEPTANCE}, and the contract suite of the table",
    "AWS::Events::EventBus": _CLOUD,
    "AWS::Events::Rule": _CLOUD,
    "AWS::IAM::Role": f"{_ACCEPTANCE} runs with permissions enforced; {_CLOUD} takes one away",
    "AWS::Lambda::Alias": _ACCEPTANCE,
    "AWS::Lambda::EventSourceMapping": f"{_ACCEPTANCE}: room events come by it",
    "AWS::Lambda::Function": f"{_ACCEPTANCE}, on this machine's Python and processor",
    "AWS::Lambda::LayerVersion": _ACCEPTANCE,
    "AWS::Lambda::Version": _ACCEPTANCE,
    "AWS::S3::Bucket": _ACCEPTANCE,
    "AWS::S3::BucketPolicy": f"{_ACCEPTANCE}, but for what asks for TLS",
    "AWS::SecretsManager::Secret": f"{_ACCEPTANCE}: signing keys and cursors",
    "AWS::SQS::Queue": _CLOUD,
    "AWS::SQS::QueuePolicy": f"{_CLOUD}, but for what asks for TLS",
}
"""Types that a test puts to use on the local AWS, and which."""

_LOOKED_UP = re.compile(r'\b(?:resources|only|of_api|found)\([^()]*?"(AWS::\w+::\w+)"')
"""Finds types whose properties a test asks for; one that is merely named is not looked at."""


def page(assembly: Path) -> str:
    """Return the page for the templates of a folder."""
    types: dict[str, bool] = {}  # whether a stage with it is deployed by the tests
    for file in sorted(assembly.glob("*.template.json")):
        deployed = "multi-region" not in file.name
        for resource in json.loads(file.read_text())["Resources"].values():
            types[resource["Type"]] = types.get(resource["Type"], False) or deployed
    asserted = set(_LOOKED_UP.findall(ASSERTIONS.read_text()))
    lines = [
        "# What was tried of the AWS side",
        "",
        "There is no AWS account behind this project's tests. The templates are deployed to MiniStack, an",
        "emulator on this machine, and looked at. Made by `python -m deploy.coverage`; a test holds it.",
        "",
        "* **exercised**: a test puts it to use on the emulator.",
        "* **created**: the emulator takes it; nothing is known of what it would do.",
        "* **asserted**: the emulator has none, or it is not created there; a test looks at the template.",
        "* **neither**: it is in the templates, cfn-lint and cdk-nag accept it, and that is all.",
        "",
        "| resource | | by |",
        "|---|---|---|",
    ]
    for kind in sorted(types):
        how, why = _how(kind, asserted, deployed=types[kind])
        lines.append(f"| `{kind}` | {how} | {why} |")
    lines += [
        "",
        "Not to be learnt from the emulator, whatever passes there: throttling, the firewall, verification of",
        "tokens by AppSync, live subscriptions through AppSync, billed capacity of reads, provisioned concurrency,",
        "SnapStart, canaries, the time that anything takes, what anything costs, and two regions.",
    ]
    return "\n".join(lines) + "\n"


def _how(kind: str, asserted: set[str], *, deployed: bool) -> tuple[str, str]:
    if kind in EXERCISED:
        return "exercised", EXERCISED[kind]
    looked_at = kind in asserted
    if kind in STUBS:
        return ("asserted" if looked_at else "neither"), STUBS[kind]
    if not deployed:
        return ("asserted" if looked_at else "neither"), "in the stage with two regions alone"
    return "created", "and looked at in the template" if looked_at else ""


def main() -> int:
    """Write the page for the templates in cdk.out/."""
    PAGE.write_text(page(OUTPUT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
