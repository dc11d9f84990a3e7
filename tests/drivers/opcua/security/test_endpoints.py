"""What servers say of themselves: read right, whatever it is; and which endpoint is chosen from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from drivers.opcua.binary import Reader
from drivers.opcua.security import descriptions
from drivers.opcua.security.descriptions import Endpoint, Mode, UserKind
from drivers.opcua.security.endpoints import choose, mode_name, policy_name, split, with_path
from drivers.opcua.security.options import SecurityOptions
from gateway.driver import LinkDown

BASE = "http://opcfoundation.org/UA/SecurityPolicy#"


def _packed(policy: str, mode: str, url: str = "opc.tcp://plc1:4840/UA") -> bytes:
    """An endpoint as asyncua writes it."""
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
    endpoint = ua.EndpointDescription(
        EndpointUrl=url,
        Server=server,
        ServerCertificate=b"\x30\x03abc",
        SecurityMode=getattr(ua.MessageSecurityMode, "None_" if mode == "None" else mode),
        SecurityPolicyUri=BASE + policy,
        UserIdentityTokens=tokens,
        TransportProfileUri="http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary",
        SecurityLevel=110,
    )
    return struct_to_binary(endpoint)


def _endpoint(*words: str) -> Endpoint:
    return descriptions.endpoint(Reader(_packed(*words)))


def test_what_asyncua_writes_is_read_the_same() -> None:
    reader = Reader(_packed("Basic256Sha256", "Sign"))
    read = descriptions.endpoint(reader)
    assert reader.position == reader.end
    assert read.url == "opc.tcp://plc1:4840/UA"
    assert read.certificate == b"\x30\x03abc"
    assert (read.mode, read.policy_uri) == (Mode.SIGN, BASE + "Basic256Sha256")
    assert (read.server.uri, read.server.name) == ("urn:plc1", "Füller 1")
    assert read.server.urls == ("opc.tcp://plc1:4840/UA", "https://plc1")
    told = [(user.id, user.kind, user.policy_uri) for user in read.users]
    assert told == [("a", UserKind.ANONYMOUS, None), ("b", UserKind.PASSWORD, BASE + "Basic256")]


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
        assert f"{policy_name(found.policy_uri)} {mode_name(found.mode)}" == chosen


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
