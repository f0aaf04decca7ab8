"""The only caller of DVCLive: one run folder a fold, written from the finished history."""

import os
from collections.abc import Mapping
from pathlib import Path

from dvclive.live import Live
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from evensong.errors import ParamsError
from evensong.learn.fit import Epoch


def check_repository() -> None:
    """Refuse a git repository without a commit before the training instead of after it: DVCLive cannot start there.

    Raises:
        ParamsError: there is no commit yet.
    """
    try:
        repository = Git(search_parent_directories=True)
    except SCMError:
        return  # no repository at all is fine
    try:
        repository.get_rev()
    except SCMError as error:
        raise ParamsError("this git repository has no commit yet; git add -A && git commit, then run again") from error
    finally:
        repository.close()  # type: ignore[no-untyped-call]


Scores = Mapping[str, Mapping[str, float | int | None]]


def write_run(folder: Path, history: list[Epoch], selected_epoch: int, scores: Scores) -> None:
    """Write one fold as a DVCLive run: its curves in plots/metrics/*.tsv, one step an epoch, and metrics.json.

    The whole history is written at once, so that a continued training leaves the same bytes as an uninterrupted one.

    Args:
        scores: of the selected epoch by subset and name; metrics.json holds them beside the last epoch's values.
    """
    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # runs stay here, whatever token a user has set for other projects
    with Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False) as live:
        for row in history:
            live.step = row.epoch
            live.log_metric("learning_rate", row.learning_rate)
            live.log_metric("train_loss", row.train_loss)
            if row.val:
                live.log_metric("val_loss", row.val.loss)
                live.log_metric("val_macro_f1", row.val.macro_f1)
                live.log_metric("val_balanced_accuracy", row.val.balanced_accuracy)
            live.make_summary()
        live.summary |= {"selected_epoch": selected_epoch, **scores}
        live.make_summary()
