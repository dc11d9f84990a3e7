"""Update slots on the real RAUC: what is installed, what is refused and in which words, and what is remembered."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tidegate_appliance.slots import RaucSlots
from tidegate_appliance.trial import Start, TrialFile

from gateway.ops.slots import Appliance, UpdateRefused
from tests.appliance.box import WELL, Box, Restart
from tests.support.rauc_service import RaucBox, bus_of_a_box, signer, stranger

pytestmark = pytest.mark.integration


async def test_a_bundle_is_installed_and_waits_for_a_restart(box: Box) -> None:
    assert isinstance(box.slots, Appliance)
    before = await box.slots.slots()
    assert [(slot.name, slot.version, slot.booted, slot.next, slot.good) for slot in before] == [
        ("A", "0.1.1", True, True, True),
        ("B", None, False, False, False),
    ]
    assert await box.slots.trial() is None
    steps = await box.install(box.rauc.bundle("0.2.0"))
    assert [step.percent for step in steps] == sorted(step.percent for step in steps)
    assert (steps[0].percent, steps[-1].percent) == (0, 100)
    assert (box.rauc.directory / "slot-B.img").read_bytes().startswith(b"0.2.0.....")
    after = (await box.slots.slots())[1]
    assert (after.version, after.next, after.good, after.installed_ms is not None) == ("0.2.0", True, False, True)
    trial = await box.slots.trial()
    assert trial is not None
    assert (trial.state, trial.sentence) == (
        "waiting", "0.2.0 is installed in slot B and runs after the next restart",
    )  # fmt: skip
    attempt = TrialFile(box.places.trial).read()
    assert attempt is not None
    assert (attempt.before, attempt.well) == ("0.1.1", ("device dev0", "sink plant"))


async def test_what_works_until_the_restart_is_the_measure(box: Box, restarted: Restart) -> None:
    trial = TrialFile(box.places.trial)
    await box.slots.leaving({"sink plant"})
    assert trial.read() is None
    await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.leaving({"sink plant"})  # the machine was switched off in the evening
    waiting = trial.read()
    assert waiting is not None
    assert waiting.well == ("sink plant",)
    slots = await restarted(box, "B")
    await slots.leaving(set())  # the gateway is restarted on trial
    assert trial.read() == waiting


async def test_what_is_kept_gives_up_what_waits(box: Box) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.mark_good()
    assert box.rauc.said("primary") == "A"
    assert await box.slots.trial() is None
    assert box.rauc.said("state-B") == "bad", "no cut starts of what was kept lead to it"


async def test_an_installation_that_fails_doesnt_excuse_what_waited(box: Box) -> None:
    """RAUC may not have come so far as to touch it."""
    await box.install(box.rauc.bundle("0.2.0"))
    (box.rauc.directory / "slot-B.img").unlink()
    with pytest.raises(UpdateRefused):
        await box.install(box.rauc.bundle("0.3.0"))
    assert await box.slots.trial() is None
    left = TrialFile(box.places.trial).read()
    assert left is not None
    assert (left.version, left.phase(Start("B", "another"))) == ("0.2.0", "running")


async def test_nothing_is_installed_while_it_isnt_known_what_is_on_trial(box: Box) -> None:
    box.places.trial.write_bytes(b"torn")
    with pytest.raises(UpdateRefused, match=r"trial\.json can't be read, and what runs may be on trial: wait"):
        await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.mark_good()
    await box.install(box.rauc.bundle("0.2.0"))


async def test_what_was_given_up_is_on_trial_if_it_runs_after_all(box: Box, restarted: Restart) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.mark_good()
    slots = await restarted(box, "B")
    trial = await slots.trial()
    assert trial is not None
    assert trial.state == "running"
    await slots.mark_good()
    assert await slots.trial() is None
    assert (box.rauc.said("state-B"), box.rauc.said("primary")) == ("good", "B")


async def test_the_other_slot_can_be_next(box: Box) -> None:
    with pytest.raises(UpdateRefused, match="the other slot is empty"):
        await box.slots.roll_back()
    await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.mark_good()
    await box.slots.roll_back()
    assert box.rauc.said("primary") == "B"
    trial = await box.slots.trial()
    assert trial is not None
    assert trial.state == "waiting", "it never proved itself"


async def test_refusals_are_one_clear_sentence_and_change_nothing(box: Box) -> None:
    rauc = box.rauc
    sound = rauc.bundle()
    body = sound.read_bytes()
    (no_bundle := rauc.directory / "no.raucb").write_bytes(b"nothing" * 10_000)
    (cut := rauc.directory / "cut.raucb").write_bytes(body[: len(body) // 2])
    (changed := rauc.directory / "changed.raucb").write_bytes(body[:4096] + bytes(64) + body[4160:])
    server = signer(rauc.directory, "server", rauc.authority, purpose=False)
    expired = signer(rauc.directory, "expired", rauc.authority, days=(-9, -8))
    said = {
        name: await box.refusal(bundle)
        for name, bundle in {
            "none": no_bundle,
            "cut": cut,
            "changed": changed,
            "stranger": rauc.bundle(by=stranger(rauc.directory)),
            "purpose": rauc.bundle(by=server),
            "expired": rauc.bundle(by=expired),
            "compatible": rauc.bundle(compatible="toaster"),
            "floor": rauc.bundle("0.0.9"),
            "no version": rauc.bundle(""),
            "gone": rauc.directory / "gone.raucb",
        }.items()
    }
    assert said == {
        "none": "the file is no signed bundle, or not all of one; download it again",
        "cut": "the file is no signed bundle, or not all of one; download it again",
        "changed": "the bundle's signature doesn't fit it: it is damaged or was changed; download it again",
        "stranger": "the bundle is signed by somebody whom this machine doesn't trust; "
        "get it from where this machine's releases come from",
        "expired": "the certificate that the bundle is signed with had expired by then; "
        "get a bundle that is signed anew",
        "purpose": "the bundle is signed with a certificate that isn't for signing releases",
        "compatible": "the bundle is for toaster, and this machine is tidegate-test",
        "floor": "the bundle has version 0.0.9, and this machine takes none before 0.1.0 any more",
        "no version": "the bundle doesn't say which version it is",
        "gone": "the bundle isn't there any more",
    }
    assert (await box.install(sound))[-1].percent == 100, "and afterwards a sound one goes in"


async def test_a_release_on_trial_is_kept_or_taken_back(box: Box, restarted: Restart) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    box.places.release.write_text("VERSION=0.2.0\n")
    slots = await restarted(box, "B")
    trial = await slots.trial()
    assert trial is not None
    assert (trial.state, trial.sentence) == (
        "running",
        "0.2.0 is on trial: unless it shows that it works, 0.1.1 comes back",
    )
    assert [(slot.name, slot.booted, slot.good) for slot in await slots.slots()] == [
        ("A", False, True),
        ("B", True, False),
    ]
    with pytest.raises(UpdateRefused, match="the other slot is the way back"):
        _ = [step async for step in slots.install(box.rauc.bundle("0.3.0"), WELL)]
    await slots.roll_back()
    assert box.rauc.said("primary") == "A"
    assert await slots.trial() is None, "it is left on purpose"
    slots = await restarted(box, "A")
    assert await slots.trial() is None, "which is no failure of it"
    await slots.confirm()
    assert box.rauc.said("state-B") == "bad", "but it hasn't proved itself either"


async def test_a_release_that_didnt_start_is_told_of_and_isnt_gone_back_to(box: Box, restarted: Restart) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    slots = await restarted(box, "A")
    trial = await slots.trial()
    assert trial is not None
    assert (trial.state, trial.sentence) == ("fallen", "0.2.0 didn't work: it didn\u2019t start; 0.1.1 runs again")
    with pytest.raises(UpdateRefused, match=r"holds 0\.2\.0, which didn't work"):
        await slots.roll_back()
    await slots.mark_good()
    assert await slots.trial() is None
    await slots.roll_back()
    assert box.rauc.said("primary") == "B", "who has seen it may try again"


async def test_a_floor_that_cant_be_read_is_none_that_may_be_forgotten(box: Box) -> None:
    box.places.floor.mkdir()
    with pytest.raises(
        UpdateRefused, match=r"the oldest version that may be installed isn't known, as /.*/floor can't"
    ):
        await box.install(box.rauc.bundle("0.2.0"))
    await box.slots.confirm()
    assert box.places.floor.is_dir()


async def test_the_floor_that_was_kept_counts_in_the_older_slot_too(box: Box) -> None:
    box.places.rauc_conf.write_text("[system]\nmin-bundle-version=0.3.0\n")
    await box.slots.mark_good()
    assert box.places.floor.read_text() == "0.3.0\n"
    box.places.rauc_conf.write_text("[system]\nmin-bundle-version=0.1.0\n")
    assert await box.refusal(box.rauc.bundle("0.2.9")) == (
        "the bundle has version 0.2.9, and this machine takes none before 0.3.0 any more"
    )
    await box.install(box.rauc.bundle("0.3.0"))


async def test_a_second_installation_is_refused_while_the_first_goes_on(box: Box) -> None:
    bundle = box.rauc.bundle("0.2.0")
    first = box.slots.install(bundle, WELL)
    async for step in first:
        if step.percent > 0:
            with pytest.raises(UpdateRefused, match="an update is being installed already"):
                await box.install(bundle)
            shown = [(slot.name, slot.version, slot.booted) for slot in await box.slots.slots()]
            assert shown == [("A", "0.1.1", True), ("B", None, False)], "which RAUC itself doesn't tell meanwhile"
            (alone,) = await RaucSlots(box.places).slots()
            assert (alone.name, alone.version) == ("A", "0.1.1"), "nor to a gateway that was started meanwhile"
            break
    assert [step.percent async for step in first][-1] == 100
    assert box.rauc.said("primary") == "B"


@pytest.mark.parametrize(("allowed", "answer"), [("nobody", "2 slots"), ("root", "AccessDenied")])
async def test_only_the_gateway_and_root_may_ask_rauc(
    tmp_path: Path, rauc_box: RaucBox, allowed: str, answer: str
) -> None:
    async with bus_of_a_box(tmp_path, allowed) as address, rauc_box.service(address):
        asked = await asyncio.create_subprocess_exec(
            "dbus-send", f"--bus={address}", "--print-reply", "--dest=de.pengutronix.rauc", "/",
            "de.pengutronix.rauc.Installer.GetSlotStatus",
            user="nobody", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asked.communicate()
        found = f"{said.count(b'bootname')} slots" if b"bootname" in said else said.decode()
        assert answer in found
