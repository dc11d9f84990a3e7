"""What a good configuration resolves to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import registry
from gateway.actors import Role
from gateway.config import ConfigErrors, load
from gateway.model import DataType
from gateway.secrets import Secret
from gateway.settings import (
    BreakerSettings,
    JournalSettings,
    ReportPolicy,
    TagRules,
    TlsSettings,
    WriteRules,
    WriteSettings,
)
from tests.config.fake_driver import Driver, LinkOptions, Order
from tests.config.text import DEVICE, GOOD, HEAD, LINK, TAG, write
from tests.support.stopwatch import stopwatch

ROOT = Path(__file__).parents[2]
TEMPLATE = """
[[template]]
name = "acme-filler"
driver = "fake"

  [[template.group]]
  name = "fast"
  interval_ms = 100

    [[template.group.tag]]
    name = "speed"
    address = "a:1"
    type = "int16"

  [[template.group]]
  name = "slow"
  interval_ms = 5000

    [[template.group.tag]]
    name = "level"
    address = "a:2"
    type = "float32"
"""


def device(name: str, *lines: str) -> str:
    return "\n".join(("", "[[device]]", f'name = "{name}"', 'link = "filler"', *lines, ""))


def test_devices_may_have_no_tags_while_these_are_being_looked_for(tmp_path: Path) -> None:
    empty_group = '[[device.group]]\nname = "fast"\ninterval_ms = 1000'
    path = write(tmp_path, HEAD + LINK + device("filler1") + device("filler2", empty_group))
    with pytest.raises(ConfigErrors, match="has no group"):
        load(path)
    devices = load(path, unfinished=True).links[0].devices
    assert [(each.name, each.groups) for each in devices] == [("filler1", ()), ("filler2", ())]


@pytest.mark.parametrize("there", [True, False])
def test_a_table_of_tags_that_is_being_filled_just_now_is_no_fault(tmp_path: Path, there: bool) -> None:
    """``tidegate browse DEVICE --csv > tags.csv``: the shell has emptied the file before the command begins."""
    group = '[[device.group]]\nname = "fast"\ninterval_ms = 1000\ntags_csv = "tags.csv"'
    path = write(tmp_path, HEAD + LINK + device("filler1", group))
    if there:
        (tmp_path / "tags.csv").touch()
    with pytest.raises(ConfigErrors, match=r"tags\.csv"):
        load(path)
    (each,) = load(path, unfinished=True).links[0].devices
    assert [len(group.poll.points) for group in each.groups] in ([], [0])


def test_defaults_are_applied(tmp_path: Path) -> None:
    settings = load(write(tmp_path))
    assert settings.id == "gw1"
    assert settings.location == ("acme", "plant1")
    assert settings.data_dir == tmp_path / "data"
    assert settings.socket == tmp_path / "data" / "control.sock"
    assert settings.clock == "auto"
    assert settings.journal == JournalSettings(tmp_path / "data" / "journal.db")
    (sink,) = settings.sinks
    assert (sink.host, sink.port, sink.client_id, sink.protocol) == ("broker.example", 1883, "gw1-plant", 5)
    assert sink.tls is None
    (link,) = settings.links
    assert link.options == LinkOptions(host="192.168.1.20")
    assert link.breaker == BreakerSettings()
    (one,) = link.devices
    (group,) = one.groups
    assert group.poll.interval_s == 1.0
    assert group.poll.layout.location == ("acme", "plant1", "filler1")
    assert group.poll.layout.source == "filler1"
    (point,) = group.poll.points
    assert (point.path, point.type, point.options.address) == ("motor/speed", DataType.UINT16, "a:100")
    assert group.rules == (TagRules(DataType.UINT16, DataType.UINT16),)


def test_everything_given_is_taken(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "secret").chmod(0o600)
    text = (
        HEAD.replace('site = "plant1"', 'site = "plant1"\narea = "a"\nline = "l"\nclock = "trusted"\nsocket = "s.sock"')
        + 'protocol = "3.1.1"\nusername = "u"\npassword = {file = "secret"}\norder = "strict"\ntls = {}\n'
        + "\n[journal]\npath = 'j/x.db'\ndeadline_ms = 100\nmax_mb = 2\nmax_age_h = 1\nmin_free_mb = 0.5\n"
        + LINK
        + "breaker = {failures = 5, retry_ms = 250}\n"
        + DEVICE.replace('link = "filler"', 'link = "filler"\nword_order = "BA"\nasset = "x"\narea = "b"')
        + TAG
        + "    scale = 0.1\n    offset = -5\n    low = 0\n    high = 60\n    clamp = true\n    unit = 'Hz'\n"
        + "    description = 'Füller'\n    original_name = 'DB1.x'\n    writable = true\n"
        + "    report = {deadband = 1, deadband_percent = 2, min_interval_ms = 100, max_interval_ms = 60000}\n"
    )
    settings = load(write(tmp_path, text))
    assert settings.socket == tmp_path / "s.sock"
    assert settings.location == ("acme", "plant1", "a", "l")
    assert settings.journal == JournalSettings(tmp_path / "j/x.db", 0.1, 2 << 20, 3600.0, 2_000_000, 1 << 19)
    (sink,) = settings.sinks
    assert (sink.protocol, sink.port, sink.strict_order, sink.tls) == (4, 8883, True, TlsSettings())
    assert sink.password == Secret("file", str(tmp_path / "secret"))
    (link,) = settings.links
    assert link.breaker == BreakerSettings(5, 0.25)
    (one,) = link.devices
    assert one.options.word_order is Order.BA
    (group,) = one.groups
    # The device's area replaces the gateway's, so the gateway's line, which is in another area, is left out.
    assert group.poll.layout.location == ("acme", "plant1", "b", "x")
    (tag,) = group.poll.layout.tags
    assert (tag.unit, tag.description, tag.original_name, tag.writable) == ("Hz", "Füller", "DB1.x", True)
    assert group.rules == (
        TagRules(DataType.UINT16, DataType.FLOAT64, 0.1, -5.0, 0.0, 60.0, True, ReportPolicy(1.0, 2.0, 0.1, 60.0)),
    )


def test_a_level_can_be_left_out(tmp_path: Path) -> None:
    text = GOOD.replace('site = "plant1"', 'site = "plant1"\narea = "a"').replace(
        'link = "filler"', 'link = "filler"\narea = ""'
    )
    (link,) = load(write(tmp_path, text)).links
    assert link.devices[0].groups[0].poll.layout.location == ("acme", "plant1", "filler1")


def test_files_in_conf_d_are_joined_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.toml").write_text(device("c", 'template = "acme-filler"'))
    (tmp_path / "conf.d" / "10.toml").write_text(TEMPLATE + device("b", 'template = "acme-filler"'))
    (tmp_path / "conf.d" / "00.toml.bak").write_text("nonsense")
    (tmp_path / "conf.d" / ".hidden.toml").write_text("nonsense")
    (link,) = load(path).links
    assert [one.name for one in link.devices] == ["filler1", "b", "c"]


def test_a_csv_path_starts_at_the_file_it_stands_in(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + LINK)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.csv").write_text("name,address,type\nx,a:1,bool\n")
    (tmp_path / "conf.d" / "10.toml").write_text(DEVICE + '  tags_csv = "x.csv"\n')
    (link,) = load(path).links
    assert [point.path for point in link.devices[0].groups[0].poll.points] == ["x"]


def test_nothing_may_be_written_unless_it_was_switched_on(tmp_path: Path) -> None:
    settings = load(write(tmp_path, HEAD + LINK + DEVICE + TAG))
    assert settings.write == WriteSettings(enabled=False, role=Role.OPERATOR)
    assert not settings.links[0].devices[0].groups[0].poll.layout.tags[0].writable


def test_bounds_on_writing_from_toml_and_csv(tmp_path: Path) -> None:
    switch = '[write]\nenabled = true\nrole = "engineer"\nmin_interval_ms = 500\nmax_per_minute = 7\nttl_ms = 2500\n'
    csv = "name,address,type,low,high,writable,write_max,write_step,write_role,write_require_reason\n"
    csv += "x,a:1,uint16,10,90,true,50,5,admin,true\ny,a:2,uint16,10,90,true,,,,\n"
    settings = load(write(tmp_path, HEAD + switch + LINK + DEVICE + '  tags_csv = "t.csv"\n', t_csv=csv))
    assert settings.write == WriteSettings(True, False, Role.ENGINEER, 0.5, 7, 2.5)
    x, y = settings.links[0].devices[0].groups[0].rules
    assert x.write == WriteRules(high=50, step=5, role=Role.ADMIN, require_reason=True)
    assert (x.write_limits, y.write, y.write_limits) == ((10, 50), None, (10, 90))


def test_devices_of_a_template_share_everything_but_the_layout(tmp_path: Path) -> None:
    text = HEAD + LINK + TEMPLATE + "".join(device(name, 'template = "acme-filler"') for name in ("a", "b"))
    before = Driver.planned
    (link,) = load(write(tmp_path, text)).links
    first, second = link.devices
    for ours, theirs in zip(first.groups, second.groups, strict=True):
        assert ours.poll.points is theirs.poll.points
        assert ours.rules is theirs.rules
        assert ours.poll.layout.tags is theirs.poll.layout.tags
        assert ours.poll.layout.digest != theirs.poll.layout.digest
    assert Driver.planned - before == 2, "each group is planned once, not once a device"


def test_a_devices_group_overrides_the_templates(tmp_path: Path) -> None:
    text = (
        HEAD
        + LINK
        + TEMPLATE
        + device("a", 'template = "acme-filler"', "[[device.group]]", 'name = "slow"', "interval_ms = 0")
        + device("b", 'template = "acme-filler"', "[[device.group]]", 'name = "fast"', "[[device.group.tag]]")
        + 'name = "torque"\naddress = "a:9"\ntype = "int16"\n'
        + device("c", 'template = "acme-filler"', "[[device.group]]", 'name = "more"', "interval_ms = 1")
        + '[[device.group.tag]]\nname = "x"\naddress = "a:9"\ntype = "int16"\n'
    )
    (link,) = load(write(tmp_path, text)).links
    seen = {
        one.name: [(g.poll.name, g.poll.interval_s, [p.path for p in g.poll.points]) for g in one.groups]
        for one in link.devices
    }
    assert seen == {
        "a": [("fast", 0.1, ["speed"]), ("slow", 0.0, ["level"])],
        "b": [("fast", 0.1, ["torque"]), ("slow", 5.0, ["level"])],
        "c": [("fast", 0.1, ["speed"]), ("slow", 5.0, ["level"]), ("more", 0.001, ["x"])],
    }


@pytest.mark.parametrize(
    "csv",
    [
        "name,address,type,scale\nx,a:1,uint16,0.5\n",
        "\ufeffname;address;type;scale\r\nx;a:1;uint16;0.5\r\n",
        '"name", address,type, scale\n\n x , a:1, uint16 , "0.5"\n,,,\n',
    ],
    ids=["plain", "excel", "spaces"],
)
def test_a_csv_file_of_any_usual_kind(tmp_path: Path, csv: str) -> None:
    (link,) = load(write(tmp_path, HEAD + LINK + DEVICE + '  tags_csv = "t.csv"\n', t_csv=csv)).links
    (group,) = link.devices[0].groups
    assert [point.path for point in group.poll.points] == ["x"]
    assert group.rules == (TagRules(DataType.UINT16, DataType.FLOAT64, 0.5),)


def test_every_tag_key_can_be_a_column(tmp_path: Path) -> None:
    csv = (
        "name,address,type,scale,offset,output,unit,low,high,clamp,description,original_name,writable,"
        "deadband,deadband_percent,min_interval_ms,max_interval_ms,word_order,swap,length\n"
        'x,a:1,uint16,2,1,int64,Cel,0,100,TRUE,"a, b","DB ""1""",true,0.5,1,10,1000,BA,true,4\n'
    )
    text = HEAD + LINK + DEVICE + '  tags_csv = "t.csv"\n' + TAG
    (link,) = load(write(tmp_path, text, t_csv=csv)).links
    (group,) = link.devices[0].groups
    assert [point.path for point in group.poll.points] == ["x", "motor/speed"], "CSV rows first, then inline tags"
    tag, options = group.poll.layout.tags[0], group.poll.points[0].options
    assert (tag.description, tag.original_name, tag.writable) == ("a, b", 'DB "1"', True)
    assert (options.word_order, options.swap, options.length) == (Order.BA, True, 4)
    assert group.rules[0] == TagRules(
        DataType.UINT16, DataType.INT64, 2.0, 1.0, 0.0, 100.0, True, ReportPolicy(0.5, 1.0, 0.01, 1.0)
    )


def test_a_machine_without_the_secrets_can_still_check_the_rest(tmp_path: Path) -> None:
    text = HEAD + 'password = {file = "absent"}\n[sink.tls]\nca = "absent.pem"\n' + LINK + DEVICE + TAG
    path = write(tmp_path, text)
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    assert len(caught.value.problems) == 2
    assert load(path, check_secrets=False).sinks[0].password == Secret("file", str(tmp_path / "absent"))


def test_devices_with_the_same_inline_tags_share_them_and_their_mistakes_are_told_at_both(tmp_path: Path) -> None:
    text = GOOD + DEVICE.replace("filler1", "filler2") + TAG
    (link,) = load(write(tmp_path, text)).links
    first, second = (one.groups[0].poll for one in link.devices)
    assert first.points is second.points
    for wrong in ('"a:13"', '"a:1000"', "5"):
        with pytest.raises(ConfigErrors) as caught:
            load(write(tmp_path, text.replace('"a:100"', wrong)))
        assert len({problem.line for problem in caught.value.problems}) == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("tests.config.absent:KIND", "No module named"),
        ("tests.config.fake_driver:ABSENT", "has no attribute"),
        ("tests.config.fake_driver:Order", "not gateway.driver.DriverKind"),
    ],
)
def test_a_broken_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, said: str) -> None:
    monkeypatch.setitem(registry._BUILT_IN, "fake", entry)
    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path))
    (problem,) = caught.value.problems
    assert problem.line == 13
    assert said in problem.message


def test_nothing_of_the_order_of_tables_matters(tmp_path: Path) -> None:
    ours = load(write(tmp_path, HEAD + LINK + TEMPLATE + device("a", 'template = "acme-filler"')))
    theirs = load(write(tmp_path, device("a", 'template = "acme-filler"') + TEMPLATE + LINK + HEAD))
    assert ours == theirs


def test_the_sample_loads() -> None:
    settings = load(ROOT / "docs" / "sample" / "tidegate.toml", check_secrets=False)
    assert [link.name for link in settings.links] == ["filler", "meters"]
    tags = [tag for link in settings.links for one in link.devices for g in one.groups for tag in g.poll.layout.tags]
    assert len(tags) == 18
    meter2 = settings.links[1].devices[1]
    assert [group.poll.interval_s for group in meter2.groups] == [1.0, 60.0]


@pytest.mark.parametrize(("devices", "tags"), [(50, 125), (10, 1000)])
def test_a_large_configuration_loads_at_once(tmp_path: Path, devices: int, tags: int) -> None:
    """The bound is several times what it takes on a slow machine, so that only a change of kind fails."""
    rows = "".join(f"group{i % 10}/tag{i},hr:{i},uint16,0.1,Cel\n" for i in range(tags))
    text = HEAD + '\n[[template]]\nname = "t"\ndriver = "modbus"\n[[template.group]]\nname = "g"\ninterval_ms = 100\n'
    text += 'tags_csv = "t.csv"\n'
    for number in range(devices):
        text += f'\n[[link]]\nname = "l{number}"\ndriver = "modbus"\nhost = "h{number}"\n'
        text += f'\n[[device]]\nname = "d{number}"\nlink = "l{number}"\ntemplate = "t"\n'
    path = write(tmp_path, text, t_csv=f"name,address,type,scale,unit\n{rows}")
    with stopwatch() as watch, watch:
        settings = load(path)
    assert sum(len(one.groups[0].poll.points) for link in settings.links for one in link.devices) == devices * tags
    assert watch.slowest_s < 1.0
