"""What can go wrong with an MQTT connection. Every message is one sentence for a user."""

from __future__ import annotations

from gateway.northbound.mqtt.packets import Reason


class MqttError(Exception):
    """The connection can't be made or is lost."""


class ConnectFailed(MqttError):
    """The broker can't be reached, or TLS with it fails."""


class ConnectRefused(MqttError):
    """The broker was reached and said no."""

    def __init__(self, message: str, reason: int) -> None:
        super().__init__(message)
        self.reason = reason


class ConnectionLost(MqttError):
    """An established connection is gone."""

    def __init__(
        self, message: str, *, reason: int | None = None, by_broker: bool = False, orderly: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """MQTT 5 reason code, where the broker gave one."""
        self.by_broker = by_broker
        """True if the broker ended it, false if it fell silent or misbehaved."""
        self.orderly = orderly
        """True if the broker closed it without a word but in order (FIN, not RST): it meant to."""

    @property
    def taken_over(self) -> bool:
        """Another client connected with our client id."""
        return self.reason == Reason.SESSION_TAKEN_OVER
