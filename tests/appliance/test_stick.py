"""A stick with bundles: the newest that fits is installed by a real gateway and the real RAUC, and a report says so."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_appliance import stick as module
from tidegate_appliance.places import Places
from tidegate_appliance.stick import FOLDER, Found, Stick, attend
from tidegate_appliance.trial import Start, TrialFile

from gateway.control.client import ControlClient, NotRunning, Refused, ServerEvent
from tests.appliance.box import Box, a_root, started
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port
from tests.support.rauc_service import RaucBox, stranger

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The stick, as it is mounted."""
    made = tmp_path / "stick"
    (made / FOLDER).mkdir(parents=True)
    return made


@pytest.fixture
async def gateway(tmp_path: Path, box: Box) -> AsyncIterator[GatewayProcess]:
    """One that finds the box by its entry point, as a package publishes it."""
    package = tmp_path / "site" / "tidegate_appliance-1.dist-info"
    package.mkdir(parents=True)
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: tidegate-appliance\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text("[tidegate.appliance]\nrauc = a_box:appliance\n")
    package.with_name("a_box.py").write_text(
        "from pathlib import Path\nfrom tidegate_appliance.places import Places\n"
        f"from tidegate_appliance.slots import RaucSlots\n\n\n"
        f"def appliance() -> RaucSlots:\n    return RaucSlots(Places(Path({str(box.places.root)!r})))\n"
    )
    path = os.pathsep.join([str(package.parent), str(ROOT), str(ROOT / "image/appliance")])
    text = configuration(tmp_path / "data", [free_port()], free_port())
    with GatewayProcess(tmp_path, text, PYTHONPATH=path) as process:
        await process.until(lambda _: True, "an answer")
        yield process


def report(folder: Path) -> str:
    (found,) = (folder / FOLDER).glob("update-report-*.txt")
    return found.read_text()


async def test_the_newest_bundle_that_fits_is_installed(box: Box, gateway: GatewayProcess, folder: Path) -> None:
    rauc = box.rauc
    for version, bundle in {
        "0.2.0": rauc.bundle("0.2.0"),
        "0.10.0": rauc.bundle("0.10.0"),
        "0.1.1": rauc.bundle("0.1.1"),
        "9.0": rauc.bundle("9.0", by=stranger(rauc.directory)),
        "8.0": rauc.bundle("8.0", compatible="toaster"),
    }.items():
        shutil.copy(bundle, folder / FOLDER / f"t-{version}.raucb")
    (folder / FOLDER / "._t-0.2.0.raucb").write_bytes(b"what another system leaves on a stick")
    stick = Stick(box.places, gateway.client, rauc.command)
    await asyncio.to_thread(attend, stick, box.places, folder)
    assert report(folder).splitlines()[2:] == [
        "t-0.1.1.raucb: version 0.1.1 isn't newer than 0.1.1, which runs",
        "t-8.0.raucb: it is for toaster, and this machine is tidegate-test",
        "t-9.0.raucb: the bundle is signed by somebody whom this machine doesn't trust; get it from where this "
        "machine's releases come from",
        "t-0.10.0.raucb has version 0.10.0 and is being installed, which takes minutes: leave the stick in and the "
        "power on.",
        "0.10.0 is installed in slot B and runs after the next restart: now switch off and on.",
    ]
    assert rauc.said("primary") == "B"
    assert [*box.places.incoming.iterdir()] == [], "what was handed over is gone again"
    again = Stick(box.places, gateway.client, rauc.command)
    await asyncio.to_thread(attend, again, box.places, folder)
    assert "version 0.10.0 is installed already" in report(folder)


async def test_a_release_that_failed_here_isnt_installed_again_by_itself(
    rauc_box: RaucBox, tmp_path: Path, folder: Path, gateway: GatewayProcess
) -> None:
    places = a_root(tmp_path / "failed")
    TrialFile(places.trial).change(
        TrialFile(places.trial).begin("0.2.0", "B", "0.1.1", (), Start("A", "the first")), state="installed"
    )
    started(places, "A")
    shutil.copy(rauc_box.bundle("0.2.0"), folder / FOLDER / "t.raucb")
    stick = Stick(places, gateway.client, rauc_box.command)
    await asyncio.to_thread(attend, stick, places, folder)
    assert "version 0.2.0 didn't work here before; it is installed by hand alone" in report(folder)


async def test_a_stick_without_anything_for_us_stays_as_it_is(tmp_path: Path, gateway: GatewayProcess) -> None:
    (holiday := tmp_path / "holiday").mkdir()
    (holiday / "cat.jpg").write_bytes(b"meow")
    places = Places(tmp_path / "root")
    await asyncio.to_thread(attend, Stick(places, gateway.client), places, holiday)
    assert [path.name for path in holiday.iterdir()] == ["cat.jpg"]


GONE = NotRunning("no gateway answers")


class Answers(ControlClient):
    """A gateway that is lost where it shouldn't be: what it says to each question after how RAUC gets on."""

    def __init__(self, *said: dict[str, Any] | Exception, begun: Exception | None = None) -> None:
        super().__init__(Path("/nowhere"))
        self._said = [*said]
        self._begun = begun

    def post(self, target: str, body: Any = None, *, timeout_s: float | None = None, **query: Any) -> Any:
        if self._begun is not None:
            raise self._begun

    def events(self, target: str, method: str = "GET", body: Any = None, **query: Any) -> Iterator[ServerEvent]:
        yield ServerEvent("installation", {"percent": 30, "doing": "writing"}, None)
        raise GONE

    def get(self, target: str, **query: Any) -> Any:
        said = self._said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def told(state: str | None, *, next_version: str | None = None, detail: str = "") -> dict[str, Any]:
    """As ``/v1/update`` says it. `state`: None after a restart of the gateway."""
    slots = [
        {"name": "A", "version": "0.1.1", "booted": True, "next": next_version is None},
        {"name": "B", "version": next_version, "booted": False, "next": next_version is not None},
    ]
    installation = None if state is None else {"state": state, "detail": detail}
    return {"installation": installation, "trial": None, "slots": slots}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (Answers(GONE, told("running"), told("done")), "It is installed: now switch off and on."),
        (Answers(GONE, told("failed", detail="the disk is full")), "It wasn't installed: the disk is full"),
        (
            Answers(GONE, GONE, told(None), Refused(409, {"detail": "RAUC is busy"}), told(None, next_version="0.2.0")),
            "It is installed: now switch off and on.",
        ),
        (Answers(told(None, next_version="0.2.0"), begun=GONE), "It is installed: now switch off and on."),
        (
            Answers(begun=Refused(409, {"detail": "the other slot is empty"})),
            "It wasn't installed: the other slot is empty",
        ),
    ],
    ids=["it answers again", "it failed meanwhile", "it was restarted", "it was lost at once", "it refused"],
)
def test_what_became_of_it_is_asked_again_when_contact_is_lost(
    places: Places, monkeypatch: pytest.MonkeyPatch, answers: Answers, said: str
) -> None:
    monkeypatch.setattr(module, "_ASK_AGAIN_S", 0.0)
    stick = Stick(places, answers)
    stick.install(Found(Path("/data/upload.raucb"), "0.2.0"))
    assert stick.report.splitlines()[2:] == [said]


def test_a_gateway_that_stays_lost_may_have_had_it_installed(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK_LONGEST_S", 0.0)
    stick = Stick(places, Answers(GONE))
    stick.install(Found(Path("/data/upload.raucb"), "0.2.0"))
    assert "it may be installed: see tidegate update status" in stick.report
    assert "switch off and on" not in stick.report
