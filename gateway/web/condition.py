"""How devices are, from the gateway's status: the same on every page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_STATES = {"normal": ("good", "Good"), "failure": ("bad", "Failure"), "connecting": ("off", "Connecting")}
_SHOWN_BAD_TAGS = 3


def devices_of(links: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A device each, in the order of the configuration. `links`: of the status, by name.

    `kind` and `word` say its state, `detail` why it isn't good; `tags` and `bad` are counts; `p99_ms` is how long a
    read takes, None where none was answered.
    """
    for link_name, link in links.items():
        for name, device in link["devices"].items():
            groups = device["groups"]
            kind, word = _STATES.get(device["state"], ("uncertain", device["state"]))
            bad = [f"{path} {quality}" for group in groups.values() for path, quality in group["bad_tags"].items()]
            if kind == "good" and bad:
                kind, word = "uncertain", "Some tags bad"
            # Of what the device reports by itself nobody waits for an answer.
            times = [group["read_ms"]["p99"] for group in groups.values() if group["polls"] and kind != "bad"]
            yield {
                "name": name,
                "link": link_name,
                "kind": kind,
                "word": word,
                "detail": device["detail"] or link["detail"] or _listed(bad),
                "tags": sum(group["tags"] for group in groups.values()),
                "bad": len(bad),
                "p99_ms": max((time for time in times if time is not None), default=None),
                "groups": [
                    {"name": each, "tags": group["tags"], "bad": len(group["bad_tags"])}
                    for each, group in groups.items()
                ],
            }


def _listed(bad: list[str]) -> str:
    more = len(bad) - _SHOWN_BAD_TAGS
    return ", ".join(bad[:_SHOWN_BAD_TAGS]) + (f" and {more} more" if more > 0 else "")
