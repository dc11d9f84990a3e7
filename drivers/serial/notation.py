"""Bytes as a user writes them: ``SI\\r\\n``, ``<STX>01<ETX>``, ``\\x02A``, and hexadecimal ``hex: 02 41 0D``.

What a TOML string holds is taken character by character (U+0000 to U+00FF are the bytes 00 to FF), but for
``\\r \\n \\t \\0 \\xHH \\\\ \\<`` and the ASCII names of control characters in angle brackets (ISO/IEC 6429).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from drivers.common.quoting import quoted

_NAMES = [
    "NUL",
    "SOH",
    "STX",
    "ETX",
    "EOT",
    "ENQ",
    "ACK",
    "BEL",
    "BS",
    "HT",
    "LF",
    "VT",
    "FF",
    "CR",
    "SO",
    "SI",
    "DLE",
    "DC1",
    "DC2",
    "DC3",
    "DC4",
    "NAK",
    "SYN",
    "ETB",
    "CAN",
    "EM",
    "SUB",
    "ESC",
    "FS",
    "GS",
    "RS",
    "US",
]
CONTROLS = {name: code for code, name in enumerate(_NAMES)} | {"XON": 0x11, "XOFF": 0x13, "SP": 0x20, "DEL": 0x7F}
_ESCAPES = {"r": 13, "n": 10, "t": 9, "0": 0, "\\": 92, "<": 60}
_TOKEN = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)|<([A-Z0-9]{2,4})>|(.)", re.DOTALL)
_SHOWN = {13: "\\r", 10: "\\n", 92: "\\\\", 60: "\\<"} | {
    code: f"<{name}>" for name, code in CONTROLS.items() if code not in (13, 10, 32)
}


def parse(text: str) -> bytes:
    """Raises ValueError, in one sentence, for what isn't understood."""
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text[4:])
        except ValueError:
            raise ValueError(
                f"{quoted(text)} isn't hexadecimal: write pairs of digits, such as 'hex: 02 41 0D'"
            ) from None
    out = bytearray()
    for code, escape, name, plain in _TOKEN.findall(text):
        if code:
            out.append(int(code, 16))
        elif escape:
            if escape not in _ESCAPES:
                raise ValueError(
                    f"{quoted(chr(92) + escape)} in {quoted(text)} isn't known: "
                    "use \\r, \\n, \\t, \\0, \\xHH, \\\\ or \\<"
                )
            out.append(_ESCAPES[escape])
        elif name:
            if name not in CONTROLS:
                raise ValueError(f"'<{name}>' in {quoted(text)} is no control character: write <STX>, <CR> or the like")
            out.append(CONTROLS[name])
        elif ord(plain) > 0xFF:
            raise ValueError(f"{quoted(plain)} in {quoted(text)} is more than one byte: write its bytes as \\xHH")
        else:
            out.append(ord(plain))
    return bytes(out)


def show(data: bytes) -> str:
    """The notation of `data`; :func:`parse` is its inverse."""
    text = "".join(_SHOWN.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data)
    return "\\x68" + text[1:] if text.startswith("hex:") else text


def _from_text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("write bytes as text, such as 'SI\\r\\n' or '<STX>'")
    return parse(value)


ByteText = Annotated[
    bytes,
    BeforeValidator(_from_text),
    PlainSerializer(show, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["SI\\r\\n", "<STX>", "hex: 02 41 0D"]}),
]
"""An option that holds bytes."""
