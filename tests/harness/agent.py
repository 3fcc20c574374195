# SPDX-License-Identifier: Apache-2.0
"""The agent in a test node."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
from typing import Any, Dict, List, Optional

from tests.harness import env
from tests.harness.api import Api
from tests.harness.node import Node, NodeProcess
from tests.harness.waiting import wait_until


class Agent:
    """A cvm-agentd of a node, with its state below `Node.dir`.

    Use as a context manager, or call `start` and one of `stop` and `kill`.
    """

    def __init__(self, node: Node, overrides: Optional[Dict[str, Any]] = None, flavour="test"):
        """`overrides`: values for the configuration, for example {"operations.workers": 1}."""
        self.node = node
        self.state_dir = node.dir / "state"
        self.import_dir = node.dir / "import"
        self.config = node.dir / "agent.toml"
        self.log = node.dir / "agent.log"
        self.socket = node.dir / "run/cvm/agent.sock"
        self.api = Api(self.socket)
        # Of every start, besides what a start is given.
        self.environment: Dict[str, str] = {}
        self.process: Optional[NodeProcess] = None
        self._flavour = flavour
        for folder in (self.state_dir, self.import_dir):
            folder.mkdir(mode=0o711, exist_ok=True)
        self.config.write_text(self._configuration(overrides or {}))

    def __enter__(self) -> "Agent":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None and self.process.returncode is None:
            self.stop()

    def _configuration(self, overrides: Dict[str, Any]) -> str:
        address, _, _ = self.node.bridge_address.partition("/")
        network = address.rsplit(".", 1)[0] + ".0/24"
        root = {
            "state_dir": str(self.state_dir),
            "import_dir": str(self.import_dir),
            "run_dir": "/run/cvm",
            "log_level": "debug",
        }
        tables = {
            "listen": {"socket": "/run/cvm/agent.sock", "group": "root"},
            "libvirt": {"uri": "qemu:///system"},
        }
        networks = [
            {
                "id": "default",
                "bridge": self.node.bridge,
                "subnet": network,
                "gateway": address,
                "name_servers": [address],
            }
        ]
        for key, value in overrides.items():
            table, _, name = key.rpartition(".")
            (tables.setdefault(table, {}) if table else root)[name] = value
        lines = _pairs(root)
        for name, values in tables.items():
            lines += [f"[{name}]", *_pairs(values)]
        for values in networks:
            lines += ["[[network]]", *_pairs(values)]
        return "\n".join(lines) + "\n"

    # Life

    def spawn(self, environment: Optional[Dict[str, str]] = None) -> NodeProcess:
        """Starts the agent without waiting for it to answer."""
        assert self.process is None or self.process.returncode is not None, "it runs already"
        program = env.program("cvm-agentd", self._flavour)
        with self.log.open("ab") as log:
            self.process = self.node.popen(
                [program, "--config", self.config],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, **(environment or {})},
            )
        return self.process

    def start(self, environment: Optional[Dict[str, str]] = None) -> None:
        """Starts the agent and waits until its API answers."""
        process = self.spawn(environment)

        def alive() -> None:
            if process.returncode is not None:
                raise RuntimeError(f"cvm-agentd ended: {process.returncode}\n{self.log_tail()}")

        wait_until(self._answers, 60, "the agent answers", alive=alive)

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            self.api.call("HostService/GetHost")
        except Exception:  # Whatever it is, the deadline and `alive` judge it.
            return False
        return True

    def wait_connected(self) -> None:
        """Waits until the agent has its hypervisor."""

        def connected() -> bool:
            host = self.api.call("HostService/GetHost")
            return host.get("hypervisor", {}).get("connected", False)

        wait_until(connected, 60, "the agent is connected to libvirt")

    def stop(self, timeout: float = 30) -> None:
        """Ends the agent by SIGTERM; it must end cleanly."""
        code = self._end(signal.SIGTERM, timeout)
        assert code == 0, f"cvm-agentd ended with {code}\n{self.log_tail()}"

    def kill(self) -> None:
        """Ends the agent by SIGKILL: it gets no chance to tidy up."""
        self._end(signal.SIGKILL, 30)

    def _end(self, number: int, timeout: float) -> int:
        assert self.process is not None, "it was not started"
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def log_tail(self, size: int = 6000) -> str:
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    # What it holds

    def import_image(self, file: pathlib.Path, image_id: str, **properties: Any) -> str:
        """Puts a qcow2 file into the import folder and imports it."""
        placed = self.import_dir / file.name
        shutil.copyfile(file, placed)
        request = {
            "imageId": image_id,
            "name": file.stem,
            "sourceFile": file.name,
            "format": "DISK_FORMAT_QCOW2",
            "properties": properties,
        }
        try:
            self.api.do("ImageService/ImportImage", request, timeout=300)
        finally:
            placed.unlink()
        return image_id

    def console(self, instance_id: str) -> str:
        """What the guest has printed on its first serial port so far."""
        log = self.state_dir / "instances" / instance_id / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def wait_console(self, instance_id: str, text: str, timeout: float, after: int = 0) -> None:
        """Waits for `text` on the console, beyond the first `after` characters."""
        what = f"{instance_id} prints {text!r}"

        def printed() -> bool:
            return text in self.console(instance_id)[after:]

        try:
            wait_until(printed, timeout, what)
        except TimeoutError as error:
            tail = self.console(instance_id)[-2000:]
            raise TimeoutError(f"{error}; the console's end:\n{tail}") from None

    def cvmctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs cvmctl against this agent."""
        program = env.program("cvmctl", self._flavour)
        return self.node.run(
            [program, "--socket", "/run/cvm/agent.sock", *words], check=check, timeout=300
        )

    def cvmctl_json(self, *words: str) -> Any:
        return json.loads(self.cvmctl("-o", "json", *words).stdout)


def _pairs(values: Dict[str, Any]) -> List[str]:
    # JSON's strings, numbers, booleans and lists are TOML's as well.
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]
