# SPDX-License-Identifier: Apache-2.0
"""A domain as somebody else makes it, by hand."""

import pathlib

from tests.harness.node import Node

DOCUMENT = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:aa:bb:cc'/>
      <source bridge='{bridge}'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <graphics type='vnc'><listen type='socket'/></graphics>
  </devices>
</domain>
"""


def define(node: Node, name: str, identity: str, disk: pathlib.Path) -> None:
    """Defines a domain with this name and UUID and the qcow2 file `disk`; it is off."""
    document = node.dir / "tmp/hand-made.xml"
    document.write_text(
        DOCUMENT.format(name=name, uuid=identity, disk=disk, bridge=node.bridge)
    )
    node.virsh("define", document)
    document.unlink()
