"""Which address a request counts for: the one that our own outermost hop saw, whatever was sent."""

from typing import Any

import pytest

from trinity.common import requests, resolvers

EDGE, FRONT = "203.0.113.1", "203.0.113.2"
VIEWER = "198.51.100.7"
WORD = "a word that CloudFront knows"


def of_api_gateway(forwarded: str | None, peer: str, **more: str) -> dict[str, Any]:
    headers = {"host": "id.execute-api.eu-west-1.amazonaws.com"} | _with_dashes(more)
    if forwarded is not None:
        headers["x-forwarded-for"] = forwarded
    return {"headers": headers, "requestContext": {"http": {"sourceIp": peer}}}


def of_appsync(forwarded: str | None, **more: str) -> dict[str, Any]:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return {"request": {"headers": headers | _with_dashes(more)}}


def _with_dashes(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize("sent", ["", "10.0.0.1, ", "10.0.0.1, 10.0.0.2,10.0.0.3, "])
class TestWhatAClientClaims:
    """The beginning of the header is the client's own, and counts for nothing."""

    def test_at_api_gateway(self, sent: str) -> None:
        event = of_api_gateway(f"{sent}{VIEWER}", VIEWER)
        assert requests.origin(event, "", 0, "").address == VIEWER

    def test_at_api_gateway_behind_cloudfront(self, sent: str) -> None:
        event = of_api_gateway(f"{sent}{VIEWER}, {EDGE}", EDGE, x_trinity_proxies=WORD)
        assert requests.origin(event, "", 1, WORD).address == VIEWER

    def test_at_appsync(self, sent: str) -> None:
        event = of_appsync(f"{sent}{VIEWER}, {FRONT}")
        assert resolvers.origin(event, "", 0, "").address == VIEWER

    def test_at_appsync_behind_cloudfront(self, sent: str) -> None:
        event = of_appsync(f"{sent}{VIEWER}, {EDGE}, {FRONT}", x_trinity_proxies=WORD)
        assert resolvers.origin(event, "", 1, WORD).address == VIEWER

    @pytest.mark.parametrize("more", [{}, {"x_trinity_proxies": "a guess"}])
    def test_past_cloudfront(self, sent: str, more: dict[str, str]) -> None:
        """Where the APIs are themselves, every token tells."""
        event = of_api_gateway(f"{sent}{VIEWER}", VIEWER, **more)
        assert requests.origin(event, "", 1, WORD).address == VIEWER
        event = of_appsync(f"{sent}{VIEWER}, {FRONT}", **more)
        assert resolvers.origin(event, "", 1, WORD).address == VIEWER


@pytest.mark.parametrize("forwarded", [None, "", VIEWER])
def test_where_no_hop_is_noted_it_is_the_address_that_a_request_comes_from(
    forwarded: str | None,
) -> None:
    event = of_api_gateway(forwarded, VIEWER, x_trinity_proxies=WORD)
    assert requests.origin(event, "", 1, WORD).address == VIEWER


@pytest.mark.parametrize("proxies", [0, 1])
def test_all_of_whom_nothing_is_known_count_together(proxies: int) -> None:
    assert resolvers.origin(of_appsync(None), "", proxies, WORD).address == "unknown"
