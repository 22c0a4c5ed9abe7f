"""The cache that all environments share, and the network it lives in; only where a stage asks."""

from aws_cdk import Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.lasting import removal, retention
from deploy.stages import Stage

_PORT = 6379


class Network(Stack):
    """A network without a way out, and Valkey in it.

    There is no NAT gateway, which would cost more than all the rest. What the functions in here
    need is reached inside of AWS: the table and buckets by gateways that are free, the secrets by
    an endpoint. Functions that need more than that do not use the shared cache.

    Attributes:
        vpc: where the functions live that use the cache.
        wall: their security group.
        url: of the cache.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: Stage, env: Environment
    ) -> None:
        super().__init__(
            scope, construct_id, env=env, description=f"Trinity ({stage.name}): shared cache"
        )
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="inside", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=22
                )
            ],
        )
        flows = logs.LogGroup(
            self, "FlowsLog", retention=retention(stage), removal_policy=removal(stage)
        )
        self.vpc.add_flow_log(
            "Flows",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(flows),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        for name, service in (
            ("Table", ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            ("Buckets", ec2.GatewayVpcEndpointAwsService.S3),
        ):
            self.vpc.add_gateway_endpoint(name, service=service)
        self.wall = ec2.SecurityGroup(
            self, "Functions", vpc=self.vpc, description="Functions that use the shared cache"
        )
        endpoint = ec2.SecurityGroup(
            self,
            "Endpoint",
            vpc=self.vpc,
            description="The way to the secrets",
            allow_all_outbound=False,
        )
        endpoint.add_ingress_rule(self.wall, ec2.Port.tcp(443), "functions")
        self.vpc.add_interface_endpoint(
            "Secrets",
            service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
            security_groups=[endpoint],
            open=False,
        )
        inside = ec2.SecurityGroup(
            self,
            "Cache",
            vpc=self.vpc,
            description="The shared cache",
            allow_all_outbound=False,
        )
        inside.add_ingress_rule(self.wall, ec2.Port.tcp(_PORT), "functions")
        cache = elasticache.CfnServerlessCache(
            self,
            "Valkey",
            engine="valkey",
            major_engine_version="8",
            serverless_cache_name=f"trinity-{stage.name}",
            description="Rate limits, sessions and reads that all environments share",
            security_group_ids=[inside.security_group_id],
            subnet_ids=[subnet.subnet_id for subnet in self.vpc.isolated_subnets],
            cache_usage_limits=elasticache.CfnServerlessCache.CacheUsageLimitsProperty(
                data_storage=elasticache.CfnServerlessCache.DataStorageProperty(
                    maximum=1, unit="GB"
                ),
                ecpu_per_second=elasticache.CfnServerlessCache.ECPUPerSecondProperty(maximum=5000),
            ),
        )
        # ElastiCache Serverless speaks TLS alone:
        # https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/in-transit-encryption.html
        self.url = f"rediss://{cache.attr_endpoint_address}:{_PORT}"
