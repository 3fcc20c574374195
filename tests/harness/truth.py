# SPDX-License-Identifier: Apache-2.0
"""Whether what an agent says is true of its host: instances, domains, files, taps, operations."""

import re
from typing import Dict, Iterable, List, Optional

from tests.harness.agent import Agent
from tests.harness.waiting import wait_until

# The state of the domain that an instance in this state has; those that are not here are under way.
DOMAIN_STATES: Dict[str, Optional[str]] = {
    "RUNNING": "running",
    "PAUSED": "paused",
    "STOPPED": "shut off",
    "SHUTDOWN": "shut off",
    "RESCUE": "running",
    "LAUNCH_FAILED": None,
}

LISTING = """\
ls {state}/volumes; echo ==
ls {state}/instances; echo ==
ls {state}/images; echo ==
ls /sys/class/net; echo ==
ls {state} {state}/*; echo ==
pgrep -c qemu-system || true
"""


def domains(node) -> Dict[str, str]:
    """The state of each domain."""
    found = {}
    for line in node.virsh("list", "--all").splitlines():
        _, name, state = line.split(None, 2)
        found[name] = state.strip()
    return found


def disks_of(instance: dict) -> List[str]:
    spec = instance["spec"]
    disks = [spec["systemDisk"], *spec.get("dataDisks", [])]
    if "disk" in instance.get("rescue", {}):
        disks.append(instance["rescue"]["disk"])
    return [disk["id"] for disk in disks]


def disagreements(agent: Agent, foreign: Iterable[str] = ()) -> List[str]:
    """What the agent says and what its host holds, where the two differ. Of domains and files, the
    host's are all the agent's, but for the domains that are called `foreign`."""
    found = []

    def compare(what, ours, theirs) -> None:
        for name in sorted(set(ours) - set(theirs)):
            found.append(f"{what}: no {name}")
        for name in sorted(set(theirs) - set(ours)):
            found.append(f"{what}: {name} is left over")

    instances = {entry["id"]: entry for entry in agent.api.instances()}
    present = {domain_of(entry): entry for entry in instances.values() if _has_domain(entry)}
    # The disks of a domain that was taken over are somebody else's, and it has no folder.
    ours = [entry for entry in present.values() if not entry.get("adopted")]
    unfinished = agent.api.call("OperationService/ListOperations", {"unfinishedOnly": True})
    for operation in unfinished.get("operations", []):
        found.append(f"unfinished: {operation}")
    seen = domains(agent.node)
    compare("domains", present, set(seen) - (set(foreign) - set(present)))
    for name, instance in instances.items():
        if instance["state"] not in DOMAIN_STATES:
            found.append(f"{name} is {instance['state']}")
        elif seen.get(domain_of(instance)) != DOMAIN_STATES[instance["state"]]:
            domain = seen.get(domain_of(instance))
            found.append(f"{name} is {instance['state']}, its domain {domain}")
    listing = agent.node.run(["sh", "-c", LISTING.format(state=agent.state_dir)]).stdout
    volumes, folders, images, links, names, qemus = [
        part.split() for part in listing.split("==\n")
    ]
    kept = agent.api.call("VolumeService/ListVolumes").get("volumes", [])
    disks = [disk for entry in ours for disk in disks_of(entry)] + [disk["id"] for disk in kept]
    compare("volumes", [f"{disk}.qcow2" for disk in disks], volumes)
    compare("instance folders", [entry["id"] for entry in ours], folders)
    listed = agent.api.call("ImageService/ListImages").get("images", [])
    for image in listed:
        if image["state"] != "READY":
            found.append(f"image {image['id']} is {image['state']}")
    compare("images", [f"{image['id']}.qcow2" for image in listed], images)
    running = [name for name, state in seen.items() if state != "shut off"]
    taps = [
        f"cvm{name.split('-')[1]}-{index}"
        for name in running
        for index in range(len(instances.get(name, {}).get("spec", {}).get("nics", [])))
    ]
    compare("taps", taps, [link for link in links if re.match(r"cvm\w{8}-\d", link)])
    if int(qemus[0]) != len(running):
        found.append(f"{qemus[0]} QEMUs for {len(running)} running domains")
    found += [f"{name} is left over" for name in names if ".tmp-" in name]
    return found


def domain_of(instance: dict) -> str:
    return instance.get("domainName", instance["id"])


def _has_domain(instance: dict) -> bool:
    return instance["state"] != "LAUNCH_FAILED"


def wait_true(agent: Agent, foreign: Iterable[str] = (), timeout: float = 60) -> None:
    """Waits until there are no `disagreements`; what the agent sees comes a moment later."""
    found: List[str] = []

    def agrees() -> bool:
        found[:] = disagreements(agent, foreign)
        return not found

    try:
        wait_until(agrees, timeout, "the agent tells the truth", 0.25)
    except TimeoutError:
        raise AssertionError("not true of the host:\n  " + "\n  ".join(found)) from None
