# SPDX-License-Identifier: Apache-2.0
"""`cmake --install` puts everything in its place, and what it puts there is fit for use."""

import os
import pathlib
import subprocess

import pytest

from tests.harness import env

FILES = {
    "etc/cvm/agent.toml",
    "usr/bin/cvmctl",
    "usr/lib/systemd/system/cvm-agentd.service",
    "usr/lib/systemd/system/cvm-guests.service",
    "usr/lib/sysusers.d/cvm.conf",
    "usr/lib/tmpfiles.d/cvm.conf",
    "usr/sbin/cvm-agentd",
    "usr/share/bash-completion/completions/cvmctl",
    "usr/share/fish/vendor_completions.d/cvmctl.fish",
    "usr/share/man/man1/cvmctl.1",
    "usr/share/man/man8/cvm-agentd.8",
    "usr/share/zsh/vendor-completions/_cvmctl",
}


def run(*words, **more) -> str:
    command = [str(word) for word in words]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def install(root: pathlib.Path) -> str:
    return run(
        "cmake", "--install", env.build_dir("release"), env={**os.environ, "DESTDIR": str(root)}
    )


@pytest.fixture(name="installed", scope="module")
def fixture_installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("installed")
    install(root)
    return root


def test_every_file_is_in_its_place(installed):
    found = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    assert found == FILES


def test_a_second_install_keeps_the_configuration(tmp_path):
    install(tmp_path)
    config = tmp_path / "etc/cvm/agent.toml"
    config.write_text("# mine\n")
    assert "Kept: " in install(tmp_path)
    assert config.read_text() == "# mine\n"


def test_the_programs_run(installed):
    assert run(installed / "usr/bin/cvmctl", "--version").startswith("cvmctl ")
    assert "cvm-agentd" in run(installed / "usr/sbin/cvm-agentd", "--version")


def test_the_default_configuration_is_valid(installed):
    config = installed / "etc/cvm/agent.toml"
    run(installed / "usr/sbin/cvm-agentd", "--check-config", "--config", config)


def properties(text: str) -> dict:
    """The settings of a unit file; those that may come again hold all their words."""
    found = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).extend(value.split())
    return found


def test_the_guests_are_stopped_before_what_their_shutdown_needs(installed):
    """And by nothing else than the host's shutdown: not with the agent, not by hand."""
    unit = properties((installed / "usr/lib/systemd/system/cvm-guests.service").read_text())
    # At shutdown the order is the opposite one.
    for needed in (
        "cvm-agentd.service",
        "libvirtd.service",
        "libvirt-guests.service",
        "virt-guest-shutdown.target",
        "network.target",
    ):
        assert needed in unit["After"]
    for binding in ("BindsTo", "PartOf", "Conflicts", "Requisite"):
        assert binding not in unit
    assert unit["Requires"] == ["virt-guest-shutdown.target"]
    assert unit["RefuseManualStop"] == ["yes"] and unit["RemainAfterExit"] == ["yes"]
    assert unit["ExecStop"][1:3] == ["host", "stop-guests"] and "--wait" in unit["ExecStop"]
    agent = properties((installed / "usr/lib/systemd/system/cvm-agentd.service").read_text())
    assert "ExecStop" not in agent and "cvm-guests.service" not in agent.get("BindsTo", [])


@pytest.mark.parametrize(
    "unit, program",
    [("cvm-agentd.service", "usr/sbin/cvm-agentd"), ("cvm-guests.service", "usr/bin/cvmctl")],
)
def test_systemd_takes_the_unit(tmp_path, unit, program):
    """Also what it runs: the program lies where the unit says."""
    install(tmp_path)
    # The units that it refers to.
    system = "lib/systemd/system"
    run("cp", "-r", "--no-clobber", f"/usr/{system}", tmp_path / "usr/lib/systemd")
    (tmp_path / "usr/bin/true").touch(mode=0o755)
    (tmp_path / "bin").symlink_to("usr/bin")
    verify = ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", unit]
    assert run(*verify) == ""
    # It says so when something is wrong.
    (tmp_path / program).unlink()
    with pytest.raises(AssertionError, match=program.rpartition("/")[2]):
        run(*verify)


def test_users_and_folders_are_made(installed):
    run("systemd-sysusers", f"--root={installed}", installed / "usr/lib/sysusers.d/cvm.conf")
    assert "cvm:" in (installed / "etc/group").read_text()
    (installed / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    run(
        "systemd-tmpfiles",
        "--create",
        f"--root={installed}",
        installed / "usr/lib/tmpfiles.d/cvm.conf",
    )
    assert (installed / "var/lib/cvm/agent").stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("page", ["man1/cvmctl.1", "man8/cvm-agentd.8"])
def test_man_pages_are_well_formed(installed, page):
    warnings = run("groff", "-man", "-Tutf8", "-ww", "-z", installed / "usr/share/man" / page)
    assert warnings == ""
