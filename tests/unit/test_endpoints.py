"""Which addresses of webhooks and push services are taken, by their looks alone."""

import pytest

from trinity.common import endpoints
from trinity.domain.errors import InvalidRequest

GOOD = [
    "https://example.org",
    "https://example.org/",
    "https://example.org:8443/hook?key=a%20b&c=d",
    "https://xn--exmple-cua.org/hook",
    "https://93.184.215.14/hook",
    "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:444/",
    "https://example.org?key=value",
]
NO_URL = [
    "",
    "example.org",
    "//example.org",
    "https://",
    "https:///hook",
    "ftp://example.org",
    "javascript:alert(1)",
    "https://user:password@example.org",
    "https://example.org@10.0.0.1/",
    "https://example.org#fragment",
    "https://example.org/#fragment",
    "https://exämple.org",
    "https://example.org/with blank",
    "https://example.org/\r\nX-Evil: 1",
    "https://example.org/\x00",
    "https://example.org:0/",
    "https://example.org:65536/",
    "https://example.org:port/",
    "https://exam\\ple.org",
    "HTTPS://example.org",
    "https://example.org/" + "x" * 2048,
]
NOT_PUBLIC = [
    "https://localhost/",
    "https://LOCALHOST/",
    "https://films.localhost/",
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://router/",
]


@pytest.mark.parametrize("url", GOOD)
def test_an_address_on_the_internet_is_taken(url: str) -> None:
    endpoints.check(url, "/url", local=False)


@pytest.mark.parametrize("url", NO_URL)
@pytest.mark.parametrize("local", [False, True])
def test_what_is_no_url_is_refused(url: str, local: bool) -> None:
    with pytest.raises(InvalidRequest) as refused:
        endpoints.check(url, "/url", local=local)
    assert refused.value.errors == (("/url", "is not a URL like https://example.org/path"),)


@pytest.mark.parametrize("url", NOT_PUBLIC)
def test_an_address_that_is_not_on_the_internet_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        endpoints.check(url, "/url", local=False)
    assert refused.value.errors == (("/url", "is not an address of the public Internet"),)


@pytest.mark.parametrize("url", ["http://example.org/", "http://127.0.0.1/", "http://10.0.0.1/"])
def test_an_address_without_tls_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        endpoints.check(url, "/url", local=False)
    assert refused.value.errors == (("/url", "must begin with https://"),)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/", "http://127.0.0.1:8000/", "http://[::1]/", "https://[::1]/"]
)
def test_this_machine_is_taken_where_the_settings_say_so(url: str) -> None:
    endpoints.check(url, "/url", local=True)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://example.org/", "https://10.0.0.1/"])
def test_no_other_machine_is_taken_because_this_one_is(url: str) -> None:
    with pytest.raises(InvalidRequest):
        endpoints.check(url, "/url", local=True)
