# SPDX-License-Identifier: Apache-2.0
"""The tiny guest, as tests create it."""

import base64
from typing import Any

GIB = 1 << 30

# From creation, under emulation on a busy machine.
READY_TIMEOUT = 120


def spec(image_id: str, **more: Any) -> dict:
    return {
        "imageId": image_id,
        "vcpus": 1,
        "memoryMib": "128",
        "systemDisk": {"sizeBytes": str(GIB)},
        **more,
    }


def create(agent, image_id: str, instance_id: str, **more: Any) -> dict:
    """Creates and starts a tiny guest, waits until it is ready, and returns the instance."""
    request = {"instanceId": instance_id, "spec": spec(image_id, **more)}
    agent.api.do("InstanceService/CreateInstance", request)
    agent.wait_console(instance_id, "TINY-READY", READY_TIMEOUT)
    return agent.api.instance(instance_id)


def type_line(api, instance_id: str, line: str) -> None:
    """Types a line at the guest's shell, once there is one."""
    with api.open("InstanceService/StreamSerial") as stream:
        stream.send({"instanceId": instance_id, "logBytes": 65536})
        heard = []

        def at_prompt(message) -> bool:
            heard.append(base64.b64decode(message.get("output", "")))
            return b"tiny#" in b"".join(heard)

        stream.receive_until(at_prompt, 60)
        stream.send({"input": base64.b64encode(f"{line}\n".encode()).decode()})
        heard.clear()

        def echoed(message) -> bool:
            heard.append(base64.b64decode(message.get("output", "")))
            return line[:8].encode() in b"".join(heard)

        stream.receive_until(echoed, 60)


def ignore_power_button(api, instance_id: str) -> None:
    """From now on the guest takes no notice of ACPI: its watcher of the button sleeps."""
    # The answer is not what was typed, which is echoed.
    type_line(api, instance_id, "kill -STOP $(pidof dd) && echo deaf-$((40 + 2))")
    with api.open("InstanceService/StreamSerial") as stream:
        stream.send({"instanceId": instance_id, "logBytes": 65536, "takeOver": True})
        heard = []

        def deaf(message) -> bool:
            heard.append(base64.b64decode(message.get("output", "")))
            return b"deaf-42" in b"".join(heard)

        stream.receive_until(deaf, 60)


def delete(agent, instance_id: str) -> None:
    agent.api.do("InstanceService/DeleteInstance", {"instanceId": instance_id})
