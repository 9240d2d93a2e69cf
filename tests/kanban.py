"""The families of examples/kanban.py, which is no package."""

import importlib.util
from pathlib import Path

_FILE = Path(__file__).parent.parent / "examples" / "kanban.py"
_spec = importlib.util.spec_from_file_location("kanban_example", _FILE)
assert _spec is not None and _spec.loader is not None
_example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_example)

FAMILIES = _example.FAMILIES
