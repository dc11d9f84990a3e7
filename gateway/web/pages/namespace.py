"""Namespace: where every tag stands among the topics, and what is published there."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response

from gateway.web.visit import Page, Section, Visit


async def show(visit: Visit) -> Response:
    return visit.render("namespace.html", tag=visit.query.get("tag", ""))


async def _part(visit: Visit) -> Response:
    """One tag: its topics and the last message of each."""
    tag = await visit.get(f"/v1/tags/{quote(visit.query.get('tag', ''))}")
    published = {message["sink"]: message for message in tag["published"]}
    messages = [{**place, "message": _message(published.get(place["sink"]))} for place in tag["destinations"]]
    return visit.render("namespace_tag.html", tag=tag, messages=messages)


def _message(published: dict[str, Any] | None) -> dict[str, Any] | None:
    if published is None or "error" in published:
        return published
    payload = published["payload"]
    try:
        pretty = orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        pretty = payload  # the beginning of a long one
    return {**published, "pretty": pretty, "whole": len(payload.encode()) == published["bytes"]}


SECTION = Section("Namespace", "/namespace", "namespace", (Page("/namespace", show), Page("/namespace/tag", _part)))
