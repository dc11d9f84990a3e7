"""A stick with bundles: the newest that fits is installed by a real gateway and the real RAUC, and a report says so."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tidegate_appliance.places import Places
from tidegate_appliance.stick import FOLDER, Stick, attend
from tidegate_appliance.trial import Start, TrialFile

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
        "t-0.10.0.raucb has version 0.10.0; it is installed.",
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
