"""Scripts as modules."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str) -> ModuleType:
    """scripts/NAME.py, imported."""
    found = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert found and found.loader
    module = module_from_spec(found)
    sys.modules[name] = module  # where its classes look for their module
    found.loader.exec_module(module)
    return module
