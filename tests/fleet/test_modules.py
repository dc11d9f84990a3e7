"""The modules by themselves, on one machine."""

from __future__ import annotations

from tests.fleet.conftest import Control, Launch, configuration
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto

PLAY = """
- name: Try
  hosts: tidegate
  gather_facts: false
  tasks:
"""


def test_facts_say_how_a_gateway_is(control: Control, launch: Launch, field: Field, broker: Mosquitto) -> None:
    machines = launch("gw1", "gw2", configurations=lambda name: configuration(name, field), appliance=True)
    control.inventory(machines)
    (control.directory / "try.yml").write_text(
        PLAY
        + """
    - name: Ask
      tidegate.fleet.tidegate_facts:
      register: asked
      until: asked.ansible_facts.tidegate.delivered | default(0) > 0
      retries: 30
      delay: 1
"""
    )
    done = control.play("try.yml")
    assert done.code == 0, done.out
    facts = {each["ansible_facts"]["tidegate"]["id"]: each["ansible_facts"]["tidegate"] for each in done.results("Ask")}
    assert facts.keys() == {"gw1", "gw2"}
    assert facts["gw1"]["well"] == ["device filler", "sink plant"]
    assert facts["gw1"]["release"]["slots"][0]["version"] == "1.0"
