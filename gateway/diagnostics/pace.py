"""Whether devices keep up with what is asked of them: reads made and left out of late, while they answer.

What is left out while a device is away says nothing about its pace, so that isn't counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from gateway.southbound.status import LinkStatus

_WINDOW = 60
"""Samples that count: five minutes of one every five seconds."""


class Pace:
    """Samples of the status's counters by device and group."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], deque[tuple[int, int]]] = {}

    def sample(self, links: Mapping[str, LinkStatus]) -> None:
        answering: dict[tuple[str, str], tuple[int, int]] = {}
        for link in links.values():
            for device, status in link["devices"].items():
                if status["state"] != "normal":
                    continue
                for group, counters in status["groups"].items():
                    answering[device, group] = counters["polls"], counters["missed"]
        for key, counts in answering.items():
            samples = self._samples.setdefault(key, deque(maxlen=_WINDOW))
            if samples and counts[0] < samples[-1][0]:
                samples.clear()  # the group was started anew
            samples.append(counts)
        for key in self._samples.keys() - answering.keys():
            del self._samples[key]

    def recent(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(reads made, reads left out) of each (device, group) that answers."""
        return {
            key: (samples[-1][0] - samples[0][0], samples[-1][1] - samples[0][1])
            for key, samples in self._samples.items()
        }
