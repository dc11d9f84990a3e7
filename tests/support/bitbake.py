"""Evaluates recipes with bitbake's own parser: `bitbake.py LAYER "VARIABLE …" FILE …` prints their variables as JSON.

A program of its own, since bitbake changes the process it runs in. Classes of other layers stand empty: what they add
can't be had from PyPI, what the layer itself says can. In a variable's name PN stands for the recipe's.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

# The package on PyPI leaves out the client of the hash server, which only builds use.
sys.modules.update({name: ModuleType(name) for name in ("hashserv", "hashserv.client")})

import bb.data  # noqa: E402 - after what it misses
import bb.parse  # noqa: E402
import bb.siggen  # noqa: E402

# What every recipe inherits, and what variants for other machines do.
ALWAYS = {"base", "native", "nativesdk"}


def evaluate(layer: Path, names: list[str], file: Path, empty: Path) -> dict[str, str | None]:
    inherited = re.findall(
        r"^inherit (.*)$", "".join(map(Path.read_text, [file, *layer.rglob("*.bbclass")])), re.MULTILINE
    )
    for name in {*ALWAYS, *" ".join(inherited).split()}:
        if not (layer / f"classes-recipe/{name}.bbclass").exists():
            (empty / f"classes/{name}.bbclass").touch()
    recipe = file
    if file.suffix == ".bbappend":
        recipe = empty / f"{file.stem}.bb"
        recipe.touch()
    data = bb.data.init()
    for name, value in {
        "BBPATH": f"{empty}:{layer}",
        "BB_SIGNATURE_HANDLER": "noop",
        "BPN": file.stem.split("_")[0],
        "FILE": str(recipe),
        "LAYERDIR": str(layer),
        "PN": file.stem.split("_")[0],
        "PV": file.stem.split("_")[-1],
        "TOPDIR": str(empty),
        "__BBAPPEND": str(file) if recipe != file else "",
        "__bbclasstype": "recipe",
    }.items():
        data.setVar(name, value)
    bb.parse.siggen = bb.siggen.init(data)
    data = bb.parse.handle(str(layer / "conf/layer.conf"), data, True)
    data = bb.parse.handle(str(recipe), data)[""]
    answer = {name: data.getVar(name.replace("PN", data.getVar("PN"))) for name in names}
    return {**answer, "sha256": data.getVarFlag("SRC_URI", "sha256sum")}


def main() -> None:
    layer, names, *files = sys.argv[1:]
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "classes").mkdir()
        answers = {file: evaluate(Path(layer), names.split(), Path(file), Path(empty)) for file in files}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
