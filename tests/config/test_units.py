"""UCUM codes, and what people write instead of them."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.names import Mendable
from gateway.config.units import check_unit, is_ucum, suggest

TABLE = json.loads(files("gateway.config").joinpath("ucum.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "code",
    [
        "Cel", "K", "m", "mm", "m2", "m3/h", "L/min", "l/min", "kg.m/s2", "m.s-1", "kW.h", "V.A", "V.A{reactive}", "%",
        "%{RH}", "/min", "{bottles}", "{bottles}/h", "1", "10*3", "10*-6", "m[H2O]", "mm[Hg]", "[psi]", "[in_i'Hg]",
        "uS/cm", "mol/(L.s)", "/(s.m2)", "[degF]", "dB", "B[W]", "MBy/s", "KiBy", "mg/dL", "Ohm.m", "''", "dar",
        "100/min", "m+2", "kg{dry}/m3", "[pH]", "us", "umol/s", "Gal", "daN", "hPa",
    ],
)  # fmt: skip
def test_a_code_is_a_code(code: str) -> None:
    assert is_ucum(code)
    assert check_unit(code) == code


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "°C", "m//s", "m.", ".m", "m/", "(m", "m)", "()", "m{", "m}", "{a{b}}", "{°}", "kmin", "m^2", "m²",
        "rpm", "m 2", "2m", "m2/", "[psi", "mm[Hq]", "k%", "-1", "m--1", "m3x", "/", "//m",
    ],
)  # fmt: skip
def test_no_code(text: str) -> None:
    assert not is_ucum(text)
    with pytest.raises(Mendable):
        check_unit(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("°C", "Cel"), ("degC", "Cel"), ("°F", "[degF]"), ("rpm", "/min"), ("RPM", "/min"), ("m³/h", "m3/h"),
        ("m^3/h", "m3/h"), ("Nm", "N.m"), ("kWh", "kW.h"), ("kwh", "kW.h"), ("KWh", "kW.h"), ("kvar", "kV.A{var}"),
        ("kVA", "kV.A"), ("psi", "[psi]"), ("bar(g)", None), ("barg", "bar{gauge}"), ("mmHg", "mm[Hg]"),
        ("gal/min", "[gal_us]/min"), ("µm", "um"), ("μS/cm", "uS/cm"), ("kΩ", "kOhm"), ("KG/hr", "kg/h"),
        ("MPA", "MPa"), ("mpa", "mPa"), ("kpa", "kPa"), ("L / min", "L/min"), ("m/sec", "m/s"), ("m/s²", "m/s2"),
        ("pcs", "{pcs}"), ("pcs/h", "{pcs}/h"), ("ppm", "[ppm]"), ("mg/m³", "mg/m3"), ("hz", "Hz"), ("ma", "mA"),
        ("%RH", "%{RH}"), ("W/m²", "W/m2"), ("m·s⁻¹", "m.s-1"), ("ft", "[ft_i]"), ("pH", "[pH]"), ("kB/s", "kBy/s"),
        ("lb/ft³", "[lb_av]/[ft_i]3"), ("wobble", None), ("Grad Celsius", None),
    ],
)  # fmt: skip
def test_what_was_meant(written: str, meant: str | None) -> None:
    assert suggest(written) == meant


def test_the_table_agrees_with_itself() -> None:
    """Every atom is a code; everything people say is mapped to one; nothing stands twice."""
    atoms = [*TABLE["metric"], *TABLE["plain"]]
    assert len(set(atoms)) == len(atoms)
    assert [atom for atom in atoms if not is_ucum(atom)] == []
    assert [word for word, code in TABLE["spoken"].items() if not is_ucum(code)] == []
    assert [word for word, code in TABLE["spoken"].items() if is_ucum(word) and word != code] == []


def test_a_valid_code_that_nobody_means_is_refused() -> None:
    with pytest.raises(Mendable, match='"pH" means picohenry') as caught:
        check_unit("pH")
    assert caught.value.hint == 'write "[pH]"'


@given(st.text(max_size=20))
def test_a_suggestion_is_always_a_code(text: str) -> None:
    assert (meant := suggest(text)) is None or is_ucum(meant)


ATOMS = st.sampled_from(["m", "s", "kg", "Cel", "%", "[psi]", "10*", "mm[Hg]", "{x}", "5"])


@st.composite
def terms(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.integers(0, 4)) == 0:
            parts.append(f"({draw(terms(depth - 1))})")
            continue
        atom = draw(ATOMS)
        if atom not in ("{x}", "5"):
            atom += draw(st.sampled_from(["", "", "2", "-1", "+3"])) + draw(st.sampled_from(["", "", "{note}"]))
        parts.append(atom)
    text = parts[0]
    for part in parts[1:]:
        text += draw(st.sampled_from("./")) + part
    return text


@given(terms(), st.sampled_from(["", "/"]))
def test_the_grammar(term: str, slash: str) -> None:
    assert is_ucum(slash + term) == (len(slash + term) <= 64)
