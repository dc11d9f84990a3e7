"""Who a server says it is (OPC 10000-5 §6.3.2, §12.4): its build, and the application it was introduced as."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.opcua import services, status
from drivers.opcua.binary import NodeId, pack_node_id
from drivers.opcua.session import Garbled, Session
from drivers.opcua.status import ServiceFailed
from gateway.driver import DeviceSilent

_BUILD_INFO = {
    "maker": NodeId(0, 2263),
    "product": NodeId(0, 2261),
    "version": NodeId(0, 2264),
    "build": NodeId(0, 2265),
    "product uri": NodeId(0, 2262),
}


async def identify(session: Session) -> Mapping[str, str]:
    """See :meth:`gateway.driver.Identifies.identify`. Raises LinkDown or DeviceSilent."""
    said: dict[str, str] = {}
    agreement = session.agreement
    if agreement is not None and (name := agreement.endpoint.server.name):
        said["name"] = name
    try:
        values = await session.read([pack_node_id(node) for node in _BUILD_INFO.values()], services.SERVER_TIME)
    except (ServiceFailed, Garbled) as error:
        if said:
            return said
        raise DeviceSilent(f"{session.peer} doesn't say what it is: {error}") from None
    for key, value in zip(_BUILD_INFO, values, strict=True):
        if value.status < status.BAD and isinstance(value.value, str) and value.value:
            said[key] = value.value
    return said
