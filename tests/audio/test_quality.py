"""Statistics of a clip against values by hand and a plain reading of their definitions, and limits from both sides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evensong.audio.quality import ClipStats, check_content, measure
from evensong.errors import InputFault
from evensong.schemas import AudioLimits

BLOCK = 2_048  # samples of the spectrum
RAIL = 32_767 / 32_768


def stats_of(*channels: np.ndarray, rate_hz: int = 1_000, silence_dbfs: float = -80) -> ClipStats:
    """Of channels whose mix is the first one."""
    waves = np.stack(channels).astype(np.float32)
    form = {"sample_rate_hz": rate_hz, "silence_dbfs": silence_dbfs, "origin": ("wav", "pcm_16")}
    return measure(waves, waves[0], **form, warnings=("W_EXT",))


def test_what_is_known_of_the_file_is_kept() -> None:
    stats = stats_of(np.ones(500), np.zeros(500))
    assert (stats.n_channels, stats.n_frames, stats.sample_rate_hz, stats.duration_s) == (2, 500, 1_000, 0.5)
    assert (stats.container, stats.codec, stats.warnings) == ("wav", "pcm_16", ("W_EXT", "W_CLIP"))


@pytest.mark.parametrize(
    ("wave", "peak_dbfs", "rms_dbfs"),
    [
        ([1, 1], 0, 0),
        ([0.1, -1], 0, 10 * np.log10(1.01 / 2)),
        ([0.01, 0.01], -40, -40),
        ([0, 0], -200, -200),
        ([1e-12, 0], -200, -200),  # no level is lower
    ],
)
def test_levels(wave: list[float], peak_dbfs: float, rms_dbfs: float) -> None:
    stats = stats_of(np.array(wave))
    assert (stats.peak_dbfs, stats.rms_dbfs) == pytest.approx((peak_dbfs, rms_dbfs), abs=1e-5)


@pytest.mark.fault("A18")
@pytest.mark.parametrize(
    ("clipped", "share"),
    [([], 0), ([1], 0.005), ([-1], 0.005), ([RAIL, -RAIL], 0.01), ([RAIL, -RAIL, 7], 0.015), ([1 - 2**-14] * 9, 0)],
)
def test_share_of_clipped_samples_of_all_channels(clipped: list[float], share: float) -> None:
    wave = np.full(100, 0.5)
    wave[: len(clipped)] = clipped
    stats = stats_of(np.full(100, 0.5), wave)
    assert stats.clipped_share == pytest.approx(share)
    assert stats.warnings == (("W_EXT", "W_CLIP") if share > 0.01 else ("W_EXT",))


@given(
    levels=st.lists(st.sampled_from([0, 1e-3, 0.02, 1.0]), min_size=1, max_size=70),
    repeats=st.integers(1, 30),
    rate_hz=st.sampled_from([10, 1_000, 1_030]),  # blocks of 1, 20 and 21 samples
)
@example(levels=[0, 1.0], repeats=1, rate_hz=10)
def test_share_of_silent_blocks_by_its_definition(levels: list[float], repeats: int, rate_hz: int) -> None:
    wave = np.repeat(np.float32(levels), repeats)
    size = {10: 1, 1_000: 20, 1_030: 21}[rate_hz]
    blocks = [wave[start : start + size].astype(float) for start in range(0, wave.size, size)]
    silent = sum(np.mean(block**2) < 1e-4 for block in blocks) / len(blocks)
    assert stats_of(wave, rate_hz=rate_hz, silence_dbfs=-40).silence_share == pytest.approx(silent)


@pytest.mark.parametrize(("level", "share"), [(0.095, 1.0), (0.105, 0.0)])
def test_silence_is_under_the_limit_in_decibels(level: float, share: float) -> None:
    assert stats_of(np.full(100, level), silence_dbfs=-20).silence_share == share


def test_a_block_at_the_limit_is_not_silent() -> None:
    assert stats_of(np.ones(40), silence_dbfs=0).silence_share == 0


def tone(of_bin: int, n_samples: int = BLOCK, level_db: float = 0) -> np.ndarray:
    """A sine in the middle of a bin of the spectrum, whose neighbours it fills, too: one a side within 60 dB."""
    return 0.5 * 10 ** (level_db / 20) * np.sin(2 * np.pi * of_bin * np.arange(n_samples) / BLOCK)


@pytest.mark.parametrize("n_samples", [BLOCK, 2 * BLOCK - 1, 40 * BLOCK])
@pytest.mark.parametrize(("level_db", "top_bin"), [(-59, 600), (-61, 101)])
def test_bandwidth_goes_up_to_60_db_under_the_strongest_frequency(n_samples: int, level_db: int, top_bin: int) -> None:
    wave = tone(100, n_samples) + tone(600, n_samples, level_db)
    stats = stats_of(wave, rate_hz=4_096)
    assert stats.bandwidth_hz == 2 * top_bin


@pytest.mark.parametrize("block", [0, 16, 39])
def test_bandwidth_is_that_of_all_blocks(block: int) -> None:
    wave = np.zeros(40 * BLOCK)
    wave[block * BLOCK : (block + 1) * BLOCK] = tone(300)
    assert stats_of(wave, rate_hz=BLOCK).bandwidth_hz == 301


def test_bandwidth_of_less_than_a_block_is_that_of_its_repetition() -> None:
    assert stats_of(tone(512, 4), rate_hz=BLOCK).bandwidth_hz == 513  # whole periods of four samples


def test_bandwidth_does_not_depend_on_the_level() -> None:
    assert stats_of(tone(300, level_db=-120), rate_hz=BLOCK).bandwidth_hz == 301


@pytest.mark.parametrize("offset", [0, 0.9])  # whose window reaches into the second bin
def test_half_of_the_energy_lies_under_the_middle_tone_whatever_the_offset(offset: float) -> None:
    wave = 0.1 * (tone(100) + tone(300) + tone(601)) + offset
    assert abs(stats_of(wave, rate_hz=2 * BLOCK).half_energy_hz / 2 - 300) <= 1
    louder = 0.1 * (tone(100) + tone(300) + tone(601, level_db=6)) + offset
    assert abs(stats_of(louder, rate_hz=2 * BLOCK).half_energy_hz / 2 - 601) <= 1


def test_silence_has_no_bandwidth_and_the_lowest_level_without_a_warning_of_numpy() -> None:
    with np.errstate(all="raise"):
        stats = stats_of(np.zeros(3_000))
    assert (stats.bandwidth_hz, stats.rms_dbfs) == (0, -200)


LIMITS = AudioLimits(min_seconds=0.5, max_seconds=9, silence_dbfs=-60, max_clipped_share=0.25, max_quarantined=0)
AT_ALL_LIMITS = replace(stats_of(np.ones(8)), duration_s=0.5, rms_dbfs=-60.0, clipped_share=0.25)


@pytest.mark.fault("A16", "A18", "A19")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"duration_s": 0.499}, "Q_TOO_SHORT"),
        ({"rms_dbfs": -60.01}, "Q_SILENT"),
        ({"clipped_share": 0.251}, "Q_CLIPPED"),
    ],
)
def test_a_clip_at_all_limits_is_used_and_one_past_any_is_not(change: dict[str, float], reason: str) -> None:
    check_content(AT_ALL_LIMITS, LIMITS)
    with pytest.raises(InputFault) as caught:
        check_content(replace(AT_ALL_LIMITS, **change), LIMITS)
    assert caught.value.reason == reason
