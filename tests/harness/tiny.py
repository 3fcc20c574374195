# SPDX-License-Identifier: Apache-2.0
"""The tiny guest, as tests create it."""

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


def delete(agent, instance_id: str) -> None:
    agent.api.do("InstanceService/DeleteInstance", {"instanceId": instance_id})
