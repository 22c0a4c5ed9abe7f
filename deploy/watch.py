"""Who watches: objectives, alarms, a dashboard, a budget.

The objectives are 99.9 % of requests answered without a 5xx, and a p95 of 500 ms. An error budget
is watched by how fast it burns, over a long and a short window at once, so that one bad minute
wakes nobody and an hour of them does: Google, "The Site Reliability Workbook" (2018), chapter 5.
"""

from dataclasses import dataclass

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from deploy.data import COPYING, Data
from deploy.edge import Edge
from deploy.functions import LambdaFunction, log_name
from deploy.stages import CRITICAL, Stage
from trinity.topology import FAILED_CALLS, FUNCTIONS

OBJECTIVE = 0.999
LATENCY_MS = 500


@dataclass(frozen=True)
class Burn:
    """How fast an error budget is used up.

    Attributes:
        times: as fast as would use up a month's budget in exactly a month.
        long, short: minutes; both windows have to be that bad.
    """

    name: str
    times: float
    long: int
    short: int


BURNS = (Burn("Fast", 14.4, 60, 5), Burn("Slow", 6, 360, 30))


class Watch(Stack):
    """Alarms and what they look at."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        env: Environment,
        data: Data,
        edge: Edge,
        functions: dict[str, LambdaFunction],
        primary: bool,
    ) -> None:
        super().__init__(
            scope, construct_id, env=env, description=f"Trinity ({stage.name}): alarms"
        )
        self._stage = stage
        self._topic = sns.Topic(
            self, "Alarms", display_name="Trinity", master_key=data.key, enforce_ssl=True
        )
        self._let_publish("cloudwatch")
        if stage.alarm_email:
            self._topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        self._http = {"ApiId": edge.http.api_id}
        self._graphql = {"GraphQLAPIId": edge.graphql.api_id}
        self._budget_burns()
        self._alarm(
            "Slow",
            self._metric("AWS/ApiGateway", "Latency", self._http, "p95"),
            LATENCY_MS,
            "The slowest in twenty requests take longer than they should",
            periods=3,
        )
        self._alarm(
            "GraphqlFails",
            self._metric("AWS/AppSync", "5XXError", self._graphql, "Sum"),
            1,
            "AppSync could not answer",
        )
        self._throttled(functions)
        self._queues(data)
        self._feeds(functions)
        self._table(data)
        self._copies(data)
        self._left_out(functions)
        # Budgets and dashboards are of the account, not of a region.
        self._dashboard(data, functions, suffix="" if primary else "-second")
        if primary:
            self._bill()

    def _metric(
        self,
        namespace: str,
        name: str,
        dimensions: dict[str, str],
        statistic: str,
        minutes: int = 5,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map=dimensions,
            statistic=statistic,
            period=Duration.minutes(minutes),
        )

    def _alarm(
        self,
        construct_id: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
        *,
        periods: int = 1,
        tells: bool = True,
        runbook: str | None = None,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"trinity-{self._stage.name}-{construct_id}",
            alarm_description=f"{description}."
            f" Runbook: docs/runbooks.md#{runbook or construct_id.lower()}",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if tells:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
        return alarm

    def _budget_burns(self) -> None:
        for burn in BURNS:
            windows = []
            for minutes in (burn.long, burn.short):
                failed = self._metric("AWS/ApiGateway", "5xx", self._http, "Sum", minutes)
                asked = self._metric("AWS/ApiGateway", "Count", self._http, "Sum", minutes)
                share = cloudwatch.MathExpression(
                    expression="IF(asked > 0, failed / asked, 0)",
                    using_metrics={"failed": failed, "asked": asked},
                    period=Duration.minutes(minutes),
                    label=f"failed in {minutes} min",
                )
                windows.append(
                    self._alarm(
                        f"{burn.name}Burn{minutes}Min",
                        share,
                        burn.times * (1 - OBJECTIVE),
                        f"The error budget burns {burn.times:g} times too fast",
                        tells=False,
                    )
                )
            both = cloudwatch.CompositeAlarm(
                self,
                f"{burn.name}Burn",
                composite_alarm_name=f"trinity-{self._stage.name}-{burn.name}Burn",
                alarm_description=f"The error budget burns {burn.times:g} times too fast, for"
                f" {burn.long} minutes and still."
                f" Runbook: docs/runbooks.md#{burn.name.lower()}burn",
                alarm_rule=cloudwatch.AlarmRule.all_of(*windows),
            )
            both.add_alarm_action(actions.SnsAction(self._topic))

    def _throttled(self, functions: dict[str, LambdaFunction]) -> None:
        """Tell of functions that people wait for and of those that only so many may run of.

        Without a dimension the metric is of the whole account, and what is searched for has no
        alarm; so each has its own. Of all others a 5xx tells (FastBurn), or work that is late.
        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        for function in FUNCTIONS:
            limited = self._stage.reserve and function.concurrency is not None
            if function.name in CRITICAL or limited:
                called = functions[function.name].function
                self._alarm(
                    f"Throttled-{function.name}",
                    called.metric_throttles(statistic="Sum", period=Duration.minutes(5)),
                    1,
                    f"{function.name} was not started since too many were running",
                    runbook="throttled",
                )

    def _queues(self, data: Data) -> None:
        dead = {name: queue for name, queue in data.queues.items() if name.endswith("-dead")}
        for name, queue in {**dead, FAILED_CALLS: data.stream_failures}.items():
            self._alarm(
                f"Dead-{name}",
                queue.metric_approximate_number_of_messages_visible(statistic="Maximum"),
                1,
                f"Work was given up and lies in the queue {name}",
                runbook="dead-letters",
            )

    def _feeds(self, functions: dict[str, LambdaFunction]) -> None:
        for function in FUNCTIONS:
            if function.streams:
                age = functions[function.name].function.metric(
                    "IteratorAge", statistic="Maximum", period=Duration.minutes(5)
                )
                self._alarm(
                    f"Behind-{function.name}",
                    age,
                    60_000,
                    f"{function.name} is a minute behind the changes",
                    periods=2,
                )

    def _table(self, data: Data) -> None:
        """Tell of reads and of writes that the table turned away.

        `ThrottledRequests` is counted by operation alone, never for a table as such:
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
        """
        for kind in ("Read", "Write"):
            self._alarm(
                f"Table{kind}Throttles",
                self._metric(
                    "AWS/DynamoDB",
                    f"{kind}ThrottleEvents",
                    {"TableName": data.table.table_name},
                    "Sum",
                ),
                1,
                f"The table turned {kind.lower()}s away",
                runbook="tablethrottles",
            )

    def _copies(self, data: Data) -> None:
        """Tell of objects that S3 could not copy: it does not try them again.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html
        """
        for source, destination in data.copied.items():
            rule = {
                "SourceBucket": source,
                "DestinationBucket": destination,
                "RuleId": COPYING,
            }
            self._alarm(
                f"NotCopied-{source.rpartition('-')[2]}",
                self._metric("AWS/S3", "OperationsFailedReplication", rule, "Sum"),
                1,
                "What one region has does not come to the other",
                runbook="not-copied",
            )

    def _left_out(self, functions: dict[str, LambdaFunction]) -> None:
        """Count what functions log as errors: the faults of ours among all that goes wrong."""
        for name in functions:
            logs.MetricFilter(
                self,
                f"Faults-{name}",
                log_group=logs.LogGroup.from_log_group_name(
                    self, f"Log-{name}", log_name(self._stage, name)
                ),
                metric_namespace=f"Trinity/{self._stage.name}",
                metric_name="Faults",
                filter_pattern=logs.FilterPattern.string_value("$.level", "=", "ERROR"),
                metric_value="1",
            )
        self._alarm(
            "Faults",
            self._metric(f"Trinity/{self._stage.name}", "Faults", {}, "Sum"),
            1,
            "A function failed in a way that is a fault of ours",
        )

    def _dashboard(self, data: Data, functions: dict[str, LambdaFunction], *, suffix: str) -> None:
        def graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
            return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)

        dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=f"trinity-{self._stage.name}{suffix}"
        )
        critical = [functions[name].function for name in CRITICAL]
        dashboard.add_widgets(
            graph(
                "Requests and failures",
                self._metric("AWS/ApiGateway", "Count", self._http, "Sum"),
                self._metric("AWS/ApiGateway", "5xx", self._http, "Sum"),
                self._metric("AWS/ApiGateway", "4xx", self._http, "Sum"),
            ),
            graph(
                "Latency",
                *(
                    self._metric("AWS/ApiGateway", "Latency", self._http, statistic)
                    for statistic in ("p50", "p95", "p99")
                ),
            ),
            graph(
                "Duration of what people wait for",
                *(f.metric_duration(statistic="p95") for f in critical),
            ),
            graph(
                "Concurrency",
                *(f.metric("ConcurrentExecutions", statistic="Maximum") for f in critical),
            ),
            graph(
                "Live updates",
                self._metric("AWS/AppSync", "ActiveSubscriptions", self._graphql, "Average"),
                self._metric("AWS/AppSync", "PublishDataMessageSuccess", self._graphql, "Sum"),
            ),
            graph(
                "Waiting in queues",
                *(q.metric_approximate_number_of_messages_visible() for q in data.queues.values()),
                data.stream_failures.metric_approximate_number_of_messages_visible(),
            ),
            graph(
                "Billed units of the table",
                *(
                    self._metric("AWS/DynamoDB", name, {"TableName": data.table.table_name}, "Sum")
                    for name in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
                ),
            ),
        )

    def _bill(self) -> None:
        # The one e-mail address is asked for by the budget itself; without it, the topic.
        budgets.CfnBudget(
            self,
            "Bill",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"trinity-{self._stage.name}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(
                    amount=self._stage.monthly_budget_usd, unit="USD"
                ),
                cost_filters={"TagKeyValue": [f"user:trinity-stage${self._stage.name}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=share,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(
                            address=self._topic.topic_arn, subscription_type="SNS"
                        )
                    ],
                )
                for kind, share in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
        self._let_publish("budgets")

    def _let_publish(self, service: str) -> None:
        """Let a service tell of alarms of this account.

        CDK gives a topic that asks for TLS a policy, and so nobody may publish but who is named:
        https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger
        """
        self._topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self._topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
