"""The diagnostic bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gateway.actors import Role
from gateway.config import ConfigErrors
from gateway.config.document import in_place
from gateway.control.operation import Call, File, NoQuery, Operation, file
from gateway.ops.bundle import packed, sections
from gateway.ops.logs import LogFilter, LogRing
from gateway.settings import GatewaySettings
from gateway.status import Status


class HasStatus(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    @property
    def settings(self) -> GatewaySettings: ...

    def status(self) -> Status: ...


def operations(runtime: HasStatus, logs: LogRing, config: Path) -> list[Operation[Any, Any]]:
    """`config`: the configuration's main file."""

    async def get_bundle(_: Call[NoQuery, None]) -> File:
        settings, status = runtime.settings, runtime.status()

        def made() -> bytes:
            files, problems = _configuration(config)
            return packed(
                sections(
                    settings.data_dir,
                    configuration=files,
                    problems=problems,
                    settings=settings,
                    status=status,
                    logs=logs.latest(LogFilter()),
                )
            )

        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return File(await asyncio.to_thread(made), "application/zip", f"tidegate-{settings.id}-{stamp}.zip")

    return [
        Operation(
            "GET", "/v1/diagnosis/bundle", "get_bundle", Role.ENGINEER,
            "Make a diagnostic bundle: status, configuration, log, versions and facts of the machine, without secrets.",
            get_bundle, file("application/zip", description="A zip file; CONTENTS.txt says what is in it."),
        )
    ]  # fmt: skip


def _configuration(config: Path) -> tuple[Mapping[str, bytes], list[str]]:
    try:
        return in_place(config).files, []
    except ConfigErrors as errors:
        return {}, [str(problem) for problem in errors.problems]
