"""Progress that survives a kill: a folder outside all outputs, keyed by everything that decides the result.

A file is safetensors with its facts as JSON, then a digest of both, and is put in place in one atomic step. Nothing
here can reach a result: a state is either the one an uninterrupted run would have had, or it is not used.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from evensong.learn.models import import_timm

SAVE_EVERY_S = 30.0  # of training between two saved epochs of a fold
_STATE_DIR = "EVENSONG_STATE_DIR"
_STALE_AFTER_S = 30 * 24 * 3600
_DIGEST_BYTES = 32
_PACKAGE = Path(__file__).parents[1]
_CODE = (*sorted(_PACKAGE.glob("learn/*.py")), _PACKAGE / "keys.py", _PACKAGE / "score/scores.py")

Tensors = dict[str, Tensor]
Facts = dict[str, Any]


class JobState:
    """The state folder of one training job, ``<root>/<key>``.

    The root is ``.state`` in the working folder, or what EVENSONG_STATE_DIR says.

    Args:
        key: from `job_key`.
    """

    def __init__(self, key: str) -> None:
        self.root = Path(os.environ.get(_STATE_DIR) or ".state")
        self.folder = self.root / key

    def fold(self, fold: int) -> "FoldState":
        """The state of one fold."""
        return FoldState(self.folder / f"fold_{fold:02d}")

    def prune(self) -> None:
        """Forget this job, once its outputs are in place, and jobs that nobody continued for a month."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in sorted(self.root.glob("*/")):
            with contextlib.suppress(FileNotFoundError):  # another job has just forgotten itself
                if time.time() - folder.stat().st_mtime > _STALE_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)


class FoldState:
    """The last saved epoch of a fold, and its result once it is finished.

    Args:
        folder: ``<root>/<key>/fold_NN``; its last two names are the owner that is written into every file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = "/".join(folder.parts[-2:])
        self._saved_at = 0.0

    def load_epoch(self) -> tuple[Tensors, Facts] | None:
        """The last saved epoch, or None; the time to the next save starts here."""
        self._saved_at = time.monotonic()
        return self._load("epoch")

    def is_due(self) -> bool:
        """Whether enough training would be lost now to be worth a file."""
        return time.monotonic() - self._saved_at >= SAVE_EVERY_S

    def save_epoch(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Replace the saved epoch.

        Raises:
            OSError: the disk is full; what was saved before is still there.
        """
        self._save("epoch", tensors, facts)
        self._saved_at = time.monotonic()

    def load_result(self) -> tuple[Tensors, Facts] | None:
        """The finished fold, or None."""
        return self._load("result")

    def save_result(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Keep the finished fold; its epochs are no longer needed."""
        self._save("result", tensors, facts)
        self._path("epoch").unlink(missing_ok=True)

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}.state"

    def _save(self, kind: str, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        os.utime(self._folder.parent)  # by which `prune` knows a job that goes on
        half = self._folder / f".{kind}.{os.getpid()}"
        raw = _pack(tensors, {"owner": self._owner, "facts": facts})
        try:
            with half.open("wb") as handle:
                handle.write(raw)
                handle.write(_digest(raw))
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(half, self._path(kind))
        finally:
            half.unlink(missing_ok=True)

    def _load(self, kind: str) -> tuple[Tensors, Facts] | None:
        try:
            raw = self._path(kind).read_bytes()
        except FileNotFoundError:
            return None
        raw, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        if _digest(raw) != digest:
            print("a saved state is damaged and is not used", file=sys.stderr)
            return None
        tensors, head = _unpack(raw)
        if head["owner"] != self._owner:
            print("a saved state belongs to another training and is not used", file=sys.stderr)
            return None
        return tensors, head["facts"]


def job_key(table: pd.DataFrame, array_digest: str, settings: Facts) -> str:
    """Digest everything that decides the weights: table, arrays, settings, code, libraries, instruction set."""
    digest = hashlib.sha256()
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    digest.update(array_digest.encode())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for path in _CODE:
        digest.update(path.read_bytes())
    libraries = f"{torch.__version__} {import_timm().__version__} {np.__version__}"
    digest.update(f"{libraries} {torch.backends.cpu.get_cpu_capability()}".encode())
    return digest.hexdigest()[:32]


def _pack(tensors: Mapping[str, Tensor], head: Facts) -> bytes:
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return save_safetensors(plain, metadata={"head": json.dumps(head, sort_keys=True)})


def _unpack(raw: bytes) -> tuple[Tensors, Facts]:
    n_header = int.from_bytes(raw[:8], "little")  # safetensors: the header's length, the header, the tensors
    return load_safetensors(raw), json.loads(json.loads(raw[8 : 8 + n_header])["__metadata__"]["head"])


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=_DIGEST_BYTES).digest()
