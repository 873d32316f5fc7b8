"""What a board is, and what cannot be."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.imx500_file import PACKAGERS
from pocketsight.export.deploy import packages
from pocketsight.export.deploy.facts import BoardFacts, read_facts, require_supported, wheel_platforms
from pocketsight.export.deploy.ssh import Board

PI = BoardFacts(
    "aarch64", "64", "2.41", "Debian GNU/Linux 13 (trixie)", "Raspberry Pi 5 Model B", "3.13", "2.2.4", "yes"
)


def test_facts_of_this_machine() -> None:
    with Board(".") as board:
        facts = read_facts(board, sys.executable)
    require_supported(facts, "this machine")
    assert facts.python == "{}.{}".format(*sys.version_info) and facts.numpy and facts.cv2 == "yes"
    assert facts.rights in ("root", "sudo", "password", "")


@pytest.mark.parametrize("name", PACKAGERS)
def test_the_packager_for_the_ai_camera_has_two_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / name).chmod(0o755)
    with Board(".") as board:
        assert not read_facts(board, sys.executable).imx500
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert read_facts(board, sys.executable).imx500 == "yes"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"machine": "armv6l", "bits": "32"}, "no packages of the interpreter for armv6l"),
        ({"machine": "riscv64"}, "no packages of the interpreter for riscv64"),
        ({"python": ""}, "it has no Python"),
        ({"python": "3.9"}, "its Python is 3.9, and pocketsight needs 3.11 or later"),
        ({"bits": "32"}, "a 32-bit one with Python 3.13, for which there is no interpreter"),
        ({"glibc": "2.27"}, "its C library is glibc 2.27"),
        ({"glibc": ""}, "its C library is not glibc"),
        ({"bits": "32", "python": "3.11", "glibc": "2.31"}, r"needs glibc 2.34 or later"),
    ],
)
def test_what_cannot_be_is_said_in_words(changes: dict[str, str], reason: str) -> None:
    require_supported(PI, "pi")
    with pytest.raises(BoardError, match=f"^pi: .*{reason}"):
        require_supported(replace(PI, **changes), "pi")


def test_a_64_bit_kernel_with_a_32_bit_system_takes_32_bit_packages() -> None:
    bookworm = replace(PI, bits="32", python="3.11", glibc="2.36")
    require_supported(bookworm, "pi")
    assert wheel_platforms(bookworm)[0] == "manylinux_2_36_armv7l"
    assert wheel_platforms(PI)[-2:] == ["manylinux2014_aarch64", "linux_aarch64"]


def test_packages_for_another_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """protobuf has a library of machine code, which must be that of the board."""
    locks = tmp_path / "scripts/requirements"
    locks.mkdir(parents=True)
    (locks / "board-aarch64-py313.txt").write_text("protobuf==7.36.2\n")
    monkeypatch.setattr(packages, "CHECKOUT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    try:
        folder = packages.fetch_packages(PI, tmp_path / "no.whl")
    except BoardError as error:
        assert "the packages for aarch64 with Python 3.13 cannot be fetched" in str(error)
        pytest.skip("needs the package index")
    library = next(folder.rglob("*.so")).read_bytes()
    assert library[18:20] == b"\xb7\0"  # EM_AARCH64
    monkeypatch.setattr(packages, "run_pip", lambda *_: pytest.fail("it is there already"))
    assert packages.fetch_packages(PI, tmp_path / "no.whl") == folder
    with pytest.raises(BoardError, match="no lock file for 32-bit boards"):
        packages.fetch_packages(replace(PI, bits="32"), tmp_path / "no.whl")
