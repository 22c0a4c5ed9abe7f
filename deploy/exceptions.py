"""Rules of cdk-nag and cfn-lint that a resource breaks, each said where the resource is made."""

from aws_cdk import Acknowledgment, CfnResource, Stack, Validations
from constructs import Construct

_PACK = "AwsSolutions"


def accept(construct: Construct, rule: str, reason: str) -> None:
    """Let one resource break one rule.

    Args:
        construct: the resource; nothing beside it is meant.
        rule: as cdk-nag names it, without the name of the pack: `IAM5[Resource::*]`.
        reason: why that is fine.
    """
    Validations.of(construct).acknowledge(
        Acknowledgment(id=f"{_PACK}::{_PACK}-{rule}", reason=reason)
    )


def tolerate(construct: Construct, check: str, reason: str) -> None:
    """Let one resource break one check of cfn-lint; the reason stands in the template.

    Args:
        construct: the resource, or the construct whose main resource it is.
        check: `W3005`.
        reason: why that is fine.
    """
    resource = construct if isinstance(construct, CfnResource) else construct.node.default_child
    assert isinstance(resource, CfnResource)
    resource.add_metadata("cfn-lint", {"config": {"ignore_checks": [check]}, "reason": reason})


def shown(scope: Construct, arn: str) -> str:
    """Return an ARN as cdk-nag shows it."""
    stack = Stack.of(scope)
    return arn.replace(stack.partition, "<AWS::Partition>").replace(
        stack.account, "<AWS::AccountId>"
    )
