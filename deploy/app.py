"""`python -m deploy.app`: writes the CloudFormation templates of all stages, or of one.

It needs no credentials and no network: what Lambda gets was built before (deploy/artefacts.py).
"""

import argparse
import sys
from pathlib import Path

import msgspec
from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from deploy.api import PEOPLE, ROOMS, SYSTEM, Api
from deploy.artefacts import AWS, BUILD, Artefacts
from deploy.data import Data
from deploy.edge import Edge
from deploy.functions import Surroundings
from deploy.network import Network
from deploy.stages import PRIMARY_REGION, STAGES, Stage
from deploy.watch import Watch
from deploy.work import Work

OUTPUT = Path(__file__).parents[1] / "cdk.out"
_CONTEXT = {
    # Traces name folders of one process, and the same sources are to give the same files.
    "aws:cdk:disable-stack-trace": True,
    "aws:cdk:disable-creation-stack-traces": True,
    # What another stack uses cannot be removed; unless it is said, CDK warns that it is so.
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
}


class Region:
    """All stacks of a stage in one region."""

    def __init__(self, app: App, stage: Stage, built: Path, *, region: str, primary: bool) -> None:
        env = Environment(region=region)
        prefix = f"trinity-{stage.name}" + ("" if primary else "-second")
        self.data = Data(app, f"{prefix}-data", stage=stage, env=env, primary=primary)
        self.edge = Edge(
            app, f"{prefix}-edge", stage=stage, env=env, data=self.data, primary=primary
        )
        network = Network(app, f"{prefix}-network", stage=stage, env=env) if stage.redis else None
        around = _surroundings(stage, built, self.data, self.edge, network)
        self.system = Api(
            app, f"{prefix}-system", env=env, edge=self.edge, around=around, folders=SYSTEM
        )
        self.rooms = Api(
            app, f"{prefix}-rooms", env=env, edge=self.edge, around=around, folders=ROOMS
        )
        self.rooms.add_stack_dependency(self.system)
        self.people = Api(
            app,
            f"{prefix}-people",
            env=env,
            edge=self.edge,
            around=around,
            folders=PEOPLE,
            authorizer=self.rooms.authorizer,
        )
        active = primary != bool(stage.second_stream)
        self.work = Work(
            app, f"{prefix}-work", env=env, data=self.data, around=around, active=active
        )
        watch = Watch(
            app,
            f"{prefix}-watch",
            stage=stage,
            env=env,
            data=self.data,
            edge=self.edge,
            functions={
                **self.system.functions,
                **self.rooms.functions,
                **self.people.functions,
                **self.work.functions,
            },
            primary=primary,
        )
        # It knows their logs by name alone, and they have to be there.
        for watched in (self.system, self.rooms, self.people, self.work):
            watch.add_stack_dependency(watched)
        stacks = [self.data, self.edge, self.system, self.rooms, self.people, self.work, watch]
        for stack in [*stacks, network] if network else stacks:
            Tags.of(stack).add("trinity-stage", stage.name)


def _surroundings(
    stage: Stage, built: Path, data: Data, edge: Edge, network: Network | None
) -> Surroundings:
    artefacts = msgspec.json.decode((built / "artefacts.json").read_bytes(), type=Artefacts)
    mutations = f"{edge.graphql.arn}/types/Mutation/fields"
    settings = {
        "": {
            "TRINITY_PUBLIC_URL": edge.public_url,
            "TRINITY_ISSUER_URL": edge.issuer,
            "TRINITY_PROXIES": "1",  # CloudFront
            "TRINITY_PROXIES_WORD": edge.word,
            "TRINITY_METRICS_NAMESPACE": f"Trinity/{stage.name}",
        },
        "table": {"TRINITY_TABLE_NAME": data.table.table_name},
        "blobs": {"TRINITY_BUCKET_NAME": data.blobs.bucket_name},
        "archive": {"TRINITY_ARCHIVE_BUCKET_NAME": data.archive.bucket_name},
        "media": {"TRINITY_BUCKET_NAME": data.blobs.bucket_name},
        "uploads": {"TRINITY_UPLOADS_BUCKET_NAME": data.uploads.bucket_name},
        "keys": {"TRINITY_SIGNING_SECRET": data.signing.secret_arn},
        "secrets": {"TRINITY_CURSOR_SECRET": data.cursors.secret_arn},
        "realtime": {"TRINITY_APPSYNC_URL": edge.graphql.graphql_url},
        "mailer": {"TRINITY_SES": "on", "TRINITY_MAIL_FROM": stage.mail_from},
        "bus": {"TRINITY_BUS_NAME": data.bus.event_bus_name},
        "topic": {"TRINITY_TOPIC_ARN": data.notices.topic_arn},
        "push_keys": {"TRINITY_PUSH_SECRET": data.push.secret_arn},
        "queue": {"TRINITY_QUEUE_PREFIX": f"trinity-{stage.name}-"},
        "queues": {"TRINITY_QUEUE_PREFIX": f"trinity-{stage.name}-"},
        "catalogue": {"TRINITY_TMDB_SECRET": data.tmdb.secret_arn} if data.tmdb else {},
        "shared cache": {"TRINITY_REDIS_URL": network.url} if network else {},
    }
    arns = {
        "table": data.table.table_arn,
        "stream": data.table.table_stream_arn or f"{data.table.table_arn}/stream/*",
        "blobs": data.bucket_arn("blobs", data.region),
        "blobs/*": data.bucket_arn("blobs", data.region) + "/blobs/*",
        "media/*": data.bucket_arn("blobs", data.region) + "/media/*",
        "uploads": data.bucket_arn("uploads", data.region),
        "uploads/*": data.bucket_arn("uploads", data.region) + "/*",
        "archive": data.bucket_arn("archive", data.region),
        "archive/*": data.bucket_arn("archive", data.region) + "/*",
        "signing": data.arn_for_policies(data.signing),
        "cursors": data.arn_for_policies(data.cursors),
        "push": data.arn_for_policies(data.push),
        **({"tmdb": data.arn_for_policies(data.tmdb)} if data.tmdb else {}),
        "bus": data.bus.event_bus_arn,
        "publishRoomEvent": f"{mutations}/publishRoomEvent",
        "publishPresence": f"{mutations}/publishPresence",
        "notices": data.notices.topic_arn,
        "endSubscriptions": f"{mutations}/endSubscriptions",
        "mail": data.format_arn(
            service="ses", resource="identity", resource_name=stage.mail_from.partition("@")[2]
        ),
        "stream-failures": data.stream_failures.queue_arn,
        **{f"queue:{name}": queue.queue_arn for name, queue in data.queues.items()},
    }
    return Surroundings(
        stage=stage,
        artefacts=artefacts,
        built=built,
        arns=arns,
        settings=settings,
        network=network.vpc if network else None,
        wall=network.wall if network else None,
    )


def synthesise(stages: list[Stage], built: Path, output: Path) -> None:
    """Write the templates and assets of some stages into a folder.

    Raises:
        RuntimeError: a rule of cdk-nag is broken and nobody said why that is fine.
    """
    app = App(outdir=str(output), analytics_reporting=False, tree_metadata=False, context=_CONTEXT)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    for stage in stages:
        second = (
            Region(app, stage, built, region=stage.second_region, primary=False)
            if stage.second_region
            else None
        )
        first = Region(app, stage, built, region=PRIMARY_REGION, primary=True)
        if second is not None:
            # What is copied to has to be there first, and so have the secrets that are read.
            first.data.add_stack_dependency(second.data)
            for stack in (second.system, second.rooms, second.people, second.work):
                stack.add_stack_dependency(first.data)
                stack.add_stack_dependency(first.edge)
    app.synth()


def main() -> int:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.app", description=__doc__)
    parser.add_argument("--stage", choices=sorted(STAGES), help="one stage (default: all)")
    parser.add_argument("--built", type=Path, default=BUILD / AWS.name, help="folder of artefacts")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: cdk.out/")
    options = parser.parse_args()
    stages = [STAGES[options.stage]] if options.stage else list(STAGES.values())
    synthesise(stages, options.built, options.output)
    written = sorted(options.output.glob("*.template.json"))
    print(f"{len(written)} templates of {', '.join(s.name for s in stages)} in {options.output}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
