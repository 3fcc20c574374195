# SPDX-License-Identifier: Apache-2.0
"""The agent is disposable, guests are not."""

import pytest

from tests.harness import tiny
from tests.harness import env
from tests.harness.waiting import wait_until

INSTANCE = "ins-agent001"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_guests_go_on_without_the_agent(node, agent, api, tiny_image, end):
    tiny.create(agent, tiny_image, INSTANCE)
    console = agent.console(INSTANCE)
    getattr(agent, end)()
    assert node.virsh("domstate", INSTANCE) == "running"
    if end == "stop":
        assert not agent.socket.exists(), "a clean stop removes the socket"

    agent.start()
    agent.wait_connected()
    wait_until(
        lambda: api.instance(INSTANCE)["state"] == "RUNNING", 30, "the guest is known again"
    )
    assert agent.console(INSTANCE).startswith(console), "the same boot, the same log"
    assert agent.console(INSTANCE).count("TINY-READY") == 1
    tiny.delete(agent, INSTANCE)


def test_a_change_without_the_agent_is_seen(node, agent, api, tiny_image):
    tiny.create(agent, tiny_image, INSTANCE)
    agent.stop()
    node.virsh("destroy", INSTANCE)
    agent.start()
    agent.wait_connected()
    wait_until(lambda: api.instance(INSTANCE)["state"] == "STOPPED", 30, "the stop is seen")
    tiny.delete(agent, INSTANCE)


def test_request_ids_outlive_the_agent(agent, api, tiny_image):
    request = {
        "requestId": "create-once",
        "instanceId": INSTANCE,
        "spec": tiny.spec(tiny_image),
        "start": "START_NO",
    }
    first = api.do("InstanceService/CreateInstance", request)
    agent.kill()
    agent.start()
    again = api.call("InstanceService/CreateInstance", request)
    assert again["id"] == first["id"]
    assert len(api.instances()) == 1
    tiny.delete(agent, INSTANCE)


def test_check_config(agent):
    program = env.program("cvm-agentd")
    agent.node.run([program, "--check-config", "--config", agent.config])
    bad = agent.config.with_name("bad.toml")
    bad.write_text(agent.config.read_text() + '\n[limits]\nno_such_key = "x"\n')
    done = agent.node.run([program, "--check-config", "--config", bad], check=False)
    bad.unlink()
    assert done.returncode != 0
    assert "no_such_key" in done.stdout + done.stderr
    assert bad.name in done.stdout + done.stderr
