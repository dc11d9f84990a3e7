"""Northbound: records to an MQTT broker as one Unified Namespace. The only room that knows MQTT."""

from gateway.northbound.documents import Documents
from gateway.northbound.manifest import gateway_topic
from gateway.northbound.mqtt import MqttError, try_connect
from gateway.northbound.sink import MqttSink
from gateway.northbound.uns import asset_topic, topic_problem

__all__ = [
    "Documents",
    "MqttError",
    "MqttSink",
    "asset_topic",
    "gateway_topic",
    "topic_problem",
    "try_connect",
]
