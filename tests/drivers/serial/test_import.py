from __future__ import annotations

from tests.support.interpreter import run


def test_importing_the_driver_does_not_load_pyserial() -> None:
    assert run("import sys, drivers.serial; print('serial' in sys.modules, 'fastcrc' in sys.modules)") == "False False"


def test_the_package_does_not_hide_pyserial() -> None:
    code = (
        "import drivers.serial.bus\n"
        "from drivers.common.serialport.portlist import ports\n"
        "ports()\n"
        "import serial\n"
        "print(serial.__version__)"
    )
    assert run(code) == "3.5"
