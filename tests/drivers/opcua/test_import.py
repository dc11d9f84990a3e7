from __future__ import annotations

from tests.support.interpreter import run


def test_importing_the_driver_does_not_load_asyncua() -> None:
    assert run("import sys, drivers.opcua; print('asyncua' in sys.modules, 'cryptography' in sys.modules)") == (
        "False False"
    )


def test_asyncua_comes_with_the_first_link() -> None:
    loaded = run(
        "import sys\n"
        "from drivers.opcua import KIND\n"
        "from tests.support.site import SITE\n"
        "KIND.open_bus('link1', KIND.link_options(url='opc.tcp://127.0.0.1', security_policy='None'), SITE)\n"
        "print('asyncua' in sys.modules, 'asyncua.sync' in sys.modules)"
    )
    assert loaded == "True False"
