import numpy as np
import pytest
from tests.audio.sounds import birds, vowel

from evensong.audio.decode import resample
from evensong.audio.fingerprint import HOP, LANDMARK, RATE_HZ, fingerprint, propose
from evensong.audio.likeness import likeness

RATE = 16_000


def pairs(*waves):
    return propose([fingerprint(wave, RATE) for wave in waves], [str(n) for n in range(len(waves))])


@pytest.mark.slow
def test_nearly_every_copy_is_proposed_where_it_begins_whatever_its_level_shift_and_trim():
    rng, n_found = np.random.default_rng(0), 0
    for seed in range(20):
        wave, shift = birds(seed), int(rng.integers(0, RATE))
        kept = wave[: round((1 - rng.uniform(0, 0.3)) * wave.size)]
        copy = np.pad(kept, (shift, 0)) * np.float32(10 ** (rng.uniform(-30, 10) / 20))
        for found in pairs(wave, birds(seed + 2000), copy):
            assert (found.first, found.second) == (0, 2)
            assert found.lag * HOP == pytest.approx(-shift * RATE_HZ / RATE, abs=256)
            n_found += 1
    assert n_found >= 18  # a clip whose calls were cut away is no copy


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_at_another_rate_and_with_noise_is_proposed_and_alike(seed):
    wave = birds(seed)
    noise = np.random.default_rng(seed).standard_normal(wave.size).astype(np.float32)
    noisy = wave + 0.1 * noise * np.sqrt(np.square(wave).mean())
    copy = resample(noisy, RATE, 11_025)
    prints = [fingerprint(wave, RATE), fingerprint(copy, 11_025)]
    (found,) = propose(prints, ["a", "b"])
    alike = likeness(resample(wave, RATE, RATE_HZ), resample(copy, 11_025, RATE_HZ), found.lag * HOP)
    assert alike.correlation > 0.98
    assert alike.share > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("make", [birds, vowel, lambda seed: np.random.default_rng(seed).normal(0, 0.1, 64_000)])
def test_unrelated_recordings_are_not_proposed_or_not_alike(make):
    waves = [make(seed).astype(np.float32) for seed in range(12)]
    for one in pairs(*waves):
        first, second = (resample(waves[number], RATE, RATE_HZ) for number in (one.first, one.second))
        assert likeness(first, second, one.lag * HOP).correlation < 0.9


def test_pairs_of_one_owner_are_not_proposed():
    prints = [fingerprint(birds(1), RATE)] * 2
    assert len(propose(prints, ["a", "b"])) == 1
    assert propose(prints, ["a", "a"]) == []


@pytest.mark.parametrize(("low", "is_heard"), [(0.1, False), (0.5, True)])
def test_what_lies_above_the_landmarks_is_not_told_by_its_background(low, is_heard):
    rate = 48_000
    call = np.sin(2 * np.pi * 10_000 * np.arange(2 * rate) / rate)
    background = np.repeat(np.random.default_rng(3).standard_normal(2 * rate // 12), 12)  # under 4 kHz, nearly all
    assert bool(fingerprint((call + low * background).astype(np.float32), rate)) == is_heard


def test_silence_and_a_steady_tone_have_no_landmarks_to_share():
    silence, tone = np.zeros(RATE, np.float32), np.sin(np.arange(4 * RATE) * 0.4).astype(np.float32)
    assert fingerprint(silence, RATE) == b""
    assert propose([b"", b""], ["a", "b"]) == []
    assert pairs(tone, tone[RATE // 2 :]) == []
    assert fingerprint(birds(1)[:100], RATE) == fingerprint(birds(1)[:100], RATE)


def test_the_number_of_landmarks_has_a_limit():
    noise = np.random.default_rng(1).standard_normal(60 * RATE).astype(np.float32)
    assert len(fingerprint(noise, RATE)) <= 60 * 64 * LANDMARK.itemsize


def test_many_copies_of_one_sound_cost_no_square():
    prints = [fingerprint(birds(1), RATE)] * 200
    found = propose(prints, [str(n) for n in range(200)])
    assert len(found) <= 200 * 8
    assert {number for one in found for number in (one.first, one.second)} == set(range(200))


def test_likeness_of_a_wave_with_itself_moved_by_a_part_of_a_sample():
    wave = birds(3)
    early, late = resample(wave, RATE, RATE_HZ), resample(wave[4001:], RATE, RATE_HZ)
    found = likeness(early, late, 1900)
    assert found.correlation > 0.99
    assert found.lag_s == pytest.approx(4001 / RATE, abs=2e-4)
    assert found.share == pytest.approx(1, abs=1e-3)


def test_two_noisy_tones_of_one_pitch_are_as_alike_as_each_is_to_itself():
    rng, tone = np.random.default_rng(1), np.sin(np.arange(4 * RATE_HZ) * 0.3)
    one, other = ((tone + 0.2 * rng.standard_normal(tone.size)).astype(np.float32) for _ in range(2))
    found = likeness(one, other, 0)
    assert found.correlation > 0.9
    assert 1 - found.correlation > (1 - found.repetition) / 2


def test_waves_that_hardly_meet_have_nothing_in_common():
    wave = birds(3)
    assert likeness(wave, wave, wave.size - 100).correlation == 0
    assert likeness(np.zeros(8000, np.float32), wave, 0).correlation == 0
