from __future__ import annotations

import sys
from pathlib import Path

# The training scripts are run from their folder, not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "training"))
