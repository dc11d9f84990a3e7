"""A fleet's gateway: users, certificate and configuration from a file, each setting applied or refused by itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from gateway.ops.fingerprints import fingerprint
from gateway.web.certificate import make
from tests.support.browser import chromium
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.https import Https
from tests.support.page import PageProcess
from tests.support.people import PASSWORD

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


def provision(gateway: GatewayProcess, page: PageProcess, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "gateway", "provision", str(file), "--json", *more),
            *("--socket", str(page.socket), "--state", str(page.state)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_each_setting_is_applied_or_refused_and_the_page_says_which(tmp_path: Path) -> None:
    verifier = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    fleet = tmp_path / "fleet"
    make(fleet)
    wanted = configuration(tmp_path / "data", [1502], 1883)
    (tmp_path / "fleet.toml").write_text(wanted)
    file = tmp_path / "provision.toml"
    file.write_text(
        f"""
[[user]]
name = "ada"
role = "admin"
password_hash = "{verifier}"

[[user]]
name = "eve"
role = "engineer"
password_hash = "in the clear"

[[user]]
name = "otto"
password = "in the clear"

[tls]
certificate = "fleet/tls/certificate.pem"
key = "fleet/tls/key.pem"

[configuration]
file = "fleet.toml"

[wifi]
password = "?"
"""
    )
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [], 1883)) as gateway:
        await gateway.until(lambda status: status["gateway"], "answering")
        with PageProcess(tmp_path, tmp_path / "data" / "control.sock") as page:
            done = await asyncio.to_thread(provision, gateway, page, file)
            assert done.returncode == 1, done.stderr
            outcomes = {setting["name"]: setting["outcome"] for setting in json.loads(done.stdout)["settings"]}
            assert outcomes == {
                "user ada": "applied",
                "user eve": "refused",
                "user otto": "refused",
                "tls": "applied",
                "configuration": "applied",
                "wifi": "refused",
            }
            assert "dev0" in gateway.status()["southbound"]["links"]["link0"]["devices"]
            assert "in the clear" not in (page.state / "provisioned.json").read_text()
            assert not (tmp_path / "data" / "claim-code").exists(), "it belongs to somebody now"
            with Https(page.url) as browser:
                assert browser.get("/claim").status == 303
                assert browser.sign_in("ada", PASSWORD).status == 303
                cookies = browser.cookies
            await the_certificate_is(page, fingerprint(fleet / "tls" / "certificate.pem"))
            async with chromium(page.url) as chrome:
                tab = await chrome.open("/", cookies=cookies)
                await tab.get_by_text("3 of 6 settings of the provisioning file were refused.").wait_for()
                await tab.get_by_role("link", name="See which, and why").click()
                await tab.get_by_role("row", name="user ada").get_by_text("Applied").wait_for()
                await tab.get_by_role("row", name="wifi").get_by_text("Refused").wait_for()
            again = await asyncio.to_thread(provision, gateway, page, file)
            assert again.returncode == 0
            assert "applied before" in again.stderr


async def the_certificate_is(page: PageProcess, wanted: str) -> None:
    """The page takes it up by itself, without ending anybody's connection."""
    deadline = time.monotonic() + 10
    while f"another certificate, fingerprint (SHA-256) {wanted}" not in page.log:
        assert time.monotonic() < deadline, page.log
        await asyncio.sleep(0.1)
