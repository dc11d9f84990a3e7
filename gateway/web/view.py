"""Templates: Jinja2, escaping everything, strict about names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from gateway import __version__
from gateway.web import words
from gateway.web.assets import Assets
from gateway.web.visit import Section

DIRECTORY = Path(__file__).parent / "templates"


class View:
    """Renders what lies under ``templates/``. Every template sees `sections`, `asset`, `version` and the filters."""

    def __init__(self, assets: Assets, sections: Sequence[Section]) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(DIRECTORY),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(asset=assets.url, sections=tuple(sections), version=__version__)
        self._environment.filters.update(words.FILTERS)

    def render(self, template: str, **context: Any) -> str:
        return self._environment.get_template(template).render(context)
