"""Debian's sshd on 127.0.0.1, without root: a host key, a user key and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import running, until

HOST = "board"


class SshServer:
    """`config` is a configuration of ssh that knows it as the host "board"; `path` is a folder of programs that come
    before all others in its sessions."""

    def __init__(self, folder: Path) -> None:
        self.pid = self.port = 0
        self.folder, self.config, self.path = folder, folder / "ssh_config", folder / "path"
        self.host_key, self.user_key, self.known_hosts = (
            folder / "host_key",
            folder / "user_key",
            folder / "known_hosts",
        )
        self.log = folder / "sshd.log"

    def stand_in(self, program: str, script: str) -> None:
        """Replace a program of the board by a shell script."""
        path = self.path / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def sessions(self) -> list[int]:
        """Process ids of the connections."""
        done = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True)
        return [int(word) for word in done.stdout.split()]

    def write(self) -> list[str]:
        """Write keys and configurations; returns the command that starts it."""
        self.path.mkdir(parents=True)
        for key in (self.host_key, self.user_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = self.folder / "sshd_config"
        settings.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.user_key}.pub\nStrictModes no\nPasswordAuthentication no\n"
            "KexAlgorithms curve25519-sha256\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            # SHLVL keeps bash from reading ~/.bashrc, which can take a second
            f"SetEnv PATH={self.path}:/usr/local/bin:/usr/bin:/bin SHLVL=2\n"
        )
        public = " ".join(self.host_key.with_suffix(".pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        self.config.write_text(
            f"Host {HOST}*\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {self.user_key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        )
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or "sshd"
        return [program, "-D", "-f", str(settings), "-E", str(self.log)]


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server that ends with its test."""
    server = SshServer(folder)
    words = server.write()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants it, and Debian's service makes it
    with running(words) as process:
        server.pid = process.pid
        until(lambda: _answers(server.port))
        yield server
        for session in server.sessions():
            subprocess.run(["kill", str(session)])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
