"""What holds for every model folder."""

from __future__ import annotations

from triton_backend import REPOSITORY


def test_every_model_folder_is_complete() -> None:
    for config in REPOSITORY.glob("*/*/config.pbtxt"):
        folder = config.parent
        assert (folder / "README.md").is_file(), f"{folder.name} has no model card"
        if 'backend: "python"' not in config.read_text(encoding="utf-8"):
            continue
        source = (folder / "1" / "model.py").read_text(encoding="utf-8")
        assert "router" not in [line.split()[1].split(".")[0] for line in source.splitlines() if _imports(line)]
        assert len(source.splitlines()) < 150


def _imports(line: str) -> bool:
    return line.startswith(("import ", "from "))


def test_the_repository_stays_within_its_size() -> None:
    size = sum(path.stat().st_size for path in REPOSITORY.rglob("*.onnx"))
    assert size <= 120 * 1024 * 1024
