"""Who is let in, by a real mosquitto that asks for passwords and shows certificates, and by us."""

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import PocketsightError, ServeError
from pocketsight.device.sinks.mqtt import sink
from pocketsight.device.sinks.mqtt.address import parse_broker_address
from tests.support.brokers import Sending, broker, sending
from tests.support.entries import face
from tests.support.processes import until

pytestmark = pytest.mark.debian("mosquitto")


def password(folder: Path, text: str) -> Path:
    path = folder / "password"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_wrong_password_is_a_fault_until_it_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MAX_DELAY", 0.5)
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "door", "right"], check=True, capture_output=True)
    users.chmod(0o644)
    file = password(tmp_path, "wrong\n")
    with broker(tmp_path, "allow_anonymous false", f"password_file {users}") as found:
        target = "mqtt://door@127.0.0.1:{}/home/door"
        with sending(found.port, tmp_path, target, password_file=file) as sent:
            until(lambda: sent.names() == [("broker refused", True)])
            assert "door" in sent.reports[0][2] and "--mqtt-password-file" in sent.reports[0][2]
            assert not any(word in str(sent.reports) for word in ("wrong", "right"))
            sent.sink.write([face(0)])
            file.write_text("right\n")
            until(lambda: sent.names() == [("broker refused", True), ("broker refused", False)])
            until(lambda: not len(sent.sink.outbox))
        with sending(found.port, tmp_path) as sent:
            until(lambda: sent.names() == [("broker refused", True)])


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority of our own, ca.crt, and what it signed for localhost, server.crt and server.key."""
    folder = tmp_path / "tls"
    folder.mkdir()
    key = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=our own")
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName = DNS:localhost")
    openssl(
        folder,
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "server.crt",
    )
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.mark.debian("openssl")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
def test_tls_is_spoken_with_brokers_that_a_known_authority_vouches_for_and_no_others(
    tmp_path: Path, certificates: Path
) -> None:
    ca = certificates / "ca.crt"
    lines = [
        f"{what} {certificates / file}"
        for what, file in (("cafile", "ca.crt"), ("certfile", "server.crt"), ("keyfile", "server.key"))
    ]
    with broker(tmp_path, "allow_anonymous true", *lines) as found:
        target = "mqtts://localhost:{}/home/door"
        with sending(found.port, tmp_path, target, ca_file=ca) as sent:
            sent.sink.write([face(number) for number in range(100)])
            until(lambda: not len(sent.sink.outbox))
            assert sent.reports == []
        for options, address, cure in (
            ({}, target, "--mqtt-ca-file"),
            ({"ca_file": ca}, "mqtts://127.0.0.1:{}/home/door", "use the host name in the certificate"),
        ):
            with sending(found.port, tmp_path, address, **options) as sent:
                sent.sink.write([face(0)])
                until(lambda: sent.names() == [("broker refused", True)])
                assert cure in sent.reports[0][2] and "\n" not in sent.reports[0][2] and len(sent.sink.outbox)
    with broker(tmp_path) as plain, sending(plain.port, tmp_path, target, ca_file=ca) as sent:
        until(lambda: len(sent.names()) == 1)
        assert sent.reports[0][0] in ("broker refused", "broker lost")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("mqtt://door:hush@host/x", "use --mqtt-password-file"),
        ("mqtt://door:hu/hush@host/x", "not the address of a broker"),
        ("mqtt://door:hush#@host/x", "not the address of a broker"),
        ("mqtt://", "not the address of a broker"),
        ("http://host/x", "not the address of a broker"),
        ("mqtt://host:port/x", "not the address of a broker"),
        ("mqtt://host/a/+/b", "cannot contain"),
        ("mqtt://host/a/#", "cannot contain"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_password(target: str, says: str) -> None:
    with pytest.raises(ServeError, match=re.escape(says)) as error:
        parse_broker_address(target)
    assert "hush" not in str(error.value) and "\n" not in str(error.value)


def test_an_address_says_where_and_what() -> None:
    assert str(parse_broker_address("mqtt://broker")) == f"mqtt://broker:1883/pocketsight/{socket.gethostname()}"
    assert str(parse_broker_address("mqtts://door@[::1]:99/a/b/")) == "mqtts://[::1]:99/a/b"
    assert (
        parse_broker_address("mqtts://the%20door@host/x").user == "the door"
        and parse_broker_address("mqtts://host").port == 8883
    )


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("mqtt://host/x", {"password_file": "good"}, "needs a user"),
        ("mqtt://door@host/x", {"password_file": "missing"}, "cannot be read: No such file"),
        ("mqtt://door@host/x", {"password_file": "empty"}, "contains no password"),
        ("mqtts://host/x", {"ca_file": "missing"}, "--mqtt-ca-file: No such file"),
        ("mqtts://host/x", {"ca_file": "good"}, "contains no certificate"),
        ("mqtt://host/x", {"ca_file": "good"}, "not encrypted"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(
    tmp_path: Path, target: str, options: dict[str, str], says: str
) -> None:
    (tmp_path / "good").write_text("secret\n")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(PocketsightError, match=re.escape(says)):
        files: dict[str, Any] = {name: tmp_path / file for name, file in options.items()}
        Sending(target, tmp_path, **files)
    assert not list(tmp_path.glob("outbox*"))


def test_a_password_that_every_user_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = password(tmp_path, "secret\n")
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        file.chmod(mode)
        with sending(1, tmp_path, "mqtt://door@127.0.0.1:{}/x", password_file=file):
            assert caplog.text.count("chmod 600") == warnings
