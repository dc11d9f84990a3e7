"""How a session is secured: the policy of its channel and the user it acts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.driver import LinkDown, Site
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from asyncua.client.client import Client

    from drivers.opcua.options import LinkOptions

__all__ = ["secure"]


async def secure(client: Client, options: LinkOptions, site: Site) -> None:
    """Prepare `client`, which isn't connected yet. Raises LinkDown."""
    client.application_uri = f"urn:tidegate:{site.gateway}"
    client.name = f"Tidegate {site.gateway}"
    if options.username is not None:
        client.set_user(options.username)
        if options.password is not None:
            try:
                client.set_password(options.password.read())
            except SecretError as error:
                raise LinkDown(str(error)) from None
