"""A box out of its carton: switched on, looked at, claimed, provisioned."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from hil.benches.bench import CLAIM_CODE
from hil.benches.declaration import Part
from hil.benches.mdns import find
from hil.tests.box import ADMIN, PASSWORD, Box
from hil.tests.provisioning import ENGINEER, WRONG, reported


def test_a_stranger_sees_nothing_but_the_way_to_claim_it(box: Box) -> None:
    status, text = box.bench.page.fetch("GET", "/", headers={"accept": "text/html"})
    assert status in (303, 200)
    assert "tidewater" not in text
    status, text = box.bench.page.fetch("GET", "/claim", headers={"accept": "text/html"})
    assert (status, "code" in text) == (200, True)
    assert box.bench.page.fetch("GET", "/api/v1/status")[0] == 401


@pytest.mark.needs(Part.SCAN)
def test_a_fresh_box_opens_port_443_and_nothing_else(box: Box) -> None:
    ports = [port for port in box.bench.open_ports() if port not in box.bench.own_ports]
    box.measured("open TCP ports of a fresh box", ", ".join(map(str, ports)), "443", ports == [443])


@pytest.mark.needs(Part.SCAN, Part.CONSOLE)
def test_its_console_names_the_address_it_is_found_by(box: Box) -> None:
    name = box.bench.console.wait(r"https://([a-z0-9-]+\.local)", box.patient(60))[1]
    address = urlsplit(box.bench.page.url).hostname
    assert find(name, box.bench.here) == address
    assert box.bench.console.wait(rf"https://{address}\b", box.patient(10))


@pytest.mark.needs(Part.CONSOLE)
def test_it_shows_its_claim_code_to_whoever_stands_before_it(box: Box) -> None:
    assert re.fullmatch(CLAIM_CODE, box.bench.claim_code())


def test_a_wrong_claim_code_lets_nobody_in(box: Box) -> None:
    visitor = box.bench.page
    status, _ = visitor.claim("0000-0000-0000-0000", ADMIN, PASSWORD)
    assert status == 422
    assert visitor.fetch("GET", "/api/v1/status")[0] == 401


def test_whoever_has_the_claim_code_becomes_its_admin_once(claimed: Box) -> None:
    assert claimed.bench.page.sign_in(ADMIN, PASSWORD) == 303
    assert claimed.bench.page.sign_in(ADMIN, "not the password") == 401
    names = {user["name"]: user["role"] for user in claimed.api.get("/v1/accounts/users")["users"]}
    assert names == {ADMIN: "admin"}
    status, _ = claimed.bench.page.claim("0000-0000-0000-0000", "mallory", PASSWORD)
    assert status == 303
    assert set(names) == {user["name"] for user in claimed.api.get("/v1/accounts/users")["users"]}


def test_a_provisioning_file_is_applied_and_each_setting_reported(provisioned: Box) -> None:
    report = provisioned.until(lambda: reported(provisioned), 60, "the report is on the page")
    expected = {f"user {ENGINEER}": "applied", WRONG: "refused"}
    if provisioned.can(Part.SYSTEM):
        expected |= {"machine timezone": "applied"}
    if provisioned.bench.public_key is not None:
        expected |= {"ssh authorized_keys": "applied"}
    assert report == expected
    assert provisioned.bench.page.sign_in(ENGINEER, PASSWORD) == 303


@pytest.mark.needs(Part.SYSTEM)
def test_it_boots_without_a_failed_unit_and_in_order(provisioned: Box) -> None:
    bench = provisioned.bench
    # It says what is degraded, and waits for what still starts.
    bench.run("systemctl is-system-running --wait", timeout_s=300, check=False)
    assert bench.run("systemctl --failed --plain --no-legend --no-pager").out == ""
    said = bench.run("journalctl -b -o cat --no-pager").out
    assert [line for line in said.splitlines() if "ordering cycle" in line.lower()] == []


@pytest.mark.needs(Part.SYSTEM)
def test_its_kernel_is_untainted_and_its_root_read_only(provisioned: Box) -> None:
    assert provisioned.bench.run("cat /proc/sys/kernel/tainted").out.strip() == "0"
    assert "ro" in provisioned.bench.run("findmnt -no OPTIONS /").out.strip().split(",")
    assert provisioned.bench.run("touch /usr/bench", check=False).code != 0


@pytest.mark.needs(Part.SYSTEM)
def test_its_data_partition_has_grown_to_the_end_of_the_disk(provisioned: Box) -> None:
    whole, used = provisioned.bench.run(
        "d=$(findmnt -no SOURCE /data); p=/sys/class/block/$(basename $d); "
        "echo $(cat $p/../size) $(($(cat $p/start) + $(cat $p/size)))"
    ).out.split()
    assert int(whole) - int(used) < 8 * 2048, "sectors left behind the data partition"


@pytest.mark.needs(Part.SYSTEM)
def test_its_clock_shows_the_time_of_the_plant(provisioned: Box) -> None:
    assert provisioned.bench.run("date +%Z").out.strip() in {"CET", "CEST"}
