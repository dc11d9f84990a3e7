"""Calling the ``tidegate`` command of the gateway that a module runs on. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

FAILED, USAGE, INVALID, UNREACHABLE, CONFLICT, DENIED = range(1, 7)
"""The command's exit codes."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "command": {"type": "str", "default": "tidegate"},
    "config": {"type": "path", "default": "/etc/tidegate/tidegate.toml"},
    "socket": {"type": "path"},
}


@dataclass(frozen=True)
class Answer:
    """What a call of the command came to."""

    code: int
    out: str
    said: str
    """One sentence: what went wrong, and what mends it."""

    @property
    def body(self) -> Any:
        return json.loads(self.out) if self.out.strip() else None


class Gateway:
    """The command, called as a module's own options say. A call that fails ends the module with its sentence."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._place = ["--config", module.params["config"]]
        self._socket = ["--socket", module.params["socket"]] if module.params["socket"] else []
        self._command = module.get_bin_path(
            module.params["command"], required=False, opt_dirs=["/usr/local/bin", "/opt/tidegate/bin"]
        )
        if self._command is None:
            name = module.params["command"]
            self.fail(f"there is no command {name!r} here: install tidegate, or set tidegate_command")

    def call(self, *words: str, stdin: str | None = None, by_socket: bool = True, json_out: bool = True) -> Answer:
        """Whatever comes of it. `by_socket`: the command knows --socket; `json_out`: it knows --json."""
        place = [*self._place, *(self._socket if by_socket else [])]
        return self._run([*words, *place, *(["--json"] if json_out else [])], stdin)

    def call_alone(self, *words: str, stdin: str | None = None) -> Answer:
        """A command that needs neither the gateway nor its configuration."""
        return self._run([*words, "--json"], stdin)

    def _run(self, words: list[str], stdin: str | None) -> Answer:
        code, out, err = self._module.run_command([self._command, *words], data=stdin, binary_data=False)
        return Answer(code, out, sentence(err) or f"tidegate {words[0]} ended with exit code {code}")

    def ask(self, *words: str, **more: Any) -> Any:
        """The JSON that is answered."""
        answer = self.call(*words, **more)
        if answer.code != 0:
            self.refused(answer)
        return answer.body

    def do(self, *words: str, **more: Any) -> None:
        """For commands that leave nothing to tell of."""
        answer = self.call(*words, json_out=False, **more)
        if answer.code != 0:
            self.refused(answer)

    def refused(self, answer: Answer, **more: Any) -> NoReturn:
        self.fail(answer.said, exit_code=answer.code, **more)

    def fail(self, message: str, **more: Any) -> NoReturn:
        self._module.fail_json(msg=message, **more)


def sentence(err: str) -> str:
    """What the command says on stderr, as one line: ``what went wrong (what mends it)``."""
    said: list[str] = []
    for line in err.splitlines():
        text = line.strip().removeprefix("tidegate: ")
        if text.startswith("→") and said:
            said[-1] += f" ({text.removeprefix('→').strip()})"
        elif text:
            said.append(text)
    return "; ".join(said)
