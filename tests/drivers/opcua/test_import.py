from __future__ import annotations

from tests.support.interpreter import run


def test_importing_the_driver_loads_no_cryptography() -> None:
    assert run("import sys, drivers.opcua; print('asyncua' in sys.modules, 'cryptography' in sys.modules)") == (
        "False False"
    )


def test_no_link_loads_asyncua() -> None:
    """It costs 25 MB; the driver shares no code with it."""
    loaded = run(
        "import sys\n"
        "from drivers.opcua import KIND\n"
        "from tests.support.site import SITE\n"
        "KIND.open_bus('link1', KIND.link_options(url='opc.tcp://127.0.0.1'), SITE)\n"
        "print('asyncua' in sys.modules, 'drivers.opcua.session' in sys.modules)"
    )
    assert loaded == "False True"
