"""Modbus/TCP Security, against a raw slave behind Python's own TLS server; both ends prove themselves."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import Any

from drivers.modbus import KIND as MODBUS
from tests.conformance.adapters.modbus import ModbusAdapter
from tests.support.mosquitto import Authority, Pair


@functools.cache
def _certificates() -> tuple[Authority, Pair, Pair]:
    directory = Path(tempfile.mkdtemp(prefix="tidegate-"))
    atexit.register(shutil.rmtree, directory)
    authority = Authority(directory)
    return authority, authority.issue("device", alt="IP:127.0.0.1"), authority.issue("gateway")


class ModbusTlsAdapter(ModbusAdapter):
    row = "modbus-tls"

    def __init__(self) -> None:
        super().__init__()
        self._authority, device, self._own = _certificates()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(device.certificate, device.key)
        context.load_verify_locations(self._authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        self._slave.tls = context

    def link_options(self) -> Any:
        return MODBUS.link_options(
            transport="tls",
            host="127.0.0.1",
            port=self._slave.port,
            ca=self._authority.certificate,
            certificate=self._own.certificate,
            key=self._own.key,
            timeout_ms=int(1000 * self.timeout_s),
        )
