"""Pool files -> one array of embeddings a class, in the order of the mel rows."""

import functools
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.learn.embedding import open_graph, refuse_lower_rates
from evensong.learn.vectors import write_facts
from evensong.night.pool_files import PoolFile, pool_files
from evensong.run.parallel import map_tasks
from evensong.schemas import Embedding

_CURE = "raise night.augment.sample_rate_hz to it"


def write_embeddings(
    pool: pd.DataFrame,
    *,
    pool_sha256: str,
    pool_folder: Path,
    folder: Path,
    where: str,
    settings: Embedding,
    workers: int,
) -> None:
    """Embed the originals of the pool, and with ``copies`` their copies.

    Args:
        pool: from `read_pool`.
        pool_sha256: digest of the table itself.
        folder: folder to create: {class_slug}.npy (n_files, dim) float32, by ascending mel_row, and settings.json.
        where: the model's place in params.yaml.
        workers: processes; no byte depends on it.

    Raises:
        DataError: the pool has a lower rate than the model; see also `open_graph` and `Graph.vector`.
        IntegrityError: a file is not the one that was meant.
    """
    pool = pool.assign(file=pool_files(pool, pool_folder))
    chosen = pool if settings.copies else pool[pool["is_augmented"] == 0]
    chosen = chosen.sort_values(["class_slug", "mel_row"])
    refuse_lower_rates(where, settings, chosen["sample_rate_hz"].to_numpy(np.int64), _CURE)
    opset = open_graph(where, settings).opset
    embed = functools.partial(_vector, where, settings)
    vectors = map_tasks(embed, chosen["file"].tolist(), workers=workers, label="night_embed")
    folder.mkdir(parents=True)
    for class_slug, n_files in chosen.groupby("class_slug", sort=True).size().items():
        np.save(folder / f"{class_slug}.npy", np.stack(list(islice(vectors, int(n_files)))))
    (rate_hz,) = chosen["sample_rate_hz"].unique()  # the pool has one
    write_facts(folder, settings, {"made_of": pool_sha256, "opset": opset, "pool_sample_rate_hz": int(rate_hz)})


def _vector(where: str, settings: Embedding, file: PoolFile) -> NDArray[np.float32]:
    return open_graph(where, settings).vector(file.wave(), file.sample_rate_hz)
