"""A spreadsheet's tags by the command line into a running gateway: dry run, draft, applied, at the broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


async def test_a_table_becomes_tags_at_the_broker(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Field() as field, Subscriber(broker.port) as subscriber:
        text = configuration(tmp_path / "data", [field.slaves[0].port], broker.port, sink="")
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected")
            table = tmp_path / "more.csv"
            table.write_text(
                "template,group,name,address,type\ncounter,main,count,hr:0,uint64\ncounter,main,n/v,hr:9,int16\n"
            )

            def run(*arguments: str) -> str:
                done = CliRunner().invoke(main, [*arguments, "-c", str(gateway.config)], catch_exceptions=False)
                assert done.exit_code == 0, done.output
                return done.stdout

            assert run("tags", "import", str(table), "--dry-run") == "+ counter/main: n/v\n"
            assert 'name = "n/v"' not in gateway.config.read_text()
            assert run("tags", "import", str(table)) == "+ counter/main: n/v\n"
            gateway.client.post("/v1/config/apply", {"confirm_within_s": 0, "reason": "more tags"}, timeout_s=30.0)
            await subscriber.until(
                lambda messages: any(each.topic.endswith("/dev0/n/v") for each in messages), "the new tag's value"
            )
            assert 'name = "n/v"' in gateway.config.read_text()
