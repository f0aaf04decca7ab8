"""Used recordings -> one array of embeddings, in the order of the mel images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.errors import DataError
from evensong.learn.embedding import open_graph, refuse_lower_rates
from evensong.learn.vectors import write_facts
from evensong.run.parallel import map_tasks
from evensong.schemas import Embedding
from evensong.voice.disclosure import unnamed_os_errors
from evensong.voice.mels import read_sound

_CURE = "record at that rate, bring a model of a lower one"


@dataclass(frozen=True)
class _Task:
    where: str
    settings: Embedding
    path: Path
    sha256: str


def write_embeddings(
    used: pd.DataFrame, *, scan_sha256: str, root: Path, folder: Path, where: str, settings: Embedding, workers: int
) -> None:
    """Embed every used recording.

    Args:
        used: the scan's used recordings, sorted by item_id; sample_rate_hz a number.
        scan_sha256: digest of the scan's table.
        root: the recordings folder.
        folder: folder to create: recordings.npy (n_used, dim) float32, and settings.json.
        where: the model's place in params.yaml.
        workers: processes; no byte depends on it.

    Raises:
        DataError: ready-made images are among the recordings, which have no sound, or one has a lower rate than the
            model; see also `open_graph` and `Graph.vector`.
        IntegrityError: a recording is not the one that was scanned.
    """
    if (used["kind"] == "image").any():
        raise DataError(
            f"{where}: the cohort holds ready-made mel images, which have no sound to embed; take the model out of "
            "voice.embed.models, or give the recordings themselves"
        )
    refuse_lower_rates(where, settings, used["sample_rate_hz"].to_numpy(np.int64), _CURE)
    opset = open_graph(where, settings).opset
    tasks = [_Task(where, settings, root / path, sha256) for path, sha256 in used[["path", "sha256"]].to_numpy()]
    folder.mkdir(parents=True)
    vectors = map_tasks(_vector, tasks, workers=workers, label="voice embeddings", unit="recording")
    np.save(folder / "recordings.npy", np.stack(list(vectors)))
    write_facts(folder, settings, {"made_of": scan_sha256, "opset": opset})


def _vector(task: _Task) -> NDArray[np.float32]:
    with unnamed_os_errors("a recording cannot be embedded"):
        return open_graph(task.where, task.settings).vector(*read_sound(task.path, task.sha256))
