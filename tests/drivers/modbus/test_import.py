from __future__ import annotations

from tests.support.interpreter import run


def test_importing_the_driver_does_not_load_pymodbus() -> None:
    assert run("import sys, drivers.modbus; print(any(name.startswith('pymodbus') for name in sys.modules))") == "False"


def test_opening_a_link_loads_its_pdus_but_neither_client_nor_server() -> None:
    loaded = run(
        "import sys\n"
        "from drivers.modbus import KIND\n"
        "from tests.support.site import SITE\n"
        "bus = KIND.open_bus('link1', KIND.link_options(host='127.0.0.1'), SITE)\n"
        "print(' '.join(sorted(name for name in sys.modules if name.startswith('pymodbus'))))"
    ).split()
    assert "pymodbus.pdu" in loaded
    assert not {name for name in loaded if name.startswith(("pymodbus.client", "pymodbus.server", "pymodbus.transp"))}
