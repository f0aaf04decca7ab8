"""The scan under limits that fit the small clips, and what it found about one path."""

from evensong.night.scan import scan_folder
from evensong.schemas import NightScan

LIMITS = {
    "group_pattern": None,
    "recursive": False,
    "background": ["background", "noise"],
    "near_duplicates": "note",
    "min_seconds": 0.25,
    "max_seconds": 60.0,
    "silence_dbfs": -80.0,
    "max_clipped_share": 0.5,
    "max_quarantined": 0.5,
}


def scan(root, *, workers=1, **changes):
    return scan_folder(root, NightScan.model_validate(LIMITS | changes), workers=workers)


def outcome_of(found, path):
    rows = found.quarantine[found.quarantine["path"] == path]
    assert len(rows) == 1, found.quarantine
    return rows["outcome"].item(), rows["reason"].item()


def used(found):
    return found.clips.loc[found.clips["status"] == "used", "path"].tolist()
