"""What stands in front: the HTTP API, AppSync, and CloudFront with a firewall before both.

The APIs are bare here: functions, routes and resolvers come in the stack after this one, since the
functions are told under which name people reach them.
"""

import json
from pathlib import Path

from aws_cdk import CfnOutput, Duration, Environment, Fn, RemovalPolicy, SecretValue, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_appsync as appsync
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from deploy.data import Data
from deploy.exceptions import accept
from deploy.lasting import removal, retention
from deploy.stages import Stage
from trinity.common import pages
from trinity.embedded.app import words
from trinity.embedded.static import FOLDER

SCHEMA = Path(__file__).parents[1] / "schema" / "schema.graphql"
QUERY_DEPTH = 10
"""As deep as the embedded host lets a query be."""
_ERRORS = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
"""Statuses that CloudFront keeps by itself, and takes a time for:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
"""


class Edge(Stack):
    """The front of a region.

    Attributes:
        http: the HTTP API, without routes.
        graphql: the GraphQL API, without resolvers.
        issuer: of the access tokens: the HTTP API itself, since an authorizer reads the issuer's
            document while it is being created, long before CloudFront answers.
        public_url: where people reach all this.
        word: what CloudFront says to the APIs, so that functions know who comes past it. It gives
            nobody any rights, but to choose the address that limits count for.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        env: Environment,
        data: Data,
        primary: bool,
    ) -> None:
        super().__init__(
            scope, construct_id, env=env, description=f"Trinity ({stage.name}): the front"
        )
        self._stage = stage
        self._data = data
        self._removal = removal(stage)
        self.http = apigateway.HttpApi(
            self,
            "Http",
            api_name=f"trinity-{stage.name}",
            description="Trinity",
            create_default_stage=False,
        )
        http_stage = self._http_stage()
        self.issuer = f"https://{self.http.api_id}.execute-api.{self.region}.{self.url_suffix}"
        self.graphql = self._graphql()
        zone = (
            route53.HostedZone.from_hosted_zone_attributes(
                self, "Zone", hosted_zone_id=stage.hosted_zone_id, zone_name=stage.domain
            )
            if stage.domain and stage.hosted_zone_id
            else None
        )
        self._origin_host = f"{self.http.api_id}.execute-api.{self.region}.{self.url_suffix}"
        if zone is not None and stage.second_region:
            self._name_of_both_regions(zone, http_stage, primary=primary)
            self._graphql_by_that_name()
        self.public_url = f"https://{stage.domain}"
        # CloudFormation puts the value where it is used; templates hold but its name.
        self.word = SecretValue.secrets_manager(self._name_of_word).unsafe_unwrap()
        if primary:
            distribution = self._distribution(zone)
            if not stage.domain:
                self.public_url = f"https://{distribution.distribution_domain_name}"
            CfnOutput(self, "Url", value=self.public_url)
            CfnOutput(self, "DistributionId", value=distribution.distribution_id)
        CfnOutput(self, "HttpApiUrl", value=self.issuer)
        CfnOutput(self, "GraphqlUrl", value=self.graphql.graphql_url)

    # ------------------------------------------------------------------------------ the two APIs

    def _http_stage(self) -> apigateway.CfnStage:
        log = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/trinity/{self._stage.name}/access",
            retention=retention(self._stage),
            removal_policy=self._removal,
        )
        # No address, no token and no query: what is here may be kept without a second thought.
        wanted = ("requestId", "routeKey", "status", "responseLatency", "integrationErrorMessage")
        entries = ",".join(f'"{name}":"$context.{name}"' for name in wanted)
        return apigateway.CfnStage(
            self,
            "HttpStage",
            api_id=self.http.api_id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format="{" + entries + "}"
            ),
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=self._stage.requests_per_s,
                throttling_burst_limit=self._stage.burst,
                detailed_metrics_enabled=True,
            ),
        )

    def _graphql(self) -> appsync.GraphqlApi:
        logger = iam.Role(
            self,
            "GraphqlLogger",
            assumed_by=iam.ServicePrincipal("appsync.amazonaws.com"),
            description=f"Trinity ({self._stage.name}): AppSync writes its log",
        )
        api = appsync.GraphqlApi(
            self,
            "Graphql",
            name=f"trinity-{self._stage.name}",
            definition=appsync.Definition.from_file(str(SCHEMA)),
            authorization_config=appsync.AuthorizationConfig(
                default_authorization=appsync.AuthorizationMode(
                    authorization_type=appsync.AuthorizationType.OIDC,
                    open_id_connect_config=appsync.OpenIdConnectConfig(oidc_provider=self.issuer),
                ),
                additional_authorization_modes=[
                    appsync.AuthorizationMode(authorization_type=appsync.AuthorizationType.IAM)
                ],
            ),
            query_depth_limit=QUERY_DEPTH,
            xray_enabled=True,
        )
        # The construct for this would bring a function of its own, to set how long the log is kept.
        bare = api.node.default_child
        assert isinstance(bare, appsync.CfnGraphQLApi)
        bare.log_config = appsync.CfnGraphQLApi.LogConfigProperty(
            cloud_watch_logs_role_arn=logger.role_arn,
            field_log_level="ERROR",
            exclude_verbose_content=True,
        )
        accept(bare, "ASC3", "Verbose logs hold headers and arguments: tokens, names and votes.")
        log = logs.LogGroup(
            self,
            "GraphqlLog",
            log_group_name=f"/aws/appsync/apis/{api.api_id}",
            retention=retention(self._stage),
            removal_policy=self._removal,
        )
        logger.attach_inline_policy(
            iam.Policy(
                self,
                "GraphqlLogPolicy",
                statements=[
                    iam.PolicyStatement(
                        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                        resources=[log.log_group_arn],
                    )
                ],
            )
        )
        return api

    def _name_of_both_regions(
        self, zone: route53.IHostedZone, http_stage: apigateway.CfnStage, *, primary: bool
    ) -> None:
        """Let both regions answer to one name, the second one while the first is ill."""
        name = f"api.{self._stage.domain}"
        domain = apigateway.DomainName(
            self,
            "ApiName",
            domain_name=name,
            certificate=acm.Certificate(
                self,
                "ApiCertificate",
                domain_name=name,
                validation=acm.CertificateValidation.from_dns(zone),
            ),
        )
        mapping = apigateway.CfnApiMapping(
            self,
            "ApiMapping",
            api_id=self.http.api_id,
            domain_name=domain.name,
            stage="$default",
        )
        mapping.add_resource_dependency(http_stage)  # it names the stage, and says no more of it
        check = route53.CfnHealthCheck(
            self,
            "ApiHealth",
            health_check_config=route53.CfnHealthCheck.HealthCheckConfigProperty(
                type="HTTPS",
                fully_qualified_domain_name=self._origin_host,
                resource_path="/api/health",
                port=443,
                request_interval=30,
                failure_threshold=3,
            ),
        )
        route53.CfnRecordSet(
            self,
            "ApiRecord",
            hosted_zone_id=zone.hosted_zone_id,
            name=name,
            type="A",
            failover="PRIMARY" if primary else "SECONDARY",
            set_identifier=self.region,
            health_check_id=check.attr_health_check_id,
            alias_target=route53.CfnRecordSet.AliasTargetProperty(
                dns_name=domain.regional_domain_name,
                hosted_zone_id=domain.regional_hosted_zone_id,
                evaluate_target_health=False,
            ),
        )
        self._origin_host = name

    def _graphql_by_that_name(self) -> None:
        """Let the HTTP API hand GraphQL on to AppSync of its own region.

        Two APIs of AppSync cannot share a name, since it is one of CloudFront's, but two of API
        Gateway can: so GraphQL goes where the HTTP API goes, and tokens are those of that region.
        https://docs.aws.amazon.com/reference-architecture-diagrams/latest/multi-region-appsync-proxy/multi-region-appsync-proxy.html
        """
        integration = apigateway.CfnIntegration(
            self,
            "GraphqlIntegration",
            api_id=self.http.api_id,
            integration_type="HTTP_PROXY",
            integration_method="ANY",
            integration_uri=self.graphql.graphql_url,
            payload_format_version="1.0",
            timeout_in_millis=30_000,
        )
        route = apigateway.CfnRoute(
            self,
            "GraphqlRoute",
            api_id=self.http.api_id,
            route_key="ANY /graphql",
            target=f"integrations/{integration.ref}",
            authorization_type="NONE",
        )
        accept(route, "APIG4", "AppSync looks at the token itself.")

    # ------------------------------------------------------------------------------- CloudFront

    @property
    def _name_of_word(self) -> str:
        return f"trinity/{self._stage.name}/word"

    def _draw_word(self) -> secretsmanager.Secret:
        second = self._stage.second_region
        word = secretsmanager.Secret(
            self,
            "Word",
            secret_name=self._name_of_word,
            description="Tells functions that a request came by CloudFront",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=40, exclude_punctuation=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
            replica_regions=[secretsmanager.ReplicaRegion(region=second)] if second else None,
        )
        accept(word, "SMG4", "CloudFront and all functions would have to change at one instant.")
        return word

    def _distribution(self, zone: route53.IHostedZone | None) -> cloudfront.Distribution:
        said = {"X-Trinity-Proxies": self._draw_word().secret_value.unsafe_unwrap()}
        api = origins.HttpOrigin(
            self._origin_host,
            custom_headers=said,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            read_timeout=Duration.seconds(30),
        )
        graphql_host = Fn.select(2, Fn.split("/", self.graphql.graphql_url))
        realtime_host = Fn.join(".appsync-realtime-api.", Fn.split(".appsync-api.", graphql_host))
        graphql: cloudfront.IOrigin = origins.HttpOrigin(
            graphql_host,
            custom_headers=said,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
        )
        if self._stage.second_region:
            graphql = api
        realtime = origins.HttpOrigin(
            realtime_host, origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2]
        )
        page = self._files("Page", "web")
        media = self._files("Media", "blobs")
        headers = self._headers()
        dynamic = {
            "viewer_protocol_policy": cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            "allowed_methods": cloudfront.AllowedMethods.ALLOW_ALL,
            "cache_policy": cloudfront.CachePolicy.CACHING_DISABLED,
            # The API has to see its own host name, not ours.
            "origin_request_policy": cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            "response_headers_policy": headers,
            "compress": True,
        }
        static = {
            "viewer_protocol_policy": cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            "cache_policy": cloudfront.CachePolicy.CACHING_OPTIMIZED,
            "response_headers_policy": headers,
            "compress": True,
        }
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"Trinity ({self._stage.name})",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=page,
                function_associations=[
                    cloudfront.FunctionAssociation(
                        function=self._paths_of_page(graphql_host),
                        event_type=cloudfront.FunctionEventType.VIEWER_REQUEST,
                    )
                ],
                **static,
            ),
            additional_behaviors={
                "/api/catalogue/*": cloudfront.BehaviorOptions(
                    origin=api, **{**dynamic, "cache_policy": self._same_for_everybody()}
                ),
                "/api/*": cloudfront.BehaviorOptions(origin=api, **dynamic),
                "/.well-known/*": cloudfront.BehaviorOptions(origin=api, **dynamic),
                "/graphql/realtime": cloudfront.BehaviorOptions(
                    origin=realtime,
                    function_associations=[
                        cloudfront.FunctionAssociation(
                            function=self._path_of_realtime(),
                            event_type=cloudfront.FunctionEventType.VIEWER_REQUEST,
                        )
                    ],
                    **dynamic,
                ),
                "/graphql": cloudfront.BehaviorOptions(origin=graphql, **dynamic),
                "/media/*": cloudfront.BehaviorOptions(origin=media, **static),
            },
            # Errors are kept for ten seconds, whatever the origin or the cache policy says, and one
            # person's would answer another, since who asks is not in the key of the cache:
            # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/custom-error-pages-expiration.html
            error_responses=[
                cloudfront.ErrorResponse(http_status=status, ttl=Duration.seconds(0))
                for status in _ERRORS
            ],
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
            log_bucket=self._data.access_logs,
            log_file_prefix="cloudfront/",
            web_acl_id=self._firewall().attr_arn,
            domain_names=[self._stage.domain] if self._stage.domain else None,
            certificate=acm.Certificate(
                self,
                "Certificate",
                domain_name=self._stage.domain,
                validation=acm.CertificateValidation.from_dns(zone),
            )
            if zone is not None and self._stage.domain
            else None,
        )
        accept(distribution, "CFR1", "People everywhere may decide what to watch.")
        if zone is None:
            accept(
                distribution,
                "CFR4",
                "Without a domain of our own CloudFront's certificate is used, and with it no"
                " minimum can be set. Who wants one gives the stage a domain.",
            )
        else:
            target = route53.RecordTarget.from_alias(targets.CloudFrontTarget(distribution))
            route53.ARecord(self, "Name", zone=zone, target=target)
            route53.AaaaRecord(self, "NameForIpv6", zone=zone, target=target)
        return distribution

    def _files(self, construct_id: str, name: str) -> cloudfront.IOrigin:
        """Return a bucket as an origin, with that of the second region behind it if there is one.

        CloudFront asks the second one when the first has no answer or not the file, and for GET,
        HEAD and OPTIONS alone; it refuses an origin group where others are allowed.
        https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/high_availability_origin_failover.html
        """
        first = self._bucket(construct_id, name, self.region)
        if self._stage.second_region is None:
            return first
        return origins.OriginGroup(
            primary_origin=first,
            fallback_origin=self._bucket(
                f"{construct_id}OfTheSecond", name, self._stage.second_region
            ),
            # S3 says 403 of a file that is not there to whoever may not list.
            fallback_status_codes=[403, 404, 500, 502, 503, 504],
        )

    def _bucket(self, construct_id: str, name: str, region: str) -> cloudfront.IOrigin:
        """Return a bucket as an origin; its own stack lets CloudFront read it."""
        known = s3.Bucket.from_bucket_attributes(
            self, construct_id, bucket_name=self._data.bucket_name(name, region), region=region
        )
        return origins.S3BucketOrigin.with_origin_access_control(known)

    def _headers(self) -> cloudfront.ResponseHeadersPolicy:
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            response_headers_policy_name=f"trinity-{self._stage.name}",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy="default-src 'self'; img-src 'self' https: data:;"
                    " connect-src 'self' https: wss:; frame-ancestors 'none'; base-uri 'none'",
                    override=False,
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(
                    frame_option=cloudfront.HeadersFrameOption.DENY, override=True
                ),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.SAME_ORIGIN, override=True
                ),
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.days(365),
                    include_subdomains=True,
                    override=True,
                ),
            ),
        )

    def _same_for_everybody(self) -> cloudfront.CachePolicy:
        """What the catalogue says is the same for everybody, whoever asks."""
        return cloudfront.CachePolicy(
            self,
            "Catalogue",
            cache_policy_name=f"trinity-{self._stage.name}-catalogue",
            default_ttl=Duration.seconds(0),
            min_ttl=Duration.seconds(0),
            max_ttl=Duration.hours(1),
            query_string_behavior=cloudfront.CacheQueryStringBehavior.all(),
            enable_accept_encoding_gzip=True,
            enable_accept_encoding_brotli=True,
        )

    def _paths_of_page(self, graphql_host: str) -> cloudfront.Function:
        """Answer for the page what the embedded host would, where the bucket knows no better.

        Its source may have 10 KB, with the page that it answers with:
        https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-functions
        """
        files = sorted("/" + f.relative_to(FOLDER).as_posix() for f in FOLDER.rglob("*.*"))
        headers = {name: {"value": value} for name, value in pages.HEADERS.items()}
        missing = {
            "statusCode": 404,
            "statusDescription": "Not Found",
            "headers": headers,
            "body": pages.page(*words(404)),
        }
        config = {
            "statusCode": 200,
            "statusDescription": "OK",
            "headers": {
                "content-type": {"value": "application/json"},
                "cache-control": {"value": "no-cache"},
            },
            "body": json.dumps({"graphqlHost": graphql_host}),
        }
        return cloudfront.Function(
            self,
            "PathsOfPage",
            function_name=f"trinity-{self._stage.name}-page",
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            code=cloudfront.FunctionCode.from_inline(
                f"const FILES = {json.dumps(['/', *files])};\n"
                f"const CONFIG = {json.dumps(config)};\n"
                f"const MISSING = {json.dumps(missing)};\n"
                "function handler(event) {\n"
                "  const request = event.request;\n"
                "  // Which name AppSync has, which is not ours, the page has to know (live.js).\n"
                "  if (request.uri === '/config.json') return CONFIG;\n"
                "  // A link to a room, /r/CODE, shows the one page there is.\n"
                "  if (/^\\/r\\/[^/]*$/.test(request.uri)) request.uri = '/index.html';\n"
                "  return FILES.includes(request.uri) ? request : MISSING;\n"
                "}\n"
            ),
        )

    def _path_of_realtime(self) -> cloudfront.Function:
        """AppSync's own real-time host knows no path but `/graphql`."""
        return cloudfront.Function(
            self,
            "PathOfRealtime",
            function_name=f"trinity-{self._stage.name}-realtime",
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            code=cloudfront.FunctionCode.from_inline(
                "function handler(event) {\n"
                "  event.request.uri = '/graphql';\n"
                "  return event.request;\n"
                "}\n"
            ),
        )

    def _firewall(self) -> waf.CfnWebACL:
        def watched(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
            return waf.CfnWebACL.VisibilityConfigProperty(
                cloud_watch_metrics_enabled=True, sampled_requests_enabled=True, metric_name=name
            )

        def managed(priority: int, name: str) -> waf.CfnWebACL.RuleProperty:
            return waf.CfnWebACL.RuleProperty(
                name=name,
                priority=priority,
                override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
                statement=waf.CfnWebACL.StatementProperty(
                    managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                        vendor_name="AWS", name=name
                    )
                ),
                visibility_config=watched(name),
            )

        return waf.CfnWebACL(
            self,
            "Firewall",
            name=f"trinity-{self._stage.name}",
            scope="CLOUDFRONT",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=watched("all"),
            rules=[
                waf.CfnWebACL.RuleProperty(
                    name="PerAddress",
                    priority=0,
                    action=waf.CfnWebACL.RuleActionProperty(block={}),
                    statement=waf.CfnWebACL.StatementProperty(
                        rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                            aggregate_key_type="IP", limit=self._stage.per_address
                        )
                    ),
                    visibility_config=watched("PerAddress"),
                ),
                managed(1, "AWSManagedRulesAmazonIpReputationList"),
                managed(2, "AWSManagedRulesKnownBadInputsRuleSet"),
            ],
        )
