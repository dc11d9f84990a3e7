"""``python -m hil.plant``: run the plant alone until Ctrl-C, and say where its devices are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence

import click

from hil.plant.maps import DEVICES, ONE_OF_EACH
from hil.plant.registers import DeviceMap
from hil.plant.simulator import Plant


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same history.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535 - 16), help="First of the ports; without it any free ones are used."
)
@click.option("--one-of-each", "small", is_flag=True, help="Only a device for each protocol, one of them Modbus RTU.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for programs.")
def main(seed: int, host: str, port: int | None, small: bool, as_json: bool) -> None:
    """Run the simulated bottling plant: Modbus TCP servers, an OPC UA server, a scale on a serial port."""
    try:
        asyncio.run(_run(seed, host, port, ONE_OF_EACH if small else DEVICES, as_json))
    except OSError as error:
        raise click.ClickException(
            f"can't listen on {host}: {error.strerror}; choose another --host or --port"
        ) from None


async def _run(seed: int, host: str, port: int | None, devices: Sequence[DeviceMap], as_json: bool) -> None:
    endpoints = dict.fromkeys(device.endpoint for device in devices)
    ports = {endpoint: port + at for at, endpoint in enumerate(endpoints)} if port is not None else None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Plant(seed, host, ports, devices) as plant:
        if as_json:
            click.echo(json.dumps({"ports": plant.ports, "paths": plant.paths}))
        else:
            for device in devices:
                click.echo(f"{device.name:<14} {_where(device, plant, host)}")
        running = asyncio.create_task(plant.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _where(device: DeviceMap, plant: Plant, host: str) -> str:
    match device.protocol:
        case "opcua":
            return f"opc.tcp://{host}:{plant.ports[device.endpoint]}"
        case "sics":
            return f"{plant.paths[device.endpoint]} MT-SICS"
        case "rtu":
            return f"{plant.paths[device.endpoint]} unit {device.unit}"
    return f"{host}:{plant.ports[device.endpoint]} unit {device.unit}"


if __name__ == "__main__":
    main()
