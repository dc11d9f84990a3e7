"""A callback for ansible-playbook that keeps what every task did, as JSON in the file ``$FLEET_RECORD``."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: recorder
type: stdout
short_description: Keep what every task did
description: As the default callback, and a file besides.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""


class CallbackModule(Default):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self._plays: list[dict[str, Any]] = []
        self._tasks: dict[str, dict[str, Any]] = {}

    def v2_playbook_on_play_start(self, play: Any) -> None:
        super().v2_playbook_on_play_start(play)
        self._plays.append({"play": play.get_name(), "tasks": []})

    def _keep(self, result: Any, **more: Any) -> None:
        task = result.task
        known = self._tasks.get(task._uuid)
        if known is None or known not in self._plays[-1]["tasks"]:
            known = self._tasks[task._uuid] = {"task": {"name": task.get_name()}, "hosts": {}}
            self._plays[-1]["tasks"].append(known)
        known["hosts"][result.host.name] = {**result.result, **more}

    def v2_runner_on_ok(self, result: Any) -> None:
        super().v2_runner_on_ok(result)
        self._keep(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        super().v2_runner_on_failed(result, ignore_errors=ignore_errors)
        self._keep(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        super().v2_runner_on_unreachable(result)
        self._keep(result, unreachable=True)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        super().v2_playbook_on_stats(stats)
        body = {"stats": {host: stats.summarize(host) for host in stats.processed}, "plays": self._plays}
        with open(os.environ["FLEET_RECORD"], "w") as file:
            json.dump(body, file, default=str)
