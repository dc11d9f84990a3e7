"""The air: bumble's virtual controllers and link, mended where they aren't like real ones (bumble 0.0.236)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

DEFAULT_RSSI = -60
_PROMPT_S = 0.002


class Air(LocalLink):
    """Connects controllers. A connection keeps the addresses it was made with, whatever its ends are called later."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rssi: dict[str, int] = {}
        """Address → signal strength, where it isn't the default."""
        self.beacons_only: set[str] = set()
        """Addresses nobody can connect to."""
        self.prompted: Callable[[], None] = lambda: None

    def send_acl_data(
        self, sender_controller: Controller, destination_address: hci.Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)

    def say(self, address: hci.Address, data: bytes) -> None:
        """Somebody advertises."""
        pdu = ll.AdvInd(advertiser_address=address, data=data)
        for controller in self.controllers:
            controller.on_ll_advertising_pdu(pdu)

    def prompt_soon(self) -> None:
        """Who advertises does so in a moment, when the host knows that it has asked: tests needn't wait for a turn."""
        asyncio.get_running_loop().call_later(_PROMPT_S, self.prompt)

    def prompt(self) -> None:
        for controller in 2 * [*self.controllers]:  # bumble's host holds an advert back until the next, or its answer
            controller.le_legacy_advertiser.send_advertising_data()
        self.prompted()

    def remove(self, controller: Controller) -> None:
        """Out of range: nothing reaches it any more, and no end is told."""
        self.controllers.discard(controller)
        controller.link = Air()

    def bring_back(self, controller: Controller) -> None:
        controller.link = self
        self.controllers.add(controller)


class VirtualController(Controller):
    """With cancelling of a pending connection, the signal strength told, and links that end on both sides."""

    link: Air

    def __init__(self, name: str, air: Air, **arguments: Any) -> None:
        super().__init__(name, link=air, **arguments)
        self.le_features &= ~(hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING)

    def on_hci_reset_command(self, command: Any) -> Any:
        """As after power-on (Bluetooth Core, Vol 4, Part E §7.3.2): a host that restarted finds nothing of before."""
        self._end_far_sides()
        self.le_connections.clear()
        self.pending_le_connection = None
        self.le_scan_enable = False
        return super().on_hci_reset_command(command)

    def on_hci_le_create_connection_cancel_command(self, command: Any) -> hci.HCI_StatusReturnParameters:
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_scan_enable_command(self, command: Any) -> Any:
        result = super().on_hci_le_set_scan_enable_command(command)
        self.link.prompt_soon()
        return result

    def on_hci_le_create_connection_command(self, command: Any) -> Any:
        result = super().on_hci_le_create_connection_command(command)
        self.link.prompt_soon()
        return result

    def on_hci_disconnect_command(self, command: Any) -> None:
        connection = self.find_connection_by_handle(command.connection_handle)
        if connection is not None and self.link.find_le_controller(connection.peer_address) is None:
            # The far end hears nothing any more: it is over all the same.
            self._send_hci_command_status(hci.HCI_ErrorCode.SUCCESS, command.op_code)
            self.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR)
            return
        super().on_hci_disconnect_command(command)

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        if sender_address in self.le_connections:  # else it is of a connection that has ended here meanwhile
            super().on_ll_control_pdu(sender_address, packet)

    def on_advertising_pdu(self, pdu: Any) -> None:
        address = pdu.advertiser_address
        plain = address.to_string(False)
        beacon = plain in self.link.beacons_only
        if self.le_scan_enable:
            report = hci.HCI_LE_Advertising_Report_Event
            kind = report.EventType.ADV_NONCONN_IND if beacon else report.EventType.ADV_IND
            self.send_hci_packet(
                report(
                    [
                        report.Report(
                            event_type=kind,
                            address_type=address.address_type,
                            address=address,
                            data=pdu.data,
                            rssi=self.link.rssi.get(plain, DEFAULT_RSSI),
                        )
                    ]
                )
            )
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == address and not beacon:
            self.create_le_connection(address)

    def lose_links(self) -> None:
        """The supervision timeout of every connection runs out, at both ends."""
        self._end_far_sides()
        for connection in [*self.le_connections.values()]:
            self.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def orphans(self) -> set[int]:
        """Handles of connections that nobody in the air is at the other end of."""
        return {connection.handle for connection in self.le_connections.values() if not self._far_sides(connection)}

    def _end_far_sides(self) -> None:
        for connection in self.le_connections.values():
            for other, far in self._far_sides(connection):
                other.on_le_disconnected(far, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def _far_sides(self, connection: Connection) -> list[tuple[Controller, Connection]]:
        """Who is at the other end, and what the connection is there."""
        found = ((other, other.le_connections.get(connection.self_address)) for other in self.link.controllers)
        return [(other, far) for other, far in found if far is not None and far.self_address == connection.peer_address]
