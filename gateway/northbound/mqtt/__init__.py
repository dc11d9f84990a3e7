"""A lean MQTT publisher: codec, one session per connection, TLS. Knows nothing of tags and records."""

from gateway.northbound.mqtt.errors import ConnectFailed, ConnectionLost, ConnectRefused, MqttError
from gateway.northbound.mqtt.packets import Will
from gateway.northbound.mqtt.session import Flight, Limits, Session, connect, try_connect

__all__ = [
    "ConnectFailed",
    "ConnectRefused",
    "ConnectionLost",
    "Flight",
    "Limits",
    "MqttError",
    "Session",
    "Will",
    "connect",
    "try_connect",
]
