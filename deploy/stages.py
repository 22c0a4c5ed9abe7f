"""What differs between the deployments of Trinity, in one typed table.

A stage is chosen by name: `make synth` writes all of them, `cdk deploy` takes one
(docs/deploy.md). Nothing else in deploy/ asks for a name of a stage.
"""

from dataclasses import dataclass
from typing import Literal

PRIMARY_REGION = "us-east-1"
"""CloudFront takes certificates and web ACLs from this region alone:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cnames-and-https-requirements.html
"""

CRITICAL = ("cast_votes", "join_room", "next_cards", "get_room", "list_rooms")
"""The functions that somebody with a phone in the hand waits for."""

WarmStart = Literal["none", "snapstart", "provisioned"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A deployment.

    Attributes:
        name: of the stage; all stacks are called `trinity-NAME-…`.
        second_region: holds a replica of everything but the front; None for a single region.
        second_stream: ARN of the stream of the table there; with it the second region does what
            streams and clocks ask for, instead of the first: docs/runbooks.md#a-region-is-down
        domain: the name that people use; None: the one that CloudFront gives.
        hosted_zone_id: of the domain in Route 53.
        mail_from: the address that mail comes from; SES has to know its domain.
        alarm_email: who is told of alarms; None for nobody.
        keep: deletion protection of what lasts, and buckets and tables that outlive their stack.
        log_days: how long logs are kept.
        redis: an ElastiCache Serverless cache that all environments share. It has a price when
            idle; docs/deploy.md names it.
        tmdb: ask The Movie Database for titles; docs/deploy.md says where its token goes.
        warm: how cold starts of the critical functions are kept away.
        warm_count: environments that are always there, with `provisioned`.
        warm_most: how many there may become when they are busy.
        canary: new versions of the critical functions get a tenth of the requests for five minutes,
            and are taken back if an alarm goes off.
        reserve: reserved concurrency, where the topology asks for it. Small accounts have too
            little to reserve from: AWS keeps 100 of an account's concurrency unreserved.
        requests_per_s, burst: what API Gateway lets through.
        per_address: requests that one address may send in five minutes, before WAF stops it.
        monthly_budget_usd: whoever is told of alarms hears when the bill gets near.
    """

    name: str
    second_region: str | None = None
    second_stream: str | None = None
    domain: str | None = None
    hosted_zone_id: str | None = None
    mail_from: str = "trinity@example.org"
    alarm_email: str | None = None
    keep: bool = True
    log_days: int = 30
    redis: bool = False
    tmdb: bool = False
    warm: WarmStart = "none"
    warm_count: int = 2
    warm_most: int = 20
    canary: bool = True
    reserve: bool = True
    requests_per_s: int = 1000
    burst: int = 2000
    per_address: int = 3000
    monthly_budget_usd: int = 100

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if self.second_region == PRIMARY_REGION:
            raise ValueError(f"{self.name}: the second region is the first one")
        if self.second_region and not (self.domain and self.hosted_zone_id):
            raise ValueError(f"{self.name}: two regions are told apart by a domain of our own")
        if self.second_stream and f":{self.second_region}:" not in self.second_stream:
            raise ValueError(f"{self.name}: that is no stream of the second region")
        if bool(self.domain) != bool(self.hosted_zone_id):
            raise ValueError(f"{self.name}: a domain needs the id of its hosted zone")


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="dev",
            keep=False,
            log_days=7,
            canary=False,
            reserve=False,
            requests_per_s=50,
            burst=100,
            monthly_budget_usd=20,
        ),
        Stage(name="prod", redis=True, warm="provisioned", log_days=90),
        Stage(
            name="prod-multi-region",
            second_region="eu-west-1",
            # example.org is nobody's (RFC 2606): put your own domain and the id of its zone here.
            domain="trinity.example.org",
            mail_from="hello@trinity.example.org",
            hosted_zone_id="Z00000000000000000000",
            warm="snapstart",
            log_days=90,
            monthly_budget_usd=300,
        ),
    )
}
