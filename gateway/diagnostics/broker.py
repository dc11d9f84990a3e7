"""The test ladder of a broker: name → link → TLS → CONNECT → publish → the message comes back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

from gateway.diagnostics import way
from gateway.diagnostics.rungs import Failed, Outcome, Rung, Step, climb
from gateway.northbound import gateway_topic
from gateway.northbound.mqtt import ConnectFailed, MqttError, Trial, chain, client_context, connect_mend, packets
from gateway.secrets import SecretError, resolve
from gateway.settings import GatewaySettings, MqttSettings

_STEP_LIMIT_S = 10.0
_BACK_LIMIT_S = 3.0
_SOON_DAYS = 30
_DENIED = 0x87
_FAILURE = 0x80


async def climb_broker(gateway: GatewaySettings, sink: MqttSettings) -> AsyncGenerator[Rung, None]:
    """Test the broker of `sink`, under a client id of its own, so that a running gateway keeps its connection.

    It publishes below the gateway's own topic, not retained. Closing the iterator ends the test.
    """
    test = _Test(gateway, sink)
    rungs = climb(test.steps())
    try:
        async for rung in rungs:
            yield rung
    finally:
        await rungs.aclose()
        await test.close()


class _Test:
    def __init__(self, gateway: GatewaySettings, sink: MqttSettings) -> None:
        self._sink = sink
        self._where = f"{sink.host}:{sink.port}"
        self._client_id = f"{sink.client_id}-test"
        self._topic = f"{gateway_topic(gateway, sink.root)}/_test"
        self._context: ssl.SSLContext | None = None
        self._trial: Trial | None = None
        self._name = (sink.tls.server_name if sink.tls else None) or sink.host

    def steps(self) -> list[Step]:
        return [
            Step("name", "Name", lambda: way.look_up(self._sink.host), way.NAME_LIMIT_S + 1),
            Step("link", "Link", self.reach, way.REACH_LIMIT_S + 1),
            Step("tls", "TLS", self.tls, _STEP_LIMIT_S),
            Step("connect", "CONNECT", self.connect, _STEP_LIMIT_S),
            Step("publish", "Publish", self.publish, _STEP_LIMIT_S),
            Step("return", "Message comes back", self.comes_back, _STEP_LIMIT_S),
        ]

    async def reach(self) -> Outcome:
        usual = 8883 if self._sink.tls is not None else 1883
        await way.reach(self._sink.host, self._sink.port, usual, self._sink.connect_timeout_s)
        return Outcome(f"{self._where} accepts connections")

    async def tls(self) -> Outcome:
        settings = self._sink.tls
        if settings is None:
            return Outcome("not asked for: values and password travel readable to anybody on the way", skipped=True)
        try:
            context, lenient = [await asyncio.to_thread(client_context, settings) for _ in range(2)]
            shown = await chain.shown(self._sink.host, self._sink.port, settings, lenient)
        except ConnectFailed as error:
            raise Failed(str(error)) from None
        except (ConnectionError, ssl.SSLError) as error:
            raise Failed(*self._no_tls(error, ())) from None
        certificates = [each.to_json() for each in shown]
        try:
            self._trial = await self._open(context)
        except (ConnectionError, ssl.SSLError) as error:
            sentence, mend = self._no_tls(error, shown)
            raise Failed(sentence, mend, chain=certificates) from None
        self._context = context
        first = min(shown, key=lambda each: each.not_after)
        days = (first.not_after - datetime.now(UTC)).days
        soon = f"; {first.subject!r} expires in {days} days: renew it" if days < _SOON_DAYS else ""
        return Outcome(
            f"the certificate of {self._name!r} is trusted{soon}", {"chain": certificates, "days_left": days}
        )

    def _no_tls(self, error: OSError, shown: Sequence[chain.Shown]) -> tuple[str, str | None]:
        if isinstance(error, ssl.SSLError):
            return chain.why_untrusted(error, shown, self._name, self._sink.tls.ca if self._sink.tls else None)
        return (
            f"{self._where} hung up when TLS began",
            "check the port (MQTT over TLS is usually 8883), and whether the broker wants a client certificate",
        )

    async def _open(self, context: ssl.SSLContext | None) -> Trial:
        sink = self._sink
        server_name = sink.tls.server_name if sink.tls else None
        return await Trial.open(sink.protocol, sink.host, sink.port, context, server_name, self._where)

    async def connect(self) -> Outcome:
        sink = self._sink
        try:
            password = await asyncio.to_thread(resolve, sink.password) if sink.password is not None else None
        except SecretError as error:
            raise Failed(str(error)) from None
        try:
            if self._trial is None:
                self._trial = await self._open(None)
            answer = await self._trial.connect(
                self._client_id, sink.keepalive_s, sink.username, None if password is None else password.encode()
            )
        except (MqttError, packets.Malformed, OSError) as error:
            raise Failed(*self._no_answer(error)) from None
        if answer.reason >= _FAILURE:
            name = packets.reason_name(packets.Kind.CONNACK, answer.reason)
            mend = connect_mend(answer.reason, sink, answer.properties).removeprefix(": ")
            raise Failed(
                f"the broker refuses the connection: {name} (0x{answer.reason:02X})",
                mend or f"look into the broker's log for the client id {self._client_id!r}",
                reason=answer.reason,
            )
        version = "5" if sink.protocol == packets.MQTT_5 else "3.1.1"
        who = f" as {sink.username!r}" if sink.username else ""
        return Outcome(
            f"MQTT {version}: connected{who} with the client id {self._client_id!r}",
            {
                "client_id": self._client_id,
            },
        )

    def _no_answer(self, error: Exception) -> tuple[str, str | None]:
        if isinstance(error, packets.Malformed):
            return f"{self._where} sent {error}", "check that it is an MQTT broker, and the port"
        if isinstance(error, ssl.SSLError):
            return chain.why_untrusted(error, (), self._name, None)
        if self._sink.tls is not None:
            wish = "wants a" if self._sink.tls.certificate is None else "doesn't accept our"
            return (
                f"the connection was closed right after the TLS handshake; most likely the broker {wish} client "
                "certificate",
                "check certificate and key in [sink.tls]",
            )
        return (
            "the connection was closed without an answer to CONNECT",
            "check the port, whether it wants TLS, and the protocol version",
        )

    async def publish(self) -> Outcome:
        trial = self._trial
        assert trial is not None
        begun = time.monotonic()
        try:
            answer = await trial.publish(self._topic, b"test")
        except (MqttError, packets.Malformed, OSError) as error:
            raise Failed(
                f"the broker ended the connection over a message on {self._topic}: {error}",
                "it may not allow this client to publish there: check its access rules",
            ) from None
        if answer.reason >= _FAILURE:
            name = packets.reason_name(packets.Kind.PUBACK, answer.reason)
            what = "lets this client not publish" if answer.reason == _DENIED else "takes no message"
            raise Failed(
                f"the broker {what} on {self._topic}: {name} (0x{answer.reason:02X})",
                f"give {self._who} the right to write to {self._sink.root}/#",
                reason=answer.reason,
            )
        took_ms = (time.monotonic() - begun) * 1e3
        return Outcome(f"a message on {self._topic} was acknowledged in {took_ms:.1f} ms", {"topic": self._topic})

    @property
    def _who(self) -> str:
        return f"the user {self._sink.username!r}" if self._sink.username else f"the client {self._client_id!r}"

    async def comes_back(self) -> Outcome:
        """The gateway needs to publish only. But a broker of MQTT 3.1.1 says yes to what it throws away."""
        trial = self._trial
        assert trial is not None
        payload = secrets.token_hex(8).encode()
        begun = time.monotonic()
        try:
            reason = await trial.subscribe(self._topic)
            if reason >= _FAILURE:
                return self._not_back(f"{self._who} may not subscribe to {self._topic}")
            async with asyncio.timeout(_BACK_LIMIT_S):
                await trial.until_back(self._topic, payload)
        except TimeoutError:
            return self._not_back(f"the broker took a message on {self._topic} but doesn't hand it on")
        except (MqttError, packets.Malformed, OSError) as error:
            raise Failed(f"the broker ended the connection: {error}", "look into its log") from None
        return Outcome(f"it came back in {(time.monotonic() - begun) * 1e3:.1f} ms")

    def _not_back(self, sentence: str) -> Outcome:
        if self._sink.protocol == packets.MQTT_5:
            return Outcome(f"{sentence}; the gateway itself needs no more than to publish", skipped=True)
        raise Failed(
            f"{sentence}, and in MQTT 3.1.1 it couldn't say so if it threw the message away",
            f"give {self._who} the right to write to {self._sink.root}/# and to read {self._topic}, or use MQTT 5",
        )

    async def close(self) -> None:
        if self._trial is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._trial.close()
