"""Where real recordings lie, for the tests that need them."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("EVENSONG_REAL_DATA", ROOT.parent / "shared" / "real"))
