"""Programs that come by apt, not by pip: a test names those it needs, and is skipped, with the cure, without them."""

import shutil

import pytest

PACKAGES = {"Xvfb": "xvfb", "unshare": "util-linux"}  # where the package has another name than the program


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Act on `@pytest.mark.debian("Xvfb", "xdotool")`."""
    programs = {str(program) for mark in item.iter_markers("debian") for program in mark.args}
    if missing := sorted(program for program in programs if shutil.which(program) is None):
        packages = " ".join(PACKAGES.get(program, program) for program in missing)
        pytest.skip(f"needs {', '.join(missing)}: sudo apt install {packages}")
