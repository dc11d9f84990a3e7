"""One module per way frames travel; each implements :class:`drivers.modbus.bus.ModbusBus`."""
