"""Writes and method calls: sent once, typed as the server wants it, read back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from drivers.opcua import services, status
from drivers.opcua.address import Address
from drivers.opcua.binary import Encoded, Malformed, NodeId, Reader, Type, Variant, pack_node_id, type_name
from drivers.opcua.options import TagOptions
from drivers.opcua.resolver import resolve
from drivers.opcua.services import Service
from drivers.opcua.session import Garbled, Session
from drivers.opcua.status import ServiceFailed
from drivers.opcua.values import BAD_TYPE_MISMATCH, Converter, Unfit, dumps, to_json, to_variant
from gateway.driver import DeviceSilent, LinkDown, NotWritten, Point, WriteDiffers, WriteFailed
from gateway.model import DataType, Value

_NATURAL = {
    DataType.BOOL: Type.BOOLEAN,
    DataType.INT8: Type.SBYTE,
    DataType.UINT8: Type.BYTE,
    DataType.INT16: Type.INT16,
    DataType.UINT16: Type.UINT16,
    DataType.INT32: Type.INT32,
    DataType.UINT32: Type.UINT32,
    DataType.INT64: Type.INT64,
    DataType.UINT64: Type.UINT64,
    DataType.FLOAT32: Type.FLOAT,
    DataType.FLOAT64: Type.DOUBLE,
    DataType.STRING: Type.STRING,
    DataType.BYTES: Type.BYTE_STRING,
    DataType.DATETIME: Type.DATE_TIME,
}
_ARGUMENT = NodeId(0, 298)
"""Argument_Encoding_DefaultBinary (OPC 10000-3 §8.6)."""
_ENUMERATION = NodeId(0, 29)
_SUPERTYPES_MOST = 16
_DONE_NOTHING = frozenset(
    (
        0x800B0000,  # BadServiceUnsupported
        0x80100000,  # BadTooManyOperations
        0x801F0000,  # BadUserAccessDenied
        0x80330000,  # BadNodeIdInvalid
        0x80340000,  # BadNodeIdUnknown
        0x80350000,  # BadAttributeIdInvalid
        0x80360000,  # BadIndexRangeInvalid
        0x80370000,  # BadIndexRangeNoData
        0x803B0000,  # BadNotWritable
        0x803C0000,  # BadOutOfRange
        0x80730000,  # BadWriteNotSupported
        0x80740000,  # BadTypeMismatch
        0x80E60000,  # BadSecurityModeInsufficient
        0x80E90000,  # BadLocked
    )
)
"""Statuses by which a server says that it didn't even begin; BadTimeout, say, comes from behind it."""


async def write(session: Session, point: Point, value: Value, read_back_delay_s: float) -> Value:
    """See :meth:`gateway.driver.Writes.write`."""
    node = await _node(session, point, point.options.node)
    kind: int | None = _NATURAL.get(point.type)
    if kind is None:
        kind = await _type_of(session, point, node)
    wanted = _variant(point, value, kind)
    code = await _send(session, point, node, wanted)
    if code & status.MASK == BAD_TYPE_MISMATCH:
        # A refused write has done nothing, so sending it in the right type is no repetition.
        theirs = await _type_of(session, point, node)
        if theirs != kind:
            wanted = _variant(point, value, theirs)
            code = await _send(session, point, node, wanted)
    if code >= 0x8000_0000:
        refused = f"{point.path}: the server refused the write with {status.sentence(code)}"
        if code & status.MASK in _DONE_NOTHING:
            raise NotWritten(refused)
        raise WriteFailed(f"{refused}; whether it was written is unknown")
    if read_back_delay_s:
        await asyncio.sleep(read_back_delay_s)
    return await _read_back(session, point, node, wanted)


async def call(session: Session, point: Point, value: Value) -> Value:
    """Call the method of a tag with a JSON list of inputs; gives the JSON list of outputs. Raises as :func:`write`."""
    options: TagOptions = point.options
    assert options.method is not None
    target, method = await _node(session, point, options.node), await _node(session, point, options.method)
    try:
        inputs = orjson.loads(value) if isinstance(value, str) else None
    except orjson.JSONDecodeError:
        inputs = None
    if not isinstance(inputs, list):
        raise NotWritten(f'{point.path} is a method: write a JSON list of its inputs, such as [1, "a"]')
    try:
        kinds = await _input_types(session, method)
    except (ServiceFailed, Garbled, Malformed) as error:
        raise NotWritten(f"{point.path}: the method's inputs can't be found out: {error}; nothing was sent") from None
    if len(kinds) != len(inputs):
        raise NotWritten(f"{point.path} takes {len(kinds)} inputs, not {len(inputs)}; nothing was sent")
    request = services.call_request(
        target, method, [_variant(point, each, kind) for each, kind in zip(inputs, kinds, strict=True)]
    )
    unknown = f"whether {point.path} was called is unknown"
    try:
        results = await session.call(Service.CALL, request, services.call_response)
    except (DeviceSilent, LinkDown) as error:
        raise type(error)(f"{error}; {unknown}") from None
    except Garbled as error:
        raise WriteFailed(f"{error}; {unknown}") from None
    except ServiceFailed as error:
        raise WriteFailed(f"{point.path}: the server refused the call with {error}") from None
    if len(results) != 1:
        raise WriteFailed(f"{point.path}: the server answered one call with {len(results)} results; {unknown}")
    result = results[0]
    if result.status >= 0x8000_0000:
        wrong = [f"input {at}: {status.name(code)}" for at, code in enumerate(result.inputs, 1) if code >= 0x8000_0000]
        raise WriteFailed("; ".join((f"{point.path}: the method failed with {status.sentence(result.status)}", *wrong)))
    try:
        return dumps([to_json(output, session) for output in result.outputs])
    except (Unfit, Malformed) as error:
        raise WriteDiffers(f"{point.path} was called, but what it gave can't be understood: {error}") from None


async def _node(session: Session, point: Point, address: Address) -> NodeId:
    try:
        (node,) = await resolve(session, [address])
    except Garbled as error:
        raise NotWritten(f"{point.path}: {error}; nothing was sent") from None
    if not isinstance(node, NodeId):
        raise NotWritten(f"{point.path}: there is no node {address} ({status.name(node)}); nothing was sent")
    return node


def _variant(point: Point, value: Any, kind: int) -> Variant:
    if point.type is DataType.JSON and point.options.method is None:
        try:
            value = orjson.loads(value) if isinstance(value, str) else None
        except orjson.JSONDecodeError:
            raise NotWritten(f"{point.path}: {value!r} is no JSON; nothing was sent") from None
    try:
        variant = to_variant(value, kind)
        if point.type is not DataType.FLOAT32 and kind == Type.FLOAT and variant.value != _plain(value):
            raise ValueError(f"{value!r} is no {type_name(kind)}, it would be rounded")
    except ValueError as error:
        raise NotWritten(f"{point.path} can't be written: {error}; nothing was sent") from None
    return variant


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


async def _send(session: Session, point: Point, node: NodeId, value: Variant) -> int:
    unknown = f"whether {point.path} was written is unknown"
    try:
        results = await session.call(Service.WRITE, services.write_request(node, value), services.write_response)
    except (DeviceSilent, LinkDown) as error:
        raise type(error)(f"{error}; {unknown}") from None
    except Garbled as error:
        raise WriteFailed(f"{error}; {unknown}") from None
    except ServiceFailed as error:
        return error.code
    if len(results) != 1:
        raise WriteFailed(f"{point.path}: the server answered one write with {len(results)} results; {unknown}")
    return int(results[0])


async def _read_back(session: Session, point: Point, node: NodeId, wanted: Variant) -> Value:
    try:
        (data,) = await session.read([pack_node_id(node)], services.SOURCE_TIME)
    except (DeviceSilent, LinkDown) as error:
        raise type(error)(f"{error}; {point.path} was written, what it is now is unknown") from None
    except (Garbled, ServiceFailed) as error:
        raise WriteDiffers(f"{point.path} was written but can't be read back: {error}") from None
    if data.status >= 0x8000_0000:
        raise WriteDiffers(f"{point.path} was written but can't be read back: {status.sentence(data.status)}")
    try:
        now, _ = Converter(point).convert(data, session)
    except Unfit as error:
        raise WriteDiffers(f"{point.path} was written but can't be read back: {error}") from None
    if (data.type, data.value) != (wanted.type, wanted.value) and not _both_nan(data.value, wanted.value):
        raise WriteDiffers(f"{point.path} was written but reads {now!r} now")
    return now


def _both_nan(one: Any, other: Any) -> bool:
    return isinstance(one, float) and isinstance(other, float) and one != one and other != other


# -- types


async def _type_of(session: Session, point: Point, node: NodeId) -> int:
    """The built-in type a node's values are of. Raises WriteFailed."""
    try:
        (data,) = await session.read([pack_node_id(node)], services.SOURCE_TIME, services.DATA_TYPE)
        if data.status >= 0x8000_0000 or not isinstance(data.value, NodeId):
            raise NotWritten(f"{point.path} can't be written: {status.sentence(data.status)}; nothing was sent")
        kind = await _built_in(session, data.value)
        if kind is None:
            (value,) = await session.read([pack_node_id(node)], services.SOURCE_TIME)
            kind = value.type or None
    except (ServiceFailed, Garbled) as error:
        raise NotWritten(f"{point.path} can't be written: {error}; nothing was sent") from None
    if kind is None:
        raise NotWritten(f"{point.path} can't be written: the server doesn't tell its type; nothing was sent")
    return kind


async def _built_in(session: Session, data_type: NodeId) -> int | None:
    """The built-in type that a data type is a kind of; None if it may be several (Number, BaseDataType)."""
    for _ in range(_SUPERTYPES_MOST):
        if data_type == _ENUMERATION:
            return Type.INT32
        if data_type.namespace == 0 and isinstance(data_type.identifier, int) and data_type.identifier < Type.VARIANT:
            return data_type.identifier
        request = services.browse_request([data_type], services.HAS_SUBTYPE, inverse=True)
        (references,) = await session.call(Service.BROWSE, request, services.browse_response)
        if not references:
            return None
        data_type = references[0].node
    return None


class _Argument(NamedTuple):
    name: str | None
    data_type: NodeId


async def _input_types(session: Session, method: NodeId) -> Sequence[int]:
    """The built-in type of each input; a method without inputs has no such property."""
    request = services.translate_request([(method, ((0, "InputArguments"),))])
    (path,) = await session.call(Service.TRANSLATE_BROWSE_PATHS, request, services.translate_response)
    if not path.targets:
        return ()
    (data,) = await session.read([pack_node_id(path.targets[0])], services.SOURCE_TIME)
    arguments = [_argument(each) for each in data.value or []]
    kinds = [await _built_in(session, argument.data_type) for argument in arguments]
    for argument, kind in zip(arguments, kinds, strict=True):
        if kind is None:
            raise Malformed(f"input {argument.name} may be of several types")
    return [kind for kind in kinds if kind is not None]


def _argument(encoded: Encoded) -> _Argument:
    if encoded.encoding != _ARGUMENT or not isinstance(encoded.body, bytes):
        raise Malformed("an argument that isn't one")
    reader = Reader(encoded.body)
    return _Argument(reader.string(), reader.node_id())
