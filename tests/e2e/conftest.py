# SPDX-License-Identifier: Apache-2.0
"""What only tests with a real guest need."""

import pytest

from tests.harness import env
from tests.harness.ssh import Key

# The account of the Debian image that keys are for.
DEBIAN_USER = "debian"


@pytest.fixture(name="debian_image", scope="session")
def fixture_debian_image(agent):
    """Debian 12 with cloud-init, sshd and the guest agent. Minutes to boot: use it sparingly."""
    return agent.import_image(env.image("debian12"), "img-debian12", defaultUser=DEBIAN_USER)


@pytest.fixture(name="key", scope="session")
def fixture_key(node):
    return Key(node)
