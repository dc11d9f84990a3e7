"""``python -m hil.plant``: run the plant alone until Ctrl-C, and say where its devices are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal

import click

from hil.plant.maps import DEVICES
from hil.plant.simulator import Plant


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same history.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535 - 16), help="First of the ports; without it any free ones are used."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for programs.")
def main(seed: int, host: str, port: int | None, as_json: bool) -> None:
    """Run the simulated bottling plant on Modbus TCP servers."""
    try:
        asyncio.run(_run(seed, host, port, as_json))
    except OSError as error:
        raise click.ClickException(
            f"can't listen on {host}: {error.strerror}; choose another --host or --port"
        ) from None


async def _run(seed: int, host: str, port: int | None, as_json: bool) -> None:
    endpoints = dict.fromkeys(device.endpoint for device in DEVICES)
    ports = {endpoint: port + at for at, endpoint in enumerate(endpoints)} if port is not None else None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Plant(seed, host, ports) as plant:
        devices = [
            {"device": device.name, "host": host, "port": plant.ports[device.endpoint], "unit": device.unit}
            for device in DEVICES
        ]
        if as_json:
            click.echo(json.dumps({"ports": plant.ports, "devices": devices}))
        else:
            for device in devices:
                click.echo("{device:<12} {host}:{port} unit {unit}".format(**device))
        running = asyncio.create_task(plant.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    main()
