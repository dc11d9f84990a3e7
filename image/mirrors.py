"""Where Debian's archive is: asked of the machine's own apt, since each site has its own mirror."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from image.errors import BuildError

_ARCHIVE, _SECURITY = "Debian", "Debian-Security"
_PROXIES = re.compile(r'^(Acquire::https?::Proxy(?:::[^ ]+)?) "(.+)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """The addresses of Debian's archive and of its security updates."""

    archive: str
    security: str

    def sources(self, suites: tuple[str, ...], components: str) -> str:
        """Lines of a ``sources.list`` for the suites: a suite ``…-security`` comes from the security archive."""
        return "".join(f"deb {self._home(suite)} {suite} {components}\n" for suite in suites)

    def _home(self, suite: str) -> str:
        return self.security if suite.endswith("-security") else self.archive


def mirrors() -> Mirrors:
    """The mirrors this machine uses. Raises BuildError where its apt knows none of Debian."""
    # The label is the archive's own word: it tells Debian from another vendor's packages for Debian.
    listed = _said_by(
        "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Origin: Debian", "ShortDesc: Packages"
    )
    return mirrors_in(listed)


def mirrors_in(listed: str) -> Mirrors:
    """The mirrors in lines of ``label address``. Raises BuildError without one of the label "Debian"."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        label, _, address = line.partition(" ")
        found.setdefault(label, address.rstrip("/"))
    if _ARCHIVE not in found:
        raise BuildError(
            "this machine's apt knows no mirror of Debian: build on Debian or in a container, after apt-get update"
        )
    return Mirrors(found[_ARCHIVE], found.get(_SECURITY, f"{found[_ARCHIVE]}-security"))


def proxies() -> tuple[str, ...]:
    """The proxies of the machine's apt as options for another apt, ``Acquire::http::Proxy "…"``."""
    return tuple(f'{name} "{value}"' for name, value in _PROXIES.findall(_said_by("apt-config", "dump")))


def _said_by(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{command[0]} can't be asked for this machine's mirrors: {error}") from error
