"""Accounts without a running gateway: for who owns the machine and can't get in, or wants to before the first start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway.accounts import AccountError, Accounts
from gateway.actors import Actor, Role
from gateway.audit import AuditLog
from gateway.cli.output import Exit, fail

T = TypeVar("T")


def alone(data_dir: Path, work: Callable[[Accounts, Actor], Awaitable[T]]) -> T:
    """Do it on the files, audited as ever. Ends the command if it can't be done, or if a gateway holds them."""
    if not data_dir.is_dir():
        fail(f"there is no gateway's data in {data_dir}", "start it once: tidegate run", Exit.UNREACHABLE)

    async def doing() -> T:
        async with AuditLog(data_dir / "audit") as log:
            accounts = Accounts(data_dir, log.record)
            await accounts.load()
            return await work(accounts, Actor(pwd.getpwuid(os.getuid()).pw_name, Role.ADMIN, "command line"))

    try:
        return asyncio.run(doing())
    except AccountError as error:
        fail(str(error), error.mend)
    except PermissionError as error:
        fail(
            f"no permission to use {error.filename or data_dir}", "run it as root or as the gateway's user", Exit.DENIED
        )
    finally:
        _give_back(data_dir)


def _give_back(data_dir: Path) -> None:
    """Root's files in the gateway's directory would be closed to it."""
    if os.geteuid() != 0:
        return
    owner = data_dir.stat()
    files = [data_dir / "audit", *data_dir.joinpath("audit").glob("*")]
    for path in (*data_dir.glob("accounts.json*"), data_dir / "claim-code", *files):
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, owner.st_uid, owner.st_gid)
