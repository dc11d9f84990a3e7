"""A tree as one tar file: what is exported and imported, kept as history, and named by the marker of a change."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.config.names import Mendable, quote
from gateway.config.tree import MAX_BYTES, MAX_FILES, Tree, check_file_name, check_size

_NOTE = ".tidegate.json"


class Damaged(Exception):
    """An archive of ours that isn't what was written."""


def pack(files: Mapping[str, bytes], note: Mapping[str, Any] | None = None) -> bytes:
    """The files as a tar archive that depends on nothing but them. `note`: what is said beside them, as JSON."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if note is not None:
            _add(archive, _NOTE, orjson.dumps(note))
        for name in sorted(files):
            _add(archive, name, files[name])
    return buffer.getvalue()


def unpack(body: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """What :func:`pack` packed: (files, note). Raises Damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as archive:
            files = {member.name: _content(archive, member) for member in archive}
        note = orjson.loads(files.pop(_NOTE, b"{}"))
    except (tarfile.TarError, orjson.JSONDecodeError, OSError, EOFError, ValueError) as error:
        raise Damaged(f"not an archive that can be read: {error}") from None
    if not isinstance(note, dict):
        raise Damaged("not an archive of ours")
    return files, note


def pack_tree(tree: Tree, **note: Any) -> bytes:
    """A tree with its digest, for :func:`unpack_tree`."""
    return pack(
        tree.files, {**note, "main": tree.main, "outside": sorted(tree.outside), "digest": tree.digest, "format": 1}
    )


def unpack_tree(body: bytes) -> tuple[Tree, dict[str, Any]]:
    """(tree, note). Raises Damaged, also if a bit of it changed."""
    files, note = unpack(body)
    try:
        tree = Tree(note["main"], files, frozenset(note["outside"]))
        digest, form = note["digest"], note["format"]
    except (KeyError, TypeError) as error:
        raise Damaged(f"not an archive of ours: {error!r}") from None
    if form != 1 or digest != tree.digest:
        raise Damaged("its content isn't what was written")
    return tree, note


def import_tree(body: bytes, main: str, outside: frozenset[str]) -> Tree:
    """A tree from somebody else's tar file, compressed or not. Raises Mendable, worded to follow "the archive".

    Only files with names that a tree may have are taken, no links and no devices, below at most one common directory.
    The one TOML file at the top becomes the main file, whatever its name.
    """
    files: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:*") as archive:
            for count, member in enumerate(archive):
                if count > 2 * MAX_FILES:
                    raise Mendable(f"holds over {2 * MAX_FILES} entries", "leave out what isn't configuration")
                if member.isdir():
                    continue
                name = member.name.removeprefix("./")
                if not member.isreg():
                    raise Mendable(f"holds {quote(name)}, which is no plain file", "take links and devices out")
                if name in files:
                    raise Mendable(f"holds {quote(name)} twice", "take one of them out")
                size += member.size
                if size > MAX_BYTES:
                    raise Mendable(f"holds over {MAX_BYTES >> 20} MiB of files", "leave out what isn't configuration")
                files[name] = _content(archive, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, Mendable):
            raise
        raise Mendable(f"can't be read: {error}", "make it with: tidegate config export") from None
    tree = Tree(main, _with_main(_without_top(files), main), outside)
    for name in tree.files:
        check_file_name(name, main)
    return check_size(tree)


def _add(archive: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(body), 0o644
    archive.addfile(member, io.BytesIO(body))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _without_top(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files without the one directory that all of them stand in."""
    tops = {name.partition("/")[0] for name in files}
    if len(tops) == 1 and all("/" in name for name in files) and tops != {"conf.d"}:
        return {name.partition("/")[2]: body for name, body in files.items()}
    return files


def _with_main(files: dict[str, bytes], main: str) -> dict[str, bytes]:
    if main in files:
        return files
    top = [name for name in files if "/" not in name and name.endswith(".toml")]
    if len(top) != 1:
        raise Mendable(f"holds {len(top)} TOML files at its top, but must hold one", f"name the main file {main}")
    return {main if name == top[0] else name: body for name, body in files.items()}
