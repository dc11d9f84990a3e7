"""One box for the whole run, chosen by ``--bench``; what a bench can't do is skipped, with its reason."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hil.benches.bench import Bench, BoxFailed
from hil.benches.declaration import BenchInvalid, Part, declared
from hil.benches.opening import open_bench
from hil.benches.surroundings import Surroundings
from hil.demo.child import ChildFailed
from hil.tests.box import Box, Figure
from hil.tests.provisioning import ENGINEER, provisioning_file

LOGS = Path("build/hil")
_LIMIT_S = 300.0
_BOX = pytest.StashKey[Box]()
_FIGURES = pytest.StashKey[list[Figure]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bench", default="local", help="local, qemu, or the file of a bench. Default: local.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(part, ...): what the bench must be able to do")
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this bench can't do, and allow for what it takes long to do."""
    try:
        declaration = declared(config.getoption("--bench"))
    except BenchInvalid as error:
        raise pytest.UsageError(str(error)) from None
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LIMIT_S * declaration.patience))
        for marker in item.iter_markers("needs"):
            missing = [part for part in marker.args if part in declaration.cannot]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{missing[0]}: {declaration.cannot[missing[0]]}"))


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """Short, since sockets' paths must be, and gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="tidegate-hil-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def box(request: pytest.FixtureRequest, directory: Path) -> Iterator[Box]:
    """It has been switched on, and its page answers."""
    config = request.config
    with ExitStack() as stack:
        bench: Bench = stack.enter_context(open_bench(config.getoption("--bench"), directory, LOGS))
        around = stack.enter_context(Surroundings(directory, bench.here))
        wiring = bench.connect(around.plugs)
        whole = config.stash[_BOX] = Box(bench, around, wiring, config.stash[_FIGURES])
        stack.callback(bench.console.note, "the tests have ended")
        bench.power_on()
        bench.wait_until_up()
        yield whole


@pytest.fixture(scope="session")
def claimed(box: Box) -> Box:
    """Somebody has made themselves its admin."""
    box.claim()
    return box


@pytest.fixture(scope="session")
def provisioned(claimed: Box) -> Box:
    """It was given a provisioning file. Where it lets nobody else in, it knows the bench's key from there."""
    claimed.bench.provision({"provision.toml": provisioning_file(claimed)})
    names = claimed.until(lambda: claimed.users() >= {ENGINEER}, 60, f"the user {ENGINEER} is there")
    assert names
    if claimed.can(Part.STICK):
        claimed.wait_for_shell()
        claimed.bench.remove_stick()
    return claimed


@pytest.fixture(scope="session")
def collecting(provisioned: Box) -> Box:
    """It has the plant's configuration, and every driver has delivered."""
    provisioned.bench.ready()
    provisioned.configure()
    return provisioned


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    box = item.config.stash.get(_BOX, None)
    if box is not None and report.failed:
        box.bench.console.note(f"{item.name} failed")
        report.sections.append((f"the box's last words, all in {box.bench.console.log}", box.bench.last_words()))
        try:
            box.put_back()
        except (BoxFailed, ChildFailed) as error:
            report.sections.append(("what couldn't be put back", str(error)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[_FIGURES]
    if not figures:
        return
    terminalreporter.section("figures")
    marks = {True: "✓", False: "✗", None: " "}
    widths = [max(len(text) for text in column) for column in zip(*((f.what, f.value) for f in figures), strict=True)]
    lines = [f"{marks[f.met]} {f.what:<{widths[0]}}  {f.value:>{widths[1]}}  {f.goal}" for f in figures]
    for line in lines:
        terminalreporter.write_line(line)
    LOGS.mkdir(parents=True, exist_ok=True)
    name = Path(config.getoption("--bench")).stem
    (LOGS / f"{name}-figures.txt").write_text(os.linesep.join(lines) + os.linesep, "utf-8")
