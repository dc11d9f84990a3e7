"""The agent as the gateway sees it: the power `gateway.ops.machine.Machine`, over the agent's socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.ops.machine import Clock, Interface, MachineRefused, Network, State, Time, Unconfirmed

SOCKET = Path("/run/tidegate-agent/agent.sock")
_ANSWER_S = 60.0
"""Each answer starts an interpreter, on a slow card."""
_LONGEST_ANSWER = 1 << 20


class AgentMachine:
    """Every call is a connection of its own."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    async def look(self) -> State:
        told = await self._ask("look")
        interfaces = tuple(
            Interface(**{**each, **_tuples(each, "addresses", "dns"), "settings": _network(each["settings"])})
            for each in told["interfaces"]
        )
        clock = told["clock"]
        settings = Time(clock["settings"]["timezone"], tuple(clock["settings"]["servers"]))
        return State(
            told["hostname"], interfaces, Clock(**{**clock, **_tuples(clock, "servers"), "settings": settings})
        )

    async def unconfirmed(self) -> Unconfirmed | None:
        told = await self._ask("unconfirmed")
        return None if told is None else Unconfirmed(**told)

    async def try_network(self, interface: str, settings: Network, within_s: float) -> Unconfirmed:
        return Unconfirmed(**await self._ask("try-network", interface=interface, within_s=within_s, **asdict(settings)))

    async def try_time(self, settings: Time, within_s: float) -> Unconfirmed:
        return Unconfirmed(**await self._ask("try-time", within_s=within_s, **asdict(settings)))

    async def confirm(self) -> None:
        await self._ask("confirm")

    async def take_back(self) -> None:
        await self._ask("take-back")

    async def set_hostname(self, name: str) -> None:
        await self._ask("set-hostname", name=name)

    async def restart(self) -> None:
        await self._ask("restart")

    async def reset(self) -> None:
        await self._ask("reset")

    async def wipe(self) -> None:
        await self._ask("wipe")

    async def _ask(self, verb: str, **given: Any) -> Any:
        """Raises MachineRefused, also where nobody answers."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_ANSWER)
                try:
                    writer.write(json.dumps({"verb": verb, **given}).encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            raise MachineRefused(
                f"the machine's agent doesn't answer: {error or 'it took too long'}",
                "see on the machine: systemctl status tidegate-agent.socket",
            ) from None
        if not line:
            raise MachineRefused(
                "the machine's agent broke off", "see on the machine: journalctl -u 'tidegate-agent@*'"
            )
        told = json.loads(line)
        if "error" in told:
            raise MachineRefused(told["error"], told.get("mend"), told.get("field"))
        return told["answer"]


def machine() -> AgentMachine:
    """The entry point."""
    return AgentMachine()


def _network(told: dict[str, Any] | None) -> Network | None:
    return None if told is None else Network(**{**told, **_tuples(told, "dns")})


def _tuples(told: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: tuple(told[key]) for key in keys}
