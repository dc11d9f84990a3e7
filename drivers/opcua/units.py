"""Engineering units as OPC UA names them (OPC 10000-8 §5.6.3.4), as UCUM codes: those an industrial gateway meets."""

from __future__ import annotations

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
"""The units of UN/CEFACT Recommendation 20: a UnitId is the letters of the common code, one byte each."""

_UCUM = {
    # temperature, pressure
    "CEL": "Cel", "FAH": "[degF]", "KEL": "K",
    "PAL": "Pa", "A97": "hPa", "KPA": "kPa", "MPA": "MPa", "BAR": "bar", "MBR": "mbar", "PS": "[psi]", "ATM": "atm",
    # length, area, volume, mass
    "MTR": "m", "KMT": "km", "CMT": "cm", "MMT": "mm", "4H": "um", "INH": "[in_i]", "FOT": "[ft_i]",
    "MTK": "m2", "CMK": "cm2", "MMK": "mm2",
    "MTQ": "m3", "LTR": "L", "MLT": "mL", "HLT": "hL", "CMQ": "cm3", "GLL": "[gal_us]",
    "KGM": "kg", "GRM": "g", "MGM": "mg", "TNE": "t", "LBR": "[lb_av]", "ONZ": "[oz_av]",
    # time, frequency, angle
    "SEC": "s", "C26": "ms", "B98": "us", "MIN": "min", "HUR": "h", "DAY": "d", "WEE": "wk", "MON": "mo", "ANN": "a",
    "HTZ": "Hz", "KHZ": "kHz", "MHZ": "MHz", "RPM": "/min", "RPS": "/s", "DD": "deg", "C81": "rad", "2A": "rad/s",
    # movement, force
    "MTS": "m/s", "2M": "cm/s", "C16": "mm/s", "KMH": "km/h", "2X": "m/min", "MSK": "m/s2",
    "NEW": "N", "B47": "kN", "NU": "N.m", "B48": "kN.m",
    # flow, density
    "MQH": "m3/h", "MQS": "m3/s", "L2": "L/min", "E32": "L/h", "G51": "L/s",
    "KGS": "kg/s", "E93": "kg/h", "F31": "kg/min", "E18": "t/h",
    "KMQ": "kg/m3", "GL": "g/L", "23": "g/cm3", "M1": "mg/L",
    # electricity, energy
    "AMP": "A", "4K": "mA", "VLT": "V", "2Z": "mV", "KVT": "kV", "OHM": "Ohm", "B49": "kOhm", "FAR": "F", "D10": "S/m",
    "WTT": "W", "C31": "mW", "KWT": "kW", "MAW": "MW", "D46": "V.A", "KVA": "kV.A", "D44": "V.A{var}",
    "JOU": "J", "KJO": "kJ", "3B": "MJ", "WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h", "AMH": "A.h",
    # ratios, light, sound, chemistry
    "P1": "%", "59": "[ppm]", "61": "[ppb]", "C62": "1", "LUX": "lx", "LUM": "lm", "2N": "dB", "Q30": "[pH]",
}  # fmt: skip


def to_ucum(namespace: str | None, unit_id: int) -> str | None:
    """The UCUM code of an EUInformation, None if it isn't known."""
    if namespace != UNECE or unit_id <= 0:
        return None
    return _UCUM.get(unit_id.to_bytes(4, "big").lstrip(b"\x00").decode("latin-1"))
