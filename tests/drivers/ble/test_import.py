from __future__ import annotations

from tests.support.interpreter import run


def loaded(after: str) -> set[str]:
    names = run(f"import sys\n{after}\nprint(' '.join(sorted(sys.modules)))").split()
    return {name.partition(".")[0] for name in names}


def test_importing_the_driver_loads_no_library() -> None:
    assert not loaded("import drivers.ble") & {"bleak", "dbus_fast", "cryptography"}


def test_planning_loads_no_library() -> None:
    code = (
        "from drivers.ble import KIND\n"
        "from tests.support.site import SITE\n"
        "from tests.drivers.ble.points import group, tag\n"
        "bus = KIND.open_bus('link1', KIND.link_options(), SITE)\n"
        "device = KIND.open_device(bus, 'd', KIND.device_options(address='C0:00:00:00:00:01', format='bthome'))\n"
        "assert not device.plan(group(tag('t', 'float64', field='temperature'))).errors"
    )
    assert not loaded(code) & {"bleak", "dbus_fast", "cryptography"}


def test_only_a_key_loads_cryptography() -> None:
    code = "from drivers.ble.adverts import FORMATS\nfor each in FORMATS.values(): each.decoder({})"
    assert "cryptography" not in loaded(code.format("None"))
    assert "cryptography" in loaded(code.format("bytes(16)"))
