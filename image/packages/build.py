#!/usr/bin/env python3
"""The package ``tidegate`` for Debian: the application with all it imports, its units, users and directories.

Needs nothing but Python with pip, and dpkg-deb, so that ``install.sh`` can build it on the machine it is for::

    python3 image/packages/build.py --out build/packages                                    # for this machine
    python3 image/packages/build.py --out build/packages --architecture arm64 --python 3.13 # for another

Layout: ``/usr/lib/tidegate`` is a Python environment of its own (``pyvenv.cfg``) around the system's interpreter, so
that ``/usr/lib/tidegate/bin/python3 -m …`` finds the application and nothing else does. Reproducible: the same
checkout, lock and ``SOURCE_DATE_EPOCH`` give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
HERE = CHECKOUT / "image" / "packages" / "tidegate"
HOME = Path("usr/lib/tidegate")
UNITS = CHECKOUT / "systemd" / "tidegate"
_UNIT_PLACES = {
    "*.service": "usr/lib/systemd/system",
    "*.socket": "usr/lib/systemd/system",
    "system-preset/*.preset": "usr/lib/systemd/system-preset",
    "sysusers.d/*.conf": "usr/lib/sysusers.d",
    "tmpfiles.d/*.conf": "usr/lib/tmpfiles.d",
    "modules-load.d/*.conf": "usr/lib/modules-load.d",
}
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = ("2_17", "2_28", "2_31", "2_34", "2_35", "2_36")
"""Of Debian 12 and before: pip takes a wheel only for a platform that is named."""
_EPOCH = 1_577_836_800
"""Where nothing says another: 2020-01-01."""


class BuildFailed(Exception):
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that a package is for."""

    architecture: str
    python: tuple[int, int]

    @property
    def minor(self) -> str:
        return "{}.{}".format(*self.python)

    @property
    def site(self) -> Path:
        """Where modules are, below the root."""
        return HOME / "lib" / f"python{self.minor}" / "site-packages"

    @property
    def platforms(self) -> list[str]:
        """What pip calls it, the newest first."""
        machine = _MACHINES[self.architecture]
        return [f"manylinux_{version}_{machine}" for version in reversed(_GLIBC)]


def build(
    target: Target,
    out: Path,
    *,
    version: str,
    cache: Path,
    own: Path | None = None,
    root: Path | None = None,
    epoch: int | None = None,
) -> Path:
    """Build it in `out` and return its path.

    `own`: the application's :func:`wheel`, made where there is none. `root`: a file system with the target's Python, of
    an architecture that runs here, where this interpreter isn't of that minor; without, what is installed is compiled
    where it is installed. `epoch`: the date of every file in it, if not SOURCE_DATE_EPOCH. Raises BuildFailed.
    """
    out.mkdir(parents=True, exist_ok=True)
    compiler = Compiler.of(target, root)
    third_party = imported(target, cache, compiler)
    with tempfile.TemporaryDirectory(prefix=".tidegate-", dir=cache) as work:
        tree = Path(work) / "tree"
        site = tree / target.site
        shutil.copytree(third_party, site, symlinks=True, copy_function=os.link)
        with tempfile.TemporaryDirectory(prefix="tidegate-wheel-") as made:
            install_wheel(own or wheel(Path(made)), site)
        if compiler is not None:
            for package in ("gateway", "drivers", "hil", "bench"):
                compiler.compile(site, package)
        _environment(tree, target)
        _copies(tree)
        _control(tree, target, version)
        date = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)) if epoch is None else epoch
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            # Not what the cache says, which was filled at any time.
            os.utime(path, (date, date), follow_symlinks=False)
        package_file = out / f"tidegate_{version}_{target.architecture}.deb"
        pack = ["dpkg-deb", "--root-owner-group", "-Zzstd", "--threads-max=1", "--build", str(tree), str(package_file)]
        _run(pack, "dpkg-deb couldn't pack it", SOURCE_DATE_EPOCH=str(date))
    return package_file


@dataclass(frozen=True, slots=True)
class Compiler:
    """Makes bytecode for a target: by its Python in `root`, or by this one."""

    target: Target
    root: Path | None

    @classmethod
    def of(cls, target: Target, root: Path | None) -> Compiler | None:
        """None: there is nothing here that can."""
        return cls(target, root) if root is not None or sys.version_info[:2] == target.python else None

    def compile(self, site: Path, below: str = ".") -> None:
        """Everything below a folder of `site`."""
        # By content and unchecked: nothing there changes, and nobody has to look at every file to know that.
        options = ["-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
        place = f"/{self.target.site}"
        if self.root is None:
            command = [sys.executable, *options, "-s", str(site), "-p", place, str(site / below)]
        else:
            inside = [f"/usr/bin/python{self.target.minor}", *options, "-s", "/mnt", "-p", place, f"/mnt/{below}"]
            enter = 'mount --bind "$1" "$2/mnt" && shift && exec chroot "$@"'
            command = ["unshare", "--mount", "sh", "-c", enter, "sh", str(site), str(self.root), *inside]
        # It fails for templates of modules that some libraries ship: those are no modules.
        fixed = {**os.environ, "PYTHONHASHSEED": "0"}  # or sets of constants are in another order each time
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=fixed)
        if not any(site.joinpath(below).rglob("*.pyc")):
            raise BuildFailed(f"the bytecode can't be made by {command[0]}: is Python {self.target.minor} there?")


def imported(target: Target, cache: Path, compiler: Compiler | None) -> Path:
    """A folder with everything the application imports, exactly as the lock says, kept under a hash of that."""
    lock = "\n".join(locked((CHECKOUT / "requirements" / "runtime.lock").read_text(), target)) + "\n"
    key = hashlib.sha256(f"{target} {compiler is None} {lock}".encode()).hexdigest()[:16]
    kept = cache / f"site-{target.architecture}-{target.minor}-{key}"
    if kept.exists():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=cache) as work:
        requirements = Path(work) / "requirements.txt"
        requirements.write_text(lock)
        site = Path(work) / "site"
        platforms = [f"--platform={each}" for each in target.platforms]
        _pip(
            "install", "--target", str(site), "--no-deps", "--require-hashes", "--only-binary=:all:",
            f"--python-version={target.minor}", "--implementation=cp", *platforms, "-r", str(requirements),
        )  # fmt: skip
        _unrecorded(site)
        if compiler is not None:
            compiler.compile(site)
        os.replace(site, kept)
    return kept


def locked(text: str, target: Target) -> Iterator[str]:
    """The lock's requirements that hold for a target: pip looks at the machine it runs on instead."""
    from pip._vendor.packaging.markers import Marker

    environment = {
        "python_version": target.minor,
        "python_full_version": f"{target.minor}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": _MACHINES[target.architecture],
        "implementation_name": "cpython",
    }
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        lines = requirement.replace("\\\n", " ").split("\n")
        stated = lines[0].partition(" --hash")[0]
        name, _, marker = stated.partition(";")
        if requirement.startswith("#") or (marker and not Marker(marker.strip()).evaluate(environment)):
            continue
        hashes = re.findall(r"--hash=\S+", requirement)
        yield " ".join([name.strip(), *hashes])


def wheel(out: Path, project: Path = CHECKOUT) -> Path:
    """A project's own wheel, the application's if nothing else is said, in `out`. It fits every target.

    Raises BuildFailed.
    """
    # What builds it is fetched, but where it is there already.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    _pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(out), str(project))
    (made,) = out.glob("*.whl")
    return made


def install_wheel(made: Path, site: Path) -> None:
    """What a wheel holds, in `site`. Raises BuildFailed."""
    _pip("install", "--target", str(site), "--no-deps", "--no-index", "--upgrade", str(made))
    _unrecorded(site)


def _unrecorded(site: Path) -> None:
    """Take away what pip leaves for itself: files are the package manager's, and where they were made tells nothing."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        for path in site.glob(f"*.dist-info/{name}"):
            path.unlink()


def _environment(tree: Path, target: Target) -> None:
    home = tree / HOME
    (home / "bin").mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin" / "python3").symlink_to(f"/usr/bin/python{target.minor}")
    shutil.copy(HERE / "tidegate", home / "bin" / "tidegate")
    (home / "bin" / "tidegate").chmod(0o755)
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/tidegate").symlink_to("../lib/tidegate/bin/tidegate")


def _copies(tree: Path) -> None:
    for pattern, place in _UNIT_PLACES.items():
        for path in sorted(UNITS.glob(pattern)):
            _copy(path, tree / place / path.name)
    documentation = tree / "usr/share/doc/tidegate"
    _copy(CHECKOUT / "LICENSE", documentation / "copyright")
    _copy(CHECKOUT / "CHANGELOG.md", documentation / "CHANGELOG.md")


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _control(tree: Path, target: Target, version: str) -> None:
    about = tree / "DEBIAN"
    about.mkdir()
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    words = {
        "VERSION": version,
        "ARCHITECTURE": target.architecture,
        "PYTHON": target.minor,
        "NEXT_PYTHON": f"{target.python[0]}.{target.python[1] + 1}",
        "SIZE": str(sum(-(-path.stat().st_size // 1024) for path in files)),
    }
    text = (HERE / "control").read_text()
    (about / "control").write_text(re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text))
    for name in _SCRIPTS:
        shutil.copyfile(HERE / name, about / name)
        (about / name).chmod(0o755)
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}" for path in files]
    (about / "md5sums").write_text("\n".join(sums) + "\n")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments[:1], "--quiet", "--disable-pip-version-check", "--no-input"]
    if arguments[0] == "install":
        command.append("--no-compile")
    _run([*command, *arguments[1:]], "pip couldn't fetch what the application imports")


def _run(command: Sequence[str], sentence: str, **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BuildFailed(f"{sentence}: {said[-1] if said else f'exit code {done.returncode}'}")


def _version() -> str:
    stated = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert isinstance(stated, str)
    return stated


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the Debian package tidegate.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to put it into")
    parser.add_argument("--architecture", choices=sorted(_MACHINES), help="default: this machine's")
    parser.add_argument("--python", help="the target's Python, such as 3.13; default: this one's")
    parser.add_argument("--root", type=Path, help="a file system with that Python, to compile with; needs root")
    parser.add_argument("--version", default=_version(), help="default: the project's")
    parser.add_argument("--cache", type=Path, help="where what pip fetched is kept between builds")
    told = parser.parse_args()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        architecture = told.architecture or subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
        if architecture not in _MACHINES:
            raise BuildFailed(f"Tidegate isn't built for {architecture}: only for {' and '.join(sorted(_MACHINES))}")
        major, _, minor = (told.python or "{}.{}".format(*sys.version_info)).partition(".")
        target = Target(architecture, (int(major), int(minor)))
        cache = told.cache or home / "tidegate" / "packages"
        package = build(target, told.out, version=told.version, cache=cache, root=told.root)
    except (BuildFailed, OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: {error}")
    sys.stdout.write(f"{package}\n")


if __name__ == "__main__":
    main()
