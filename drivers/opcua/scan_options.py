"""What can be set for a search for OPC UA servers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.fields import Options
from gateway.hosts import host_in, is_host

DEFAULT_PORT = 4840
"""Registered for OPC UA with IANA."""
MAX_TARGETS = 4096


def _check_place(text: str) -> str:
    if "/" in text and "//" not in text:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"'{text}' is no network: write it as '192.168.1.0/24'") from None
    elif not is_host(text):
        found = host_in(text)
        mend = f"write '{found}'" if found else "write a name, an address or a network such as '192.168.1.0/24'"
        raise ValueError(f"'{text}' is no host: {mend}")
    return text


def _few_enough(places: list[str]) -> list[str]:
    total = sum(ipaddress.ip_network(place, strict=False).num_addresses if "/" in place else 1 for place in places)
    if total > MAX_TARGETS:
        raise ValueError(f"that is {total} addresses, but {MAX_TARGETS} are possible: search in parts")
    return places


class ScanOptions(Options):
    """Where to look, and how hard."""

    hosts: Annotated[list[Annotated[str, AfterValidator(_check_place)]], AfterValidator(_few_enough)] = Field(
        min_length=1, description="Hosts to ask: names, addresses, or networks such as `192.168.1.0/24`."
    )
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default=[DEFAULT_PORT], min_length=1, max_length=64, description="TCP ports to ask at each of them."
    )
    timeout_ms: int = Field(default=2000, ge=1, le=60_000, description="How long to wait for each reply.")
    rate: float = Field(default=20.0, ge=0.1, le=1000, description="Most connections begun per second.")

    @property
    def targets(self) -> Sequence[tuple[str, int]]:
        """(host, port), in order."""
        hosts: list[Any] = []
        for place in self.hosts:
            if "/" in place:
                network = ipaddress.ip_network(place, strict=False)
                hosts += network.hosts()
            else:
                hosts.append(place)
        return [(str(host), port) for host in dict.fromkeys(hosts) for port in self.ports]
