"""The initramfs: an archive as the kernel reads it, modules in an order that can be loaded, a program that parses."""

from __future__ import annotations

import re
import stat
import subprocess

from image.cpio import Entry, archive
from image.initramfs import APPLETS, MODULES, closure
from image.places import CHECKOUT

_BOOT = CHECKOUT / "image" / "boot"
_HEADER = 110
"""Bytes of a "newc" header: the magic and 13 numbers of 8 hexadecimal digits."""


def _read(data: bytes) -> list[tuple[str, int, bytes]]:
    """(name, mode, data) of each entry, by the kernel's description of the format."""
    entries, place = [], 0
    while True:
        assert data[place : place + 6] == b"070701"
        assert place % 4 == 0
        fields = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[place + _HEADER : place + _HEADER + name_size - 1].decode()
        start = -(-(place + _HEADER + name_size) // 4) * 4
        if name == "TRAILER!!!":
            assert start + size == len(data)
            return entries
        entries.append((name, mode, data[start : start + size]))
        place = -(-(start + size) // 4) * 4


def test_an_archive_holds_what_was_put_in() -> None:
    made = archive(
        [
            Entry.folder("bin"),
            Entry.file("bin/a", b"12345", 0o755),
            Entry.link("bin/b", "a"),
            Entry.character_device("c", 5, 1),
        ]
    )
    assert _read(made) == [
        ("bin", stat.S_IFDIR | 0o755, b""),
        ("bin/a", stat.S_IFREG | 0o755, b"12345"),
        ("bin/b", stat.S_IFLNK | 0o777, b"a"),
        ("c", stat.S_IFCHR | 0o600, b""),
    ]


def test_modules_come_after_what_they_need() -> None:
    listed = "a/ext4.ko.xz: l/mbcache.ko.xz l/jbd2.ko.xz\n"
    listed += "l/jbd2.ko.xz:\nl/mbcache.ko.xz: l/deep.ko.xz\nl/deep.ko.xz:\no/over-lay.ko.xz:\n"
    order = closure(listed, ("ext4", "built_in", "over_lay"))
    assert order == ["l/jbd2.ko.xz", "l/mbcache.ko.xz", "a/ext4.ko.xz", "o/over-lay.ko.xz"]


def test_what_the_first_program_mounts_can_be_mounted() -> None:
    """No program of the kernel's loads a module here, so that what a mount asks for must be there before."""
    (options,) = re.findall(r"mount -t vfat -o (\S+) ", (_BOOT / "init").read_text())
    told = dict(option.partition("=")[::2] for option in options.split(","))
    asked = {"vfat", f"nls_cp{told['codepage']}", f"nls_{told['iocharset'].replace('-', '_')}"}
    assert asked <= set(MODULES)
    kernel = (CHECKOUT / "image/yocto/meta-tidegate/recipes-kernel/linux/files/tidegate.cfg").read_text()
    assert {"CONFIG_VFAT_FS=y", "CONFIG_NLS_CODEPAGE_437=y", "CONFIG_NLS_ISO8859_1=y"} <= set(kernel.splitlines())


def test_the_first_program_parses_and_finds_every_program_it_calls() -> None:
    text = (_BOOT / "init").read_text()
    assert subprocess.run(["sh", "-n", _BOOT / "init"], check=False).returncode == 0
    shell = {
        "case",
        "cd",
        "do",
        "done",
        "echo",
        "else",
        "esac",
        "exec",
        "exit",
        "export",
        "fi",
        "for",
        "if",
        "in",
        "printf",
    }
    shell |= {"read", "readonly", "return", "then", "until", "while", "continue", "true"}
    own = set(re.findall(r"(?m)^([a-z_]+)\(\)", text))
    code = re.sub(r"(?m)(^|\s)#.*$|\"[^\"$]*\"", "", text)
    called = set(re.findall(r"(?m)(?:^\s*|[|&;]\s+|\$\(|then |do |exec )([a-z_]+)(?= )", code))
    assert called - shell - own <= set(APPLETS)


def test_the_boot_script_has_nothing_that_u_boot_stumbles_over() -> None:
    lines = (_BOOT / "boot.cmd").read_text().splitlines()
    depth = 0
    for line in lines:
        code = line.strip()
        # U-Boot's shell takes neither within a block.
        if code.startswith("#"):
            assert not depth, line
            continue
        assert "'" not in code, line
        depth += len(re.findall(r"\b(?:if|for)\b(?= )", code)) - len(re.findall(r"^(?:fi|done)\b|; fi\b", code))
    assert depth == 0
