"""Least privilege as a table: what a grant of the topology means in IAM.

`statements` is all that a function may do. docs/permissions.md shows the outcome for every
function, to be read in a review; tests/deploy holds page and template to it.

Actions: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from dataclasses import dataclass

from trinity.topology import Function

ANY = "*"


@dataclass(frozen=True)
class Statement:
    """Some actions on some resources.

    Attributes:
        actions: never with a wildcard.
        resources: names that the stacks know the ARNs of, or `*` where AWS has none finer.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]


# Transactions need the permissions of what they consist of, and no more:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
# S3 answers 403 and not 404 for an object that is not there unless the bucket may be listed:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
GRANTS: dict[tuple[str, str], tuple[Statement, ...]] = {
    ("table", "read"): (
        Statement(("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"), ("table",)),
    ),
    ("table", "write"): (
        Statement(
            (
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "dynamodb:ConditionCheckItem",
            ),
            ("table",),
        ),
    ),
    ("cache", "read"): (),  # the cache is reached by network alone
    ("cache", "write"): (),
    ("cache", "share"): (),
    ("catalogue", "read"): (),  # comes with the function; see `TMDB`
    ("blobs", "read"): (
        Statement(("s3:GetObject",), ("blobs/*",)),
        Statement(("s3:ListBucket",), ("blobs",)),
    ),
    ("blobs", "write"): (
        Statement(("s3:PutObject", "s3:GetObject"), ("blobs/*",)),
        Statement(("s3:ListBucket",), ("blobs",)),
    ),
    ("media", "write"): (Statement(("s3:PutObject", "s3:DeleteObject"), ("media/*",)),),
    ("uploads", "sign"): (Statement(("s3:PutObject",), ("uploads/*",)),),
    ("uploads", "read"): (
        Statement(("s3:GetObject",), ("uploads/*",)),
        Statement(("s3:ListBucket",), ("uploads",)),
    ),
    ("uploads", "write"): (Statement(("s3:DeleteObject",), ("uploads/*",)),),
    ("keys", "read"): (Statement(("secretsmanager:GetSecretValue",), ("signing",)),),
    ("keys", "sign"): (Statement(("secretsmanager:GetSecretValue",), ("signing",)),),
    ("keys", "write"): (Statement(("secretsmanager:PutSecretValue",), ("signing",)),),
    ("secrets", "read"): (Statement(("secretsmanager:GetSecretValue",), ("cursors",)),),
    # A message that we have composed ourselves is "raw", even to `SendEmail` of the second API.
    ("mailer", "send"): (Statement(("ses:SendEmail", "ses:SendRawEmail"), ("mail",)),),
    ("realtime", "publish"): (
        Statement(
            ("appsync:GraphQL",), ("publishRoomEvent", "publishPresence", "endSubscriptions")
        ),
    ),
    ("archive", "read"): (
        Statement(("s3:GetObject",), ("archive/*",)),
        Statement(("s3:ListBucket",), ("archive",)),
    ),
    ("archive", "write"): (Statement(("s3:PutObject", "s3:DeleteObject"), ("archive/*",)),),
    ("push_keys", "read"): (Statement(("secretsmanager:GetSecretValue",), ("push",)),),
    ("topic", "publish"): (Statement(("sns:Publish",), ("notices",)),),
    ("internet", "send"): (),  # functions with it live in no network of ours
    ("queues", "send"): (
        Statement(("sqs:SendMessage", "sqs:GetQueueUrl"), ("queue:process-upload",)),
    ),
    ("bus", "publish"): (Statement(("events:PutEvents",), ("bus",)),),
}

# Every function: its own log, and traces, for which there is no finer resource:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
BASIC = (
    Statement(("logs:CreateLogStream", "logs:PutLogEvents"), ("log",)),
    Statement(("xray:PutTraceSegments", "xray:PutTelemetryRecords"), (ANY,)),
)
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
ATTACHING = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
"""What attaches a function to a network. Lambda does it in the role of the function, whose code is
denied it."""
IN_VPC = (Statement(ATTACHING, (ANY,)),)
CATALOGUE = ("catalogue", "read")
TMDB = (Statement(("secretsmanager:GetSecretValue",), ("tmdb",)),)
"""Of functions that read the catalogue, in stages where TMDB is asked."""
FAILED = Statement(("sqs:SendMessage",), ("stream-failures",))
"""Of functions whose calls Lambda gives up and keeps a note of."""
STREAM = (
    Statement(
        (
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ),
        ("stream",),
    ),
    FAILED,
)


def statements(function: Function, *, in_vpc: bool = False, tmdb: bool = False) -> list[Statement]:
    """Return all that a function may do: what it was granted, and what its triggers need."""
    found = [*BASIC, *(IN_VPC if in_vpc else ())]
    for grant in function.grants:
        found += GRANTS[grant]
    if tmdb and CATALOGUE in function.grants:
        found += TMDB
    if function.streams:
        found += STREAM
    if function.schedules:
        found.append(FAILED)
    if function.queue is not None:
        found.append(
            Statement(
                (
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:ChangeMessageVisibility",
                    "sqs:GetQueueAttributes",
                    "sqs:GetQueueUrl",
                ),
                (f"queue:{function.queue.name}",),
            )
        )
    return _merged(found)


def _merged(given: list[Statement]) -> list[Statement]:
    """Return one statement for each set of resources, without what is said twice."""
    actions: dict[tuple[str, ...], list[str]] = {}
    for statement in given:
        mine = actions.setdefault(statement.resources, [])
        mine += [action for action in statement.actions if action not in mine]
    return [Statement(tuple(sorted(mine)), resources) for resources, mine in actions.items()]
