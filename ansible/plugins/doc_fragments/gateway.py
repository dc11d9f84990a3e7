"""What every module needs to know of the gateway it speaks to."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  command:
    description: The C(tidegate) command on the gateway; a name in the search path, or its whole path.
    type: str
    default: tidegate
  config:
    description: The gateway's main configuration file.
    type: path
    default: /etc/tidegate/tidegate.toml
  socket:
    description: The gateway's control socket, where the configuration doesn't tell it.
    type: path
requirements:
  - Python 3.11 or newer on the gateway
  - the C(tidegate) command on the gateway
"""
