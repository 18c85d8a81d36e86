"""Which version of a model is served: links and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import OperatorError
from router.triton.repository import read_model_config
from router.triton.store import ModelStore, check_model, version_of


def model_folder(root: Path, name: str, *versions: str) -> Path:
    folder = root / name
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "model.py").write_text(f"# version {version}")
    (folder / "warmup").mkdir()
    (folder / "warmup" / "text").write_text("hello")
    (folder / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\nmodel_warmup {{\nname: "one"\n}}\n')
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    model_folder(tmp_path / "source", "guard", "1")
    model_folder(tmp_path / "source", "orchestrator", "1", "2")
    return tmp_path / "source"


@pytest.fixture
def store(tmp_path: Path, source: Path) -> ModelStore:
    store = ModelStore(tmp_path / "instance")
    store.refresh([source])
    return store


def test_what_was_never_replaced_is_that_of_the_source(store: ModelStore, source: Path) -> None:
    assert sorted(link.name for link in store.repository.iterdir()) == ["guard", "orchestrator"]
    assert store.served("guard") == source / "guard"
    assert store.previous("guard") is None
    assert version_of(store.served("orchestrator")) == "2"


def test_a_version_is_brought_in_alone_and_served_until_the_one_before_is_again(
    store: ModelStore, source: Path, tmp_path: Path
) -> None:
    new = model_folder(tmp_path / "new", "guard", "1", "2", "3")
    brought = store.bring_in("guard", "2", new)
    assert sorted(part.name for part in brought.iterdir()) == ["2", "config.pbtxt", "warmup"]
    assert store.served("guard") == source / "guard"
    store.serve("guard", brought)
    assert (store.served("guard"), store.previous("guard")) == (brought, source / "guard")
    store.refresh([source])
    assert store.served("guard") == brought
    store.serve("guard", source / "guard")
    assert (store.served("guard"), store.previous("guard")) == (source / "guard", brought)
    store.refresh([source])
    assert store.served("guard") == source / "guard"


def test_what_is_gone_back_to_is_newer_than_what_was_served(store: ModelStore, source: Path, tmp_path: Path) -> None:
    def modified() -> int:
        return (store.repository / "guard" / "config.pbtxt").stat().st_mtime_ns

    store.serve("guard", store.bring_in("guard", "2", model_folder(tmp_path / "new", "guard", "2")))
    before = modified()
    store.serve("guard", source / "guard")
    assert modified() > before
    for _ in range(3):
        store.serve("guard", source / "guard")
    assert len(list((tmp_path / "instance" / "faces" / "guard").iterdir())) == 2
    store.refresh([source])
    assert list((tmp_path / "instance" / "faces" / "guard").iterdir()) == []


def test_what_is_restored_is_as_it_was(store: ModelStore, source: Path, tmp_path: Path) -> None:
    new = store.bring_in("guard", "2", model_folder(tmp_path / "new", "guard", "2"))
    store.serve("guard", new)
    store.restore("guard", source / "guard", None)
    assert (store.served("guard"), store.previous("guard")) == (source / "guard", None)
    store.serve("guard", new)
    newer = store.bring_in("guard", "3", model_folder(tmp_path / "newer", "guard", "3"))
    store.serve("guard", newer)
    store.restore("guard", new, source / "guard")
    assert (store.served("guard"), store.previous("guard")) == (new, source / "guard")


def test_a_trial_has_a_name_of_its_own_and_is_gone_after_a_restart(store: ModelStore, source: Path) -> None:
    name = store.begin_trial("guard", "1", source / "guard")
    trial = store.repository / name
    assert read_model_config(trial / "config.pbtxt").name == name == "guard.v1"
    assert (trial / "1" / "model.py").read_text() == "# version 1"
    store.end_trial("guard", "1")
    assert not trial.exists()
    assert (source / "guard" / "1" / "model.py").is_file()
    store.begin_trial("guard", "1", source / "guard")
    store.refresh([source])
    assert not trial.exists()


def test_models_that_the_source_has_no_more_are_gone_unless_they_were_replaced(
    store: ModelStore, tmp_path: Path
) -> None:
    store.serve("guard", store.bring_in("guard", "2", model_folder(tmp_path / "new", "guard", "2")))
    other = tmp_path / "other"
    model_folder(other, "encoder", "1")
    store.refresh([other])
    assert sorted(link.name for link in store.repository.iterdir()) == ["encoder", "guard"]


def test_versions_are_found_where_they_were_brought_in_before_the_sources(
    store: ModelStore, source: Path, tmp_path: Path
) -> None:
    assert store.find("orchestrator", "2", [source]) == source / "orchestrator"
    brought = store.bring_in("orchestrator", "2", model_folder(tmp_path / "new", "orchestrator", "2"))
    assert store.find("orchestrator", "2", [source]) == brought
    with pytest.raises(OperatorError, match="no version 7 of orchestrator"):
        store.find("orchestrator", "7", [source])


def test_what_is_in_use_is_not_replaced(store: ModelStore, tmp_path: Path) -> None:
    new = model_folder(tmp_path / "new", "guard", "2")
    store.serve("guard", store.bring_in("guard", "2", new))
    with pytest.raises(OperatorError, match="Version 2 of guard is in use"):
        store.bring_in("guard", "2", new)


def test_a_copy_that_fails_leaves_nothing(store: ModelStore, tmp_path: Path) -> None:
    new = model_folder(tmp_path / "new", "guard", "2")
    (new / "2" / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OperatorError, match="cannot be copied"):
        store.bring_in("guard", "2", new)
    assert list((tmp_path / "instance" / "versions" / "guard").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "../guard", "a/b", "guard.v2", ".hidden", "x" * 200])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(OperatorError, match="cannot be the name"):
        check_model(name)


@pytest.mark.parametrize("version", ["0", "-1", "../1", "1.0", "latest", ""])
def test_versions_are_numbers(store: ModelStore, source: Path, version: str) -> None:
    with pytest.raises(OperatorError, match="is no version"):
        store.bring_in("guard", version, source / "guard")


def test_two_models_of_one_name_are_refused(store: ModelStore, source: Path, tmp_path: Path) -> None:
    model_folder(tmp_path / "other", "guard", "1")
    with pytest.raises(OperatorError, match="Two models are named 'guard'"):
        store.refresh([source, tmp_path / "other"])


def test_a_model_that_is_not_there_is_named_with_those_that_are(store: ModelStore) -> None:
    with pytest.raises(OperatorError) as caught:
        store.served("encoder")
    assert caught.value.fix == "There are guard, orchestrator."
