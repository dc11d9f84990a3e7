"""What is in an image: every package of Debian and of Python, as a table and as a CycloneDX bill of materials."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

from image.release import Release

DISTRIBUTION = "debian-13"
_HEADER = "kind\tname\tversion\tarchitecture\tlicence\n"
_NAMESPACE = uuid.UUID("54474154-0000-4000-8000-000000000000")
"""Of the serial numbers, which are made of a bill's own contents."""


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One package. ``kind`` is ``deb`` or ``pypi``; ``source``: Debian's source package; ``licence``: its own words."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    licence: str = ""
    source: str = ""
    ours: bool = False

    @property
    def purl(self) -> str:
        """The package URL (ECMA-427)."""
        version = quote(self.version, safe=".-_~")
        if self.kind == "deb":
            vendor = "tidegate" if self.ours else "debian"
            distribution = "" if self.ours else f"&distro={DISTRIBUTION}"
            return f"pkg:deb/{vendor}/{quote(self.name, safe='.-_~')}@{version}?arch={self.architecture}{distribution}"
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{version}"


def inventory(tree: Path, boot_packages: Iterable[str]) -> list[Item]:
    """What is installed in a root, and what is unpacked beside it, of which ``boot_packages`` are the control files."""
    status = (tree / "var/lib/dpkg/status").read_text()
    found = {
        _debian(stanza) for stanza in status.split("\n\n") if "\nStatus: install ok installed\n" in f"\n{stanza}\n"
    }
    found |= {_debian(control) for control in boot_packages}
    for metadata in tree.glob("usr/lib/**/*.dist-info/METADATA"):
        found.add(_python(metadata.read_text()))
    return sorted(found)


def table(items: Iterable[Item]) -> str:
    """Tab-separated values with a header, sorted as given."""
    rows = ("\t".join([item.kind, item.name, item.version, item.architecture, item.licence]) for item in items)
    return _HEADER + "".join(f"{row}\n" for row in rows)


def bill_of_materials(items: Iterable[Item], release: Release) -> str:
    """A CycloneDX 1.6 document (ECMA-424) in JSON, the same for the same contents."""
    components = [_component(item) for item in items]
    reference = f"pkg:generic/{release.compatible}@{quote(release.version, safe='.-_~')}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([reference, release.commit, components]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(release.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "firmware",
                "bom-ref": reference,
                "name": release.compatible,
                "version": release.version,
                "purl": reference,
            },
        },
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    return json.dumps(document, indent=1) + "\n"


def _component(item: Item) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library" if item.kind == "pypi" else "application",
        "bom-ref": item.purl,
        "name": item.name,
        "version": item.version,
        "purl": item.purl,
    }
    if item.licence:
        component["licenses"] = [{"license": {"name": item.licence}}]
    if item.source and item.source != item.name:
        component["properties"] = [{"name": "debian:source", "value": item.source}]
    return component


def _debian(stanza: str) -> Item:
    fields = HeaderParser().parsestr(stanza.strip())
    name = str(fields["Package"])
    return Item(
        kind="deb",
        name=name,
        version=str(fields["Version"]),
        architecture=str(fields["Architecture"]),
        source=str(fields.get("Source", name)).partition(" ")[0],
        ours=name == "tidegate" or name.startswith("tidegate-"),
    )


def _python(metadata: str) -> Item:
    fields = HeaderParser().parsestr(metadata)
    said = str(fields.get("License-Expression") or fields.get("License") or "").strip()
    # Some put the whole text of the licence there.
    return Item("pypi", str(fields["Name"]), str(fields["Version"]), licence=said if "\n" not in said else "")
