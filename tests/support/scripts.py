"""Scripts as modules."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from tests.support import ROOT

SCRIPTS = ROOT / "scripts"


def script(name: str) -> ModuleType:
    """scripts/NAME.py, imported."""
    path = SCRIPTS / f"{name}.py"
    found = spec_from_file_location(path.stem, path)
    assert found and found.loader
    module = module_from_spec(found)
    sys.modules[path.stem] = module  # where its classes look for their module
    found.loader.exec_module(module)
    return module
