# SPDX-License-Identifier: Apache-2.0
"""Bad input gets its reason, names its field, and leaves nothing behind."""

import base64
import os
import subprocess

import pytest

from tests.harness import env, leaks, tiny
from tests.harness.api import ApiError, ReflectionApi

INSTANCE = "ins-badinput"
MIB = 1 << 20
CREATE = "InstanceService/CreateInstance"
IMPORT = "ImageService/ImportImage"


@pytest.fixture(name="api")
def fixture_api(agent):
    # Sends what is no message of the API, too.
    return ReflectionApi(agent.socket)


@pytest.fixture(autouse=True)
def fixture_no_leaks():
    """In place of the check after each test: one for the whole module, as nothing happens here."""


@pytest.fixture(autouse=True, scope="module")
def fixture_no_leaks_of_all(node, agent, tiny_image):
    roots = [str(agent.state_dir), str(agent.import_dir)]
    before = leaks.take_in(node, roots)
    yield
    found = leaks.settled_difference(before, lambda: leaks.take_in(node, roots))
    assert not found, "\n  ".join(found)


def refusal(api, method, request) -> ApiError:
    """The error of a call that must fail, at once or in its operation."""
    with pytest.raises(ApiError) as error:
        api.do(method, request)
    return error.value


def sized(size: int) -> dict:
    return {"sizeBytes": str(size)}


LONG = "x" * 300

# What is put into the spec, the reason, and the field that the error names ("" for none).
BAD_SPECS = {
    "no image": ({"imageId": ""}, "MISSING_FIELD", "image_id"),
    "image id with a path": ({"imageId": "../../etc/passwd"}, "MALFORMED_ID", "image_id"),
    "no such image": ({"imageId": "img-nothere0"}, "IMAGE_NOT_FOUND", ""),
    "no vcpus": ({"vcpus": 0}, "MISSING_FIELD", "vcpus"),
    "too many vcpus": ({"vcpus": 100000}, "INSUFFICIENT_VCPUS", ""),
    "no memory": ({"memoryMib": "0"}, "MISSING_FIELD", "memory_mib"),
    "too little memory": ({"memoryMib": "63"}, "INVALID_FIELD", "memory_mib"),
    "too much memory": ({"memoryMib": "100000000"}, "INSUFFICIENT_MEMORY", ""),
    "memory that overflows": ({"memoryMib": str(2**64 - 1)}, "INSUFFICIENT_MEMORY", ""),
    "system disk below its image": ({"systemDisk": sized(MIB)}, "DISK_TOO_SMALL", ""),
    "system disk beyond the host": ({"systemDisk": sized(1 << 60)}, "INSUFFICIENT_DISK", ""),
    "odd disk size": ({"systemDisk": sized(tiny.GIB + 1)}, "INVALID_FIELD", "size_bytes"),
    "data disk without a size": ({"dataDisks": [{}]}, "MISSING_FIELD", "size_bytes"),
    "too many data disks": ({"dataDisks": [sized(MIB)] * 21}, "TOO_MANY_DISKS", ""),
    "disk id malformed": (
        {"dataDisks": [{"id": "disk-../../x", **sized(MIB)}]},
        "MALFORMED_ID",
        "id",
    ),
    "disk id twice": (
        {"dataDisks": [{"id": "disk-00000001", **sized(MIB)}] * 2},
        "DUPLICATE_ID",
        "",
    ),
    "too many NICs": ({"nics": [{}] * 9}, "TOO_MANY_NICS", ""),
    "no such network": ({"nics": [{"networkId": "nowhere"}]}, "NETWORK_NOT_FOUND", ""),
    "no address": ({"nics": [{"ipv4Address": "300.1.2.3"}]}, "INVALID_FIELD", "ipv4_address"),
    "address of another subnet": (
        {"nics": [{"ipv4Address": "192.168.1.5"}]},
        "ADDRESS_NOT_IN_SUBNET",
        "",
    ),
    "multicast MAC": ({"nics": [{"mac": "01:00:5e:00:00:01"}]}, "INVALID_FIELD", "mac"),
    "MAC malformed": ({"nics": [{"mac": "52:54:00:1"}]}, "INVALID_FIELD", "mac"),
    "IPv6 without a prefix": (
        {"nics": [{"ipv6Addresses": ["2001:db8::zz/64"]}]},
        "INVALID_FIELD",
        "ipv6_addresses",
    ),
    "long name": ({"name": LONG}, "INVALID_FIELD", "name"),
    "control character in the name": ({"name": "a\u0001b"}, "INVALID_FIELD", "name"),
    "line end in the name": ({"name": "a\nb"}, "INVALID_FIELD", "name"),
    "long description": ({"description": LONG}, "INVALID_FIELD", "description"),
    "too many tags": ({"tags": {str(i): "" for i in range(51)}}, "INVALID_FIELD", "tags"),
    "long tag": ({"tags": {LONG: ""}}, "INVALID_FIELD", "tags"),
    "host name with a space": ({"hostName": "a b"}, "INVALID_HOST_NAME", "host_name"),
    "host name with a leading dash": ({"hostName": "-ab"}, "INVALID_HOST_NAME", "host_name"),
    "long host name": ({"hostName": "x" * 61}, "INVALID_HOST_NAME", "host_name"),
    "short host name": ({"hostName": "x"}, "INVALID_HOST_NAME", "host_name"),
    "no SSH key": ({"login": {"sshPublicKeys": ["nonsense"]}}, "INVALID_SSH_KEY", ""),
    "SSH key of two lines": (
        {"login": {"sshPublicKeys": ["ssh-ed25519 AAAA\nssh-rsa BBBB"]}},
        "INVALID_SSH_KEY",
        "",
    ),
    "clear password": ({"login": {"passwordHash": "secret"}}, "INVALID_PASSWORD_HASH", ""),
    "long user data": (
        {"userData": base64.b64encode(b"#" * 16385).decode()},
        "USER_DATA_TOO_LARGE",
        "",
    ),
    "unknown firmware": ({"properties": {"firmware": 99}}, "UNKNOWN_ENUM_VALUE", "firmware"),
}

BAD_REQUESTS = {
    "instance id in capitals": ({"instanceId": "ins-ABCDEFGH"}, "MALFORMED_ID", "instance_id"),
    "short instance id": ({"instanceId": "ins-abc"}, "MALFORMED_ID", "instance_id"),
    "long instance id": ({"instanceId": "ins-abcdefghi"}, "MALFORMED_ID", "instance_id"),
    "instance id of another kind": ({"instanceId": "img-abcdefgh"}, "MALFORMED_ID", "instance_id"),
    "XML in the instance id": ({"instanceId": "ins-<a>&'\"xx"}, "MALFORMED_ID", "instance_id"),
    "long request id": ({"requestId": "x" * 65}, "INVALID_FIELD", "request_id"),
    "request id that is not ASCII": ({"requestId": "\u00e9"}, "INVALID_FIELD", "request_id"),
    "long owner": ({"owner": LONG}, "INVALID_FIELD", "owner"),
    "no spec": ({"spec": None}, "MISSING_FIELD", "spec"),
    "unknown start": ({"start": 99}, "UNKNOWN_ENUM_VALUE", "start"),
}


def check_refused(api, request, reason, field):
    error = refusal(api, CREATE, request)
    assert error.reason == reason, str(error)
    assert error.code in ("invalid_argument", "not_found", "resource_exhausted", "out_of_range")
    if field:
        assert error.metadata.get("field", "").endswith(field), str(error)
    assert error.message
    assert api.instances() == []


@pytest.mark.parametrize("name", BAD_SPECS)
def test_bad_spec(api, tiny_image, name):
    change, reason, field = BAD_SPECS[name]
    request = {"instanceId": INSTANCE, "spec": tiny.spec(tiny_image, **change)}
    check_refused(api, request, reason, field)


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request(api, tiny_image, name):
    change, reason, field = BAD_REQUESTS[name]
    request = {"instanceId": INSTANCE, "spec": tiny.spec(tiny_image), **change}
    check_refused(api, request, reason, field)


def test_what_another_instance_has(agent, api, tiny_image):
    nic = {"id": "eni-taken001", "mac": "52:54:00:00:00:01", "ipv4Address": "192.168.222.77"}
    disk = {"id": "disk-taken001", **sized(MIB)}
    first = {
        "instanceId": INSTANCE,
        "spec": tiny.spec(tiny_image, nics=[nic], dataDisks=[disk]),
        "start": "START_NO",
    }
    api.do(CREATE, first)

    def second(instance_id="ins-badinpu2", **change):
        return {"instanceId": instance_id, "spec": tiny.spec(tiny_image, **change)}

    for request, reason in (
        (second(INSTANCE), "INSTANCE_EXISTS"),
        (second(nics=[{"ipv4Address": nic["ipv4Address"]}]), "ADDRESS_IN_USE"),
        (second(nics=[{"mac": nic["mac"].upper()}]), "MAC_IN_USE"),
        (second(nics=[{"id": nic["id"]}]), "DUPLICATE_ID"),
        (second(dataDisks=[disk]), "DUPLICATE_ID"),
    ):
        assert refusal(api, CREATE, request).reason == reason
    assert [entry["id"] for entry in api.instances()] == [INSTANCE]
    tiny.delete(agent, INSTANCE)


def test_metacharacters_arrive_as_they_are(node, agent, api, tiny_image):
    """What is a legal text is kept byte for byte, whatever it means to XML, JSON or a shell."""
    nasty = "]]>&<a b='\"'>$(id);`id`\\ \u00e9\u4e2d\U0001f600"
    change = {"name": nasty[:30], "description": nasty, "tags": {nasty: nasty}}
    request = {
        "instanceId": INSTANCE,
        "owner": nasty,
        "spec": tiny.spec(tiny_image, **change),
        "start": "START_NO",
    }
    api.do(CREATE, request)
    instance = api.instance(INSTANCE)
    assert instance["owner"] == nasty
    for key, value in change.items():
        assert instance["spec"][key] == value
    xml = node.dir / "tmp/domain.xml"
    xml.write_text(node.virsh("dumpxml", INSTANCE))
    node.run(["virt-xml-validate", xml, "domain"])
    tiny.delete(agent, INSTANCE)


# Images


def qemu_img(*words) -> None:
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL)


def place_regular(folder, make):
    """The file `bad` as `make` makes it."""
    path = folder / "bad"
    make(path)
    return path


def with_backing_file(path):
    qemu_img("create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path, "1M")


def with_data_file(path):
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={path}.data,data_file_raw=on", path, "1M")
    os.unlink(f"{path}.data")


def truncated(path):
    data = env.image("tiny").read_bytes()
    path.write_bytes(data[: len(data) // 2])


BAD_IMAGES = {
    "backing file": (with_backing_file, "QCOW2", "IMAGE_UNSAFE"),
    "external data file": (with_data_file, "QCOW2", "IMAGE_UNSAFE"),
    "raw called qcow2": (
        lambda path: path.write_bytes(bytes(MIB)),
        "QCOW2",
        "IMAGE_FORMAT_MISMATCH",
    ),
    "qcow2 called raw": (
        lambda path: qemu_img("create", "-f", "qcow2", path, "1M"),
        "RAW",
        "IMAGE_FORMAT_MISMATCH",
    ),
    "vmdk called raw": (
        lambda path: qemu_img("create", "-f", "vmdk", path, "1M"),
        "RAW",
        "IMAGE_FORMAT_MISMATCH",
    ),
    "truncated": (truncated, "QCOW2", "IMAGE_CORRUPT"),
    "beyond the largest size": (
        lambda path: qemu_img("create", "-f", "qcow2", path, "10T"),
        "QCOW2",
        "IMAGE_TOO_LARGE",
    ),
    "symbolic link": (lambda path: path.symlink_to("/etc/passwd"), "RAW", "SOURCE_NOT_FOUND"),
    "pipe": (os.mkfifo, "RAW", "SOURCE_NOT_FOUND"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image(agent, api, name):
    make, kind, reason = BAD_IMAGES[name]
    path = place_regular(agent.import_dir, make)
    request = {
        "imageId": "img-badimage",
        "name": "bad",
        "sourceFile": path.name,
        "format": f"DISK_FORMAT_{kind}",
    }
    try:
        error = refusal(api, IMPORT, request)
    finally:
        path.unlink()
    assert error.reason == reason, str(error)
    assert str(agent.import_dir) not in error.message, "callers get no host path"
    gone = refusal(api, "ImageService/GetImage", {"imageId": "img-badimage"})
    assert gone.reason == "IMAGE_NOT_FOUND"


@pytest.mark.parametrize(
    "change, reasons",
    [
        ({"sourceFile": "nothing.qcow2"}, {"SOURCE_NOT_FOUND"}),
        ({"sourceFile": "../agent.toml"}, {"INVALID_FIELD", "SOURCE_NOT_FOUND"}),
        ({"sourceFile": "/etc/passwd"}, {"INVALID_FIELD", "SOURCE_NOT_FOUND"}),
        ({"sourceFile": "."}, {"INVALID_FIELD", "SOURCE_NOT_FOUND"}),
        ({"sourceFile": ""}, {"MISSING_FIELD"}),
        ({"name": ""}, {"MISSING_FIELD"}),
        ({"format": "DISK_FORMAT_UNSPECIFIED"}, {"MISSING_FIELD"}),
        ({"format": 99}, {"UNKNOWN_ENUM_VALUE"}),
        ({"imageId": "img-"}, {"MALFORMED_ID"}),
        ({"imageId": "img-tiny0000"}, {"IMAGE_EXISTS"}),
        ({"sha256": "0" * 64}, {"CHECKSUM_MISMATCH"}),
        ({"sha256": "xyz"}, {"INVALID_FIELD"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_import(agent, api, change, reasons):
    path = place_regular(agent.import_dir, lambda path: qemu_img("create", "-fqcow2", path, "1M"))
    request = {
        "imageId": "img-badimage",
        "name": "bad",
        "sourceFile": path.name,
        "format": "DISK_FORMAT_QCOW2",
        **change,
    }
    try:
        error = refusal(api, IMPORT, request)
    finally:
        path.unlink()
    assert error.reason in reasons, str(error)
