from __future__ import annotations

import sys
from pathlib import Path

# The tests share triton_backend.py, which is no test and no part of the package.
sys.path.insert(0, str(Path(__file__).resolve().parent))
