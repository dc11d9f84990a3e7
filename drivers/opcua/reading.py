"""Reading many nodes so that none of them can spoil it for the others."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.opcua import status
from drivers.opcua.binary import DataValue
from drivers.opcua.session import Garbled, Session, batches
from drivers.opcua.status import ServiceFailed
from gateway.driver import DeviceSilent
from gateway.model import Quality

_DIVISIONS_MOST = 64
"""Extra requests one read may spend on finding out what the server chokes on: enough for three nodes of a thousand."""


async def read_all(session: Session, nodes: Sequence[bytes], times: int) -> list[DataValue]:
    """The value of every (packed) node, or a status that says why there is none.

    A request that is refused as a whole or answered with nonsense is divided until what is wrong stands alone, and from
    then on is asked for alone. Raises LinkDown; DeviceSilent if no request was answered. After one that wasn't, no
    other is made.
    """
    values: list[DataValue] = [_failed(Quality.BAD_TIMEOUT)] * len(nodes)
    alone = session.asked_alone
    together = [index for index, node in enumerate(nodes) if node not in alone] if alone else range(len(nodes))
    waiting = [list(run) for run in batches(together, session.limits.nodes_per_read)]
    waiting += [[index] for index, node in enumerate(nodes) if node in alone]
    waiting.reverse()
    answered = False
    divisions = 0
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
            code = error.code if isinstance(error, ServiceFailed) else int(Quality.BAD_DECODING_ERROR)
            if len(run) > 1 and divisions < _DIVISIONS_MOST and code & status.MASK not in status.HOPELESS:
                divisions += 2
                middle = len(run) // 2
                waiting += [run[middle:], run[:middle]]
                continue
            if len(run) == 1 and divisions:
                alone.add(nodes[run[0]])
            read = [_failed(code)] * len(run)
        answered = True
        for index, value in zip(run, read, strict=True):
            values[index] = value
    return values


def _failed(code: int) -> DataValue:
    return DataValue(0, None, None, int(code), 0, 0)
