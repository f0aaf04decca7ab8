"""The mel of a pretrained network: worked by hand, and against a plain transform written from its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evensong.audio.model_mel import frames_of, model_mels, triangles
from evensong.schemas import ModelMel

RATE_HZ = 16_000
YAMNET = {
    "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64, "fmin_hz": 125.0, "fmax_hz": 7500.0,
    "preemphasis": 0.0, "centred": False, "spectrum": "magnitude", "log_offset": 0.001, "mean": 0.0, "std": 1.0,
    "axes": "frames_mels",
}  # fmt: skip
EFFICIENTAT = YAMNET | {
    "n_fft": 1024, "win_length": 800, "hop_length": 320, "n_mels": 128, "fmin_hz": 0.0, "fmax_hz": 15_000.0,
    "preemphasis": 0.97, "centred": True, "spectrum": "power", "log_offset": 1e-5, "mean": -4.5, "std": 5.0,
    "axes": "mels_frames",
}  # fmt: skip


def mel(base=YAMNET, **changes):
    return ModelMel.model_validate(base | changes)


def plain(wave, rate_hz, s):
    """Sample by sample and band by band, from the definition."""
    wave = wave.astype(np.float64)
    if s.preemphasis:
        wave = np.array([wave[i] - s.preemphasis * wave[i - 1] for i in range(1, len(wave))])
    if s.centred:
        wave = np.pad(wave, s.n_fft // 2, mode="reflect")
        starts = range(
            (s.n_fft - s.win_length) // 2, len(wave) - s.n_fft + (s.n_fft - s.win_length) // 2 + 1, s.hop_length
        )
    else:
        starts = range(0, len(wave) - s.win_length + 1, s.hop_length)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(s.win_length) / s.win_length)
    rows = []
    for start in starts:
        size = np.abs(np.fft.fft(wave[start : start + s.win_length] * hann, s.n_fft))[: s.n_fft // 2 + 1]
        rows.append(triangles(s, rate_hz) @ (size if s.spectrum == "magnitude" else size**2))
    logs = (np.log(np.array(rows) + s.log_offset) - s.mean) / s.std
    return logs if s.axes == "frames_mels" else logs.T


@settings(max_examples=30, deadline=None)
@given(
    st.integers(850, 4_000), st.sampled_from([YAMNET, EFFICIENTAT]), st.booleans(), st.sampled_from([0.0, 0.97]),
    st.sampled_from(["magnitude", "power"]),
)  # fmt: skip
def test_it_is_what_the_definition_says_of_any_length(n, base, centred, preemphasis, spectrum):
    s = mel(base, centred=centred, preemphasis=preemphasis, spectrum=spectrum)
    waves = np.random.default_rng(n).normal(0, 0.1, (2, n)).astype(np.float32)
    found = model_mels(waves, 32_000, s)
    assert found.dtype == np.float32
    assert found[1] == pytest.approx(plain(waves[1], 32_000, s), abs=1e-4)
    assert found.shape[1 + (s.axes == "mels_frames")] == frames_of(s, n)


def test_frames_of_the_models_that_people_bring():
    assert frames_of(mel(), 15_600) == 96  # YAMNet: 0.975 s
    assert frames_of(mel(EFFICIENTAT), 320_000) == 1000  # EfficientAT: 10 s
    assert frames_of(mel(n_mels=128, preemphasis=0.97), round(10.26 * RATE_HZ)) == 1024  # AST


def test_silence_and_a_tone_by_hand():
    silent = model_mels(np.zeros((1, 15_600), np.float32), RATE_HZ, mel())
    assert silent == pytest.approx(np.full((1, 96, 64), np.log(0.001)), rel=1e-6)
    tone = np.sin(2 * np.pi * 1000 * np.arange(15_600) / RATE_HZ)[None].astype(np.float32)
    found = model_mels(tone, RATE_HZ, mel())[0]
    # 1000 Hz is 1127 ln(1 + 10/7) = 1000.0 mel; bands are (2840.0 - 185.2) / 65 apart from 125 Hz on
    low, high = 1127 * np.log1p(np.array([125, 7500]) / 700)
    assert (found.argmax(axis=1) == round((1000 - low) / ((high - low) / 65)) - 1).all()


def test_triangles_are_straight_in_mel_and_neighbours_add_up_to_one():
    weights = triangles(mel(n_fft=4096, win_length=4096), RATE_HZ)
    hertz = np.arange(2049) * RATE_HZ / 4096
    low, high = 1127 * np.log1p(np.array([125, 7500]) / 700)
    place = (1127 * np.log1p(hertz / 700) - low) / ((high - low) / 65)
    inside = (place >= 1) & (place <= 64)
    assert weights[:, inside].sum(axis=0) == pytest.approx(1)
    assert weights[4] == pytest.approx(np.maximum(0, 1 - np.abs(place - 5)))


def test_settings_that_contradict_each_other_are_refused():
    for changes in ({"hop_length": 401}, {"win_length": 513}, {"fmin_hz": 7500.0}):
        with pytest.raises(ValueError, match=r"must not fall|is not below"):
            mel(**changes)
