"""What a change of configuration would restart: compared by settings alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import load
from gateway.delta import Delta, Parts, changes_between, in_force
from gateway.settings import GatewaySettings

TEXT = """
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "data"

[journal]
max_mb = 64

[[sink]]
name = "plant"
host = "broker.example"

[[sink]]
name = "cloud"
host = "cloud.example"

[[link]]
name = "hall"
driver = "modbus"
transport = "tcp"
host = "192.168.1.20"

[[link]]
name = "yard"
driver = "modbus"
transport = "tcp"
host = "192.168.1.21"
port = 1502

[[device]]
name = "press"
link = "hall"
unit = 1
[[device.group]]
name = "fast"
interval_ms = 100
[[device.group.tag]]
name = "speed"
address = "hr:0"
type = "uint16"
[[device.group]]
name = "slow"
interval_ms = 1000
[[device.group.tag]]
name = "heat"
address = "hr:10"
type = "float32"
report = { deadband = 0.5 }

[[device]]
name = "oven"
link = "hall"
unit = 2
[[device.group]]
name = "all"
interval_ms = 1000
[[device.group.tag]]
name = "heat"
address = "hr:10"
type = "float32"

[[device]]
name = "pump"
link = "yard"
[[device.group]]
name = "all"
interval_ms = 1000
[[device.group.tag]]
name = "flow"
address = "hr:10"
type = "float32"
"""
PUMP = TEXT[TEXT.index('[[device]]\nname = "pump"') :]
OVEN = TEXT[TEXT.index('[[device]]\nname = "oven"') : TEXT.index('[[device]]\nname = "pump"')]


def settings_of(directory: Path, text: str) -> GatewaySettings:
    path = directory / "tidegate.toml"
    path.write_text(text)
    return load(path)


def delta(directory: Path, text: str) -> Delta:
    return changes_between(settings_of(directory, TEXT), settings_of(directory, text))


def changed(directory: Path, old: str, new: str) -> Delta:
    assert TEXT.count(old) >= 1
    return delta(directory, TEXT.replace(old, new, 1))


@pytest.mark.parametrize("sample", sorted(Path("drivers").glob("*/sample.toml")), ids=lambda path: path.parent.name)
def test_a_configuration_read_twice_differs_in_nothing(sample: Path) -> None:
    """Every driver's options must compare by what they say, or a reload would restart everything."""
    old, new = load(sample, check_secrets=False), load(sample, check_secrets=False)
    found = changes_between(old, new)
    assert found.empty
    assert found.devices.untouched == sum(len(link.devices) for link in old.links) > 0
    assert in_force(old, new) == old
    assert all(one is other for one, other in zip(in_force(old, new).links, old.links, strict=True))


def test_a_deadband_restarts_its_group_alone(tmp_path: Path) -> None:
    found = changed(tmp_path, "deadband = 0.5", "deadband = 0.6")
    assert found == Delta(
        links=Parts(untouched=2),
        devices=Parts(untouched=3),
        groups=Parts(restarted=("press/slow",), untouched=3),
        sinks=Parts(untouched=2),
    )


def test_a_new_group_and_one_that_goes(tmp_path: Path) -> None:
    found = changed(tmp_path, 'name = "slow"', 'name = "slower"')
    assert found.groups == Parts(added=("press/slower",), removed=("press/slow",), untouched=3)
    assert found.devices == Parts(untouched=3)


def test_a_devices_options_restart_it_with_its_groups_on_the_same_link(tmp_path: Path) -> None:
    found = changed(tmp_path, "unit = 1", "unit = 7")
    assert found.links == Parts(untouched=2)
    assert found.devices == Parts(restarted=("press",), untouched=2)
    assert found.groups == Parts(restarted=("press/fast", "press/slow"), untouched=2)


def test_a_links_options_restart_all_of_it_and_nothing_else(tmp_path: Path) -> None:
    found = changed(tmp_path, "192.168.1.20", "192.168.1.30")
    assert found.links == Parts(restarted=("hall",), untouched=1)
    assert found.devices == Parts(restarted=("press", "oven"), untouched=1)
    assert found.groups == Parts(restarted=("press/fast", "press/slow", "oven/all"), untouched=1)


def test_devices_come_and_go(tmp_path: Path) -> None:
    gone = changed(tmp_path, OVEN, "")
    assert (gone.devices, gone.groups) == (
        Parts(removed=("oven",), untouched=2),
        Parts(removed=("oven/all",), untouched=3),
    )
    assert gone.links == Parts(untouched=2)
    other = OVEN.replace('"oven"', '"kiln"').replace("unit = 2", "unit = 3")
    come = delta(tmp_path, TEXT + other)
    assert (come.devices, come.groups) == (
        Parts(added=("kiln",), untouched=3),
        Parts(added=("kiln/all",), untouched=4),
    )


def test_a_device_on_another_link_restarts(tmp_path: Path) -> None:
    found = delta(tmp_path, TEXT.replace(OVEN, OVEN.replace('link = "hall"', 'link = "yard"')))
    assert found.devices == Parts(restarted=("oven",), untouched=2)
    assert found.links == Parts(untouched=2)


def test_the_order_of_things_means_nothing(tmp_path: Path) -> None:
    assert delta(tmp_path, TEXT.replace(OVEN, "") + OVEN).empty


def test_links_come_and_go(tmp_path: Path) -> None:
    without = TEXT[: TEXT.index('[[link]]\nname = "yard"')] + TEXT[TEXT.index('[[device]]\nname = "press"') :]
    found = delta(tmp_path, without.replace(PUMP, ""))
    assert found.links == Parts(removed=("yard",), untouched=1)
    assert found.devices == Parts(removed=("pump",), untouched=2)
    back = changes_between(settings_of(tmp_path, without.replace(PUMP, "")), settings_of(tmp_path, TEXT))
    assert back.links == Parts(added=("yard",), untouched=1)
    assert back.groups == Parts(added=("pump/all",), untouched=3)


def test_a_breaker_changes_in_place(tmp_path: Path) -> None:
    found = changed(tmp_path, 'host = "192.168.1.20"', 'host = "192.168.1.20"\nbreaker = { failures = 9 }')
    assert found == Delta(
        links=Parts(untouched=2),
        devices=Parts(untouched=3),
        groups=Parts(untouched=4),
        sinks=Parts(untouched=2),
        in_place=("link hall: breaker",),
    )
    assert not found.empty


def test_the_journals_bounds_change_in_place(tmp_path: Path) -> None:
    found = changed(tmp_path, "max_mb = 64", "max_mb = 32\ndeadline_ms = 500\nmemory_values = 5000\nmax_age_h = 1")
    assert found.in_place == ("journal.deadline_ms", "journal.max_mb", "journal.max_age_h", "journal.memory_values")
    assert not found.groups.changed


def test_the_write_policy_and_the_memory_for_recent_values_change_in_place(tmp_path: Path) -> None:
    found = changed(tmp_path, 'data_dir = "data"', 'data_dir = "data"\nrecent_mb = 2\n[write]\nenabled = true')
    assert found.in_place == ("gateway.recent_mb", "write")
    assert found.groups == Parts(untouched=4)
    assert found.needs_restart == ()


def test_sinks_come_go_and_restart(tmp_path: Path) -> None:
    found = changed(tmp_path, 'host = "cloud.example"', 'host = "other.example"')
    assert found.sinks == Parts(restarted=("cloud",), untouched=1)
    found = changed(tmp_path, 'name = "cloud"', 'name = "sky"')
    assert found.sinks == Parts(added=("sky",), removed=("cloud",), untouched=1)


def test_another_id_moves_what_sinks_say_and_what_drivers_call_themselves(tmp_path: Path) -> None:
    found = changed(tmp_path, 'id = "gw1"', 'id = "gw2"')
    assert found.sinks == Parts(restarted=("plant", "cloud"))
    assert found.links == Parts(restarted=("hall", "yard"))


def test_another_site_moves_every_topic_but_reconnects_no_device(tmp_path: Path) -> None:
    found = changed(tmp_path, 'site = "plant1"', 'site = "plant2"')
    assert found.sinks == Parts(restarted=("plant", "cloud"))
    assert found.links == Parts(untouched=2)
    assert found.devices == Parts(untouched=3)
    assert len(found.groups.restarted) == 4


def test_what_waits_for_a_start_is_said_and_stays_as_it_is(tmp_path: Path) -> None:
    text = TEXT.replace('data_dir = "data"', 'data_dir = "other"\nsocket = "s.sock"\nclock = "trusted"')
    old, new = settings_of(tmp_path, TEXT), settings_of(tmp_path, text.replace("unit = 1", "unit = 9"))
    found = changes_between(old, new)
    assert [sentence.split()[0] for sentence in found.needs_restart] == [
        *("gateway.data_dir", "gateway.socket", "gateway.clock", "journal.path")
    ]
    assert found.devices == Parts(restarted=("press",), untouched=2)
    assert found.links == Parts(untouched=2), "drivers keep the directory they have"
    held = in_force(old, new)
    assert (held.data_dir, held.socket, held.clock) == (old.data_dir, old.socket, old.clock)
    assert changes_between(held, new).needs_restart == found.needs_restart, "it is said until it is done"
    assert changes_between(held, held).empty


def test_what_doesnt_differ_is_the_very_same_object(tmp_path: Path) -> None:
    old = settings_of(tmp_path, TEXT)
    new = settings_of(tmp_path, TEXT.replace("deadband = 0.5", "deadband = 1").replace("cloud.example", "x.example"))
    held = in_force(old, new)
    press, oven = held.links[0].devices
    assert press.groups[0] is old.links[0].devices[0].groups[0]
    assert press.groups[1] is new.links[0].devices[0].groups[1]
    assert press.options is old.links[0].devices[0].options
    assert oven is old.links[0].devices[1]
    assert held.links[1] is old.links[1]
    assert held.sinks[0] is old.sinks[0]
    assert held.sinks[1] is new.sinks[1]
    assert replace(held, links=()) == replace(new, links=())
