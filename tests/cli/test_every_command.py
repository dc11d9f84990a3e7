"""What holds for every command: JSON, help, mends, exit codes, a quick start, completion, progress."""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import os
import pty
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from gateway.cli import main
from gateway.cli.output import Exit
from gateway.cli.reference import page
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port

ROOT = Path(__file__).parents[2]

WITHOUT_JSON = {
    "tidegate run": "serves until it is stopped",
    "tidegate web": "serves until it is stopped",
    "tidegate demo": "is for people to look at",
    "tidegate config schema": "prints JSON anyhow",
    "tidegate template apply": "prints TOML to be written into a file",
    "tidegate completion": "prints what a shell reads",
    "tidegate config draft patch": "prints what patch and git read",
    "tidegate config export": "writes an archive",
    "tidegate tags export": "writes a table",
    "tidegate config draft discard": "leaves nothing to tell of but its exit code",
    "tidegate user remove": "leaves nothing to tell of but its exit code",
    "tidegate token revoke": "leaves nothing to tell of but its exit code",
}
PASSPHRASE = "correct horse battery"


def commands() -> Iterator[click.Context]:
    """Every command that does something by itself, as its context."""

    def below(context: click.Context) -> Iterator[click.Context]:
        group = context.command
        if not isinstance(group, click.Group):
            yield context
            return
        if group.invoke_without_command:
            yield context
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from below(click.Context(command, info_name=name, parent=context))

    return below(click.Context(main, info_name="tidegate"))


ALL = {context.command_path: context.command for context in commands()}
named = pytest.mark.parametrize("path", ALL)


@named
def test_it_speaks_json_or_has_a_reason_not_to(path: str) -> None:
    able = any("--json" in parameter.opts for parameter in ALL[path].params)
    assert able != (path in WITHOUT_JSON)


@named
def test_it_explains_itself(path: str) -> None:
    command = ALL[path]
    assert command.help
    first = command.help.strip().split("\n\n")[0]
    assert first.rstrip().endswith((".", ":")), first
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_every_failure_says_what_to_do_next() -> None:
    found = [
        (path.name, call.lineno)
        for path in (ROOT / "gateway" / "cli").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("fail", "say_failed")
        and (len(call.args) < 2 or (isinstance(call.args[1], ast.Constant) and not call.args[1].value))
    ]  # fmt: skip
    assert found == []


# -- exit codes


def tidegate(
    *arguments: str | Path, prefix: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-m", "gateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def ok(_: Path) -> subprocess.CompletedProcess[str]:
    return tidegate("--version")


def failed(directory: Path) -> subprocess.CompletedProcess[str]:
    return tidegate("journal", "stats", "--path", directory / "nothing.db")


def usage(_: Path) -> subprocess.CompletedProcess[str]:
    return tidegate("status", "--colour")


def invalid(directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "bad.toml").write_text("[gateway]\n")
    return tidegate("check", directory / "bad.toml")


def unreachable(directory: Path) -> subprocess.CompletedProcess[str]:
    return tidegate("status", "--socket", directory / "control.sock")


def conflict(directory: Path) -> subprocess.CompletedProcess[str]:
    """A second gateway on one data directory."""
    with GatewayProcess(directory, configuration(directory / "data", [free_port()], free_port())) as gateway:
        asyncio.run(gateway.until(lambda body: True, "it answers"))
        return tidegate("run", "--config", gateway.config)


def denied(directory: Path) -> subprocess.CompletedProcess[str]:
    """A socket in a directory that nobody may enter; root may, unless that right is taken away."""
    closed = directory / "closed"
    closed.mkdir()
    closed.chmod(0)
    unprivileged = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.getuid() == 0 else ()
    try:
        return tidegate("status", "--socket", closed / "control.sock", prefix=unprivileged)
    finally:
        closed.chmod(0o700)


PRODUCED: dict[Exit, Callable[[Path], subprocess.CompletedProcess[str]]] = {
    Exit.OK: ok,
    Exit.FAILED: failed,
    Exit.USAGE: usage,
    Exit.CONFIG: invalid,
    Exit.UNREACHABLE: unreachable,
    Exit.CONFLICT: conflict,
    Exit.DENIED: denied,
}


@pytest.mark.integration
@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_comes_about_and_says_how_to_go_on(code: Exit, tmp_path: Path) -> None:
    done = PRODUCED[code](tmp_path)
    assert done.returncode == code, done.stderr
    if code not in (Exit.OK, Exit.USAGE):
        assert "→" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_codes_are_documented() -> None:
    for code in Exit:
        assert f"| {code:d} | " in page()
        assert f"{code:d} " in (main.help or "")


# -- JSON, in truth


@pytest.mark.integration
async def test_what_is_printed_with_json_is_json(tmp_path: Path) -> None:
    with Field() as field:
        text = configuration(tmp_path / "data", [field.slaves[0].port], free_port())
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda body: body["southbound"]["totals"]["good"], "values are read")
            at = ("--config", gateway.config)
            calls: list[tuple[str | Path, ...]] = [
                ("status", *at), ("journal", "stats", *at), ("journal", "verify", *at), ("check", *at),
                ("template", "list"), ("scan",), ("probe", "dev0", *at), ("update", "status", *at),
                ("diag", "bundle", tmp_path / "b.zip", *at), ("tap", "-n", "1", *at), ("logs", "-n", "1", *at),
            ]  # fmt: skip
            for call in calls:
                done = await asyncio.to_thread(functools.partial(tidegate, *call, "--json"))
                assert done.returncode == 0, (call, done.stderr)
                json.loads(done.stdout)


# -- the start


def test_help_imports_no_driver_and_nothing_heavy() -> None:
    heavy = ("drivers", "pydantic", "starlette", "uvicorn", "rich", "cryptography", "asyncio", "gateway.runtime")
    code = f"""
import sys
from gateway.cli import main
main(["--help"], standalone_mode=False)
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    )
    assert done.stderr == "[]\n"
    assert "Look:" in done.stdout


def test_help_comes_at_once(record_property: Callable[[str, object], None]) -> None:
    """Measured in the processor's time, which doesn't depend on what else runs here."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert tidegate("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    record_property("help_ms", round(min(spent) * 1e3))
    assert min(spent) <= 0.15


def test_explaining_commands_imports_no_driver() -> None:
    """But for those whose options are a driver's."""
    paths = [path.split()[1:] for path in ALL if not path.startswith("tidegate scan")]
    code = f"""
import sys
from gateway.cli import main
for words in {paths!r}:
    main([*words, "--help"], standalone_mode=False)
print([name for name in sys.modules if name.startswith("drivers.")], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    )
    assert done.stderr == "[]\n"


# -- completion


def completed(shell: str, line: str, **more: str) -> list[str]:
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), **more}
    code = "import sys; sys.argv[0] = 'tidegate'; from gateway.cli import main; main(prog_name='tidegate')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=30, cwd=ROOT,
        env={**os.environ, "_TIDEGATE_COMPLETE": f"{shell}_complete", **environment},
    )  # fmt: skip
    return done.stdout.split("\n")


def test_commands_options_and_values_are_completed() -> None:
    assert "plain,status" in completed("bash", "tidegate st")
    assert "plain,rollback" in completed("bash", "tidegate update ro")
    assert "plain,--follow" in completed("bash", "tidegate logs --f")
    assert "plain,warning" in completed("bash", "tidegate logs --level w")
    assert "Show how the running gateway is doing." in completed("zsh", "tidegate st")
    assert any("status" in line for line in completed("fish", "tidegate st", COMP_CWORD="st"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_printed_for_a_shell_is_its_own_language(shell: str) -> None:
    done = tidegate("completion", shell)
    assert done.returncode == 0
    assert "_TIDEGATE_COMPLETE=" in done.stdout
    if found := shutil.which(shell):
        assert subprocess.run([found, "-n"], input=done.stdout, text=True, timeout=20).returncode == 0
    assert tidegate("completion", SHELL=f"/usr/bin/{shell}").stdout == done.stdout


def test_bash_completes_by_it(tmp_path: Path) -> None:
    launcher = tmp_path / "tidegate"
    launcher.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from gateway.cli import main; main(prog_name=\'tidegate\')" "$@"\n'
    )
    launcher.chmod(0o755)
    script = f"""
source <({launcher} completion bash)
COMP_WORDS=({launcher} journal ve) COMP_CWORD=2
_tidegate_completion {launcher}
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert done.stdout == "verify\n", done.stderr


# -- progress


@pytest.mark.integration
async def test_long_work_shows_how_far_it_is_on_a_terminal_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "test_image-1.dist-info"
    package.mkdir(parents=True)
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: test-image\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text("[tidegate.appliance]\nimage = tests.ops.appliance:appliance\n")
    slots = tmp_path / "slots"
    slots.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    monkeypatch.setenv("SLOTS", str(slots))
    bundle = tmp_path / "bundle"
    bundle.write_text("sound 2.0")
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port())) as gateway:
        await gateway.until(lambda body: True, "it answers")
        arguments = ["update", "install", str(bundle), "--config", str(gateway.config), "--json"]
        drawn, out = await asyncio.to_thread(_on_terminal, arguments)
        quiet = await asyncio.to_thread(tidegate, *arguments)
    assert "█" in drawn
    assert "/100" in drawn
    assert json.loads(out)["installation"]["state"] == "done"
    assert "█" not in quiet.stderr + quiet.stdout


def _on_terminal(arguments: list[str]) -> tuple[str, str]:
    """(what is drawn on stderr, which is a terminal; stdout)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments], stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=ROOT
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=30)
    return drawn.decode(), out
