"""Progress that survives a kill: a folder outside all outputs, keyed by everything that decides the result.

Only safetensors and JSON are written, each file in one atomic step, so whatever is found is whole. Nothing here
can reach a result: a state is either the one an uninterrupted run would have had, or it is not found.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from evensong.learn.timm_import import import_timm

_STATE_DIR = "EVENSONG_STATE_DIR"
_STALE_AFTER_S = 30 * 24 * 3600

Tensors = dict[str, Tensor]
Facts = dict[str, Any]


class JobState:
    """The state folder of one training job, ``<root>/<key>``.

    The root is ``.state`` in the working folder, or what EVENSONG_STATE_DIR says.

    Args:
        key: from `job_key`.
        save_every_s: seconds of training between two saved epochs of a fold.
    """

    def __init__(self, key: str, save_every_s: float) -> None:
        self.root = Path(os.environ.get(_STATE_DIR) or ".state")
        self.folder = self.root / key
        self.save_every_s = save_every_s

    def fold(self, fold: int) -> "FoldState":
        """The state of one fold."""
        return FoldState(self.folder / f"fold_{fold:02d}", self.save_every_s)

    def prune(self) -> None:
        """Forget this job, once its outputs are in place, and jobs that nobody continued for a month."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in sorted(self.root.glob("*/")):
            if time.time() - folder.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


class FoldState:
    """The last saved epoch of a fold, and its result once it is finished."""

    def __init__(self, folder: Path, save_every_s: float) -> None:
        self._folder = folder
        self._save_every_s = save_every_s
        self._saved_at = 0.0

    def load_epoch(self) -> tuple[Tensors, Facts] | None:
        """The last saved epoch, or None; the time to the next save starts here."""
        self._saved_at = time.monotonic()
        return _load(self._folder / "epoch.safetensors")

    def is_due(self) -> bool:
        """Whether enough training would be lost now to be worth a file."""
        return time.monotonic() - self._saved_at >= self._save_every_s

    def save_epoch(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Replace the saved epoch."""
        _save(self._folder / "epoch.safetensors", tensors, facts)
        self._saved_at = time.monotonic()

    def load_result(self) -> tuple[Tensors, Facts] | None:
        """The finished fold, or None."""
        return _load(self._folder / "result.safetensors")

    def save_result(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Keep the finished fold; its epochs are no longer needed."""
        _save(self._folder / "result.safetensors", tensors, facts)
        (self._folder / "epoch.safetensors").unlink(missing_ok=True)


def job_key(table: pd.DataFrame, array_digest: str, settings: Facts) -> str:
    """Digest everything that decides the weights: table, arrays, settings, this package's code, torch and timm."""
    digest = hashlib.sha256()
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    digest.update(array_digest.encode())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(f"{torch.__version__} {import_timm().__version__}".encode())
    return digest.hexdigest()[:32]


def _save(path: Path, tensors: Mapping[str, Tensor], facts: Facts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    save_file(plain, half, metadata={"facts": json.dumps(facts, sort_keys=True)})
    with half.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(half, path)


def _load(path: Path) -> tuple[Tensors, Facts] | None:
    try:
        with safe_open(path, framework="pt") as stored:
            facts = json.loads(stored.metadata()["facts"])
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"a saved state is damaged and is not used ({type(error).__name__})", file=sys.stderr)
        return None
