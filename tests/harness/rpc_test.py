# SPDX-License-Identifier: Apache-2.0
"""The tests' client of the API, where no agent is."""

import pytest

from tests.harness import rpc

CREATE = "cvm.agent.v1.InstanceService/CreateInstance"


def test_what_is_no_request_is_told_before_anything_is_sent(tmp_path):
    with pytest.raises(ValueError, match="noSuchField"):
        rpc.call(tmp_path / "nobody.sock", CREATE, {"noSuchField": 1}, 5)


def test_a_request_may_hold_what_json_holds(tmp_path):
    disks = ({"id": "disk-tuple001", "sizeBytes": "1"},)
    with pytest.raises(rpc.RpcError) as refused:
        rpc.call(tmp_path / "nobody.sock", CREATE, {"spec": {"dataDisks": disks}}, 5)
    assert refused.value.code == "unavailable"
