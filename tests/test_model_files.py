"""Model folders and checkpoints: nothing lost, nothing executable, nothing of somebody else's."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcampaign.effectiveness import (
    Checkpoints,
    Features,
    FittedNetwork,
    TowerNetwork,
    load_network,
    read_model,
    write_model,
)
from jaxcampaign.errors import InputError

SMALL = TowerNetwork(members=2, width=8, n_bins=4, epochs=4)
N_ROWS = 200


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(0)
    return Features(
        numeric=rng.normal(size=(N_ROWS, 2)).astype(np.float32),
        categorical=rng.integers(-1, 3, (N_ROWS, 1)).astype(np.int32),
        numeric_names=("a", "m"),
        categorical_names=("name",),
        numeric_sources=("I", "M"),
        categorical_sources=("I",),
        categories=(np.array(["007", "NA", "größe"]),),
    )


@pytest.fixture(scope="module")
def target(features) -> np.ndarray:
    return np.nan_to_num(features.numeric).sum(axis=1) + features.categorical[:, 0]


@pytest.fixture(scope="module")
def fitted(features, target) -> FittedNetwork:
    return SMALL.fit(features, target, key=jax.random.key(0))


@pytest.fixture
def folder(fitted, tmp_path) -> Path:
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def _same(first: FittedNetwork, second: FittedNetwork, features: Features) -> bool:
    told = [model.predict(features) for model in (first, second)]
    arrays = [(p.mean, p.std, p.members, p.stacked_parts()) for p in told]
    return all(a.tobytes() == b.tobytes() for a, b in zip(*arrays, strict=True))


def test_a_loaded_model_predicts_the_same_bits(fitted, folder, features):
    loaded = load_network(folder)
    assert _same(fitted, loaded, features)
    assert loaded.model == fitted.model and loaded.plan == fitted.plan
    np.testing.assert_array_equal(loaded.columns.categories[0], features.categories[0])
    assert FittedNetwork.load(folder).history.tobytes() == fitted.history.tobytes()


def test_saving_again_replaces_the_model_and_leaves_no_rest(fitted, folder, features, target):
    other = SMALL.fit(features, target, key=jax.random.key(1))
    (folder / "notes.md").write_text("mine")
    other.save(folder)
    assert _same(load_network(folder), other, features)
    assert len(list(folder.iterdir())) == 4  # manifest, arrays, columns and the notes


def test_a_save_that_fails_leaves_the_old_model(fitted, folder, features, target, monkeypatch):
    other = SMALL.fit(features, target, key=jax.random.key(1))
    renamed = Path.replace

    def fail(path: Path, to: Path) -> Path:
        if to.name == "manifest.json":
            raise OSError("the disk is full")
        return renamed(path, to)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        other.save(folder)
    assert _same(load_network(folder), fitted, features)


def test_texts_travel_with_the_arrays(tmp_path):
    arrays = {"x": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 2), np.int32)}
    write_model(tmp_path / "m", arrays, {"trees.txt": "tree\nß"}, {"weight": 0.25})
    found = read_model(tmp_path / "m")
    assert found.texts == {"trees.txt": "tree\nß"} and found.manifest == {"weight": 0.25}
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("name", ["model.pkl", "../up.txt", "weights.npy", "code.py"])
def test_executable_formats_and_paths_are_not_written(name, tmp_path):
    with pytest.raises(InputError, match="file name"):
        write_model(tmp_path / "m", {}, {name: ""}, {})


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(InputError, match="not a model folder"):
        load_network(path)
    with pytest.raises(InputError, match=r"no manifest\.json"):
        load_network(tmp_path)


def _damage(folder: Path, how: str) -> None:
    (arrays,) = folder.glob("arrays*")
    (columns,) = folder.glob("*columns*")
    manifest = folder / "manifest.json"
    content = arrays.read_bytes()
    if how == "truncated":
        arrays.write_bytes(content[:-10])
    elif how == "bit flip":
        arrays.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    elif how == "missing":
        arrays.unlink()
    elif how == "text":
        columns.write_text(columns.read_text("utf-8").replace("007", "008"), "utf-8")
    elif how == "manifest":
        manifest.write_text(manifest.read_text("utf-8")[:-20], "utf-8")
    elif how == "settings":
        text = manifest.read_text("utf-8")
        manifest.write_text(text.replace('"members": 2', '"members": 3'), "utf-8")
    else:
        record = json.loads(manifest.read_text("utf-8"))
        record["files"]["arrays.safetensors"]["file"] = "arrays.pkl"
        manifest.write_text(json.dumps(record), "utf-8")


DAMAGES = ["truncated", "bit flip", "missing", "text", "manifest", "settings", "executable"]


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_models_are_refused(how, folder):
    _damage(folder, how)
    with pytest.raises(InputError, match="model"):
        load_network(folder)


def test_arrays_of_another_shape_are_refused(folder):
    stored = read_model(folder)
    name = next(name for name in stored.arrays if "head" in name)
    arrays = {**stored.arrays, name: stored.arrays[name][:1]}
    write_model(folder, arrays, stored.texts, stored.manifest)
    with pytest.raises(InputError, match="another shape") as refused:
        load_network(folder)
    assert refused.value.column == name


class _KilledError(Exception):
    pass


class _Interrupted(Checkpoints):
    """Stops the training right after a save."""

    def save(self, state, mark):
        super().save(state, mark)
        if int(state.epoch) == 2:
            raise _KilledError


def _interrupt(folder: Path, features: Features, target: np.ndarray) -> None:
    with pytest.raises(_KilledError):
        SMALL.fit(features, target, key=jax.random.key(0), checkpoint=_Interrupted(folder, every=1))


@pytest.fixture(scope="module")
def interrupted(features, target, tmp_path_factory) -> Path:
    """Checkpoints of epochs 1 and 2 of 4."""
    folder = tmp_path_factory.mktemp("checkpoints")
    _interrupt(folder, features, target)
    return folder


@pytest.fixture
def checkpoints(interrupted, tmp_path) -> Checkpoints:
    shutil.copytree(interrupted, tmp_path / "copy")
    return Checkpoints(tmp_path / "copy", every=1)


def test_a_resumed_training_ends_like_an_uninterrupted_one(checkpoints, fitted, features, target):
    resumed = SMALL.fit(features, target, key=jax.random.key(0), checkpoint=checkpoints)
    assert _same(resumed, fitted, features)
    assert resumed.history.tobytes() == fitted.history.tobytes()
    kept = sorted(path.name for path in Path(checkpoints.folder).iterdir())
    assert kept == ["00000003", "00000004"]


@pytest.mark.parametrize("how", ["bit flip", "truncated", "manifest"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    how, checkpoints, fitted, features, target
):
    last = max(Path(checkpoints.folder).iterdir())
    largest = max((p for p in last.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    path = last / "manifest.json" if how == "manifest" else largest
    content = bytearray(path.read_bytes())
    if how == "bit flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content if how == "bit flip" else content[: len(content) // 2])
    with pytest.warns(UserWarning, match="falling back"):
        resumed = SMALL.fit(features, target, key=jax.random.key(0), checkpoint=checkpoints)
    assert _same(resumed, fitted, features)


def test_what_a_killed_save_leaves_behind_is_no_checkpoint(checkpoints, fitted, features, target):
    half = Path(checkpoints.folder) / ".00000003.tmp" / "state"
    half.mkdir(parents=True)
    (half / "array").write_bytes(b"half")
    resumed = SMALL.fit(features, target, key=jax.random.key(0), checkpoint=checkpoints)
    assert _same(resumed, fitted, features)


def test_checkpoints_of_another_training_are_refused(checkpoints, features, target):
    wider = replace(SMALL, width=16)
    with pytest.raises(InputError, match="its network differs"):
        wider.fit(features, target, key=jax.random.key(0), checkpoint=checkpoints)
    with pytest.raises(InputError, match="its data differs"):
        SMALL.fit(features, target**2, key=jax.random.key(0), checkpoint=checkpoints)
    with pytest.raises(InputError, match="its key differs"):
        SMALL.fit(features, target, key=jax.random.key(9), checkpoint=checkpoints)
    slower = replace(SMALL, learning_rate=1e-3)
    with pytest.raises(InputError, match="its settings differs"):
        slower.fit(features, target, key=jax.random.key(0), checkpoint=checkpoints)
