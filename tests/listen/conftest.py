"""A tiny trained model with the pool files it was trained on."""

import numpy as np
import pytest
from tests.learn.synthetic import NO_AUGMENT, fold_table, track_settings, train_settings
from tests.listen.synthetic import CLASSES, MELS, RATE_HZ, Trained, write_pool

from evensong.audio.mel import frames_of, log_mel
from evensong.audio.wav import read_wav
from evensong.learn.cv import Training, run_folds


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained once a session; 12 clips, each longer than the model's window or shorter."""
    folder = tmp_path_factory.mktemp("trained")
    table = fold_table(n_groups=12, copies=0)
    pool = write_pool(folder, table, 0.6)
    waves = [read_wav(path)[0] for path in pool.values()]
    np.save(folder / "mels.npy", np.stack([log_mel(wave, RATE_HZ, MELS) for wave in waves]))
    made_with = MELS.model_dump() | {"sample_rate_hz": RATE_HZ, "n_frames": frames_of(MELS, RATE_HZ)}
    train = train_settings(epochs=4, learning_rate=0.03, spec_augment=NO_AUGMENT, mixup_alpha=0, test_shifts=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("EVENSONG_STATE_DIR", raising=False)
        training = Training(table, [folder / "mels.npy"], CLASSES, track_settings(), train, made_with)
        run_folds(training, folder / "train", 1)
    return Trained(folder / "train", pool)
