from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_driver_does_not_load_pyserial() -> None:
    assert run("import sys, drivers.serial; print('serial' in sys.modules, 'fastcrc' in sys.modules)") == "False False"


def test_the_package_does_not_hide_pyserial() -> None:
    code = (
        "import drivers.serial.bus, drivers.common.portlist as p; p.ports(); import serial; print(serial.__version__)"
    )
    assert run(code) == "3.5"
