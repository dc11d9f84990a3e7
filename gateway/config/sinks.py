"""Sinks, with their secrets and TLS files."""

from __future__ import annotations

from gateway.config.context import Context
from gateway.config.names import quote
from gateway.config.places import Place
from gateway.config.schema import SinkTable, TlsTable
from gateway.config.tls import check_tls
from gateway.settings import MqttSettings, TlsSettings


def read_sinks(context: Context, gateway_id: str) -> tuple[MqttSettings, ...]:
    """Every sink of the document. What is wrong goes into the report."""
    names: dict[str, Place] = {}
    clients: dict[tuple[str, int, str], Place] = {}
    sinks = []
    for raw, place in context.sections("sink"):
        table = context.checker.table(SinkTable, raw, place, directory=context.path(""))
        if table is None:
            continue
        sink = _sink(context, table, place, gateway_id)
        sinks.append(sink)
        if not context.unique(names, table.name, place, "sink"):
            continue
        known = clients.setdefault((sink.host.lower(), sink.port, sink.client_id), place)
        if known is not place:
            context.report.add(
                place.child("client_id"),
                f"this sink and the one at {context.report.where(known)} use the client id {quote(sink.client_id)} "
                "at the same broker, which would disconnect one for the other",
                "give each sink its own client_id, or leave it out",
            )
    return tuple(sinks)


def _sink(context: Context, table: SinkTable, place: Place, gateway_id: str) -> MqttSettings:
    if table.password is not None and table.username is None and table.protocol == "3.1.1":
        message = "sink.password is given without sink.username, which MQTT 3.1.1 doesn't allow"
        context.report.add(place.child("password"), message, "add username, or take password out")
    return MqttSettings(
        name=table.name,
        host=table.host,
        port=table.port or (1883 if table.tls is None else 8883),
        client_id=table.client_id or f"{gateway_id}-{table.name}",
        protocol=5 if table.protocol == "5" else 4,
        keepalive_s=table.keepalive_s,
        ack_timeout_s=table.ack_timeout_s,
        connect_timeout_s=table.connect_timeout_s,
        window=table.window,
        reconnect_max_s=table.reconnect_max_s,
        username=table.username,
        password=context.secret(table.password, place.child("password")) if table.password else None,
        tls=_tls(context, table.tls, place.child("tls")) if table.tls is not None else None,
        root=table.root,
        granularity=table.granularity,
        profile=table.profile,
        retain=table.retain,
        strict_order=table.order == "strict",
        backfill_values_per_s=table.backfill_values_per_s,
        refused_retry_s=table.refused_retry_s,
        ledger_interval_s=table.ledger_interval_s,
    )


def _tls(context: Context, table: TlsTable, place: Place) -> TlsSettings:
    settings = TlsSettings(
        ca=context.path(table.ca) if table.ca else None,
        certificate=context.path(table.certificate) if table.certificate else None,
        key=context.path(table.key) if table.key else None,
        server_name=table.server_name,
    )
    for key, message, hint in check_tls(settings, files=context.check_secrets):
        context.report.add(place.child(key), f"{place.label}.{key}: {message}", hint)
    return settings
