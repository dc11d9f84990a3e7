"""Searching for servers, against node-opcua and against what isn't one."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.opcua import KIND
from drivers.opcua.options import LinkOptions, TagOptions
from drivers.opcua.scan_options import ScanOptions
from gateway.driver import Finding, LinkDown, Progress, Site
from tests.support.node import NodePeer
from tests.support.pki import issue


async def _search(site: Site, **options: Any) -> tuple[list[Finding], list[Progress]]:
    assert KIND.scan is not None
    results = [result async for result in KIND.scan.run(ScanOptions.model_validate({"rate": 1000, **options}), site)]
    return (
        [result for result in results if isinstance(result, Finding)],
        [result for result in results if isinstance(result, Progress)],
    )


@pytest.mark.integration
async def test_it_lists_every_endpoint_and_configures_the_best(tmp_path: Path) -> None:
    issued = issue(tmp_path / "server")
    files = {"certificate": str(issued.pem_file), "key": str(issued.key_file)}
    site = Site("works-7", tmp_path / "state")
    with NodePeer("opcua", pki=str(tmp_path / "pki"), **files) as peer:
        port = peer.ready["port"]
        findings, _ = await _search(site, hosts=["127.0.0.1"], ports=[port])
        assert peer.ask(sessions=True)["sessions"] == 0
    assert [(finding.row["policy"], finding.row["mode"]) for finding in findings] == [
        *((policy, mode) for mode in ("SignAndEncrypt", "Sign") for policy in _STRONGEST_FIRST),
        ("None", "None"),
    ]
    best = findings[0]
    assert best.row["server"] == "Peer"
    assert best.row["application"] == "urn:tidegate:peer"
    assert best.row["users"] == "anonymous password certificate"
    assert len(best.row["certificate"]) == 64
    assert [finding.config != "" for finding in findings] == [True, *[False] * (len(findings) - 1)]
    document = tomllib.loads(best.config)
    (link,) = document["link"]
    assert link.pop("driver") == "opcua"
    link.pop("name")
    assert LinkOptions.model_validate(link).url == f"opc.tcp://127.0.0.1:{port}"
    ((tag,),) = [group["tag"] for device in document["device"] for group in device["group"]]
    TagOptions.model_validate({"node": tag["node"]})
    assert not (tmp_path / "state").exists(), "a search leaves nothing behind"


_STRONGEST_FIRST = ("Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", "Basic256Sha256")


async def _answers_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)
    await reader.read()
    writer.close()


async def _stays_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.fixture
async def strangers() -> AsyncIterator[list[int]]:
    """Ports where something listens that isn't OPC UA, and one where nothing does."""
    nonsense = await asyncio.start_server(_answers_nonsense, "127.0.0.1", 0)
    silent = await asyncio.start_server(_stays_silent, "127.0.0.1", 0)
    closed = await asyncio.start_server(_stays_silent, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (nonsense, silent, closed)]
    closed.close()
    await closed.wait_closed()
    yield ports
    for server in (nonsense, silent):
        server.close()
        await server.wait_closed()


async def test_what_is_no_server_is_passed_over(tmp_path: Path, strangers: list[int]) -> None:
    findings, progress = await _search(Site("works-7", tmp_path), hosts=["127.0.0.1"], ports=strangers, timeout_ms=200)
    assert findings == []
    assert (progress[-1].done, progress[-1].total) == (3, 3)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (0, "what listens at {url} doesn't speak OPC UA: check the port"),
        (1, "{url} doesn't answer: check the address and the network"),
        (2, "nothing listens at {url}: check the port"),
    ],
)
async def test_one_place_that_was_asked_for_and_gives_nothing_is_explained(
    tmp_path: Path, strangers: list[int], which: int, words: str
) -> None:
    """Not "nothing found": somebody who names one server wants to know what is wrong with it."""
    port = strangers[which]
    with pytest.raises(LinkDown, match=words.format(url=f"opc.tcp://127.0.0.1:{port}")):
        await _search(Site("works-7", tmp_path), hosts=["127.0.0.1"], ports=[port], timeout_ms=200)


@pytest.mark.integration
async def test_a_certificate_for_another_host_is_told_before_it_is_refused(tmp_path: Path) -> None:
    issued = issue(tmp_path / "server", hosts=["plc1"])
    files = {"certificate": str(issued.pem_file), "key": str(issued.key_file)}
    with NodePeer("opcua", pki=str(tmp_path / "pki"), **files) as peer:
        findings, _ = await _search(Site("works-7", tmp_path), hosts=["127.0.0.1"], ports=[peer.ready["port"]])
    (config,) = [finding.config for finding in findings if finding.config]
    assert "# The server's certificate doesn't name 127.0.0.1 but plc1: connect to a name that it has" in config
    (link,) = tomllib.loads(config)["link"]
    assert "verify_host" not in link, "nothing is relaxed unasked"


async def test_closing_it_ends_it(tmp_path: Path, strangers: list[int]) -> None:
    assert KIND.scan is not None
    options = ScanOptions(hosts=["127.0.0.1"], ports=strangers, timeout_ms=60_000)
    results = KIND.scan.run(options, Site("works-7", tmp_path))
    assert isinstance(await anext(results), Progress)
    await anext(results)
    await results.aclose()  # type: ignore[attr-defined]
    assert [task for task in asyncio.all_tasks() if "_ask" in repr(task)] == []


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (["opc.tcp://plc1:4840"], "write 'plc1'"),
        (["10.0.0.0/8"], "search in parts"),
        (["10.0.0.0/64"], "is no network"),
    ],
)
def test_impossible_places_are_refused_in_a_sentence(hosts: list[str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ScanOptions(hosts=hosts)


def test_a_network_is_every_host_in_it() -> None:
    options = ScanOptions(hosts=["192.168.1.0/30", "plc1"], ports=[4840, 4841])
    assert options.targets == [
        *(("192.168.1.1", port) for port in (4840, 4841)),
        *(("192.168.1.2", port) for port in (4840, 4841)),
        *(("plc1", port) for port in (4840, 4841)),
    ]
