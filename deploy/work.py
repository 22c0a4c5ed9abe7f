"""What happens after a write: functions fed by the change feed, by queues and by clocks."""

from typing import Any

from aws_cdk import Environment, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from deploy.data import Data
from deploy.functions import LambdaFunction, Layers, Surroundings, pascal
from trinity.topology import FUNCTIONS, Function, Queue, Schedule

_DAY_S = 24 * 3600


class Work(Stack):
    """Functions that nobody waits for, and what calls them.

    In a region that stands by (`active` is false) no stream and no clock calls them: those of both
    regions tell of the same, and it is to be told once. Queues hold what came up in their region.

    Attributes:
        functions: by name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        env: Environment,
        data: Data,
        around: Surroundings,
        active: bool,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=env,
            description=f"Trinity ({around.stage.name}): after the write",
        )
        self._data = data
        self._stage = around.stage
        self._active = active
        inside = [f for f in FUNCTIONS if not f.route and not f.fields]
        layers = Layers(self, around, inside)
        self.functions = {f.name: LambdaFunction(self, f, around, layers) for f in inside}
        for function in inside:
            if function.streams and active:
                self._follow_changes(function)
            if function.queue is not None:
                self._work_off(function, function.queue)
        self._call_by_the_clock([f for f in inside if f.schedules])

    def _follow_changes(self, function: Function) -> None:
        """Feed a function with changes, by one mapping for all of its streams.

        No more than two readers should share a shard, so a function is one reader. Lambda asks for
        changes four times a second, which gathers votes as the window of the embedded host does.
        For a global table AWS recommends one reader: of two, some reads may be turned away. These
        are tried again, and changes come late, which the alarms Behind-publish and Behind-emit tell
        of. It is two all the same: behind one function for both, live events would wait for domain
        events and fail with them.
        https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
        """
        patterns: list[dict[str, Any]] = []
        for stream in function.streams:
            patterns.append(_about(stream.sort_keys))
            if stream.comings:
                patterns.append({"eventName": ["INSERT", "REMOVE"], **_about(stream.comings)})
        called = self.functions[function.name]
        lambda_.CfnEventSourceMapping(
            called,
            "Changes",
            function_name=called.alias.function_arn,
            event_source_arn=self._data.table.table_stream_arn,
            starting_position="TRIM_HORIZON",
            batch_size=max(stream.batch for stream in function.streams),
            maximum_batching_window_in_seconds=int(
                min(stream.window_s for stream in function.streams)
            ),
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=20,
            maximum_record_age_in_seconds=_DAY_S,
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self._data.stream_failures.queue_arn
                )
            ),
            filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[
                    lambda_.CfnEventSourceMapping.FilterProperty(
                        pattern=self.to_json_string(pattern)
                    )
                    for pattern in patterns
                ]
            ),
        )

    def _work_off(self, function: Function, queue: Queue) -> None:
        called = self.functions[function.name]
        full = self._data.queues[queue.name]
        lambda_.CfnEventSourceMapping(
            called,
            "Messages",
            function_name=called.alias.function_arn,
            event_source_arn=full.queue_arn,
            batch_size=queue.batch,
            maximum_batching_window_in_seconds=int(queue.window_s) or None,
            function_response_types=["ReportBatchItemFailures"],
        )
        if queue.events:
            events.CfnRule(
                called,
                "Rule",
                name=f"trinity-{self._stage.name}-{queue.name}",
                description=f"Domain events for {function.name}",
                event_bus_name=self._data.bus.event_bus_name,
                event_pattern={"source": ["trinity"], "detail-type": list(queue.events)},
                targets=[
                    events.CfnRule.TargetProperty(
                        id="queue",
                        arn=full.queue_arn,
                        # What the bus cannot hand over is not dropped:
                        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
                        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                            arn=self._data.queues[f"{queue.name}-dead"].queue_arn
                        ),
                    )
                ],
            )

    def _call_by_the_clock(self, functions: list[Function]) -> None:
        if not functions:
            return
        caller = iam.Role(
            self,
            "Clock",
            description=f"Trinity ({self._stage.name}): schedules call functions",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
            inline_policies={
                "Invoke": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["lambda:InvokeFunction"],
                            resources=[
                                self.functions[f.name].alias.function_arn for f in functions
                            ],
                        ),
                        iam.PolicyStatement(
                            actions=["sqs:SendMessage"],
                            resources=[self._data.stream_failures.queue_arn],
                        ),
                    ]
                )
            },
        )
        group = scheduler.CfnScheduleGroup(self, "Clocks", name=f"trinity-{self._stage.name}")
        for function in functions:
            for schedule in function.schedules:
                scheduler.CfnSchedule(
                    self.functions[function.name],
                    pascal(schedule.name),
                    name=schedule.name,
                    group_name=group.ref,
                    description=f"Calls {function.name}",
                    schedule_expression=expression(schedule),
                    state="ENABLED" if self._active else "DISABLED",
                    flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                        mode="OFF"
                    ),
                    target=scheduler.CfnSchedule.TargetProperty(
                        arn=self.functions[function.name].alias.function_arn,
                        role_arn=caller.role_arn,
                        input=self.to_json_string(
                            {
                                "schedule": schedule.name,
                                "time": "<aws.scheduler.scheduled-time>",
                            }
                        ),
                        retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                            maximum_event_age_in_seconds=3600, maximum_retry_attempts=10
                        ),
                        dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                            arn=self._data.stream_failures.queue_arn
                        ),
                    ),
                )


def expression(schedule: Schedule) -> str:
    """Return a schedule as EventBridge Scheduler writes it.

    `rate` counts from the moment a schedule is created, so what is to happen at a time of its own
    is a `cron`: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html

    Raises:
        ValueError: there is no such expression for it.
    """
    minutes, offset = schedule.every_s // 60, schedule.offset_s // 60
    if schedule.every_s % 60 or schedule.offset_s % 60 or offset >= minutes:
        raise ValueError(f"{schedule.name}: whole minutes, and less offset than period")
    if minutes < 60 and 60 % minutes == 0:
        return f"cron({offset}/{minutes} * * * ? *)"
    if minutes % 60 == 0 and (24 * 60) % minutes == 0:
        hours = minutes // 60
        hour, minute = divmod(offset, 60)
        every = str(hour) if hours == 24 else f"{hour}/{hours}"
        return f"cron({minute} {every} * * ? *)"
    raise ValueError(f"{schedule.name}: {schedule.every_s} s do not divide an hour or a day")


def _about(sort_keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the pattern of changes of items; see `Stream.sort_keys`."""
    whole = [key for key in sort_keys if not key.endswith("#")]
    begins = [{"prefix": key} for key in sort_keys if key.endswith("#")]
    return {"dynamodb": {"Keys": {"SK": {"S": [*whole, *begins]}}}}
