"""Debian packages, built natively and the same bit for bit from the same contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image.toolbox import Toolbox
from image.trees import set_times

MAINTAINER = "The Tidegate project <tidegate@localhost>"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


@dataclass(frozen=True, slots=True)
class Control:
    """What a package says of itself, deb-control(5)."""

    package: str
    version: str
    architecture: str
    summary: str
    description: str = ""
    section: str = "net"
    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    homepage: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Maintainer scripts by their names, and ``conffiles`` or ``triggers`` where there are."""

    @property
    def file_name(self) -> str:
        return f"{self.package}_{self.version}_{self.architecture}.deb"

    def text(self, installed_kib: int) -> str:
        """The file ``control``."""
        fields = {
            "Package": self.package,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": MAINTAINER,
            "Installed-Size": str(installed_kib),
            "Depends": ", ".join(self.depends),
            "Recommends": ", ".join(self.recommends),
            "Provides": ", ".join(self.provides),
            "Conflicts": ", ".join(self.conflicts),
            "Section": self.section,
            "Priority": "optional",
            "Homepage": self.homepage,
            "Description": "\n ".join([self.summary, *self.description.splitlines()]),
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def build_deb(box: Toolbox, control: Control, tree: Path, out: Path, *, epoch: int) -> Path:
    """Pack what is below ``tree`` into a package in ``out`` and return its path.

    Everything in it belongs to root and dates from ``epoch``. ``tree`` is made where it doesn't exist, and gets the
    folder ``DEBIAN``.
    """
    about = tree / "DEBIAN"
    about.mkdir(parents=True)
    tree.chmod(0o755)
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and about not in path.parents]
    (about / "control").write_text(control.text(sum(-(-path.stat().st_size // 1024) for path in files)))
    for name, text in control.scripts.items():
        (about / name).write_text(text)
        (about / name).chmod(0o755 if name in SCRIPTS else 0o644)
    set_times(tree, epoch)
    package = out / control.file_name
    box.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "--threads-max=1", "--build", tree, package],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    return package
