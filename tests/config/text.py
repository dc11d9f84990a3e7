"""A small good configuration that tests take apart."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "data"

[[sink]]
name = "plant"
host = "broker.example"
"""
LINK = """
[[link]]
name = "filler"
driver = "fake"
host = "192.168.1.20"
"""
DEVICE = """
[[device]]
name = "filler1"
link = "filler"

  [[device.group]]
  name = "fast"
  interval_ms = 1000
"""
TAG = """
    [[device.group.tag]]
    name = "motor/speed"
    address = "a:100"
    type = "uint16"
"""
GOOD = HEAD + LINK + DEVICE + TAG


def write(directory: Path, text: str = GOOD, **files: str) -> Path:
    """Write tidegate.toml and further files (`tags_csv` → tags.csv) into a directory; the path of tidegate.toml."""
    path = directory / "tidegate.toml"
    path.write_text(text, "utf-8")
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        (directory / f"{stem}.{suffix}").write_text(content, "utf-8")
    return path
