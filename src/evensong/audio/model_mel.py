"""The log-mel that a pretrained network takes, as TensorFlow's and Kaldi's: triangles that are straight in mel.

`evensong.audio.mel` is librosa's, whose triangles are straight in Hz and weighed by their width.
"""

import functools
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from evensong.audio.mel import decibels
from evensong.schemas import ModelMel

_NEPER_DB = 10 / np.log(10)  # decibels in ln(e)
_MEL, _CORNER_HZ = 1127.0, 700.0  # O'Shaughnessy's scale as HTK writes it: 1127 ln(1 + f / 700)

Floats = NDArray[np.float64]


def frames_of(settings: ModelMel, n_samples: int) -> int:
    """Frames of a window; pre-emphasis costs its first sample."""
    n = n_samples - (settings.preemphasis > 0)
    return 1 + (n if settings.centred else n - settings.win_length) // settings.hop_length


def model_mels(waves: NDArray[np.float32], sample_rate_hz: int, settings: ModelMel) -> NDArray[np.float32]:
    """(ln(mel + log_offset) - mean) / std of every window.

    Args:
        waves: (n_windows, n_samples), longer than win_length, in the unit that the network wants.

    Returns:
        (n_windows, n_frames, n_mels), or (n_windows, n_mels, n_frames), as settings.axes says.
    """
    sound = waves.astype(np.float64)
    if settings.preemphasis:
        sound = sound[:, 1:] - settings.preemphasis * sound[:, :-1]
    if settings.centred:
        edge = settings.win_length // 2
        sound = np.pad(sound, ((0, 0), (edge, settings.win_length - edge)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(sound, settings.win_length, axis=1)[:, :: settings.hop_length]
    frames = frames[:, : frames_of(settings, waves.shape[1])] * scipy.signal.get_window("hann", settings.win_length)
    spectrum = scipy.fft.rfft(frames, settings.n_fft, axis=2)
    power = spectrum.real**2 + spectrum.imag**2
    size = power if settings.spectrum == "power" else np.sqrt(power)
    mels = size @ triangles(settings, sample_rate_hz).T
    logs = (decibels(mels + settings.log_offset) / _NEPER_DB - settings.mean) / settings.std
    ordered: NDArray[np.float32] = np.asarray(
        logs if settings.axes == "frames_mels" else logs.swapaxes(1, 2), np.float32
    )
    return ordered


@functools.lru_cache(maxsize=8)
def triangles(settings: ModelMel, sample_rate_hz: int) -> Floats:
    """(n_mels, 1 + n_fft // 2): each band rises from its lower neighbour's middle to 1, and falls to its upper's."""
    low, high = _mel(np.array([settings.fmin_hz, settings.fmax_hz]))
    edges = np.linspace(low, high, settings.n_mels + 2)[:, None]
    bins = _mel(np.arange(1 + settings.n_fft // 2) * (sample_rate_hz / settings.n_fft))
    rising, falling = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights: Floats = np.maximum(0, np.minimum(rising, falling))
    return weights


def _mel(hertz: NDArray[np.floating[Any]]) -> Floats:
    mels: Floats = _MEL * np.log1p(hertz / _CORNER_HZ)
    return mels
