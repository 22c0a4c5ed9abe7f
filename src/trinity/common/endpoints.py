"""Addresses that users give us to send to: which of them are taken.

What a name leads to is known only when it is looked up, and that is checked then, too
(`infrastructure/notifiers/outbound.py`); what is wrong with an address itself is told at once.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from trinity.domain import errors

LONGEST = 2048

# Printable ASCII, with nothing that could end a header or hide where it leads.
_URL = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?([/?][!\"$-~]*)?")
_USUAL_PORTS = {"https": 443, "http": 80}
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


class Target(NamedTuple):
    """Where a URL leads.

    Attributes:
        host: name or address, without brackets.
        authority: host and port as in the `Host` header.
        path: with the query.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str


def parse(url: str) -> Target | None:
    """Return where a URL leads, None if it is none."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme, host, port_text, rest = found.groups()
    port = int(port_text or _USUAL_PORTS[scheme])
    if not 0 < port < 65_536:
        return None
    authority = host if port == _USUAL_PORTS[scheme] else f"{host}:{port}"
    path = rest or "/"
    return Target(scheme, host.strip("[]"), port, authority, path if path[0] == "/" else f"/{path}")


def check(url: str, pointer: str, *, local: bool) -> None:
    """Refuse what cannot be the address of somebody else on the Internet.

    Args:
        url: the address.
        pointer: the field that it came in.
        local: this machine will do, without TLS, too.

    Raises:
        InvalidRequest: it cannot.
    """
    target = parse(url) if len(url) <= LONGEST else None
    if target is None:
        raise _refusal(pointer, "is not a URL like https://example.org/path")
    if target.host.lower() == "localhost" or target.host.lower().endswith(".localhost"):
        loopback = public = True
    else:
        try:
            ip = ip_address(target.host)
        except ValueError:
            loopback, public = False, "." in target.host
        else:
            loopback, public = ip.is_loopback, is_public(ip)
    if loopback and local:
        return
    if target.scheme != "https":
        raise _refusal(pointer, "must begin with https://")
    if loopback or not public:
        raise _refusal(pointer, "is not an address of the public Internet")


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is one of the public Internet, and leads to no other inside of it."""
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return ip.is_global and not ip.is_multicast


def _refusal(pointer: str, message: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(errors=[(pointer, message)])
