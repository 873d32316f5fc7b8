import re
import socket
from pathlib import Path

import pytest

from pocketsight.device.system import paths
from pocketsight.device.system.machine_id import machine_id


def test_it_is_the_same_at_every_start_and_another_on_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    found = [machine_id()]  # of a container without a machine id
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    found.append(machine_id())
    board = tmp_path / "sys" / "firmware" / "devicetree" / "base"
    board.mkdir(parents=True)
    for serial in (b"10000000aaaaaaaa\0", b"10000000bbbbbbbb\0"):  # a copied card
        (board / "serial-number").write_bytes(serial)
        found.append(machine_id())
        assert machine_id() == found[-1]
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    found.append(machine_id())
    assert len(set(found)) == 5 and all(re.fullmatch("[0-9a-f]{12}", one) for one in found)
    assert not any(one in "0123456789abcdef0123456789abcdef" for one in found)
