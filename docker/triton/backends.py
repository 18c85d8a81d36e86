"""Makes the folder of backends for the Triton of the wheel, while the image is built.

python backends.py FOLDER

Fails where the installed wheel could not run: another platform, or a shared library that is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from router.triton.wheel import find_wheel

if __name__ == "__main__":
    find_wheel().make_backend_folder(Path(sys.argv[1]))
