"""Reading many nodes so that none of them can spoil it for the others."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.opcua import status
from drivers.opcua.binary import DataValue
from drivers.opcua.session import Garbled, ServiceFailed, Session, batches
from gateway.driver import DeviceSilent
from gateway.model import Quality


async def read_all(session: Session, nodes: Sequence[bytes], times: int) -> list[DataValue]:
    """The value of every (packed) node, or a status that says why there is none.

    A request that is refused as a whole or answered with nonsense is divided until what is wrong stands alone. Raises
    LinkDown; DeviceSilent if no request was answered. After one that wasn't, no other is made.
    """
    values: list[DataValue] = [_failed(Quality.BAD_TIMEOUT)] * len(nodes)
    waiting = [list(run) for run in reversed(batches(range(len(nodes)), session.limits.nodes_per_read))]
    answered = False
    while waiting:
        run = waiting.pop()
        try:
            read = await session.read([nodes[index] for index in run], times)
        except DeviceSilent:
            if not answered:
                raise
            break
        except (ServiceFailed, Garbled) as error:
            answered = True
            if len(run) > 1 and _may_depend_on_size(error):
                middle = len(run) // 2
                waiting += [run[middle:], run[:middle]]
                continue
            code = error.code if isinstance(error, ServiceFailed) else Quality.BAD_DECODING_ERROR
            read = [_failed(code)] * len(run)
        answered = True
        for index, value in zip(run, read, strict=True):
            values[index] = value
    return values


def _may_depend_on_size(error: ServiceFailed | Garbled) -> bool:
    return isinstance(error, Garbled) or error.code & status.MASK in status.TOO_MUCH


def _failed(code: int) -> DataValue:
    return DataValue(0, None, None, int(code), 0, 0)
