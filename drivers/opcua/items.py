"""Monitored items: what is asked of the server for each column, and creating them so that none fails another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from drivers.opcua import services, status
from drivers.opcua.options import TagOptions
from drivers.opcua.profiles import Limits
from drivers.opcua.services import NO_FILTER, Item, ItemResult, Service
from drivers.opcua.session import Garbled, Session, batches
from drivers.opcua.status import ServiceFailed
from gateway.driver import DeviceSilent
from gateway.model import Quality

_TRIGGERS = {"status": 0, "value": 1, "timestamp": 2}
_ABSOLUTE, _PERCENT = 1, 2

_FASTEST_S = 0.01
"""What "as fast as you can" is reckoned as when a queue is sized."""
MAX_QUEUE = 10_000


def data_item(
    node: bytes, handle: int, options: TagOptions, interval_s: float, outage_s: float, limits: Limits
) -> Item:
    """The monitored item of one value."""
    sampling_s = interval_s if options.sampling_ms is None else options.sampling_ms / 1000
    return Item(
        node=node,
        attribute=services.VALUE,
        handle=handle,
        sampling_ms=1000 * sampling_s,
        queue_size=queue_size(options, sampling_s, outage_s, limits),
        discard_oldest=options.discard_oldest,
        filter=_filter(options) if limits.filters else NO_FILTER,
    )


def queue_size(options: TagOptions, sampling_s: float, outage_s: float, limits: Limits) -> int:
    """Enough for every sample of the tolerated outage, and the one that is being published."""
    wanted = options.queue_size or min(math.ceil(outage_s / max(sampling_s, _FASTEST_S)) + 1, MAX_QUEUE)
    return min(wanted, limits.queue_size) if limits.queue_size else wanted


def _filter(options: TagOptions) -> bytes:
    trigger = _TRIGGERS[options.trigger]
    if options.server_deadband is not None:
        return services.data_change_filter(trigger, _ABSOLUTE, options.server_deadband)
    if options.server_deadband_percent is not None:
        return services.data_change_filter(trigger, _PERCENT, options.server_deadband_percent)
    return NO_FILTER if options.trigger == "value" else services.data_change_filter(trigger, 0, 0.0)


async def create(session: Session, subscription: int, times: int, items: Sequence[Item]) -> list[ItemResult]:
    """One result per item, good or bad. A batch that is refused as a whole is divided until what is wrong stands alone.

    Raises LinkDown or DeviceSilent.
    """
    results = [ItemResult(int(Quality.BAD_TIMEOUT), 0, 0.0, 0)] * len(items)
    waiting = [list(run) for run in reversed(batches(range(len(items)), session.limits.items_per_call))]
    while waiting:
        run = waiting.pop()
        request = services.create_items_request(subscription, times, [items[index] for index in run])
        try:
            created = await session.call(Service.CREATE_MONITORED_ITEMS, request, services.create_items_response)
            if len(created) != len(run):
                raise Garbled(f"{session.peer} created {len(created)} items of {len(run)}")
        except Garbled as error:
            raise DeviceSilent(str(error)) from None
        except ServiceFailed as error:
            if len(run) > 1 and error.code & status.MASK != status.BAD_SUBSCRIPTION_ID_INVALID:
                middle = len(run) // 2
                waiting += [run[middle:], run[:middle]]
                continue
            created = [ItemResult(error.code, 0, 0.0, 0)] * len(run)
        for index, result in zip(run, created, strict=True):
            results[index] = result
    return results


_FILTER_REFUSED = frozenset(
    {
        status.BAD_MONITORED_ITEM_FILTER_INVALID,
        status.BAD_MONITORED_ITEM_FILTER_UNSUPPORTED,
        status.BAD_FILTER_NOT_ALLOWED,
    }
)


def refuses_filter(result: ItemResult, item: Item) -> bool:
    """Whether the server would have the item, if it had no filter. Events make no sense without one."""
    return (
        result.status & status.MASK in _FILTER_REFUSED and item.filter != NO_FILTER and item.attribute == services.VALUE
    )


def without_filter(item: Item) -> Item:
    return replace(item, filter=NO_FILTER)
