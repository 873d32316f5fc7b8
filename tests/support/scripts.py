"""Scripts as modules."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from tests.support import ROOT

SCRIPTS = ROOT / "scripts"


def script(name: str) -> ModuleType:
    """scripts/NAME.py, imported."""
    path = SCRIPTS / f"{name}.py"
    spec = spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look up their module there
    sys.path.insert(0, str(path.parent))  # as when the script is run, for its neighbors
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
