"""A lean MQTT publisher: codec, one session per connection, TLS. Knows nothing of tags and records."""

from gateway.northbound.mqtt.errors import ConnectFailed, ConnectionLost, ConnectRefused, MqttError
from gateway.northbound.mqtt.packets import Will
from gateway.northbound.mqtt.session import Flight, Limits, Session, connect, connect_mend, try_connect
from gateway.northbound.mqtt.tls import client_context
from gateway.northbound.mqtt.trial import Trial

__all__ = [
    "ConnectFailed",
    "ConnectRefused",
    "ConnectionLost",
    "Flight",
    "Limits",
    "MqttError",
    "Session",
    "Trial",
    "Will",
    "client_context",
    "connect",
    "connect_mend",
    "try_connect",
]
