"""A time server (SNTP, RFC 4330) that tells this machine's time, and keeps quiet when it is told to."""

from __future__ import annotations

import socket
import struct
import threading
import time

_PORT = 123
_TO_1900_S = 2_208_988_800
_SERVER, _VERSION = 4, 4
_SIZE = 48


class TimeServer:
    """A thread, from `start` to `stop`. Needs the right to use port 123."""

    def __init__(self, host: str) -> None:
        self.quiet = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, _PORT))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="time server", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            request, client = self._socket.recvfrom(512)
            if len(request) < _SIZE:
                return  # woken up by `stop`
            if self.quiet:
                continue
            now = _stamp(time.time())
            head = struct.pack(">BBbbII4s", _VERSION << 3 | _SERVER, 2, 6, -20, 0, 0, b"LOCL")
            self._socket.sendto(head + now + request[40:48] + now + _stamp(time.time()), client)


def _stamp(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack(">II", whole + _TO_1900_S, int((seconds - whole) * (1 << 32)))
