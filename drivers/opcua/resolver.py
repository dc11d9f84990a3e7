"""From addresses to node ids as the connected server counts them."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.opcua import services, status
from drivers.opcua.address import Address, PathAddress, UnknownNamespace
from drivers.opcua.binary import NodeId
from drivers.opcua.services import Service
from drivers.opcua.session import Session, batches
from drivers.opcua.status import ServiceFailed

_ROOT = NodeId(0, 84)
_PATHS_PER_CALL = 100


async def resolve(session: Session, addresses: Sequence[Address]) -> list[NodeId | int]:
    """The node of every address, or the status code that says why there is none.

    Raises LinkDown, DeviceSilent or Garbled.
    """
    found: list[NodeId | int] = []
    paths: list[tuple[int, tuple[tuple[int, str], ...]]] = []
    for index, address in enumerate(addresses):
        try:
            if isinstance(address, PathAddress):
                paths.append((index, address.resolve(session.namespaces)))
                found.append(status.BAD_NO_MATCH)
            else:
                found.append(address.resolve(session.namespaces))
        except UnknownNamespace:
            found.append(status.BAD_NODE_ID_UNKNOWN)
    for some in batches(paths, _PATHS_PER_CALL):
        for (index, _), node in zip(some, await _translate(session, [path for _, path in some]), strict=True):
            found[index] = node
    return found


async def _translate(session: Session, paths: Sequence[tuple[tuple[int, str], ...]]) -> list[NodeId | int]:
    request = services.translate_request([(_ROOT, path) for path in paths])
    try:
        results = await session.call(Service.TRANSLATE_BROWSE_PATHS, request, services.translate_response)
    except ServiceFailed as error:
        return [error.code] * len(paths)
    nodes: list[NodeId | int] = [
        result.targets[0] if result.targets else result.status or status.BAD_NO_MATCH for result in results
    ]
    return [*nodes, *([status.BAD_NO_MATCH] * (len(paths) - len(nodes)))][: len(paths)]
