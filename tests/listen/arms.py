"""An arm on a tiny graph: what the two stages write of a pool of noisy tones."""

from pathlib import Path
from typing import Any

import numpy as np
from tests.learn.graphs import octaves, settings_of
from tests.learn.synthetic import fold_table
from tests.listen.synthetic import CLASSES, RATE_HZ, Trained, write_pool

from evensong.audio.wav import read_wav
from evensong.learn.embedding import open_graph
from evensong.learn.head_choice import Choice, mean_macro_f1, run_arm

CLIP_SECONDS = 0.5
NIGHT = {"clip_seconds": CLIP_SECONDS, "pool_sample_rate_hz": RATE_HZ, "background": []}


def write_arm(
    folder: Path, graph: Any = None, *, wanted: str = "logistic", night: Any = NIGHT, **changes: Any
) -> Trained:
    """The arm under folder/arms/tiny, with its model's file and its pool: 12 clips as long as a window, or shorter."""
    table = fold_table(n_groups=12, copies=0)
    model = settings_of(octaves() if graph is None else graph, folder / "tiny.onnx", **changes)
    pool = write_pool(folder, table, CLIP_SECONDS)
    graph = open_graph("tiny", model)
    vectors = np.stack([graph.vector(read_wav(path)[0], RATE_HZ) for path in pool.values()])
    out = folder / "arms" / "tiny"
    choice = Choice(wanted, "night.embed.head", mean_macro_f1)
    run_arm(table, vectors, CLASSES, "all", out, 1, choice, model.model_dump() | night)
    return Trained(out, pool)
