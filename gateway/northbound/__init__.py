"""Northbound: records to an MQTT broker as one Unified Namespace. The only room that knows MQTT."""

from gateway.northbound.mqtt import MqttError, check_tls, try_connect
from gateway.northbound.sink import MqttSink
from gateway.northbound.uns import asset_topic, topic_problem

__all__ = ["MqttError", "MqttSink", "asset_topic", "check_tls", "topic_problem", "try_connect"]
