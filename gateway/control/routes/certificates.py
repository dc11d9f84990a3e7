"""Certificates: what is known, what is trusted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gateway.actors import Actor, Role
from gateway.audit import AuditLog
from gateway.control.operation import Answer, Call, NoQuery, Operation, Refusal
from gateway.driver import Certificate, Certificates
from gateway.ops.certificates import (
    CertificateProblem,
    KnownCertificate,
    described,
    known_for_sinks,
    known_in,
    known_of_page,
    one_of,
    page_certificate,
    stores_of,
)
from gateway.settings import GatewaySettings

_MOST_BYTES = 64 << 10
_STATUS = {"no-such-certificate": 404, "ambiguous": 409, "other-state": 409}
_SEE = "see: tidegate cert list"

Result = TypeVar("Result")


class HasSettings(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    @property
    def settings(self) -> GatewaySettings: ...


def operations(runtime: HasSettings, audit: AuditLog) -> list[Operation[Any, Any]]:
    def store_of(driver: str) -> Certificates:
        stores = stores_of(runtime.settings)
        if driver not in stores:
            able = ", ".join(stores) or "none is configured"
            raise Refusal(
                404, "no-such-driver", f"no configured driver {driver!r} keeps certificates", f"those that do: {able}"
            )
        return stores[driver]

    async def changed(
        actor: Actor, action: str, driver: str, subject: str, change: Callable[[], Certificate]
    ) -> KnownCertificate:
        """Audited before and after."""
        await audit.record(actor, action, subject, "asked", driver=driver)
        try:
            certificate = await _in_thread(change)
        except Refusal as refusal:
            await audit.record(actor, action, subject, "failed", driver=driver, why=refusal.message)
            raise
        found = described(driver, certificate)
        await audit.record(actor, action, found.fingerprint, "done", driver=driver, of=found.subject)
        return found

    async def list_certificates(_: Call[NoQuery, None]) -> list[KnownCertificate]:
        settings = runtime.settings

        def known() -> list[KnownCertificate]:
            return [
                *known_in(stores_of(settings)),
                *known_for_sinks(settings),
                *known_of_page(page_certificate(settings.socket)),
            ]

        return await _in_thread(known)

    def meant(call: Call[NoQuery, Any], *states: str) -> tuple[Certificates, Callable[[], str]]:
        """The store, and what finds the whole fingerprint of the one that is meant."""
        driver = call.path["driver"]
        store = store_of(driver)
        return store, lambda: one_of(list(known_in({driver: store})), call.path["fingerprint"], *states).fingerprint

    async def accept_certificate(call: Call[NoQuery, None]) -> KnownCertificate:
        store, find = meant(call, "quarantined")
        return await changed(
            call.actor, "certificate.accept", call.path["driver"], call.path["fingerprint"],
            lambda: store.accept(find()),
        )  # fmt: skip

    async def reject_certificate(call: Call[NoQuery, None]) -> KnownCertificate:
        store, find = meant(call, "quarantined", "trusted", "issuer")
        return await changed(
            call.actor, "certificate.reject", call.path["driver"], call.path["fingerprint"],
            lambda: store.reject(find()),
        )  # fmt: skip

    async def add_certificate(call: Call[NoQuery, bytes]) -> KnownCertificate:
        store = store_of(call.path["driver"])

        def added() -> Certificate:
            with tempfile.NamedTemporaryFile(suffix=".pem" if b"-----BEGIN" in call.body else ".der") as file:
                file.write(call.body)
                file.flush()
                try:
                    return store.add(Path(file.name))
                except (OSError, ValueError):
                    raise Refusal(
                        422, "no-certificate", "what was sent holds no certificate", "send one in PEM or DER form"
                    ) from None

        return await changed(call.actor, "certificate.add", call.path["driver"], call.path["driver"], added)

    async def renew_certificate(call: Call[NoQuery, None]) -> KnownCertificate:
        driver = call.path["driver"]
        return await changed(call.actor, "certificate.renew", driver, driver, store_of(driver).renew)

    one = Answer(KnownCertificate)
    of_driver, of_one = "/v1/certificates/{driver}", "/v1/certificates/{driver}/{fingerprint}"
    return [
        Operation(
            "GET", "/v1/certificates", "list_certificates", Role.VIEWER,
            "List every certificate: of drivers, for brokers, the page's.",
            list_certificates, Answer(list[KnownCertificate]),
        ),
        Operation(
            "POST", f"{of_one}/accept", "accept_certificate", Role.ADMIN,
            "Trust a quarantined certificate; the beginning of its fingerprint is enough.",
            accept_certificate, one, refusals=(409,),
        ),
        Operation(
            "POST", f"{of_one}/reject", "reject_certificate", Role.ADMIN,
            "No longer trust a certificate, or throw it out of quarantine.",
            reject_certificate, one, refusals=(409,),
        ),
        Operation(
            "POST", f"{of_driver}/add", "add_certificate", Role.ADMIN,
            "Trust the certificate in a file (PEM or DER).",
            add_certificate, one, body=bytes, max_body=_MOST_BYTES, refusals=(409,),
        ),
        Operation(
            "POST", f"{of_driver}/renew", "renew_certificate", Role.ADMIN,
            "Make a driver's own certificate anew; the far ends must then be told to trust it.",
            renew_certificate, one, refusals=(409,),
        ),
    ]  # fmt: skip


def _in_thread(call: Callable[[], Result]) -> Awaitable[Result]:
    """What goes wrong with the files is a refusal."""

    def told() -> Result:
        try:
            return call()
        except CertificateProblem as error:
            raise Refusal(_STATUS[error.code], error.code, str(error), error.mend) from None
        except KeyError as error:
            raise Refusal(
                404, "no-such-certificate", str(error.args[0]) if error.args else "it is gone", _SEE
            ) from None
        except (OSError, ValueError) as error:
            raise Refusal(409, "certificate-failed", f"it can't be done: {error}", _SEE) from None

    return asyncio.to_thread(told)
