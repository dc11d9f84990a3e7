"""What may stand where a host is asked for: a name or an address alone, no URL and no port."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"[^\s/:@?#\[\]]+")


def is_host(text: str) -> bool:
    """Whether `text` is a host name, an IPv4 address or an IPv6 address without brackets."""
    if _NAME.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_in(text: str) -> str | None:
    """The host that a URL, ``host:port`` or ``[address]`` names; None if there is none."""
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None
    return host if host and is_host(host) else None
