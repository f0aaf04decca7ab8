"""The door that a model file passes, and what a recording becomes behind it."""

import copy

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from pydantic import ValidationError
from tests.learn.graphs import RATE_HZ, N, graph_of, octaves, same, save, settings_of
from tests.learn.synthetic import fold_table

from evensong.audio.model_mel import model_mels
from evensong.errors import DataError, IntegrityError, ResourceError
from evensong.learn import embedding
from evensong.learn.embedding import open_graph, refuse_lower_rates
from evensong.learn.vectors import embedded_items, overlap_warnings, read_facts, read_vectors, warnings_of, write_facts
from evensong.schemas import Embed, ModelMel

WHERE = "night.embed.models.tiny"
MEL = {
    "n_fft": 128, "win_length": 100, "hop_length": 100, "n_mels": 16, "fmin_hz": 100.0, "fmax_hz": 4000.0,
    "preemphasis": 0.0, "centred": False, "spectrum": "power", "log_offset": 0.001, "mean": 1.0, "std": 2.0,
    "axes": "frames_mels",
}  # fmt: skip


def vector_of(tmp_path, model, wave, rate_hz=RATE_HZ, **changes):
    return open_graph(WHERE, settings_of(model, tmp_path / "tiny.onnx", **changes)).vector(wave, rate_hz)


def refusal_of(tmp_path, model, error=DataError, **changes):
    with pytest.raises(error) as caught:
        open_graph(WHERE, settings_of(model, tmp_path / "tiny.onnx", **changes))
    assert str(caught.value).startswith(WHERE)
    return str(caught.value)


def ramp(n):
    return np.arange(1, n + 1, dtype=np.float32) / 8192


def test_windows_cover_every_sample_and_pooling_runs_over_them(tmp_path):
    # 1000 samples in windows of 800, hop 800: samples 0 to 799, and the last 800, 200 to 999
    wave = ramp(1000)
    first, last = wave[:N], wave[-N:]
    assert vector_of(tmp_path, same(), wave) == pytest.approx((first + last) / 2)
    assert vector_of(tmp_path, same(), wave, pooling="max").tolist() == last.tolist()
    both = vector_of(tmp_path, same(), wave, pooling="both")
    assert both == pytest.approx([*(first + last) / 2, *last])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3 * N), st.integers(1, N))
def test_no_sample_is_left_out_whatever_the_length_and_the_hop(tmp_path_factory, n, hop):
    model = settings_of(same(), tmp_path_factory.getbasetemp() / "any.onnx", hop_seconds=hop / RATE_HZ)
    windows = embedding.windows_of(np.arange(1, n + 1, dtype=np.float32), model)
    assert windows.shape[1] == N
    assert set(windows.ravel()) - {0} == set(range(1, n + 1))
    assert len(windows) == (1 if n <= N else -(-(n - N) // hop) + 1)


def test_short_and_silent_recordings_are_zeros_and_no_fault(tmp_path):
    short = vector_of(tmp_path, same(), ramp(10))
    assert short.tolist() == [*ramp(10), *[0] * (N - 10)]
    assert not vector_of(tmp_path, same(), np.zeros(N, np.float32), scaling="peak", level=0.25).any()


def test_scaling_by_the_peak_of_each_window_and_by_a_factor(tmp_path):
    tone = np.tile([0.5, -0.5], N // 2)
    wave = np.concatenate([tone, 0.1 - 0.2 * tone]).astype(np.float32)  # the second fainter, upside down, and shifted
    assert vector_of(tmp_path, same(), wave, scaling="peak", level=0.25, pooling="max")[:2] == pytest.approx(0.25)
    assert vector_of(tmp_path, same(), wave, scaling="peak", level=0.25, pooling="mean") == pytest.approx(0, abs=1e-6)
    assert vector_of(tmp_path, same(), wave, level=32768.0, pooling="max")[0] == 16384


@pytest.mark.parametrize("shape", [(N,), ("n",), (1, N), ("batch", "n"), ("batch", 1, N), (1, 1, N)])
def test_every_form_of_input_gives_the_same_vector(tmp_path, shape):
    wave = np.random.default_rng(0).normal(0, 0.1, 40 * N + 7).astype(np.float32)  # several batches
    expected = vector_of(tmp_path, octaves(), wave, pooling="both")
    assert vector_of(tmp_path, octaves(shape), wave, pooling="both") == pytest.approx(expected, rel=1e-4)
    assert expected.shape == (16,)


@pytest.mark.parametrize("before", [(), ("batch",), (1,), ("batch", 1)])
@pytest.mark.parametrize("axes", ["frames_mels", "mels_frames"])
def test_a_graph_is_fed_with_its_mel_in_the_form_that_it_takes(tmp_path, before, axes):
    form = (8, 16) if axes == "frames_mels" else (16, 8)  # 1 + (800 - 100) // 100 frames
    wave, changes = ramp(2 * N), {"mel": MEL | {"axes": axes}}
    found = vector_of(tmp_path, same((*before, *form)), wave, **changes)
    mels = model_mels(wave.reshape(2, N), RATE_HZ, ModelMel.model_validate(changes["mel"]))
    assert found == pytest.approx(mels.reshape(-1, form[1]).mean(axis=0), rel=1e-5)
    assert "needs one float32 input of 8 x 16 frames x mels" in refusal_of(tmp_path, same(("batch", 9, 16)), mel=MEL)
    assert "the graph has wave tensor(float)" in refusal_of(tmp_path, same(), mel=MEL)


@pytest.mark.parametrize(
    ("changes", "said"), [({"fmax_hz": 4001.0}, "half of sample"), ({"win_length": N}, "no shorter")]
)
def test_a_mel_that_its_window_cannot_give_is_refused(tmp_path, changes, said):
    with pytest.raises(ValidationError, match=said):
        settings_of(same(), tmp_path / "a.onnx", mel=MEL | {"n_fft": N} | changes)


def test_frames_of_an_output_are_pooled_with_the_windows(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["form"], value_ints=[-1, 4, 200]),
        helper.make_node("Reshape", ["wave", "form"], ["vector"]),
    ]
    wave = ramp(2 * N)
    assert vector_of(tmp_path, graph_of(nodes), wave) == pytest.approx(wave.reshape(8, 200).mean(axis=0))


def test_a_tensor_inside_the_graph_can_be_taken_in_place_of_its_answer(tmp_path):
    nodes = [helper.make_node("Neg", ["wave"], ["inside"]), helper.make_node("Softmax", ["inside"], ["vector"])]
    assert vector_of(tmp_path, graph_of(nodes), ramp(N), output="inside") == pytest.approx(-ramp(N))
    assert vector_of(tmp_path, graph_of(nodes), ramp(N)).sum() == pytest.approx(1)


def test_a_recording_of_another_rate_is_resampled(tmp_path):
    tone = np.sin(2 * np.pi * 700 * np.arange(32_000) / 16_000).astype(np.float32)
    assert vector_of(tmp_path, octaves(), tone, rate_hz=16_000).argmax() == 4  # of 300, 400, ... Hz


@pytest.mark.fault("M03")
def test_a_file_that_is_not_the_one_that_was_meant_is_refused(tmp_path):
    said = refusal_of(tmp_path, same(), IntegrityError, sha256="0" * 64)
    assert said.startswith(f"{WHERE}.sha256: ")
    assert "cannot be read (No such file" in refusal_of(tmp_path, same(), IntegrityError, file="none.onnx")
    assert "not an ONNX file" in refusal_of(tmp_path, b"<html>404 not found</html>")


def outside(model):
    """The model with its weights said to lie in a file of this machine."""
    weights = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weights, location="../../etc/passwd", offset=0, length=4)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    return model


def branching(inner):
    """A graph with another graph inside an If."""
    yes = helper.make_graph(inner, "yes", [], [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)])
    no = copy.deepcopy(yes)
    nodes = [
        helper.make_node("Constant", [], ["is"], value=helper.make_tensor("", onnx.TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["is"], ["vector"], then_branch=yes, else_branch=no),
    ]
    return graph_of(nodes, domain="evil")


@pytest.mark.fault("M04")
def test_hostile_graphs_are_refused_before_they_run(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_session", lambda *_: pytest.fail("it is loaded"))
    assert "keeps weights in other files" in refusal_of(tmp_path, outside(octaves()))
    custom = helper.make_node("Steal", ["wave"], ["vector"], domain="evil")
    assert "operator Steal of 'evil'" in refusal_of(tmp_path, graph_of([custom], domain="evil"))
    hidden = [helper.make_node("Steal", ["wave"], ["y"], domain="evil")]
    assert "operator Steal of 'evil'" in refusal_of(tmp_path, branching(hidden))
    constant = helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], np.float32([1]).tobytes(), raw=True)
    inner = helper.make_node("Constant", [], ["y"], value=constant)
    model = branching([inner])
    tensor = model.graph.node[1].attribute[0].g.node[0].attribute[0].t
    tensor.data_location = onnx.TensorProto.EXTERNAL
    assert "keeps weights in other files" in refusal_of(tmp_path, model)


def test_what_onnxruntime_does_not_know_is_refused_with_its_words(tmp_path):
    unknown = helper.make_node("NoSuchOperator", ["wave"], ["vector"])
    assert "cannot load the graph" in refusal_of(tmp_path, graph_of([unknown]))
    future = same()
    future.opset_import[0].version = 9999
    assert "cannot load the graph" in refusal_of(tmp_path, future)


def test_a_graph_that_is_no_embedding_of_this_sound_is_refused(tmp_path):
    assert "the graph has no perch; its outputs are vector" in refusal_of(tmp_path, same(), output="perch")
    for shape in (("batch", N + 1), ("batch", 76, 32, 1), (7, N), ("batch", 2, N)):
        assert "needs one float32 input of 800 samples" in refusal_of(tmp_path, same(shape))
    whole = graph_of([helper.make_node("Cast", ["wave"], ["vector"], to=onnx.TensorProto.INT64)])
    whole.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    assert "no array of float32" in refusal_of(tmp_path, whole)


@pytest.mark.fault("M03")
def test_values_that_are_not_finite_are_refused_at_the_door_and_later(tmp_path):
    root = graph_of([helper.make_node("Log", ["wave"], ["vector"])])  # of negative samples: NaN
    assert "not finite" in refusal_of(tmp_path, root)
    inverse = graph_of([helper.make_node("Reciprocal", ["wave"], ["vector"])])  # of the trial's noise: finite
    with pytest.raises(DataError, match="not finite"):
        vector_of(tmp_path, inverse, np.zeros(N, np.float32))


def test_what_is_not_installed_is_said_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_NEEDED", ("onnx", "no_such_runtime"))
    assert "pip install no_such_runtime" in refusal_of(tmp_path, same(), ResourceError)


def test_recordings_of_a_lower_rate_are_refused_unless_the_user_wants_them(tmp_path):
    strict = settings_of(same(), tmp_path / "tiny.onnx")
    with pytest.raises(DataError, match="hears 8000 Hz and the lowest rate of the recordings is 4000 Hz") as caught:
        refuse_lower_rates(WHERE, strict, np.array([16_000, 4_000, 6_000]), "record anew")
    assert "record anew, or set upsample: true" in str(caught.value)
    refuse_lower_rates(WHERE, strict, np.array([8_000, 16_000]), "")
    refuse_lower_rates(WHERE, strict.model_copy(update={"upsample": True}), np.array([4_000]), "")


@pytest.mark.parametrize("licence", ["CC BY-NC-SA 4.0", "cc-by-nc-4.0", "non-commercial use", "NonCommercial"])
def test_a_licence_without_commercial_use_is_warned_of(tmp_path, licence):
    assert "does not allow commercial use" in warnings_of(settings_of(same(), tmp_path / "a.onnx", licence=licence))[1]


@pytest.mark.parametrize("licence", ["Apache-2.0", "CC BY 4.0", "NCSA", "MIT"])
def test_other_licences_are_not_warned_of(tmp_path, licence):
    (line,) = warnings_of(settings_of(same(), tmp_path / "a.onnx", licence=licence, training_data=["AudioSet"]))
    assert line.startswith("declared training data: AudioSet;")


def test_data_that_a_model_was_trained_on_is_named_however_it_is_spelled():
    (line,) = overlap_warnings(["AudioSet", "ESC-50", "FSD50K"], ["esc 50", "my garden", "audioset"])
    assert line.startswith("trained on esc 50, audioset, and your recordings are from there")
    assert overlap_warnings(["ESC-50"], ["ESC-10", "ESC-5"]) == overlap_warnings(["ESC-50"], []) == []


def test_vectors_are_read_only_with_the_recordings_they_were_made_of(tmp_path):
    model = settings_of(same(), tmp_path / "tiny.onnx")
    write_facts(tmp_path, model, {"made_of": "a", "opset": 17})
    assert read_facts(tmp_path, "a")["licence"] == "CC0-1.0"
    with pytest.raises(IntegrityError, match="made of other recordings"):
        read_facts(tmp_path, "b")
    with pytest.raises(IntegrityError, match=r"settings\.json: cannot be read"):
        read_facts(tmp_path / "none", "a")
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, first in zip(paths, (0, 10), strict=True):
        np.save(path, np.arange(first, first + 4, dtype=np.float32).reshape(2, 2))
    assert read_vectors(paths, 4).tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
    with pytest.raises(IntegrityError, match="one finite float32 row for each of 3"):
        read_vectors(paths, 3)
    np.save(paths[0], np.full((2, 2), np.nan, np.float32))
    with pytest.raises(IntegrityError, match="one finite float32 row"):
        read_vectors(paths, 4)
    with pytest.raises(IntegrityError, match="no readable embeddings"):
        read_vectors([tmp_path / "c.npy"], 1)


def test_items_point_at_the_rows_of_the_originals(tmp_path):
    table = fold_table(n_groups=6, copies=2)  # rows 0, 3, 6, ... are originals
    found = embedded_items(table, copies=False)
    assert (found["row"] * 3).tolist() == table.loc[table["is_original"], "row"].tolist()
    assert embedded_items(table, copies=True) is table


@pytest.mark.parametrize("name", ["network", "baseline", "control", "perch_fused", "Perch", "2", "a-b", "a" * 31, ""])
def test_a_model_has_a_name_that_an_arm_can_have(tmp_path, name):
    one, rest = save(same(), tmp_path / "a.onnx"), {"head": "logistic", "data": []}
    with pytest.raises(ValidationError, match="name"):
        Embed.model_validate({"models": {name: one}} | rest)
    assert Embed.model_validate({"models": {"perch_2": one}} | rest).models.keys() == {"perch_2"}


def test_a_hop_that_leaves_gaps_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"hop_seconds 0\.2 is above window_seconds 0\.1"):
        settings_of(same(), tmp_path / "a.onnx", hop_seconds=0.2)


def test_save_says_what_params_would(tmp_path):
    assert set(save(same(), tmp_path / "a.onnx")) == set(embedding.Embedding.model_fields)
