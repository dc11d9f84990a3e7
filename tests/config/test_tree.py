"""A configuration as files: what belongs to it, how it is read from memory, and what an archive may hold."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigErrors, Tree, load
from gateway.config.archive import Damaged, import_tree, pack, pack_tree, unpack_tree
from gateway.config.document import in_place
from gateway.config.names import Mendable
from gateway.config.reading import marker_of
from gateway.config.tree import MAX_BYTES, check_file_name
from tests.config.text import DEVICE, GOOD, HEAD, LINK, write

CSV = "name,address,type\nx,a:1,uint16\n"
WITH_CSV = HEAD + LINK + DEVICE + '  tags_csv = "tags.csv"\n'


def test_a_tree_is_what_the_configuration_names(tmp_path: Path) -> None:
    path = write(tmp_path, WITH_CSV, tags_csv=CSV, other_csv=CSV)
    (tmp_path / "conf.d").mkdir()
    second = '[[template]]\nname = "t"\ndriver = "fake"\n[[template.group]]\nname = "g"\ntags_csv = "../sub/t.csv"\n'
    (tmp_path / "conf.d" / "a.toml").write_text(second)
    (tmp_path / "conf.d" / ".hidden.toml").write_text("x = 1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "t.csv").write_text(CSV)
    tree = in_place(path)
    assert sorted(tree.files) == ["conf.d/a.toml", "sub/t.csv", "tags.csv", "tidegate.toml"]
    assert tree.tables == ["tidegate.toml", "conf.d/a.toml"]
    assert tree.outside == frozenset()


def test_a_file_that_cannot_be_parsed_still_names_its_table(tmp_path: Path) -> None:
    path = write(tmp_path, WITH_CSV + "oops", tags_csv=CSV)
    assert sorted(in_place(path).files) == ["tags.csv", "tidegate.toml"]


@pytest.mark.parametrize("name", ["conf.d/a.toml", "tags.csv"])
def test_a_file_that_can_not_be_read_is_not_left_out_in_silence(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, WITH_CSV, tags_csv=CSV)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("")
    open_any = Path.open

    def refuse(self: Path, *args: Any, **named: Any) -> Any:
        if self == tmp_path / name:
            raise PermissionError(13, "Permission denied", str(self))
        return open_any(self, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigErrors, match="permission denied"):
        in_place(path)
    monkeypatch.undo()
    path.unlink()
    with pytest.raises(ConfigErrors, match="doesn't exist"):
        in_place(path)


def test_the_digest_tells_every_difference() -> None:
    tree = Tree("a.toml", {"a.toml": b"x", "b.csv": b"y"})
    assert tree.digest == Tree("a.toml", {"b.csv": b"y", "a.toml": b"x"}).digest
    others = [{"a.toml": b"xb.csv", "": b"y"}, {"a.toml": b"x"}, {"a.toml": b"x", "b.csv": b"z"}, {"a.toml": b"xy"}]
    assert len({tree.digest, *(Tree("a.toml", files).digest for files in others)}) == 5


def test_a_tree_is_checked_as_if_it_were_in_place(tmp_path: Path) -> None:
    path = write(tmp_path, WITH_CSV, tags_csv=CSV)
    tree = in_place(path)
    draft = tree.replaced(
        {
            "tidegate.toml": WITH_CSV.replace("plant1", "").encode(),
            "tags.csv": CSV.replace("a:1", "b:1").encode(),
            "conf.d/new.toml": b'[[sink]]\nname = "plant"\nhost = "b"\n',
        }
    )
    with pytest.raises(ConfigErrors) as caught:
        load(path, tree=draft)
    places = [problem.place for problem in caught.value.problems]
    assert places == [f"{tmp_path}/tidegate.toml:4", f"{tmp_path}/conf.d/new.toml:2", f"{tmp_path}/tags.csv:2"]
    assert load(path, tree=tree) == load(path)
    path.unlink()
    (tmp_path / "tags.csv").unlink()
    settings = load(path, tree=tree)
    assert settings.data_dir == tmp_path / "data"
    assert [point.path for point in settings.links[0].devices[0].groups[0].poll.points] == ["x"]


def test_a_tree_reads_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    """Else whoever may edit a draft could read secrets by their header."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "broker").write_text("hunter2")
    (tmp_path / "beside.csv").write_text(CSV)
    path = write(tmp_path / "secrets", GOOD)
    tree = in_place(path)
    for name in ("broker", "../beside.csv", "/etc/passwd", str(tmp_path / "beside.csv"), ".x.csv", "conf.d/../broker"):
        text = WITH_CSV.replace("tags.csv", name)
        with pytest.raises(ConfigErrors) as caught:
            load(path, tree=tree.replaced({"tidegate.toml": text.encode()}))
        (problem,) = caught.value.problems
        assert "can't be part of the configuration" in problem.message
        assert "hunter2" not in str(problem)


def test_a_table_elsewhere_that_stands_in_place_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "beside.csv").write_text(CSV)
    (tmp_path / "etc").mkdir()
    path = write(tmp_path / "etc", WITH_CSV.replace("tags.csv", "../beside.csv"))
    tree = in_place(path)
    assert [*tree.files] == ["tidegate.toml"]
    assert load(path, tree=tree) == load(path)


def test_who_finds_a_marker_reads_the_whole_tree_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, WITH_CSV, tags_csv=CSV)
    old = in_place(path)
    new = old.replaced({"tidegate.toml": GOOD.replace("plant1", "plant2").encode(), "tags.csv": None})
    marker_of(path).write_bytes(pack_tree(new))
    assert in_place(path) == new
    assert load(path).location[1] == "plant2"
    marker_of(path).unlink()
    assert in_place(path) == old


def test_a_damaged_marker_is_no_configuration(tmp_path: Path) -> None:
    path = write(tmp_path)
    body = pack_tree(in_place(path))
    marker_of(path).write_bytes(body.replace(b"plant1", b"plant2"))
    with pytest.raises(ConfigErrors, match="the marker of a change is damaged"):
        load(path)
    marker_of(path).write_bytes(body[:700])
    with pytest.raises(ConfigErrors, match="the marker of a change is damaged"):
        load(path)


def test_files_that_are_replaced_while_they_are_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole change happens between the first file and the last: the first one is read once more."""
    path = write(tmp_path, WITH_CSV, tags_csv=CSV)
    new = {"tidegate.toml": WITH_CSV.replace("plant1", "plant2"), "tags.csv": CSV.replace("x,", "y,")}
    open_any, told = Path.open, []

    def open_late(self: Path, *args: object, **named: object) -> object:
        if self.name == "tags.csv" and not told:
            told.append(self)
            for name, text in new.items():
                (tmp_path / f"{name}.new").write_text(text)
                (tmp_path / f"{name}.new").replace(tmp_path / name)
        return open_any(self, *args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_late)
    tree = in_place(path)
    assert told
    assert tree.files == {name: text.encode() for name, text in new.items()}


@pytest.mark.parametrize("name", ["tidegate.toml", "conf.d/a.toml", "conf.d/a.csv", "a.csv", "a/b/c.CSV", "ä ö.csv"])
def test_names_that_belong(name: str) -> None:
    assert check_file_name(name, "tidegate.toml") == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/passwd", "../a.csv", "a/../../b.csv", "conf.d/../x.toml", "other.toml", "conf.d/a/b.toml", "a.txt",
        "conf.d/.a.toml", ".a.csv", "a//b.csv", "./a.csv", "a\\b.csv", "a\n.csv", "C:a.csv", "a\0.csv", "a .csv/ b.csv",
        "x" * 300 + ".csv", "conf.d", "tidegate.toml/", "secrets/broker",
    ],
)  # fmt: skip
def test_names_that_do_not(name: str) -> None:
    with pytest.raises(Mendable):
        check_file_name(name, "tidegate.toml")


def test_an_archive_gives_back_what_went_in() -> None:
    tree = Tree("a.toml", {"a.toml": b"\xff\0", "ä/b.csv": b"", "conf.d/x.toml": b"y" * 5000}, frozenset({"/x.csv"}))
    got, note = unpack_tree(pack_tree(tree, revision=7))
    assert (got, got.outside, note["revision"]) == (tree, tree.outside, 7)
    assert pack_tree(tree) == pack_tree(got)
    with pytest.raises(Damaged):
        unpack_tree(pack_tree(tree).replace(b"yyy", b"yzy"))


def made(*members: tarfile.TarInfo, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, size: int = 1, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def test_what_people_pack_is_taken() -> None:
    packed = pack({"tidegate.toml": b"a", "conf.d/x.toml": b"b", "t.csv": b"c"})
    tree = import_tree(packed, "gw.toml", frozenset())
    assert tree.files == {"gw.toml": b"a", "conf.d/x.toml": b"b", "t.csv": b"c"}
    zipped = made(member("etc", 0, type=tarfile.DIRTYPE), member("etc/tidegate.toml"), member("etc/t.csv"), mode="w:gz")
    assert sorted(import_tree(zipped, "tidegate.toml", frozenset()).files) == ["t.csv", "tidegate.toml"]
    assert [*import_tree(made(member("./a.toml")), "b.toml", frozenset()).files] == ["b.toml"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive",
        made(),
        made(member("a.csv")),
        made(member("a.toml"), member("b.toml")),
        made(member("tidegate.toml"), member("../x.csv")),
        made(member("tidegate.toml"), member("/etc/x.csv")),
        made(member("tidegate.toml"), member("secrets/key.pem")),
        made(member("tidegate.toml"), member("tidegate.toml")),
        made(member("tidegate.toml", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        made(member("tidegate.toml"), member("x.csv", 0, type=tarfile.LNKTYPE, linkname="tidegate.toml")),
        made(member("tidegate.toml"), member("x.csv", 0, type=tarfile.CHRTYPE)),
        made(member("tidegate.toml"), *(member(f"{i}.csv", 0) for i in range(600))),
        made(member("tidegate.toml", MAX_BYTES + 1), mode="w:gz"),
        made(member("tidegate.toml"), mode="w:gz")[:-20],
    ],
    ids=range(15),
)
def test_what_does_not_belong_is_refused(body: bytes) -> None:
    with pytest.raises(Mendable):
        import_tree(body, "tidegate.toml", frozenset())
