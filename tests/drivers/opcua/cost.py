"""What it costs to take a publish response of 1,000 doubles apart: ``python -m tests.drivers.opcua.cost``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from drivers.opcua import services
from drivers.opcua.binary import Reader

ITEMS = 1000
ROUNDS = 50


def _response() -> bytes:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    change = ua.DataChangeNotification()
    for handle in range(ITEMS):
        value = ua.Variant(handle / 7, ua.VariantType.Double)
        data = ua.DataValue(value, SourceTimestamp=moment)  # type: ignore[arg-type]
        change.MonitoredItems.append(ua.MonitoredItemNotification(handle, data))  # type: ignore[arg-type]
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 1  # type: ignore[assignment]
    response.Parameters.NotificationMessage.NotificationData = [change]  # type: ignore[list-item]
    return struct_to_binary(response)


def _ours(body: bytes) -> int:
    reader = Reader(body)
    services.response_header(reader)
    services.publish_response(reader)
    part = reader.extension_object().body
    assert isinstance(part, bytes)
    items = Reader(part)
    values = [(items.uint32(), items.data_value()) for _ in range(items.count(5))]
    return len(values)


def _theirs(body: bytes) -> int:
    response = struct_from_binary(ua.PublishResponse, Buffer(body))
    return len(response.Parameters.NotificationMessage.NotificationData[0].MonitoredItems)  # type: ignore[attr-defined]


def _best_us(take_apart: Callable[[bytes], int], body: bytes) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time_ns()
        assert take_apart(body) == ITEMS
        best = min(best, (time.process_time_ns() - before) / 1000 / ITEMS)
    return best


def main() -> None:
    body = _response()
    for name, take_apart in (("this driver", _ours), ("asyncua", _theirs)):
        sys.stdout.write(f"{name}: {_best_us(take_apart, body):.1f} µs a value\n")


if __name__ == "__main__":
    main()
