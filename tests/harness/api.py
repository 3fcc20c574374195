# SPDX-License-Identifier: Apache-2.0
"""The agent's API, JSON in and out. `Api` makes single calls itself (rpc.py) and leaves streams to
`buf curl`; `ReflectionApi` makes every call by server reflection alone, through `buf curl`."""

import base64
import json
import pathlib
import queue
import subprocess
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

from tests.harness import rpc, tools

PACKAGE = "cvm.agent.v1"
# Not part of the address: the socket is. HTTP wants a name.
AUTHORITY = "http://localhost"


class ApiError(Exception):
    """A call that the agent refused, or an operation that failed."""

    def __init__(self, code: str, reason: str, message: str, metadata: Dict[str, str]):
        super().__init__(f"{code} {reason}: {message} {metadata or ''}")
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata


class Api:
    """The API behind one unix socket."""

    def __init__(self, socket: pathlib.Path):
        self.socket = socket

    def _command(self, *words: str) -> List[str]:
        return [
            *[str(tools.buf()), "curl", "--unix-socket", str(self.socket)],
            *["--http2-prior-knowledge", "--protocol", "grpc"],
            *words,
        ]

    def call(self, method: str, request: Optional[dict] = None, timeout: float = 90) -> dict:
        """Calls `Service/Method`; returns the answer or raises ApiError."""
        try:
            return rpc.call(self.socket, f"{PACKAGE}.{method}", request or {}, timeout)
        except rpc.RpcError as error:
            raise _status_error({**error.status, "code": error.code, "message": error.message})

    def call_stream(
        self, method: str, request: Optional[dict] = None, timeout: float = 90
    ) -> List[dict]:
        """As `call`, for a call that answers with a stream that ends."""
        return self.call_url(f"{PACKAGE}.{method}", request, timeout)

    def call_url(
        self, method: str, request: Optional[dict] = None, timeout: float = 90
    ) -> List[dict]:
        """As `call_stream`, for any package's `package.Service/Method`."""
        url = f"{AUTHORITY}/{method}"
        command = self._command("--data", json.dumps(request or {}), url)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode != 0:
            raise _error(done.stderr)
        return list(_documents(done.stdout))

    def open(self, method: str) -> "Stream":
        """Opens a call that may send and receive several messages."""
        return Stream(self._command("--data", "@-", f"{AUTHORITY}/{PACKAGE}.{method}"))

    def watch(self, method: str, request: Optional[dict] = None) -> "Stream":
        """Opens a call that sends one message and receives several."""
        # From standard input, buf sends the one message at the end of the input only.
        data = json.dumps(request or {})
        return Stream(self._command("--data", data, f"{AUTHORITY}/{PACKAGE}.{method}"))

    def list_services(self) -> List[str]:
        return self._list("--list-services")

    def list_methods(self) -> List[str]:
        return self._list("--list-methods")

    def _list(self, flag: str) -> List[str]:
        command = self._command(flag, AUTHORITY)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.split()

    # Operations

    def wait(self, operation: dict, timeout: float = 120) -> dict:
        """Waits for the end of an operation; returns it or raises ApiError with its error."""
        deadline = time.monotonic() + timeout
        while operation.get("state") == "OPERATING":
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout:g} s: the end of {operation}")
            request = {"operationId": operation["id"], "timeout": f"{max(1, min(60, int(left)))}s"}
            operation = self.call("OperationService/WaitOperation", request)
        if operation.get("state") != "SUCCESS":
            raise _status_error(operation.get("error", {}))
        return operation

    def do(self, method: str, request: dict, timeout: float = 120) -> dict:
        """A call that starts an operation, and its end."""
        return self.wait(self.call(method, request), timeout)

    # Short forms

    def instance(self, instance_id: str) -> dict:
        return self.call("InstanceService/GetInstance", {"instanceId": instance_id})

    def instances(self) -> List[dict]:
        answer = self.call("InstanceService/ListInstances", {"pageSize": 1000})
        return answer.get("instances", [])

    def delete_all_instances(self) -> None:
        for instance in self.instances():
            self.do("InstanceService/DeleteInstance", {"instanceId": instance["id"]})


class ReflectionApi(Api):
    """Knows nothing of the API but what the agent says of it."""

    def call(self, method: str, request: Optional[dict] = None, timeout: float = 90) -> dict:
        answers = self.call_stream(method, request, timeout)
        assert len(answers) == 1, f"{method} gave {len(answers)} answers"
        return answers[0]


class Stream:
    """A streaming call under way. Use as a context manager: leaving it ends the call."""

    def __init__(self, command: List[str]):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._messages: "queue.Queue[Optional[dict]]" = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_) -> None:
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self) -> None:
        decoder = json.JSONDecoder()
        text = ""
        # Messages are whole JSON documents, one after the other, without a separator.
        while data := self._process.stdout.read1(65536):
            text += data.decode()
            while text.strip():
                try:
                    message, end = decoder.raw_decode(text.lstrip())
                except json.JSONDecodeError:
                    break
                text = text.lstrip()[end:]
                self._messages.put(message)
        self._messages.put(None)

    def send(self, message: dict) -> None:
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self, timeout: float) -> dict:
        """The next message; TimeoutError when none comes, ApiError when the call has ended."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"not within {timeout:g} s: a message of the stream") from None
        if message is None:
            self._process.wait(10)
            raise _error(self._process.stderr.read().decode())
        return message

    def receive_until(self, condition, timeout: float) -> List[dict]:
        """Messages up to and with the first for which `condition` is true."""
        deadline = time.monotonic() + timeout
        found = []
        while True:
            found.append(self.receive(max(0.0, deadline - time.monotonic())))
            if condition(found[-1]):
                return found


def _documents(text: str) -> Iterator[dict]:
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].strip()


def _error(text: str) -> Exception:
    try:
        error = json.loads(text[text.index("{") :])
    except ValueError:
        return RuntimeError(f"buf curl: {text}")
    details = [detail for detail in error.get("details", []) if _is_error_info(detail)]
    info = _info(details[0]) if details else {}
    return ApiError(
        error.get("code", ""),
        info.get("reason", ""),
        error.get("message", ""),
        info.get("metadata", {}),
    )


def _status_error(status: Dict[str, Any]) -> ApiError:
    details = [detail for detail in status.get("details", []) if _is_error_info(detail)]
    info = details[0] if details else {}
    return ApiError(
        str(status.get("code", "")),
        info.get("reason", ""),
        status.get("message", ""),
        info.get("metadata", {}),
    )


def _is_error_info(detail: dict) -> bool:
    return "google.rpc.ErrorInfo" in (detail.get("type") or detail.get("@type") or "")


def _info(detail: dict) -> dict:
    """The ErrorInfo of a failed call, decoded from its bytes: buf shows no more of it."""
    info = {"metadata": {}}
    for number, value in _fields(base64.b64decode(detail["value"] + "==")):
        if number == 3:
            entry = dict(_fields(value))
            info["metadata"][entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        elif number in (1, 2):
            info["reason" if number == 1 else "domain"] = value.decode()
    return info


def _fields(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """The fields of a protobuf message that has only length-delimited ones."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        assert key & 7 == 2, "not a length-delimited field"
        size = varint()
        yield key >> 3, data[at : at + size]
        at += size
