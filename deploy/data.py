"""What lasts: table, buckets, queues, keys. No deployment of anything else can replace it."""

from aws_cdk import (
    Aws,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    Duration,
    Environment,
    Fn,
    SecretValue,
    Stack,
)
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.exceptions import accept, shown, tolerate
from deploy.lasting import removal
from deploy.stages import PRIMARY_REGION, Stage
from trinity.domain.ids import DAY
from trinity.domain.rooms import DECK_KEPT_FOR
from trinity.topology import FAILED_CALLS, FUNCTIONS

UPLOADS_QUEUE = "process-upload"
COPYING = "to-the-other-region"
"""The rule by which S3 copies."""
_LONGEST_RETENTION = Duration.days(14)


class Data(Stack):
    """The stateful stack.

    Attributes:
        key: encrypts table, secret and what alarms say.
        table: the one table, with its stream.
        blobs, uploads, archive, web: buckets.
        access_logs: where S3 and CloudFront write down who asked for what.
        signing, cursors, push: secrets: the keys of access tokens, the one of cursors, and what the
            keys for Web Push are made of.
        tmdb: the secret with TMDB's token; None: the films that are shipped are all.
        copied: names of buckets that are copied, and of those in the other region that take it.
        bus: takes domain events.
        notices: the topic that takes notices to the queues of their channels.
        queues: by the names of the topology; dead-letter queues have `-dead` behind.
        stream_failures: where it is noted which changes a function could not cope with, and which
            calls of clocks.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        env: Environment,
        primary: bool,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=env,
            termination_protection=stage.keep,
            description=f"Trinity ({stage.name}): what lasts",
        )
        self.stage = stage
        self._primary = primary
        self._removal = removal(stage)
        self.key = self._make_key()
        self.table = self._make_table() if primary else self._replica()
        self.queues = self._make_queues()
        self.stream_failures = self._queue("StreamFailures", FAILED_CALLS)
        accept(self.stream_failures, "SQS3", "It is itself where failures end.")
        self.access_logs = self._bucket("Logs", takes_logs=True)
        self.blobs = self._bucket("Blobs")
        self._let_old_blobs_go()
        self.archive = self._bucket("Archive", cool_after_days=90)
        # What somebody has taken in with a camera goes for good when it is processed.
        self.uploads = self._bucket("Uploads", expire_after_days=2, versioned=False)
        self.web = self._bucket("Web")
        for served, below in ((self.web, "*"), (self.blobs, "media/*")):
            self._let_cloudfront_read(served, below)
        self.copied: dict[str, str] = {}
        if stage.second_region:
            other = stage.second_region if primary else PRIMARY_REGION
            # The page is put into the first region alone. Uploads are processed where they arrive.
            copied = {"blobs": self.blobs, "archive": self.archive}
            self._copy(other, {**copied, "web": self.web} if primary else copied)
        self._receive_uploads()
        # rotate_keys makes the first key, and who deploys has the token. CloudFormation writes the
        # value of a secret again only if it is another one in the template: this one is for good.
        self.signing = self._secret(
            "Signing", "Keys that sign access tokens, in JSON", begins='{"keys": []}'
        )
        self.tmdb: secretsmanager.ISecret | None = None
        if stage.tmdb:
            self.tmdb = self._secret("Tmdb", "API read access token of TMDB", begins="")
            accept(self.tmdb, "SMG4", "TMDB gives it, and only people can ask for another.")
        self.cursors = self._secret("Cursors", "Signs the cursors of lists")
        self.push = self._secret("Push", "What the keys for Web Push are made of")
        accept(self.push, "SMG4", "Every browser would have to subscribe anew.")
        accept(self.signing, "SMG4", "The schedule of rotate_keys does it, and keeps the last key.")
        accept(self.cursors, "SMG4", "A cursor is good for a day and gives nobody any rights.")
        self.bus = events.EventBus(self, "Bus", event_bus_name=f"trinity-{stage.name}")
        self.bus.archive(
            "Replay",
            description="Domain events of thirty days, to be played again",
            event_pattern=events.EventPattern(source=["trinity"]),
            retention=Duration.days(30),
        )
        self.notices = self._make_topic()
        self._let_events_in()
        CfnOutput(self, "WebBucket", value=self.web.bucket_name)
        if primary:
            self._trail()

    def _make_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description=f"Trinity ({self.stage.name})",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        # Whoever may use the table may use its key, but through DynamoDB alone: so no function
        # needs a permission on the key itself.
        # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="ThroughServices",
                principals=[iam.AnyPrincipal()],
                actions=[
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                    "kms:GenerateDataKey",
                    "kms:DescribeKey",
                    "kms:CreateGrant",
                ],
                resources=["*"],  # in a key policy: this key
                conditions={
                    "StringEquals": {
                        "kms:CallerAccount": self.account,
                        "kms:ViaService": [
                            f"dynamodb.{self.region}.amazonaws.com",
                            f"secretsmanager.{self.region}.amazonaws.com",
                            f"sns.{self.region}.amazonaws.com",
                        ],
                    }
                },
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("budgets.amazonaws.com"),
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return key

    def _secret(
        self, construct_id: str, description: str, *, begins: str | None = None
    ) -> secretsmanager.ISecret:
        """Return a secret, or its replica, which has the same name in the other region.

        Args:
            construct_id: ends its name.
            description: for people.
            begins: its first value; empty: without one; None: with one that nobody can guess.
        """
        name = f"trinity/{self.stage.name}/{construct_id.lower()}"
        if not self._primary:
            return secretsmanager.Secret.from_secret_name_v2(self, construct_id, name)
        second = self.stage.second_region
        secret = secretsmanager.Secret(
            self,
            construct_id,
            secret_name=name,
            description=description,
            secret_string_value=SecretValue.unsafe_plain_text(begins) if begins else None,
            generate_secret_string=None
            if begins
            else secretsmanager.SecretStringGenerator(password_length=64),
            encryption_key=None if second else self.key,
            removal_policy=self._removal,
            replica_regions=[secretsmanager.ReplicaRegion(region=second)] if second else None,
        )
        if begins == "":
            bare = secret.node.default_child
            assert isinstance(bare, secretsmanager.CfnSecret)
            bare.add_property_deletion_override("GenerateSecretString")
        return secret

    def arn_for_policies(self, secret: secretsmanager.ISecret) -> str:
        """Return the ARN of a secret, with any end if it is a replica: that one is drawn by AWS."""
        return secret.secret_full_arn or f"{secret.secret_arn}-??????"

    def _replica(self) -> dynamodb.ITableV2:
        """Return the replica of the table that the first region has put here."""
        arn = self.format_arn(
            service="dynamodb", resource="table", resource_name=f"trinity-{self.stage.name}"
        )
        return dynamodb.TableV2.from_table_attributes(
            self, "Table", table_arn=arn, table_stream_arn=self.stage.second_stream
        )

    def _make_table(self) -> dynamodb.TableV2:
        second = self.stage.second_region
        return dynamodb.TableV2(
            self,
            "Table",
            table_name=f"trinity-{self.stage.name}",
            partition_key=dynamodb.Attribute(name="PK", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="SK", type=dynamodb.AttributeType.STRING),
            billing=dynamodb.Billing.on_demand(),
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            time_to_live_attribute="expires",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # It holds against the rollback of a first deployment that failed, too: the table has to
            # be removed by hand then, before the next try.
            deletion_protection=self.stage.keep,
            removal_policy=self._removal,
            # A key of our own would have to be in both regions before the table is in one.
            encryption=dynamodb.TableEncryptionV2.aws_managed_key()
            if second
            else dynamodb.TableEncryptionV2.customer_managed_key(self.key),
            replicas=[dynamodb.ReplicaTableProps(region=second)] if second else None,
        )

    def _make_queues(self) -> dict[str, sqs.Queue]:
        made: dict[str, sqs.Queue] = {}
        for queue in (f.queue for f in FUNCTIONS if f.queue is not None):
            name = queue.name.title().replace("-", "")
            dead = self._queue(f"{name}Dead", f"{queue.name}-dead")
            made[f"{queue.name}-dead"] = dead
            made[queue.name] = sqs.Queue(
                self,
                f"{name}Queue",
                queue_name=f"trinity-{self.stage.name}-{queue.name}",
                visibility_timeout=Duration.seconds(queue.visibility_s),
                retention_period=Duration.days(4),
                encryption=sqs.QueueEncryption.SQS_MANAGED,
                enforce_ssl=True,
                removal_policy=self._removal,
                dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=queue.receives),
            )
        return made

    def _make_topic(self) -> sns.Topic:
        """Return the topic, with a subscription of the queue of each channel."""
        topic = sns.Topic(
            self,
            "Notices",
            topic_name=f"trinity-{self.stage.name}-notices",
            master_key=self.key,
            enforce_ssl=True,
        )
        for queue in (f.queue for f in FUNCTIONS if f.queue is not None and f.queue.channel):
            topic.add_subscription(
                subscriptions.SqsSubscription(
                    self.queues[queue.name],
                    raw_message_delivery=True,
                    filter_policy={
                        "channel": sns.SubscriptionFilter.string_filter(allowlist=[queue.channel])
                    },
                    dead_letter_queue=self.queues[queue.dead_letters],
                )
            )
        return topic

    def _let_events_in(self) -> None:
        """Let the rules of the bus put events into the queues that wait for some.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
        """
        for queue in (f.queue for f in FUNCTIONS if f.queue is not None and f.queue.events):
            # The rule is in the stack *work*, and called as the queue is.
            rule = self.format_arn(
                service="events",
                resource="rule",
                resource_name=f"trinity-{self.stage.name}/trinity-{self.stage.name}-{queue.name}",
            )
            for name in (queue.name, queue.dead_letters):
                self.queues[name].add_to_resource_policy(
                    iam.PolicyStatement(
                        principals=[iam.ServicePrincipal("events.amazonaws.com")],
                        actions=["sqs:SendMessage"],
                        resources=[self.queues[name].queue_arn],
                        conditions={"ArnEquals": {"aws:SourceArn": rule}},
                    )
                )

    def _queue(self, construct_id: str, name: str) -> sqs.Queue:
        """Return a queue for what went wrong."""
        return sqs.Queue(
            self,
            construct_id,
            queue_name=f"trinity-{self.stage.name}-{name}",
            retention_period=_LONGEST_RETENTION,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=self._removal,
        )

    def _bucket(
        self,
        construct_id: str,
        *,
        takes_logs: bool = False,
        cool_after_days: int | None = None,
        expire_after_days: int | None = None,
        versioned: bool = True,
    ) -> s3.Bucket:
        """Return a bucket.

        Args:
            construct_id: ends its name.
            takes_logs: it is for access logs.
            cool_after_days: after which objects become cheaper to keep and dearer to read.
            expire_after_days: after which objects go.
            versioned: what was removed or written over can be had back for thirty days.
        """
        rules = [
            s3.LifecycleRule(
                id="tidy",
                abort_incomplete_multipart_upload_after=Duration.days(1),
                noncurrent_version_expiration=Duration.days(30) if versioned else None,
                expiration=Duration.days(400 if takes_logs else expire_after_days)
                if takes_logs or expire_after_days
                else None,
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.INFREQUENT_ACCESS,
                        transition_after=Duration.days(cool_after_days),
                    )
                ]
                if cool_after_days
                else None,
            )
        ]
        bucket = s3.Bucket(
            self,
            construct_id,
            # Named, so that the other region and a reviewer of permissions know which one is meant.
            bucket_name=self.bucket_name(construct_id.lower(), self.region),
            versioned=versioned,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=self._removal,
            lifecycle_rules=rules,
            server_access_logs_bucket=None if takes_logs else self.access_logs,
            server_access_logs_prefix=None if takes_logs else f"s3/{construct_id.lower()}/",
            # CloudFront writes its logs by access control lists:
            # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logging-legacy-s3.html
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED if takes_logs else None,
        )
        if takes_logs:
            tolerate(bucket, "W3045", "CloudFront writes its logs by access control lists.")
        return bucket

    def _let_old_blobs_go(self) -> None:
        """Remove decks after their rooms, and soon what is left of pictures that were removed.

        Of two rules for one object the one that removes it sooner counts:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
        """
        self.blobs.add_lifecycle_rule(
            id="decks", prefix="blobs/", expiration=Duration.days(DECK_KEPT_FOR // DAY)
        )
        self.blobs.add_lifecycle_rule(
            id="pictures",
            prefix="media/",
            noncurrent_version_expiration=Duration.days(1),
            expired_object_delete_marker=True,
        )

    def bucket_name(self, name: str, region: str) -> str:
        """Return what the bucket is called that has this name in a region of the stage.

        63 letters are all it may have, and a region's name has up to 15:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        """
        return f"trinity-{self.stage.name}-{self.account}-{region}-{name}"

    def bucket_arn(self, name: str, region: str) -> str:
        """Return the ARN of a bucket by its name, which says more than a reference to a stack."""
        return f"arn:{self.partition}:s3:::{self.bucket_name(name, region)}"

    def _copy(self, other: str, buckets: dict[str, s3.Bucket]) -> None:
        """Have S3 copy what comes into buckets, and what is removed, to those of another region.

        Copies are not copied on, so two buckets may copy to each other. A bucket that is copied to
        has to be there before, and neither is when both regions are new: so the second region,
        which is deployed first, begins to copy when it is told to, by a parameter.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-requirements.html
        """
        here = [self.bucket_arn(name, self.region) for name in buckets]
        there = [self.bucket_arn(name, other) for name in buckets]
        role = iam.Role(
            self,
            "Copier",
            description=f"Trinity ({self.stage.name}): S3 copies to {other}",
            assumed_by=iam.ServicePrincipal("s3.amazonaws.com"),
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
            inline_policies={
                "Copy": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["s3:GetReplicationConfiguration", "s3:ListBucket"],
                            resources=here,
                        ),
                        iam.PolicyStatement(
                            actions=[
                                "s3:GetObjectVersionForReplication",
                                "s3:GetObjectVersionAcl",
                                "s3:GetObjectVersionTagging",
                            ],
                            resources=[f"{arn}/*" for arn in here],
                        ),
                        iam.PolicyStatement(
                            actions=[
                                "s3:ReplicateObject",
                                "s3:ReplicateDelete",
                                "s3:ReplicateTags",
                            ],
                            resources=[f"{arn}/*" for arn in there],
                        ),
                    ]
                )
            },
        )
        for arn in (*here, *there):
            accept(role, f"IAM5[Resource::{shown(self, arn)}/*]", "All of a bucket is copied.")
        copies = None if self._primary else self._when_told_to_copy()
        for (name, bucket), to in zip(buckets.items(), there, strict=True):
            self.copied[self.bucket_name(name, self.region)] = self.bucket_name(name, other)
            bare = bucket.node.default_child
            assert isinstance(bare, s3.CfnBucket)
            configuration = {
                "Role": role.role_arn,
                "Rules": [
                    {
                        "Id": COPYING,
                        "Priority": 1,
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "DeleteMarkerReplication": {"Status": "Enabled"},
                        "Destination": {"Bucket": to, "Metrics": {"Status": "Enabled"}},
                    }
                ],
            }
            bare.add_property_override(
                "ReplicationConfiguration",
                configuration
                if copies is None
                else Fn.condition_if(copies.logical_id, configuration, Aws.NO_VALUE),
            )

    def _when_told_to_copy(self) -> CfnCondition:
        told = CfnParameter(
            self,
            "CopyBack",
            type="String",
            default="no",
            allowed_values=["no", "yes"],
            description="yes, once the buckets of the first region are there",
        )
        return CfnCondition(self, "Copies", expression=Fn.condition_equals(told, "yes"))

    def _let_cloudfront_read(self, bucket: s3.Bucket, below: str) -> None:
        """Let distributions of this account read; which one, this stack cannot know yet.

        https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-s3.html
        """
        distributions = self.format_arn(
            service="cloudfront", region="", resource="distribution", resource_name="*"
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudfront.amazonaws.com")],
                actions=["s3:GetObject"],
                resources=[bucket.arn_for_objects(below)],
                conditions={"ArnLike": {"aws:SourceArn": distributions}},
            )
        )

    def _receive_uploads(self) -> None:
        """Let browsers post files, and S3 tell the queue about each of them."""
        self.uploads.add_cors_rule(
            allowed_methods=[s3.HttpMethods.POST],
            allowed_origins=[f"https://{self.stage.domain}" if self.stage.domain else "*"],
            allowed_headers=["content-type"],
            max_age=3600,
        )
        queue = self.queues.get(UPLOADS_QUEUE)
        if queue is None:
            return
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={
                    "ArnEquals": {"aws:SourceArn": self.bucket_arn("uploads", self.region)},
                    # The ARN of a bucket does not say whose it is.
                    "StringEquals": {"aws:SourceAccount": self.account},
                },
            )
        )
        bucket = self.uploads.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*", queue=queue.queue_arn
                )
            ]
        )
        # S3 tries the queue when it is told of it, so the policy has to be there.
        for child in queue.node.find_all():
            if isinstance(child, sqs.CfnQueuePolicy):
                bucket.add_resource_dependency(child)

    def _trail(self) -> None:
        trail = cloudtrail.Trail(
            self,
            "Trail",
            bucket=self._bucket("Trails", expire_after_days=365),
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_file_validation=True,
        )
        # Who read signing keys is in the management events; who read uploads is asked for here.
        # Of an account's management events one copy is free, and they are of all its stages: a
        # stage that keeps nothing leaves them to one that does. Two that do pay for the second one.
        # https://aws.amazon.com/cloudtrail/pricing/
        taken_in: list[s3.IBucket] = [self.uploads]
        if self.stage.second_region:
            name = self.bucket_name("uploads", self.stage.second_region)
            taken_in.append(s3.Bucket.from_bucket_name(self, "UploadsOfTheSecond", name))
        trail.add_s3_event_selector(
            [cloudtrail.S3EventSelector(bucket=bucket) for bucket in taken_in],
            include_management_events=self.stage.keep,
        )
