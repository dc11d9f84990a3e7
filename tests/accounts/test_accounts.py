"""Accounts: what is checked, what is kept, what is never lost, and the ways in."""

from __future__ import annotations

import asyncio
import logging
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts import CLAIM_FILE, FILE, AccountError, Accounts
from gateway.accounts.model import load
from gateway.accounts.secrets import claim_digest, new_claim_code
from gateway.actors import Actor, Role
from gateway.audit import AuditError, AuditLog
from gateway.ops.logs import LogFilter, LogRing

ROOT = Actor("root", Role.ADMIN, "command line")
HASH = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")
DAY_NS = 86_400_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 1_800_000_000_000_000_000
        self.s = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with AuditLog(tmp_path / "audit") as log:
        yield log


@pytest.fixture
async def opened(tmp_path: Path, log: AuditLog, clock: Clock) -> Callable[[], Awaitable[Accounts]]:
    async def open_anew() -> Accounts:
        accounts = Accounts(tmp_path, log.record, now_ns=lambda: clock.ns, monotonic=lambda: clock.s)
        await accounts.open()
        return accounts

    return open_anew


@pytest.fixture
async def accounts(opened: Callable[[], Awaitable[Accounts]]) -> Accounts:
    return await opened()


async def refused(awaitable: Awaitable[object], code: str, sentence: str) -> AccountError:
    with pytest.raises(AccountError, match=sentence) as caught:
        await awaitable
    assert caught.value.code == code
    assert caught.value.mend
    return caught.value


async def test_the_first_start_makes_a_claim_code_and_says_it(
    tmp_path: Path, opened: Callable[[], Awaitable[Accounts]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        accounts = await opened()
        code = (tmp_path / CLAIM_FILE).read_text().strip()
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", code)
        assert code in caplog.text
        caplog.clear()
        await opened()  # the same one, so that what was printed on a label stays true
        assert code in caplog.text
    for name in (CLAIM_FILE, FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert code not in (tmp_path / FILE).read_text()
    assert accounts.claimable
    user = await accounts.claim(ROOT, code.lower().replace("-", " "), "anna", HASH)
    assert (user.role, user.must_change) == (Role.ADMIN, False)
    assert not accounts.claimable
    assert not (tmp_path / CLAIM_FILE).exists()
    await refused(accounts.claim(ROOT, code, "bert", HASH), "refused", "claimed already")
    await refused(accounts.new_claim(ROOT), "taken", "claimed already")


async def test_the_code_makes_no_admin_of_who_is_let_in_already(
    tmp_path: Path, opened: Callable[[], Awaitable[Accounts]]
) -> None:
    ring, logger = LogRing(), logging.getLogger("gateway.accounts")
    logger.addHandler(ring)
    try:
        accounts = await opened()
    finally:
        logger.removeHandler(ring)
    code = (tmp_path / CLAIM_FILE).read_text().strip()
    assert code not in str(ring.latest(LogFilter())), "whoever may read the log through the API isn't told"
    await accounts.add_user(ROOT, "vera", Role.VIEWER, HASH)
    assert not accounts.claimable
    assert not (tmp_path / CLAIM_FILE).exists()
    await refused(accounts.claim(ROOT, code, "vera2", HASH), "refused", "claimed already")


async def test_a_wrong_claim_code_is_audited_and_slowed_down(
    tmp_path: Path, accounts: Accounts, log: AuditLog, clock: Clock
) -> None:
    code = (tmp_path / CLAIM_FILE).read_text()
    for _ in range(10):
        await refused(accounts.claim(ROOT, new_claim_code(), "mallory", HASH), "refused", "isn't the right one")
    error = await refused(accounts.claim(ROOT, code, "anna", HASH), "too-fast", "too many")
    assert error.mend == "try again in 6 s"
    assert [row.outcome for row in await log.query(action="claim.use")] == ["refused"] * 10
    clock.s += 6
    assert (await accounts.claim(ROOT, code, "anna", HASH)).name == "anna"


async def test_a_claim_code_can_be_made_anew(tmp_path: Path, accounts: Accounts) -> None:
    old = (tmp_path / CLAIM_FILE).read_text()
    new = await accounts.new_claim(ROOT)
    await refused(accounts.claim(ROOT, old, "anna", HASH), "refused", "isn't the right one")
    await accounts.claim(ROOT, new, "anna", HASH)


@given(st.data(), st.from_regex(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", fullmatch=True))
def test_a_code_may_be_typed_in_many_ways(data: st.DataObject, code: str) -> None:
    typed = "".join(
        data.draw(st.sampled_from({"0": "0oO", "1": "1iIlL", "-": ["-", " ", "", "--"]}.get(c, [c, c.lower()])))
        for c in code
    )
    assert claim_digest(typed) == claim_digest(code)


async def test_what_is_kept_survives_a_restart(opened: Callable[[], Awaitable[Accounts]]) -> None:
    accounts = await opened()
    await accounts.add_user(ROOT, "Anna", Role.ADMIN, HASH)
    await accounts.add_user(ROOT, "bert", Role.VIEWER, HASH, must_change=True)
    _, text = await accounts.add_token(ROOT, "scada", Role.OPERATOR, ["writes", "values"])
    again = await opened()
    assert again.users == accounts.users
    assert again.tokens == accounts.tokens
    assert (await again.admit(text)).actor == Actor("scada", Role.OPERATOR, "token scada")
    assert again.user("ANNA").name == "Anna"
    assert again.user("bert").must_change


async def test_changes_end_older_sessions(accounts: Accounts) -> None:
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await accounts.add_user(ROOT, "bert", Role.ADMIN, HASH)
    versions = [
        accounts.user("bert").version,
        (await accounts.set_role(ROOT, "bert", Role.OPERATOR)).version,
        (await accounts.set_password(ROOT, "bert", HASH, must_change=True)).version,
        (await accounts.set_disabled(ROOT, "bert", True)).version,
    ]
    assert versions == [1, 2, 3, 4]


async def test_the_last_admin_stays(accounts: Accounts) -> None:
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await accounts.add_user(ROOT, "bert", Role.ENGINEER, HASH)
    await accounts.add_user(ROOT, "carla", Role.ADMIN, HASH)
    await accounts.set_disabled(ROOT, "carla", True)
    await refused(accounts.remove_user(ROOT, "anna"), "last-admin", "can't be removed: nobody could manage")
    await refused(accounts.set_disabled(ROOT, "anna", True), "last-admin", "can't be disabled")
    await refused(accounts.set_role(ROOT, "anna", Role.ENGINEER), "last-admin", "can't be given a lesser role")
    await accounts.set_disabled(ROOT, "carla", False)
    await accounts.remove_user(ROOT, "anna")
    assert [user.name for user in accounts.users] == ["bert", "carla"]


async def test_two_removals_at_once_leave_an_admin(accounts: Accounts) -> None:
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await accounts.add_user(ROOT, "bert", Role.ADMIN, HASH)
    results = await asyncio.gather(
        accounts.remove_user(ROOT, "anna"), accounts.remove_user(ROOT, "bert"), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["AccountError", "NoneType"]
    assert len(accounts.users) == 1


@pytest.mark.parametrize("name", ["", "-anna", "an na", "ä", "a" * 65, "a/b", "anna\n"])
async def test_names_that_nobody_can_have(accounts: Accounts, name: str) -> None:
    await refused(accounts.add_user(ROOT, name, Role.VIEWER, HASH), "invalid", "name")


async def test_a_name_is_taken_whatever_its_case(accounts: Accounts) -> None:
    await refused(accounts.add_user(ROOT, "Gateway", Role.ADMIN, HASH), "taken", "is the gateway's own")
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await refused(accounts.add_user(ROOT, "ANNA", Role.VIEWER, HASH), "taken", "already")


@pytest.mark.parametrize(
    "verifier",
    [
        "secret",
        HASH.replace("argon2id", "argon2i"),
        HASH + "\n",
        HASH.replace("m=8192", "m=4194304"),
        HASH.replace("m=8192", "m=8191"),
        HASH.replace("m=8192", "m=200000"),
        HASH.replace("t=1", "t=99"),
        HASH.replace("p=1", "p=9"),
    ],
    ids=range(8),
)
async def test_verifiers_that_are_weak_or_dangerous(accounts: Accounts, verifier: str) -> None:
    await refused(accounts.add_user(ROOT, "anna", Role.VIEWER, verifier), "invalid", "isn't an argon2id PHC string")
    assert accounts.users == []


async def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path, accounts: Accounts) -> None:
    token, text = await accounts.add_token(ROOT, "scada", Role.OPERATOR)
    assert text.startswith(f"tidegate_{token.id}_")
    assert len(text.removeprefix(f"tidegate_{token.id}_")) == 43  # 256 bits
    assert text not in (tmp_path / FILE).read_text()
    assert "digest" not in token.to_json()
    assert "verifier" not in (await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)).to_json()


async def test_a_token_ends(accounts: Accounts, clock: Clock) -> None:
    _, text = await accounts.add_token(ROOT, "scada", Role.VIEWER, days=30)
    clock.ns += 29 * DAY_NS
    await accounts.admit(text)
    clock.ns += DAY_NS
    await refused(accounts.admit(text), "refused", "expired at")
    token, text = await accounts.add_token(ROOT, "forever", Role.VIEWER, days=None)
    clock.ns += 10_000 * DAY_NS
    await accounts.admit(text)
    await accounts.revoke_token(ROOT, token.id)
    await refused(accounts.admit(text), "refused", "isn't known here")


async def test_a_token_is_good_for_its_scopes_only(accounts: Accounts) -> None:
    _, text = await accounts.add_token(ROOT, "scada", Role.OPERATOR, ["values", "writes", "values"])
    assert (await accounts.admit(text, "writes")).scopes == ("values", "writes")
    await refused(accounts.admit(text, "accounts"), "out-of-scope", "is for values, writes only, not for accounts")
    await refused(accounts.add_token(ROOT, "x", Role.VIEWER, ["Values/*"]), "invalid", "can't be the scope")


async def test_nobody_makes_a_token_above_themselves(accounts: Accounts) -> None:
    engineer = Actor("eva", Role.ENGINEER, "page")
    await refused(accounts.add_token(engineer, "x", Role.ADMIN), "invalid", "more than your own")


async def test_the_day_of_use_is_kept_once_a_day(tmp_path: Path, accounts: Accounts, clock: Clock) -> None:
    token, text = await accounts.add_token(ROOT, "scada", Role.VIEWER)
    await accounts.admit(text)
    first = (tmp_path / FILE).stat().st_ino
    assert load(tmp_path / FILE).tokens[token.id].last_used == "2027-01-15"
    await accounts.admit(text)
    assert (tmp_path / FILE).stat().st_ino == first  # not written again
    clock.ns += DAY_NS
    await accounts.admit(text)
    assert load(tmp_path / FILE).tokens[token.id].last_used == "2027-01-16"


@given(st.text(max_size=200))
def test_nothing_else_is_a_token(text: str) -> None:
    async def attempt() -> None:
        async def record(*_: Any, **__: Any) -> None: ...

        accounts = Accounts(Path("/nonexistent"), record)
        with pytest.raises(AccountError, match="isn't known here"):
            await accounts.admit(text)

    asyncio.run(attempt())


async def test_every_change_leaves_a_row_and_no_secret(accounts: Accounts, log: AuditLog) -> None:
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await accounts.set_password(ROOT, "anna", HASH)
    _, text = await accounts.add_token(ROOT, "scada", Role.VIEWER)
    await accounts.revoke_token(ROOT, "scada")
    rows = await log.query()
    assert [row.action for row in rows] == [
        "token.revoke", "token.add", "user.password", "user.add", "claim.new",
    ]  # fmt: skip
    written = "".join(path.read_text() for path in log.directory.glob("*.jsonl"))
    assert "argon2" not in written
    assert text not in written


async def test_nothing_changes_that_cannot_be_audited(tmp_path: Path) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise AuditError("no disk")

    accounts = Accounts(tmp_path, broken)
    await accounts.open()
    await refused(accounts.add_user(ROOT, "anna", Role.ADMIN, HASH), "unwritable", "no disk; nothing was changed")
    assert accounts.users == []
    assert not (tmp_path / FILE).exists()


async def test_what_cannot_be_written_does_not_hold(
    accounts: Accounts, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.accounts.accounts.save", full)
        await refused(accounts.add_user(ROOT, "anna", Role.ADMIN, HASH), "unwritable", "No space left")
    assert accounts.users == []
    assert [row.outcome for row in await log.query(action="user.add")] == ["failed", "done"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"format": 9}', b'{"format":1,"users":[{}],"tokens":[],"claim":null}', b"[]"]
)
async def test_damaged_accounts_let_nobody_in_but_by_the_machine(
    tmp_path: Path, opened: Callable[[], Awaitable[Accounts]], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(body)
    accounts = await opened()
    assert "nobody can log in until: tidegate user reset NAME" in caplog.text
    assert (tmp_path / FILE).read_bytes() == body
    assert not accounts.claimable
    with pytest.raises(AccountError, match="can't be used"):
        accounts.user("anna")
    await refused(accounts.new_claim(ROOT), "damaged", "can't be used")
    user = await accounts.reset(ROOT, "anna", HASH)
    assert user.role is Role.ADMIN
    assert [path.read_bytes() for path in tmp_path.glob(f"{FILE}.damaged-*")] == [body]
    assert (await opened()).users == [user]


async def test_reset_opens_the_door_again(accounts: Accounts) -> None:
    await accounts.add_user(ROOT, "anna", Role.ADMIN, HASH)
    await accounts.add_user(ROOT, "bert", Role.VIEWER, HASH, must_change=True)
    await accounts.set_disabled(ROOT, "bert", True)
    user = await accounts.reset(ROOT, "bert", HASH)
    assert (user.role, user.disabled, user.must_change, user.version) == (Role.ADMIN, False, False, 3)
