"""``tidegate check`` and ``tidegate config schema`` as a user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.check import check
from gateway.cli.config import config
from tests.config.text import GOOD, write


def test_a_good_configuration_is_summed_up(tmp_path: Path) -> None:
    text = (
        GOOD
        + '\n  [[device.group]]\n  name = "live"\n  interval_ms = 0\n'
        + GOOD[GOOD.index("    [[device") :].replace("speed", "torque")
    )
    result = CliRunner().invoke(check, [str(write(tmp_path, text))])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "link\tdriver\tto\tdevices\tgroups\ttags\trequests\trequests/s\tvalues/s",
        "filler\tfake\t\t1\t2\t2\t2\t1 + continuous\t1 + continuous",
        "valid: 1 link, 1 device, 2 groups, 2 tags, 1 sink",
    ]


def test_a_group_that_is_subscribed_to_has_no_rate_of_requests(tmp_path: Path) -> None:
    reader = """
[[link]]
name = "reader"
driver = "serial"
device = "/dev/ttyS1"

[[device]]
name = "reader1"
link = "reader"
preset = "barcode"
group = [{name = "scans", tag = [{name = "code", field = "code", type = "string"}]}]
"""
    result = CliRunner().invoke(check, [str(write(tmp_path, GOOD + reader))])
    assert "reader\tserial\t/dev/ttyS1\t1\t1\t1\t0\tsubscribed\tsubscribed" in result.stdout.splitlines()


def test_problems_go_to_stderr_with_exit_code_3(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("interval_ms", "intervall_ms").replace('"uint16"', "16"))
    result = CliRunner().invoke(check, [str(path)])
    assert (result.exit_code, result.stdout) == (3, "")
    lines = result.stderr.splitlines()
    assert lines[0] == f'{path}:22: unknown key "intervall_ms" in device.group'
    assert lines[1] == '  → did you mean "interval_ms"?'
    assert lines[-1].startswith("2 problems")
    assert "\x1b[" not in result.stderr


def test_json_for_programs(tmp_path: Path) -> None:
    good = CliRunner().invoke(check, [str(write(tmp_path)), "--json"])
    body = json.loads(good.stdout)
    assert (good.exit_code, body["valid"], body["problems"]) == (0, True, [])
    assert body["links"][0]["tags"] == 1
    path = write(tmp_path, GOOD.replace("host", "hots", 1))
    bad = CliRunner().invoke(check, [str(path), "--json"])
    body = json.loads(bad.stdout)
    assert (bad.exit_code, body["valid"]) == (3, False)
    assert body["problems"][1] == {
        "file": str(path),
        "line": 9,
        "message": 'unknown key "hots" in sink',
        "hint": 'did you mean "host"?',
    }


def test_the_file_is_named_in_any_of_three_ways(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    assert CliRunner().invoke(check, env={"TIDEGATE_CONFIG": path}).exit_code == 0
    assert CliRunner().invoke(check, ["--config", path]).exit_code == 0
    assert CliRunner().invoke(check, [path], env={"TIDEGATE_CONFIG": "absent"}).exit_code == 0


def test_without_a_file_the_usual_one_is_meant() -> None:
    result = CliRunner().invoke(check)
    if not Path("/etc/tidegate/tidegate.toml").exists():
        assert result.exit_code == 3
        assert result.stderr.startswith("/etc/tidegate/tidegate.toml: the file doesn't exist")


@pytest.mark.parametrize(("options", "code"), [([], 3), (["--without-secrets"], 0)])
def test_secrets_can_be_left_out(tmp_path: Path, options: list[str], code: int) -> None:
    text = GOOD.replace('host = "broker.example"', 'host = "broker.example"\npassword = {file = "absent"}')
    assert CliRunner().invoke(check, [str(write(tmp_path, text)), *options]).exit_code == code


def test_the_schema_is_printed() -> None:
    result = CliRunner().invoke(config, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "Tidegate configuration"
