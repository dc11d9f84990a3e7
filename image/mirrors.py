"""Where Debian's archive is: read from the machine's own apt configuration, since each site has its own mirror."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from image.errors import BuildError

APT = Path("/etc/apt")
_OS_RELEASE = Path("/etc/os-release")
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")
_PROXIES = re.compile(r'^(Acquire::https?::Proxy(?:::[^ ]+)?) "(.+)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """The addresses of Debian's archive and of its security updates."""

    archive: str
    security: str

    def sources(self, suites: tuple[str, ...], components: str) -> str:
        """Lines of a ``sources.list`` for the suites; those whose name ends in ``-security`` come from the security archive."""
        return "".join(
            f"deb {self.security if suite.endswith('-security') else self.archive} {suite} {components}\n"
            for suite in suites
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def mirrors(apt: Path = APT, os_release: Path = _OS_RELEASE) -> Mirrors:
    """The mirrors this Debian machine uses. Raises BuildError where its apt configuration names none."""
    codename = _codename(os_release)
    entries = [entry for entry in _entries(apt) if "main" in entry.components and _is_debians(entry)]
    archive = next((entry.uri for entry in entries if codename in entry.suites), None)
    if archive is None:
        raise BuildError(
            f"{apt} names no mirror of Debian with the suite {codename!r} and the component 'main': "
            "build on a Debian machine, or in a container of one"
        )
    security = next((entry.uri for entry in entries if f"{codename}-security" in entry.suites), None)
    return Mirrors(archive.rstrip("/"), (security or f"{archive.rstrip('/')}-security").rstrip("/"))


def proxies() -> tuple[str, ...]:
    """The proxies of the machine's apt as options for another apt, ``Acquire::http::Proxy "…"``."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    return tuple(f'{name} "{value}"' for name, value in _PROXIES.findall(dump))


def _codename(os_release: Path) -> str:
    text = os_release.read_text() if os_release.exists() else ""
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", text, re.MULTILINE)
    if found is None:
        raise BuildError(
            f"{os_release} names no release of Debian: build on a Debian machine, or in a container of one"
        )
    return found[1]


def _is_debians(entry: _Entry) -> bool:
    """Whether the entry is Debian's and not another vendor's for Debian: it is signed by Debian's keys, or by those apt trusts."""
    return not entry.signed_by or "debian-archive" in entry.signed_by


def _entries(apt: Path) -> list[_Entry]:
    folder = apt / "sources.list.d"
    entries: list[_Entry] = []
    for file in (apt / "sources.list", *sorted(folder.glob("*.list"))):
        if file.exists():
            entries += filter(None, map(_one_line, file.read_text().splitlines()))
    for file in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", file.read_text())):
            entries += _stanza(stanza)
    return entries


def _one_line(line: str) -> _Entry | None:
    found = _ONE_LINE.match(line.strip())
    if found is None:
        return None
    signed_by = next(
        (option.partition("=")[2] for option in (found["options"] or "").split() if option.startswith("signed-by=")), ""
    )
    return _Entry(found["uri"], (found["suite"],), tuple(found["components"].split()), signed_by)


def _stanza(stanza: str) -> list[_Entry]:
    fields = {
        name.strip().lower(): " ".join(value.split())
        for name, value in re.findall(r"(?m)^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)", stanza)
    }
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return []
    suites, components = tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split())
    return [_Entry(uri, suites, components, fields.get("signed-by", "")) for uri in fields.get("uris", "").split()]
