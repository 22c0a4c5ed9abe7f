"""How long things last, as a stage wants it."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from deploy.stages import Stage


def removal(stage: Stage) -> RemovalPolicy:
    """Return what becomes of a resource whose stack goes.

    What came with a deployment that failed goes in any case: names are fixed, so that the next try
    would find each taken.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if stage.keep else RemovalPolicy.DESTROY


def retention(stage: Stage) -> logs.RetentionDays:
    """Return how long logs are kept."""
    return {
        7: logs.RetentionDays.ONE_WEEK,
        30: logs.RetentionDays.ONE_MONTH,
        90: logs.RetentionDays.THREE_MONTHS,
    }[stage.log_days]
