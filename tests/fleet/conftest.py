"""A fleet for the tests: a broker, a field device, machines, and ansible-playbook as the people of a plant call it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hil.benches.control_machine import ControlMachine
from tests.fleet.machine import BRIDGE, ROOT, Keys, Machine, apart
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto

BROKER_PORT = 1883
_LIMIT_S = 420
"""A playbook's, on a machine that does other things, too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/fleet/" in str(item.path):
            item.add_marker(pytest.mark.fleet)
            item.add_marker(pytest.mark.timeout(600))


@dataclass(frozen=True, slots=True)
class Run:
    """What a playbook came to."""

    code: int
    out: str
    stats: dict[str, dict[str, int]]
    plays: list[dict[str, Any]]

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.stats.values())

    @property
    def said(self) -> list[str]:
        """The message of everything that failed, in order."""
        return [
            str(result["msg"])
            for result in self.results()
            if (result.get("failed") or result.get("unreachable")) and "msg" in result
        ]

    def results(self, task: str | None = None) -> Iterator[dict[str, Any]]:
        for play in self.plays:
            for each in play["tasks"]:
                if task is None or each["task"]["name"].endswith(task):
                    yield from each["hosts"].values()

    def changes(self) -> set[tuple[str, str]]:
        """(task, host) of everything that changed."""
        return {
            (each["task"]["name"], host)
            for play in self.plays
            for each in play["tasks"]
            for host, result in each["hosts"].items()
            if result.get("changed")
        }


class Control:
    """The control machine, and what its playbooks did."""

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.directory = directory
        self._keys = keys
        python = shutil.which("python3", path=str(ROOT / ".venv/bin"))
        assert python is not None
        self._machine = ControlMachine(directory, interpreter=python, connect_timeout_s=5, host_keys="yes")

    def know(self, *machines: Machine) -> None:
        """As an administrator does who compared the host keys."""
        key = " ".join(self._keys.host.with_suffix(".pub").read_text().split()[:2])
        with (self.directory / "known_hosts").open("a") as known:
            known.writelines(f"{machine.address} {key}\n" for machine in machines)

    def inventory(self, machines: list[Machine], group: str = "tidegate", **variables: Any) -> None:
        addresses = {machine.name: machine.address for machine in machines}
        self._machine.inventory(addresses, self._keys.client, group=group, variables=variables)

    def play(self, name: str, *options: str, **variables: Any) -> Run:
        """`name`: of a playbook of the collection, or a file."""
        report = self.directory / "run.json"
        report.unlink(missing_ok=True)
        recorded = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_STDOUT_CALLBACK": "recorder",
            "FLEET_RECORD": str(report),
        }
        words = ("--extra-vars", json.dumps(variables), *options)
        done = self._machine.run(name, *words, timeout_s=_LIMIT_S, environment=recorded)
        record = json.loads(report.read_text()) if report.exists() else {"stats": {}, "plays": []}
        return Run(done.returncode, done.stdout + done.stderr, record["stats"], record["plays"])

    def twice(self, name: str, **variables: Any) -> Run:
        """Check mode, the run, and the run again: the first says what the second does, the third changes nothing."""
        foretold = self.play(name, "--check", "--diff", **variables)
        assert foretold.code == 0, foretold.out
        done = self.play(name, "--diff", **variables)
        assert done.code == 0, done.out
        assert foretold.changes() == done.changes()
        again = self.play(name, **variables)
        assert again.code == 0, again.out
        assert again.changed == 0, again.changes()
        return done


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    assert apart(), "these tests make machines: make fleet"
    return Keys.made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def field() -> Iterator[Field]:
    with Field(host=BRIDGE) as field:
        yield field


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker"), extra=[f"listener {BROKER_PORT} {BRIDGE}"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Control:
    return Control(tmp_path_factory.mktemp("control"), keys)


def configuration(name: str, field: Field, *, interval_ms: int = 500) -> str:
    """A gateway with one device and one broker."""
    return f"""[gateway]
id = "{name}"
enterprise = "acme"
site = "plant1"
data_dir = "/var/lib/tidegate"
clock = "trusted"

[[sink]]
name = "plant"
type = "mqtt"
host = "{BRIDGE}"
port = {BROKER_PORT}

[[link]]
name = "line"
driver = "modbus"
transport = "tcp"
host = "{BRIDGE}"
port = {field.slaves[0].port}
timeout_ms = 2000

[[device]]
name = "filler"
link = "line"

[[device.group]]
name = "main"
interval_ms = {interval_ms}

[[device.group.tag]]
name = "count"
address = "hr:0"
type = "uint64"
"""


Launch = Callable[..., list[Machine]]
Configurations = Callable[[str], str | None]


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory, keys: Keys, control: Control) -> Iterator[Launch]:
    """Brings machines up, several at once."""
    home = tmp_path_factory.mktemp("machines")
    up_already: list[str] = []
    with ExitStack() as stack:

        def up(
            *names: str, configurations: Callable[[str], str | None] = lambda name: None, **more: Any
        ) -> list[Machine]:
            made = []
            for number, name in enumerate(names, len(up_already) + 2):
                up_already.append(name)
                machine = Machine(home, keys, number, name, configurations(name), **more)
                stack.callback(machine.end)
                made.append(machine.launch())
            for machine in made:
                machine.wait_ready()
            control.know(*made)
            return made

        yield up
