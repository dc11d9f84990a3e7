"""Users, tokens and the claim code of one gateway. Every change is checked, audited, durable, and then it holds."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from gateway.accounts.model import Damaged, State, Token, User, load, save
from gateway.accounts.problems import AccountError, check_name, check_scopes, check_verifier
from gateway.accounts.secrets import TOKEN_MARK, claim_digest, new_claim_code, new_token, token_digest
from gateway.accounts.tries import Tries
from gateway.actors import Actor, Role
from gateway.audit import AuditError
from gateway.ops.files import write_atomically
from gateway.ops.logs import NOT_KEPT

_log = logging.getLogger(__name__)

FILE = "accounts.json"
CLAIM_FILE = "claim-code"
MOST_USERS = 500
MOST_TOKENS = 500
LONGEST_TOKEN_DAYS = 3650
CLAIM_TRIES, CLAIM_REFILL_S = 10, 6.0
"""So many wrong claim codes at once, then one more every so many seconds."""


class Record(Protocol):
    """As :meth:`gateway.audit.AuditLog.record`."""

    def __call__(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What a token is good for."""

    actor: Actor
    scopes: tuple[str, ...]


class Accounts:
    """The accounts in one directory. Call from one event loop; one process a directory, as the gateway's lock says."""

    def __init__(
        self,
        directory: Path,
        record: Record,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_ns`: ns since 1970; `monotonic`: seconds."""
        self._path = directory / FILE
        self._claim_path = directory / CLAIM_FILE
        self._record = record
        self._now_ns = now_ns
        self._state = State()
        self._by_digest: dict[str, Token] = {}
        self._damage: str | None = None
        self._changing = asyncio.Lock()
        self._tries = Tries(CLAIM_TRIES, CLAIM_REFILL_S, monotonic)

    async def open(self) -> None:
        """Read the file; make a claim code and say it if nobody can come in yet.

        A file that can't be understood is left alone: every call but :meth:`reset` then raises AccountError.
        """
        await self.load()
        if self._damage is not None:
            _log.error("%s; nobody can log in until: tidegate user reset NAME", self._damage)
        elif not self._state.users:
            await self._offer_claim()

    async def load(self) -> None:
        """Read the file and offer nothing."""
        try:
            self._take(await asyncio.to_thread(load, self._path))
        except (Damaged, OSError) as error:
            self._damage = f"the accounts in {self._path} can't be used: {error}"

    # -- users ---------------------------------------------------------------------------------------------------------

    @property
    def users(self) -> Sequence[User]:
        """By name. Raises AccountError."""
        self._require_sound()
        return sorted(self._state.users.values(), key=lambda user: user.name.casefold())

    def user(self, name: str) -> User:
        """Whatever the case of its letters. Raises AccountError."""
        self._require_sound()
        user = self._state.users.get(name.casefold())
        if user is None:
            raise AccountError("missing", f"there is no user {name!r}", "see: tidegate user list")
        return user

    async def add_user(self, actor: Actor, name: str, role: Role, verifier: str, *, must_change: bool = False) -> User:
        """Raises AccountError."""
        user = User(check_name(name, "user"), role, check_verifier(verifier), self._now(), must_change=must_change)

        def added(state: State) -> State:
            if name.casefold() in state.users:
                raise AccountError("taken", f"there is a user {name!r} already", "choose another name")
            if len(state.users) >= MOST_USERS:
                raise AccountError("full", f"there are {MOST_USERS} users already", "remove some first")
            # Who has a user belongs to somebody, and that user may read the log: the code in it would make an admin.
            return replace(state.with_user(user), claim=None)

        await self._change(actor, "user.add", name, added, role=role.value)
        await asyncio.to_thread(self._claim_path.unlink, missing_ok=True)
        return user

    async def remove_user(self, actor: Actor, name: str) -> None:
        """Raises AccountError."""

        def removed(state: State) -> State:
            return _keeping_an_admin(state.without_user(self.user(name)), name, "removed")

        await self._change(actor, "user.remove", self.user(name).name, removed)

    async def set_role(self, actor: Actor, name: str, role: Role) -> User:
        """Raises AccountError."""
        return await self._edit(actor, "user.role", name, "given a lesser role", {"role": role}, role=role.value)

    async def set_disabled(self, actor: Actor, name: str, disabled: bool) -> User:
        """Raises AccountError."""
        action = "user.disable" if disabled else "user.enable"
        return await self._edit(actor, action, name, "disabled", {"disabled": disabled})

    async def set_password(self, actor: Actor, name: str, verifier: str, *, must_change: bool = False) -> User:
        """Raises AccountError."""
        values = {"verifier": check_verifier(verifier), "must_change": must_change}
        return await self._edit(actor, "user.password", name, "changed", values, must_change=must_change)

    async def reset(self, actor: Actor, name: str, verifier: str) -> User:
        """Way back in for who owns the machine: `name` becomes an enabled admin with this password, new or not.

        Accounts that can't be understood are set aside first. Raises AccountError.
        """
        check_name(name, "user")
        check_verifier(verifier)
        if self._damage is not None:
            aside = self._path.with_name(f"{FILE}.damaged-{self._now().replace(':', '')}")
            try:
                await asyncio.to_thread(aside.hardlink_to, self._path)
            except OSError as error:
                raise _unwritable(aside, error) from None
            _log.warning("the accounts that can't be used are kept as %s", aside)
            self._damage = None
        known = self._state.users.get(name.casefold())
        user = (
            User(name, Role.ADMIN, verifier, self._now())
            if known is None
            else replace(
                known,
                role=Role.ADMIN,
                verifier=verifier,
                disabled=False,
                must_change=False,
                version=known.version + 1,
            )
        )
        await self._change(
            actor, "user.reset", user.name, lambda state: replace(state.with_user(user), claim=None), new=known is None
        )
        await asyncio.to_thread(self._claim_path.unlink, missing_ok=True)
        return user

    # -- tokens --------------------------------------------------------------------------------------------------------

    @property
    def tokens(self) -> Sequence[Token]:
        """By name. Raises AccountError."""
        self._require_sound()
        return sorted(self._state.tokens.values(), key=lambda token: (token.name.casefold(), token.id))

    async def add_token(
        self, actor: Actor, name: str, role: Role, scopes: Sequence[str] = (), days: int | None = 365
    ) -> tuple[Token, str]:
        """(the token's record, the token itself: shown once and known to nobody afterwards). Raises AccountError.

        `days`: it expires after so many; None: never.
        """
        check_name(name, "token")
        kept = check_scopes(scopes)
        if not actor.role.covers(role):
            raise AccountError(
                "invalid", f"a token can't have the role {role}, which is more than your own", "choose a lesser role"
            )
        if days is not None and not 1 <= days <= LONGEST_TOKEN_DAYS:
            raise AccountError(
                "invalid", f"a token can't expire after {days} days", f"choose 1 to {LONGEST_TOKEN_DAYS} days"
            )
        token_id, text, digest = new_token()
        expires = None if days is None else _text(self._time() + timedelta(days=days))
        token = Token(token_id, name, role, kept, digest, self._now(), actor.name, expires)

        def added(state: State) -> State:
            if any(each.name.casefold() == name.casefold() for each in state.tokens.values()):
                raise AccountError("taken", f"there is a token {name!r} already", "choose another name, or revoke it")
            if len(state.tokens) >= MOST_TOKENS:
                raise AccountError("full", f"there are {MOST_TOKENS} tokens already", "revoke some first")
            return state.with_token(token)

        await self._change(
            actor, "token.add", name, added, id=token_id, role=role.value, scopes=list(kept), expires=expires
        )
        return token, text

    async def revoke_token(self, actor: Actor, which: str) -> Token:
        """`which`: its id or its name. Raises AccountError."""
        token = self._token(which)
        await self._change(actor, "token.revoke", token.name, lambda state: state.without_token(token), id=token.id)
        return token

    async def admit(self, text: str, part: str | None = None) -> Pass:
        """Who a token speaks for. `part`: what of the API it is wanted for, as paths name it after ``/v1/``.

        Raises AccountError: ``refused`` for what isn't a token or is one no more, ``out-of-scope`` for another part.
        """
        self._require_sound()
        token = self._by_digest.get(token_digest(text)) if text.startswith(TOKEN_MARK) else None
        if token is None:
            raise AccountError("refused", "the token isn't known here, or was revoked", "see: tidegate token list")
        now = self._time()
        if token.expires is not None and datetime.fromisoformat(token.expires) <= now:
            raise AccountError("refused", f"the token {token.name!r} expired at {token.expires}", "make another one")
        if part is not None and token.scopes and part not in token.scopes:
            allowed = ", ".join(token.scopes)
            raise AccountError(
                "out-of-scope", f"the token {token.name!r} is for {allowed} only, not for {part}", "use another token"
            )
        if token.last_used != (today := f"{now:%Y-%m-%d}"):
            await self._used(token.id, today)
        return Pass(Actor(token.name, token.role, f"token {token.name}"), token.scopes)

    # -- claiming ------------------------------------------------------------------------------------------------------

    @property
    def claimable(self) -> bool:
        """Whether a claim code would be taken now."""
        return self._damage is None and self._state.claim is not None

    async def claim(self, actor: Actor, code: str, name: str, verifier: str, *, address: str = "") -> User:
        """Make the first admin with the claim code, which is good for nothing afterwards. Raises AccountError.

        `address`: where whoever tries it is, for the audit log.
        """
        self._require_sound()
        if self._state.claim is None:
            raise AccountError(
                "refused", "this gateway was claimed already", "log in, or on the machine: tidegate user reset NAME"
            )
        user = User(check_name(name, "user"), Role.ADMIN, check_verifier(verifier), self._now())
        if (wait_s := self._tries.wait_s()) > 0:
            raise AccountError("too-fast", "too many wrong claim codes were tried", f"try again in {ceil(wait_s)} s")
        self._tries.spend()
        digest = claim_digest(code)

        def claimed(state: State) -> State:
            if state.claim is None or not hmac.compare_digest(state.claim, digest):
                raise AccountError(
                    "refused", "the claim code isn't the right one", "read it again from the console or the log"
                )
            return replace(state.with_user(user), claim=None)

        try:
            await self._change(actor, "claim.use", name, claimed, address=address)
        except AccountError as error:
            if error.code == "refused":
                await self._audit(actor, "claim.use", name, "refused", address=address)
            raise
        await asyncio.to_thread(self._claim_path.unlink, missing_ok=True)
        return user

    async def new_claim(self, actor: Actor) -> str:
        """A new claim code for a gateway without users; the old one is good no more. Raises AccountError."""
        code = new_claim_code()

        def renewed(state: State) -> State:
            if state.users:
                raise AccountError(
                    "taken", "this gateway was claimed already", "to get back in: tidegate user reset NAME"
                )
            return replace(state, claim=claim_digest(code))

        await self._change(actor, "claim.new", "claim", renewed)
        await self._keep_claim(code)
        self._tries.refill()
        return code

    async def _offer_claim(self) -> None:
        """The code that is in its file, if it is still the one; else a new one. Both are said."""
        try:
            code = (await asyncio.to_thread(self._claim_path.read_text)).strip()
        except (OSError, UnicodeDecodeError):
            code = ""
        if self._state.claim is None or claim_digest(code) != self._state.claim:
            try:
                code = await self.new_claim(Actor.gateway())
            except AccountError as error:
                _log.error("no claim code could be made: %s; %s", error, error.mend)
                return
        # For who stands before the machine: a token that may read the log must not make an admin.
        _log.warning(
            "nobody can log in yet. Claim this gateway on its page with the code %s", code, extra={NOT_KEPT: True}
        )

    async def _keep_claim(self, code: str) -> None:
        try:
            await asyncio.to_thread(write_atomically, self._claim_path, f"{code}\n".encode(), 0o600)
        except OSError as error:
            raise _unwritable(self._claim_path, error) from None

    # -- changes -------------------------------------------------------------------------------------------------------

    async def _edit(
        self, actor: Actor, action: str, name: str, done: str, values: dict[str, Any], **details: Any
    ) -> User:
        """Change a user. `done`: what would be done to the last admin."""
        edited: list[User] = []

        def apply(state: State) -> State:
            user = self.user(name)
            edited[:] = [replace(user, **values, version=user.version + 1)]
            return _keeping_an_admin(state.with_user(edited[0]), user.name, done)

        await self._change(actor, action, self.user(name).name, apply, **details)
        return edited[0]

    async def _change(
        self, actor: Actor, action: str, subject: str, change: Callable[[State], State], **details: Any
    ) -> None:
        """Check, audit, write, hold: in this order, so that nothing changes without a row. Raises AccountError."""
        self._require_sound()

        async def changing() -> None:
            async with self._changing:
                state = change(self._state)
                await self._audit(actor, action, subject, "done", **details)
                try:
                    await self._save(state)
                except AccountError as error:
                    with contextlib.suppress(AccountError):
                        await self._audit(actor, action, subject, "failed", reason=str(error))
                    raise

        # What has begun is finished, whoever stops waiting for it meanwhile.
        task = asyncio.create_task(changing())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _audit(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> None:
        try:
            await self._record(actor, action, subject, outcome, **details)
        except AuditError as error:
            raise AccountError("unwritable", f"{error}; nothing was changed", "mend the disk") from None

    async def _used(self, token_id: str, day: str) -> None:
        """Keep the day a token was last used. No reason to refuse it if that fails."""
        async with self._changing:
            token = self._state.tokens.get(token_id)
            if token is not None and token.last_used != day:
                with contextlib.suppress(AccountError):
                    await self._save(self._state.with_token(replace(token, last_used=day)))

    async def _save(self, state: State) -> None:
        try:
            await asyncio.to_thread(save, self._path, state)
        except OSError as error:
            raise _unwritable(self._path, error) from None
        self._take(state)

    def _take(self, state: State) -> None:
        self._state = state
        self._by_digest = {token.digest: token for token in state.tokens.values()}

    def _token(self, which: str) -> Token:
        self._require_sound()
        for token in self._state.tokens.values():
            if which == token.id or which.casefold() == token.name.casefold():
                return token
        raise AccountError("missing", f"there is no token {which!r}", "see: tidegate token list")

    def _require_sound(self) -> None:
        if self._damage is not None:
            raise AccountError("damaged", self._damage, "on the machine: tidegate user reset NAME")

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now_ns() // 1_000_000_000, UTC)

    def _now(self) -> str:
        return _text(self._time())


def _keeping_an_admin(state: State, name: str, done: str) -> State:
    if any(user.role is Role.ADMIN and not user.disabled for user in state.users.values()):
        return state
    raise AccountError(
        "last-admin",
        f"{name!r} is the last admin, so it can't be {done}: nobody could manage this gateway any more",
        "make another admin first",
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _unwritable(path: Path, error: OSError) -> AccountError:
    return AccountError(
        "unwritable", f"{path} can't be written: {error.strerror or error}", "mend the disk or the directory's rights"
    )
