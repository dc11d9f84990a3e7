"""What somebody gave in a form, its secrets kept first: the configuration only ever refers to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import FormData

from gateway.web.forms import Field, Filled, filled, is_reference
from gateway.web.visit import Visit


async def given(visit: Visit, fields: Sequence[Field], form: FormData, owner: str) -> Filled:
    """As :func:`gateway.web.forms.filled`. `owner`: whose secrets they are, for the names of their files."""
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    for field in fields:
        text = texts.get(field.name, "")
        if field.kind == "secret" and text and not is_reference(text):
            name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{owner}-{field.key}").strip("-_") or "secret"
            kept = await visit.post("/v1/secrets", {"name": name[:100], "text": text})
            texts[field.name] = f"file:{kept['file']}"
    return filled(fields, texts)
