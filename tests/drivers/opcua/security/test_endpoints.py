"""What servers say of themselves: read right, whatever it is; and which endpoint is chosen from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from drivers.opcua.binary import Malformed, Reader
from drivers.opcua.security import discovery
from drivers.opcua.security.endpoints import choose, mode_name, policy_name, split, with_path
from drivers.opcua.security.options import SecurityOptions
from gateway.driver import LinkDown
from tests.support.effort import times
from tests.support.stopwatch import stopwatch

BASE = "http://opcfoundation.org/UA/SecurityPolicy#"


def _endpoint(policy: str, mode: str, url: str = "opc.tcp://plc1:4840/UA") -> ua.EndpointDescription:
    server = ua.ApplicationDescription(
        ApplicationUri="urn:plc1",
        ProductUri="urn:acme",
        ApplicationName=ua.LocalizedText("Füller 1"),
        ApplicationType=ua.ApplicationType.ClientAndServer,
        DiscoveryUrls=[url, "https://plc1"],
    )
    tokens = [
        ua.UserTokenPolicy(PolicyId="a", TokenType=ua.UserTokenType.Anonymous),
        ua.UserTokenPolicy(PolicyId="b", TokenType=ua.UserTokenType.UserName, SecurityPolicyUri=BASE + "Basic256"),
    ]
    return ua.EndpointDescription(
        EndpointUrl=url,
        Server=server,
        ServerCertificate=b"\x30\x03abc",
        SecurityMode=getattr(ua.MessageSecurityMode, "None_" if mode == "None" else mode),
        SecurityPolicyUri=BASE + policy,
        UserIdentityTokens=tokens,
        TransportProfileUri="http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary",
        SecurityLevel=110,
    )


def test_what_asyncua_writes_is_read_the_same() -> None:
    endpoint = _endpoint("Basic256Sha256", "Sign")
    read = discovery._endpoint(Reader(struct_to_binary(endpoint)))
    for name in ("EndpointUrl", "ServerCertificate", "SecurityMode", "SecurityPolicyUri", "SecurityLevel"):
        assert getattr(read, name) == getattr(endpoint, name)
    for name in ("ApplicationUri", "ProductUri", "ApplicationType", "DiscoveryUrls"):
        assert getattr(read.Server, name) == getattr(endpoint.Server, name)
    assert read.Server.ApplicationName.Text == "Füller 1"
    told = [(token.PolicyId, token.TokenType, token.SecurityPolicyUri) for token in read.UserIdentityTokens]
    assert told == [("a", ua.UserTokenType.Anonymous, None), ("b", ua.UserTokenType.UserName, BASE + "Basic256")]


def test_garbage_is_malformed_and_costs_nothing() -> None:
    whole, chance = struct_to_binary(_endpoint("Basic256Sha256", "Sign")), random.Random(2)
    malformed = 0
    with stopwatch() as watch:
        for _ in range(times(20_000)):
            body = bytearray(whole[: chance.randint(0, len(whole))] if chance.random() < 0.3 else whole)
            for _ in range(chance.randint(0, 5) if body else 0):
                body[chance.randrange(len(body))] = chance.choice((0, 0x7F, 0xFF, chance.randrange(256)))
            with watch:
                try:
                    discovery._endpoint(Reader(bytes(body)))
                except Malformed:
                    malformed += 1
    assert malformed > 1000
    assert watch.slowest_s < 0.1


@pytest.mark.parametrize(
    ("offered", "options", "chosen"),
    [
        (["None None", "Basic256Sha256 Sign", "Basic256Sha256 SignAndEncrypt"], {}, "Basic256Sha256 SignAndEncrypt"),
        (["Aes256_Sha256_RsaPss Sign", "Basic256Sha256 SignAndEncrypt"], {}, "Basic256Sha256 SignAndEncrypt"),
        (["Aes256_Sha256_RsaPss Sign", "Aes128_Sha256_RsaOaep Sign"], {}, "Aes256_Sha256_RsaPss Sign"),
        (["Basic256 SignAndEncrypt", "Basic256Sha256 Sign"], {}, "Basic256Sha256 Sign"),
        (["None None", "Basic256Sha256 Sign"], {"security_policy": "None"}, "None None"),
        (
            ["Aes256_Sha256_RsaPss SignAndEncrypt", "Basic256Sha256 Sign"],
            {"security_policy": "Basic256Sha256"},
            "Basic256Sha256 Sign",
        ),
        (["Basic256Sha256 SignAndEncrypt", "Basic256Sha256 Sign"], {"security_mode": "Sign"}, "Basic256Sha256 Sign"),
    ],
)
def test_the_strongest_that_is_allowed(offered: Sequence[str], options: dict[str, Any], chosen: str) -> None:
    for order in (1, -1):
        endpoints = [_endpoint(*words.split()) for words in offered][::order]
        found = choose(endpoints, SecurityOptions.model_validate(options), split("opc.tcp://plc1:4840"))
        assert f"{policy_name(found.SecurityPolicyUri)} {mode_name(found.SecurityMode)}" == chosen


@pytest.mark.parametrize(
    ("offered", "options", "words"),
    [
        (["None None"], {}, "offers no security: switch security on there"),
        (["Basic256 SignAndEncrypt", "Basic128Rsa15 Sign"], {}, "nothing secure"),
        ([], {}, "offers no opc.tcp endpoint"),
        (["Basic256Sha256 Sign"], {"security_policy": "None"}, "but security_policy asks for None"),
        (["Basic256Sha256 Sign"], {"security_mode": "SignAndEncrypt"}, "set both to 'best'"),
    ],
)
def test_nothing_that_is_allowed_is_a_sentence(offered: Sequence[str], options: dict[str, Any], words: str) -> None:
    endpoints = [_endpoint(*each.split()) for each in offered]
    with pytest.raises(LinkDown, match=words):
        choose(endpoints, SecurityOptions.model_validate(options), split("opc.tcp://plc1:4840"))


def test_the_port_that_is_configured_comes_first() -> None:
    near = _endpoint("Basic256Sha256", "Sign", "opc.tcp://plc1:4840/UA")
    other = _endpoint("Aes256_Sha256_RsaPss", "SignAndEncrypt", "opc.tcp://plc1:4843/UA")
    web = _endpoint("Aes256_Sha256_RsaPss", "SignAndEncrypt", "https://plc1:443/UA")
    offered, options = [near, other, web], SecurityOptions()
    assert choose(offered, options, split("opc.tcp://10.0.0.5:4840")) is near
    assert choose(offered, options, split("opc.tcp://10.0.0.5")) is near
    assert choose(offered, options, split("opc.tcp://10.0.0.5:14840")) is other, "a translation lies between"


@pytest.mark.parametrize(
    ("configured", "connected"),
    [
        ("opc.tcp://10.0.0.5:14840", "opc.tcp://10.0.0.5:14840/UA"),
        ("opc.tcp://10.0.0.5:14840/", "opc.tcp://10.0.0.5:14840/UA"),
        ("opc.tcp://10.0.0.5:14840/mine", "opc.tcp://10.0.0.5:14840/mine"),
        ("opc.tcp://[fe80::1]:4840", "opc.tcp://[fe80::1]:4840/UA"),
    ],
)
def test_the_host_stays_as_configured(configured: str, connected: str) -> None:
    assert with_path(split(configured), _endpoint("Basic256Sha256", "Sign")) == connected
