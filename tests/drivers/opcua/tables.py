"""The standard's tables that the driver keeps, as asyncua knows them: ``python -m tests.drivers.opcua.tables``."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Any, get_args, get_origin

import orjson
from asyncua import ua
from asyncua.ua.status_codes import code_to_name_doc
from asyncua.ua.ua_binary import get_safe_type_hints

import drivers.opcua

FOLDER = Path(drivers.opcua.__file__).parent
_DEPTH_MOST = 8


class Unfit(Exception):
    """Not made of plain fields."""


def status_texts() -> str:
    """Code and text of each."""
    return "".join(f"{code:08X}\t{text}\n" for code, (_, text) in sorted(code_to_name_doc.items()))


def standard_structures() -> bytes:
    structures: dict[str, list[list[Any]]] = {}
    encodings: dict[str, str] = {}
    for encoding, kind in ua.extension_objects_by_typeid.items():
        try:
            fields = _structures(kind, 0)
        except Unfit:
            continue
        structures |= fields
        encodings[str(encoding.Identifier)] = kind.__name__
    by_number = dict(sorted(encodings.items(), key=lambda item: int(item[0])))
    table = {"encodings": by_number, "structures": dict(sorted(structures.items()))}
    return orjson.dumps(table).replace(b"]],", b"]],\n") + b"\n"


def _structures(kind: type, depth: int) -> dict[str, list[list[Any]]]:
    """`kind` and those it is made of: name, built-in type or name of the structure, and whether it is an array."""
    if depth > _DEPTH_MOST or not dataclasses.is_dataclass(kind) or issubclass(kind, ua.UaUnion):
        raise Unfit
    found: dict[str, list[list[Any]]] = {}
    fields: list[list[Any]] = []
    try:
        hints = get_safe_type_hints(kind, {"ua": ua})
    except AttributeError:  # made of what asyncua itself doesn't have
        raise Unfit from None
    for each in dataclasses.fields(kind):
        hint = hints[each.name]
        is_array = get_origin(hint) is list
        if is_array:
            (hint,) = get_args(hint)
        if not isinstance(hint, type) or each.name == "Encoding" or issubclass(hint, enum.IntFlag):
            raise Unfit  # optional fields, or of a width that depends
        built_in = getattr(ua.VariantType, hint.__name__, None)
        if issubclass(hint, enum.Enum):
            built_in = ua.VariantType.Int32
        if built_in is None:
            found |= _structures(hint, depth + 1)
        fields.append([each.name, hint.__name__ if built_in is None else built_in.value, is_array])
    return found | {kind.__name__: fields}


def main() -> None:
    (FOLDER / "status_texts.tsv").write_text(status_texts())
    (FOLDER / "standard_structures.json").write_bytes(standard_structures())


if __name__ == "__main__":
    main()
