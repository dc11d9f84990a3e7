"""Apply, then confirm, or it comes back: what runs, what stands in place, and what is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.audit import AuditError
from gateway.changes import changes as room
from gateway.changes import commit
from gateway.changes.errors import ChangeRefused, Invalid
from gateway.changes.ports import How
from gateway.config.edit import Edit
from gateway.delta import ApplyFailed, NothingRuns
from tests.changes.conftest import ANNA, ROBOT, Rig, started

LONG = How("because", 600)


def outcomes(rig: Rig) -> list[tuple[int, str, str]]:
    return [(each.number, each.kind, each.outcome) for each in reversed(rig.changes.records.revisions)]


async def refused(work: object, code: str) -> ChangeRefused:
    with pytest.raises(ChangeRefused) as caught:
        await work  # type: ignore[misc]
    assert caught.value.code == code, caught.value.message
    return caught.value


async def test_a_change_runs_at_once_and_stands_in_place_when_it_is_confirmed(rig: Rig) -> None:
    await rig.draft()
    assert rig.site == "plant1"
    result = await rig.changes.apply(ANNA, LONG)
    assert rig.site == "plant2"
    assert "plant1" in rig.text
    pending = rig.changes.pending
    assert pending is not None
    assert pending == result["pending"] | {"seconds_left": pending["seconds_left"]}
    assert (pending["author"], pending["reason"], pending["confirm_within_s"]) == ("anna", "because", 600)
    assert pending["changes"] == ['gateway.site "plant1" → "plant2"']
    assert 590 < pending["seconds_left"] <= 600
    assert result["effect"].sinks.restarted == ("plant",)
    revision = await rig.changes.confirm(ROBOT)
    assert "plant2" in rig.text
    assert (revision.author, revision.decided_by, revision.outcome) == ("anna", "robot", "confirmed")
    assert rig.changes.pending is None
    assert rig.changes.drafting.draft is None
    assert outcomes(rig) == [(1, "found", "confirmed"), (2, "change", "confirmed")]
    assert [row[1:] for row in rig.audit.rows] == [
        ("config.found", "revision 1", "done"),
        ("config.apply", "revision 2", "begun"),
        ("config.confirm", "revision 2", "begun"),
        ("config.confirm", "revision 2", "done"),
    ]


async def test_what_nobody_confirms_comes_back(rig: Rig) -> None:
    await rig.draft()
    await rig.changes.apply(ANNA, How("", 0.05))
    await rig.until(lambda: rig.changes.pending is None and outcomes(rig)[-1][2] != "pending")
    assert rig.site == "plant1"
    assert "plant1" in rig.text
    revision = rig.changes.records.revisions[0]
    assert (revision.outcome, revision.decided_by) == ("rolled back", "gateway")
    assert revision.why == "nobody confirmed it within 0.05 s"
    assert rig.changes.drafting.draft is not None, "the work isn't lost"
    assert rig.audit.rows[-1] == ("gateway", "config.rollback", "revision 2", "done")
    assert [path.name for path in rig.main.parent.iterdir() if path.name.endswith("-new")] == []
    await refused(rig.changes.confirm(ANNA), "nothing-pending")


async def test_what_ends_the_process_takes_an_unconfirmed_change_back(main: Path) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, LONG)
        assert rig.site == "plant2"
    async with started(main) as rig:
        assert rig.site == "plant1"
        assert outcomes(rig)[-1] == (2, "change", "rolled back")
        assert rig.changes.records.revisions[0].why == "the gateway ended before the change was confirmed"
        assert ("gateway", "config.rollback", "revision 2", "done") in rig.audit.rows
        draft = rig.changes.drafting.draft
        assert draft is not None
        assert b"plant2" in draft.tree.files["tidegate.toml"]
        await rig.changes.apply(ANNA, LONG)
        await rig.changes.confirm(ANNA)
    async with started(main) as rig:
        assert rig.site == "plant2"
        assert outcomes(rig)[-1] == (3, "change", "confirmed")


async def test_what_is_committed_is_confirmed_though_the_power_went_before_anybody_was_told(main: Path) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, LONG)
        assert rig.changes._pending is not None
        commit.commit(rig.changes._pending.prepared)  # and the power goes
    async with started(main) as rig:
        assert rig.site == "plant2"
        assert "plant2" in rig.text
        assert outcomes(rig) == [(1, "found", "confirmed"), (2, "change", "confirmed")]
        assert rig.changes.drafting.draft is None


async def test_what_can_not_be_applied_does_not_run(rig: Rig) -> None:
    await rig.draft()
    rig.plant.fails = [ApplyFailed("the port is taken")]
    error = await refused(rig.changes.apply(ANNA, LONG), "apply-failed")
    assert "the port is taken" in error.message
    assert rig.site == "plant1"
    assert rig.changes.pending is None
    assert outcomes(rig)[-1] == (2, "change", "rolled back")
    assert rig.audit.rows[-1] == ("anna", "config.apply", "revision 2", "failed")
    await rig.changes.apply(ANNA, LONG)
    await rig.changes.confirm(ANNA)


async def test_a_flaw_in_the_midst_of_an_apply_restores_what_ran(rig: Rig) -> None:
    await rig.draft()
    rig.plant.fails = [RuntimeError("a flaw")]
    with pytest.raises(RuntimeError):
        await rig.changes.apply(ANNA, LONG)
    assert rig.site == "plant1"
    assert outcomes(rig)[-1] == (2, "change", "rolled back")


async def test_what_can_not_be_taken_back_needs_a_new_start(main: Path) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, LONG)
        rig.plant.fails = [ApplyFailed("no")]
        with pytest.raises(ApplyFailed):
            await rig.changes.rollback(ANNA, How())
        with pytest.raises(ApplyFailed):
            await rig.changes.failed()
    async with started(main) as rig:
        assert rig.site == "plant1"


async def test_where_nothing_runs_any_more_a_new_start_is_needed(rig: Rig) -> None:
    await rig.draft()
    rig.plant.fails = [NothingRuns("it failed half-way, and so did going back")]
    await refused(rig.changes.apply(ANNA, LONG), "nothing-runs")
    with pytest.raises(NothingRuns):
        await rig.changes.failed()
    assert outcomes(rig)[-1] == (2, "change", "rolled back")


async def test_confirmed_at_once_if_asked_for(rig: Rig) -> None:
    await rig.draft()
    result = await rig.changes.apply(ANNA, How("", 0))
    assert result["pending"] is None
    assert result["revision"].outcome == "confirmed"
    assert "plant2" in rig.text


async def test_one_change_at_a_time(rig: Rig) -> None:
    await rig.draft()
    await rig.changes.apply(ANNA, LONG)
    await rig.draft("plant2", "plant3")
    error = await refused(rig.changes.apply(ANNA, LONG), "pending")
    assert error.more["pending"]["author"] == "anna"
    await refused(rig.changes.rollback(ANNA, LONG, to=1), "pending")
    await rig.changes.confirm(ANNA)
    draft = rig.changes.drafting.draft
    assert draft is not None, "what was added since goes on"
    assert b"plant2" in draft.base.files["tidegate.toml"]
    await rig.changes.apply(ANNA, LONG)
    assert rig.site == "plant3"
    await rig.changes.rollback(ANNA, LONG)
    assert rig.site == "plant2"


async def test_the_draft_is_checked(rig: Rig) -> None:
    await refused(rig.changes.apply(ANNA, LONG), "no-draft")
    await rig.draft('"plant1"', "7")
    error = await refused(rig.changes.apply(ANNA, LONG), "config-invalid")
    assert isinstance(error, Invalid)
    assert [(each["file"], each["line"]) for each in error.problems] == [("tidegate.toml", 4)]
    await rig.draft("7", '"plant1"')
    await refused(rig.changes.apply(ANNA, LONG), "no-change")
    assert outcomes(rig) == [(1, "found", "confirmed")]


async def test_an_edit_by_hand_meanwhile_is_a_conflict(rig: Rig) -> None:
    await rig.draft()
    rig.main.write_text(rig.text.replace("gw1", "gw9"))
    error = await refused(rig.changes.apply(ANNA, LONG), "conflict")
    (conflict,) = error.more["conflicts"]
    assert conflict["name"] == "tidegate.toml"
    assert "plant2" in conflict["mine"]
    assert "gw9" in conflict["theirs"]
    assert "gw1" in conflict["base"]
    assert "plant1" in conflict["base"]
    assert '-id = "gw1"\n+id = "gw9"\n' in error.more["theirs"][0]["patch"]
    draft, conflicts = await rig.changes.drafting.rebase(ANNA)
    assert [each.name for each in conflicts] == ["tidegate.toml"]
    assert b"plant2" in draft.tree.files["tidegate.toml"]
    await rig.changes.drafting.put_files(ANNA, {"tidegate.toml": rig.text.replace("plant1", "plant2").encode()})
    await rig.changes.apply(ANNA, LONG)
    await rig.changes.confirm(ANNA)
    assert outcomes(rig) == [(1, "found", "confirmed"), (2, "edited outside", "not run"), (3, "change", "confirmed")]
    assert rig.changes.records.tree(2).files["tidegate.toml"].count(b"gw9") == 1
    assert rig.plant.settings.id == "gw9"


async def test_an_edit_by_hand_while_a_change_waits_is_not_overwritten(rig: Rig) -> None:
    await rig.draft()
    await rig.changes.apply(ANNA, LONG)
    edited = rig.text.replace("gw1", "gw9")
    rig.main.write_text(edited)
    await refused(rig.changes.confirm(ANNA), "conflict")
    await rig.changes.rollback(ANNA, LONG)
    assert rig.text == edited
    assert rig.site == "plant1"


async def test_an_edit_by_hand_can_be_taken_in_without_a_restart(main: Path) -> None:
    """The draft begins with what is in place, so it needn't change anything itself."""
    async with started(main) as rig:
        main.write_text(rig.text.replace("plant1", "plant5"))
        await rig.changes.drafting.put_files(ANNA, {})
        await rig.changes.apply(ANNA, How("", 0))
        assert rig.site == "plant5"
        assert not (await rig.changes.overview())["edited_outside"]


async def test_an_edit_by_hand_is_a_revision_of_its_own(main: Path) -> None:
    async with started(main):
        pass
    main.write_text(main.read_text().replace("plant1", "plant5"))
    async with started(main) as rig:
        assert outcomes(rig) == [(1, "found", "confirmed"), (2, "edited outside", "confirmed")]
        assert rig.audit.rows == [("gateway", "config.found", "revision 2", "done")]
    async with started(main) as rig:
        assert len(outcomes(rig)) == 2


async def test_back_to_any_revision(rig: Rig) -> None:
    for number in (2, 3):
        await rig.draft(f"plant{number - 1}", f"plant{number}")
        await rig.changes.apply(ANNA, How("", 0))
    await rig.changes.rollback(ANNA, How("", 600), to=1)
    assert rig.site == "plant1"
    assert "plant3" in rig.text
    await rig.changes.confirm(ANNA)
    assert "plant1" in rig.text
    await rig.changes.rollback(ANNA, How("", 0))
    assert rig.site == "plant3"
    assert [each.reason for each in rig.changes.records.revisions[:2]] == ["back to revision 3", "back to revision 1"]
    await refused(rig.changes.rollback(ANNA, How(), to=99), "no-such-revision")


async def test_nothing_to_go_back_to(rig: Rig) -> None:
    await refused(rig.changes.rollback(ANNA, How()), "no-revision")


class TestHealth:
    """A change that the gateway confirms itself, once all is well again that was."""

    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "LOOK_S", 0.005)
        monkeypatch.setattr(room, "SETTLE_S", 0.02)

    async def test_confirms_itself_when_all_is_well_again(self, rig: Rig) -> None:
        await rig.draft()
        rig.plant.hold = asyncio.Event()
        applying = asyncio.create_task(rig.changes.apply(ANNA, How("", 30, "health")))
        await rig.until(lambda: len(outcomes(rig)) == 2)
        rig.plant.ill = {"sink plant"}
        rig.plant.hold.set()
        await applying
        assert (rig.changes.pending or {})["not_well_yet"] == ["sink plant"]
        rig.plant.ill = set()
        await rig.until(lambda: outcomes(rig)[-1][2] == "confirmed")
        assert rig.changes.records.revisions[0].decided_by == "gateway"
        assert "plant2" in rig.text

    async def test_comes_back_when_the_broker_does_not(self, rig: Rig) -> None:
        await rig.draft()
        await rig.changes.apply(ANNA, How("", 0.2, "health"))
        rig.plant.ill = {"sink plant"}
        await rig.until(lambda: outcomes(rig)[-1][2] == "rolled back")
        assert rig.changes.records.revisions[0].why == "nobody confirmed it within 0.2 s; sink plant isn't back"
        assert rig.site == "plant1"

    async def test_asks_only_for_what_was_well_and_still_is_configured(self, rig: Rig) -> None:
        rig.plant.ill = {"sink plant"}
        await rig.changes.drafting.edit(
            ANNA, [Edit("remove", ("device", "filler1")), Edit("set", ("gateway", "site"), "plant2")]
        )
        await rig.changes.apply(ANNA, How("", 30, "health"))
        rig.plant.ill = {"sink plant", "device filler1"}
        await rig.until(lambda: outcomes(rig)[-1][2] == "confirmed")

    async def test_somebody_may_be_quicker(self, rig: Rig) -> None:
        await rig.draft()
        await rig.changes.apply(ANNA, How("", 600, "health"))
        rig.plant.ill = {"sink plant"}
        await rig.changes.confirm(ANNA)
        assert outcomes(rig)[-1][2] == "confirmed"


async def test_one_owner(rig: Rig) -> None:
    await rig.changes.set_owner(ANNA, "ansible")
    assert rig.audit.rows[-1] == ("anna", "config.owner", "ansible", "done")
    await rig.draft()
    error = await refused(rig.changes.apply(ANNA, LONG), "not-the-owner")
    assert "belongs to ansible" in error.message
    assert "tidegate config owner page" in error.mend
    await refused(rig.changes.rollback(ANNA, LONG, to=1), "not-the-owner")
    await rig.changes.apply(ANNA, How("", 0, acting_as="ansible"))
    await rig.draft("plant2", "plant3")
    await rig.changes.apply(ROBOT, How("", 0))
    await refused(rig.changes.set_owner(ANNA, "An sible"), "bad-owner")


async def test_the_owner_survives(main: Path) -> None:
    async with started(main) as rig:
        await rig.changes.set_owner(ANNA, "ansible")
    async with started(main) as rig:
        assert rig.changes.records.owner.name == "ansible"


async def test_two_people_at_one_draft(rig: Rig) -> None:
    draft = await rig.changes.drafting.edit(ANNA, [Edit("set", ("gateway", "area"), "a")])
    await rig.changes.drafting.edit(ROBOT, [Edit("set", ("gateway", "line"), "l")], draft.version)
    error = await refused(rig.changes.drafting.put_files(ANNA, {"tidegate.toml": b""}, draft.version), "draft-changed")
    assert error.status == 409
    assert "robot changed the draft" in error.message
    await refused(rig.changes.apply(ANNA, LONG, draft.version), "draft-changed")
    await refused(rig.changes.drafting.discard(draft.version), "draft-changed")
    await rig.changes.drafting.discard()
    assert rig.changes.drafting.draft is None


async def test_what_a_draft_may_hold(rig: Rig) -> None:
    drafting = rig.changes.drafting
    await refused(drafting.put_files(ANNA, {"../x.csv": b""}), "bad-file-name")
    await refused(drafting.put_files(ANNA, {"tidegate.toml": None}), "main-file")
    await refused(drafting.put_files(ANNA, {"x.csv": b"x" * (17 << 20)}), "too-large")
    await refused(drafting.import_archive(ANNA, b"?"), "bad-archive")
    error = await refused(drafting.edit(ANNA, [Edit("remove", ("device", "x"))]), "bad-edit")
    assert error.more["edit"] == 0
    assert drafting.draft is None


CSV = {"tags.csv": b"name,address,type\nx,a:1,bool\n"}
NAME_IT = Edit("set", ("device", "filler1", "group", "fast", "tags_csv"), "tags.csv")


async def test_files_in_the_way_are_not_lost(rig: Rig) -> None:
    (rig.main.parent / "tags.csv").write_text("mine")
    await rig.changes.drafting.put_files(ANNA, CSV)
    await rig.changes.drafting.edit(ANNA, [NAME_IT])
    await refused(rig.changes.apply(ANNA, LONG), "file-in-the-way")
    assert (rig.main.parent / "tags.csv").read_text() == "mine"


async def test_files_come_and_go_with_what_names_them(rig: Rig) -> None:
    file = rig.main.parent / "tags.csv"
    await rig.changes.drafting.put_files(ANNA, CSV)
    await refused(rig.changes.apply(ANNA, LONG), "no-change")
    await rig.changes.drafting.edit(ANNA, [NAME_IT])
    await rig.changes.apply(ANNA, LONG)
    assert not file.exists()
    await rig.changes.confirm(ANNA)
    assert file.read_bytes() == CSV["tags.csv"]
    assert not (await rig.changes.overview())["edited_outside"]
    await rig.changes.drafting.edit(ANNA, [Edit("remove", NAME_IT.path)])
    await rig.changes.apply(ANNA, How("", 0))
    assert not file.exists()
    assert not (await rig.changes.overview())["edited_outside"]
    await rig.changes.rollback(ANNA, How("", 0))
    assert file.read_bytes() == CSV["tags.csv"]


async def test_looking_at_configurations(rig: Rig) -> None:
    await rig.draft()
    assert (await rig.changes.tree_of("files")) == (await rig.changes.tree_of("1")) == rig.changes.running
    assert b"plant2" in (await rig.changes.tree_of("draft")).files["tidegate.toml"]
    assert (await rig.changes.effect(await rig.changes.tree_of("draft"))).sinks.restarted == ("plant",)
    assert await rig.changes.try_out(rig.changes.running) == ["filler1"]
    await refused(rig.changes.tree_of("7"), "no-such-revision")
    await refused(rig.changes.tree_of("seven"), "bad-name")


async def test_a_full_disk_stops_a_change_before_it_runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.draft()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/etc/tidegate/x")

    with monkeypatch.context() as patched:
        patched.setattr(commit, "write_synced", full)
        error = await refused(rig.changes.apply(ANNA, LONG), "disk")
        assert error.status == 507
    assert rig.site == "plant1"
    await rig.changes.apply(ANNA, LONG)
    with monkeypatch.context() as patched:
        patched.setattr(commit.os, "replace", full)
        await refused(rig.changes.confirm(ANNA), "disk")
    assert rig.changes.pending is not None
    await rig.changes.confirm(ANNA)
    assert "plant2" in rig.text


async def test_files_that_can_not_all_be_put_in_place_are_at_the_next_start(
    main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(main) as rig:
        await rig.draft()
        await rig.changes.apply(ANNA, LONG)

        def broken(_: Path) -> bool:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(commit, "finish", broken)
            revision = await rig.changes.confirm(ANNA)
        assert revision.outcome == "confirmed"
        assert "plant1" in rig.text
    async with started(main) as rig:
        assert rig.site == "plant2"
        assert "plant2" in rig.text


async def test_what_the_audit_log_does_not_take_is_not_done(rig: Rig) -> None:
    await rig.draft()
    rig.audit.refuses = AuditError("disk full")
    await refused(rig.changes.apply(ANNA, LONG), "audit")
    await refused(rig.changes.set_owner(ANNA, "ansible"), "audit")
    assert (rig.site, rig.changes.records.owner.name) == ("plant1", "page")
    assert outcomes(rig)[-1][2] == "rolled back"
    rig.audit.refuses = None
    await rig.changes.apply(ANNA, LONG)
    rig.audit.refuses = AuditError("disk full")
    await refused(rig.changes.confirm(ANNA), "audit")
    assert "plant1" in rig.text
    await rig.changes.rollback(ANNA, LONG)
    assert rig.site == "plant1", "going back needs nobody's leave"


async def test_who_calls_may_go_away(rig: Rig) -> None:
    """A browser that is closed in the midst of an apply leaves no half change."""
    await rig.draft()
    rig.plant.hold = asyncio.Event()
    caller = asyncio.create_task(rig.changes.apply(ANNA, LONG))
    await rig.until(lambda: len(outcomes(rig)) == 2)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    rig.plant.hold.set()
    await rig.until(lambda: rig.changes.pending is not None)
    assert rig.site == "plant2"


async def test_the_overview(rig: Rig) -> None:
    body = await rig.changes.overview()
    assert body["files"] == [{"name": "tidegate.toml", "bytes": len(rig.text)}]
    assert body["digest"] == body["running_digest"]
    assert (body["draft"], body["pending"], body["trouble"], body["needs_restart"]) == (None, None, None, [])
    assert body["owner"]["name"] == "page"
    rig.main.write_text(rig.text + "\n")
    assert (await rig.changes.overview())["edited_outside"]
