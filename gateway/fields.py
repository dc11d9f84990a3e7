"""Kinds of values that configuration tables share, the drivers' option models included: hosts, files, secrets.

A relative path starts at the directory of the file it is written in. Whoever validates a table says which that is, as
pydantic's validation context ``{"directory": Path}``; without one a path stays as it is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema

from gateway.hosts import host_in, is_host
from gateway.secrets import Secret, resolve


def _check_host(text: str) -> str:
    if is_host(text):
        return text
    found = host_in(text)
    mend = f"write '{found}'; a port has a key of its own" if found else "write the name or the address alone"
    raise ValueError(f"host '{text}' is neither a host name nor an IP address: {mend}")


def _absolute(path: Path, info: ValidationInfo) -> Path:
    directory = (info.context or {}).get("directory")
    return path if directory is None else Path(directory, path)


class Options(BaseModel):
    """A driver's table of options: no unknown keys. Of a configuration it is read strictly: no type is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Host = Annotated[str, Field(min_length=1), AfterValidator(_check_host)]
"""A host name or an IP address, alone."""

FilePath = Annotated[
    Path, AfterValidator(_absolute), Field(strict=False), WithJsonSchema({"type": "string", "minLength": 1})
]
"""A file by its path. Whether a driver's is there is looked at when the configuration is read on the gateway itself."""


class SecretReference(BaseModel):
    """A secret by reference. Exactly one key; the secret itself never stands in the configuration."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"minProperties": 1, "maxProperties": 1}
    )

    env: str | None = Field(default=None, min_length=1, description="Environment variable that holds the secret.")
    file: FilePath | None = Field(
        default=None, description="File that holds it, not readable by every user. A final newline is left off."
    )
    credential: str | None = Field(
        default=None, min_length=1, description="systemd credential (`LoadCredential=`) of this name."
    )

    @property
    def homes(self) -> dict[str, str]:
        """The keys given. More or fewer than one is an error that reading the configuration reports."""
        return {key: str(value) for key, value in self if value is not None}

    @property
    def secret(self) -> Secret:
        """What the one key names. Raises ValueError if there isn't exactly one."""
        ((source, name),) = self.homes.items()
        return Secret(source, name)

    def read(self) -> str:
        """The secret itself. Raises gateway.secrets.SecretError."""
        return resolve(self.secret)
