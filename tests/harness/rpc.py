# SPDX-License-Identifier: Apache-2.0
"""Unary calls over a unix socket, JSON in and out, from this process: a program that is started for
each call takes ten times as long. The messages come from the protos; nothing is generated."""

import functools
import json
import pathlib
import subprocess
import tempfile
from typing import Any, Dict, Tuple

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from tests.harness import env

PROTOS = env.ROOT / "proto"
# A server that has just come up is found at once.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


class RpcError(Exception):
    """A call that was refused, as the client saw it: `status` is a google.rpc.Status."""

    def __init__(self, code: str, message: str, status: Dict[str, Any]):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@functools.lru_cache(maxsize=None)
def _factory() -> Tuple[descriptor_pool.DescriptorPool, message_factory.MessageFactory]:
    files = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as made:
        subprocess.run(
            ["protoc", "-I", PROTOS, "--include_imports", f"--descriptor_set_out={made.name}"]
            + files,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        content = pathlib.Path(made.name).read_bytes()
    described = descriptor_pb2.FileDescriptorSet.FromString(content)
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    return pool, message_factory.MessageFactory(pool)


def call(socket: pathlib.Path, method: str, request: Dict[str, Any], timeout: float) -> dict:
    """Calls `package.Service/Method` on a new connection. RpcError; ValueError for a request that
    is not one of that method's."""
    pool, factory = _factory()
    service, _, name = method.rpartition("/")
    found = pool.FindServiceByName(service).FindMethodByName(name)
    asked = factory.GetPrototype(found.input_type)()
    try:
        json_format.Parse(json.dumps(request), asked, descriptor_pool=pool)
    except json_format.ParseError as error:
        raise ValueError(f"{method}: {error}") from None
    with grpc.insecure_channel(f"unix:{socket}", OPTIONS) as channel:
        unary = channel.unary_unary(
            f"/{method}",
            request_serializer=type(asked).SerializeToString,
            response_deserializer=factory.GetPrototype(found.output_type).FromString,
        )
        try:
            answer = unary(asked, timeout=timeout)
        except grpc.RpcError as error:
            raise _refusal(error, pool, factory) from None
    return json_format.MessageToDict(answer, descriptor_pool=pool)


def _refusal(error: grpc.RpcError, pool, factory) -> RpcError:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    status: Dict[str, Any] = {}
    if details is not None:
        message = factory.GetPrototype(pool.FindMessageTypeByName("google.rpc.Status"))()
        message.ParseFromString(details)
        status = json_format.MessageToDict(message, descriptor_pool=pool)
    return RpcError(error.code().name.lower(), error.details() or "", status)
