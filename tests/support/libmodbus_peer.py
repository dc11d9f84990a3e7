"""An independent Modbus server: libmodbus (the distribution's C library), driven through ctypes in a subprocess.

It shares no code with pymodbus or the drivers. Over TCP it serves any number of connections and answers every unit; on
a serial port it is unit 1, RTU. The test process sets and reads its four address spaces over a pipe::

    with LibmodbusPeer() as peer:
        peer.set_holding(100, [1, 2, 3])
        ...  # connect to 127.0.0.1:peer.port

Needs Debian's package ``libmodbus5``; :func:`available` says whether it is there.
"""

from __future__ import annotations

import ctypes
import json
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

SIZE = 65536
"""Entries in each of the four address spaces."""
_LIBRARY = "libmodbus.so.5"


def available() -> bool:
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


class LibmodbusPeer:
    """The server as seen from the test process. A context manager; blocking calls, each well under a millisecond."""

    def __init__(
        self, port: int = 0, sizes: tuple[int, int, int, int] = (SIZE, SIZE, SIZE, SIZE), *, device: str = ""
    ) -> None:
        """`sizes`: how many coils, discrete inputs, holding and input registers exist; beyond is exception 2. `device`:
        a serial port to serve instead of TCP."""
        self.port = port
        self._device = device
        self._sizes = sizes
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> LibmodbusPeer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> int:
        """Start, on the port of the last time if there was one. Returns the port. All values are zero."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._device or str(self.port), *map(str, self._sizes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read()["port"])
        return self.port

    def stop(self) -> None:
        """End the server at once; its connections are closed by the kernel. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def set_coils(self, address: int, values: Sequence[bool]) -> None:
        self._ask(table="bits", address=address, values=[int(value) for value in values])

    def set_discrete(self, address: int, values: Sequence[bool]) -> None:
        self._ask(table="input_bits", address=address, values=[int(value) for value in values])

    def set_holding(self, address: int, values: Sequence[int]) -> None:
        self._ask(table="registers", address=address, values=list(values))

    def set_inputs(self, address: int, values: Sequence[int]) -> None:
        self._ask(table="input_registers", address=address, values=list(values))

    def coils(self, address: int, count: int = 1) -> list[bool]:
        return [bool(value) for value in self._ask(table="bits", address=address, count=count)["values"]]

    def holding(self, address: int, count: int = 1) -> list[int]:
        return list(self._ask(table="registers", address=address, count=count)["values"])

    def requests(self) -> int:
        """How many requests it has answered."""
        return int(self._ask(requests=True)["requests"])

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process is not None, "the peer isn't running"
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the libmodbus peer ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = (
        *((f"{kind}_{table}", ctypes.c_int) for table in ("bits", "input_bits") for kind in ("nb", "start")),
        *((f"{kind}_{table}", ctypes.c_int) for table in ("input_registers", "registers") for kind in ("nb", "start")),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY, use_errno=True)
    library.modbus_new_tcp.restype = ctypes.c_void_p
    library.modbus_new_tcp.argtypes = [ctypes.c_char_p, ctypes.c_int]
    library.modbus_new_rtu.restype = ctypes.c_void_p
    library.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    for call in (library.modbus_set_slave, library.modbus_connect, library.modbus_get_socket):
        call.argtypes = [ctypes.c_void_p, ctypes.c_int][: 2 if call is library.modbus_set_slave else 1]
    library.modbus_mapping_new.restype = ctypes.POINTER(_Mapping)
    library.modbus_mapping_new.argtypes = [ctypes.c_int] * 4
    library.modbus_tcp_listen.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.modbus_set_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.modbus_receive.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.modbus_reply.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(_Mapping)]
    return library


def _serve_line(device: str, sizes: tuple[int, int, int, int]) -> None:
    """The subprocess of a serial peer: one thread over the port and the command pipe, until the pipe ends."""
    library = _library()
    context = library.modbus_new_rtu(device.encode(), 19200, b"E", 8, 1)
    library.modbus_set_slave(context, 1)
    if library.modbus_connect(context) < 0:
        raise OSError(ctypes.get_errno(), f"libmodbus can't open {device}")
    mapping = library.modbus_mapping_new(*sizes)
    line = library.modbus_get_socket(context)
    _say({"port": 0})
    query = ctypes.create_string_buffer(260)
    requests = 0
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    poll.register(line, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == line:
                size = library.modbus_receive(context, query)
                if size > 0:
                    requests += 1
                    library.modbus_reply(context, query, size, mapping)
            elif command := sys.stdin.readline():
                asked = json.loads(command)
                _say({"requests": requests} if "requests" in asked else _access(mapping, asked))
            else:
                return


def _serve(port: int, sizes: tuple[int, int, int, int]) -> None:
    """The subprocess: one thread over all sockets and the command pipe, until the pipe ends."""
    library = _library()
    context = library.modbus_new_tcp(b"127.0.0.1", port)
    mapping = library.modbus_mapping_new(*sizes)
    listener = socket.socket(fileno=library.modbus_tcp_listen(context, 16))
    _say({"port": listener.getsockname()[1]})
    query = ctypes.create_string_buffer(260)
    clients: dict[int, socket.socket] = {}
    requests = 0
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    poll.register(listener, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == sys.stdin.fileno():
                line = sys.stdin.readline()
                if not line:
                    return
                command = json.loads(line)
                answer = {"requests": requests} if "requests" in command else _access(mapping, command)
                _say(answer)
            elif ready == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client, select.POLLIN)
            else:
                library.modbus_set_socket(context, ready)
                size = library.modbus_receive(context, query)
                if size > 0:
                    requests += 1
                    library.modbus_reply(context, query, size, mapping)
                elif size < 0:
                    poll.unregister(ready)
                    clients.pop(ready).close()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _access(mapping: Any, command: dict[str, Any]) -> dict[str, Any]:
    table = getattr(mapping.contents, f"tab_{command['table']}")
    address = command["address"]
    if "values" in command:
        for index, value in enumerate(command["values"]):
            table[address + index] = value
        return {}
    return {"values": [table[address + index] for index in range(command["count"])]}


if __name__ == "__main__":
    coils, discrete, holding, inputs = map(int, sys.argv[2:])
    where, spaces = sys.argv[1], (coils, discrete, holding, inputs)
    if where.isdecimal():
        _serve(int(where), spaces)
    else:
        _serve_line(where, spaces)
