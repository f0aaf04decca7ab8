"""Combined CSV + image table -> the fold table that training reads."""

from pathlib import Path

import pandas as pd

from evensong.errors import IntegrityError

COMBINED_COLUMNS = [
    *("healthCode", "health_code", "record_id", "column_id"),
    *("image_rel_path", "label", "fold", "subset"),
]
SUBSETS = ("train", "val", "test")


def read_fold_table(combined_csv: Path, mels_csv: Path) -> pd.DataFrame:
    """Join a combined CSV with the rows of the packed image array.

    Returns:
        row (int64), item_id, group (the patient), label (int64, 0 or 1), is_original (always True), fold (int64),
        subset; one row an item and fold, in the order of the combined CSV.

    Raises:
        IntegrityError: the two files do not belong together, or `check_combined` refuses the first.
    """
    types = dict.fromkeys(COMBINED_COLUMNS, "str") | {"label": "int64", "fold": "int64"}
    combined = pd.read_csv(combined_csv, dtype=types, keep_default_na=False)
    check_combined(combined, str(combined_csv))
    images = pd.read_csv(mels_csv, dtype=str, keep_default_na=False)
    row_of = pd.Series(images["row"].astype("int64").to_numpy(), index=images["item_id"])
    item_ids = combined["healthCode"] + "_" + combined["record_id"] + "_" + combined["column_id"]
    rows = item_ids.map(row_of)
    if rows.isna().any() or not row_of.index.is_unique:
        raise IntegrityError(
            f"{combined_csv}: {int(rows.isna().sum())} rows have no image in {mels_csv}; run `dvc repro voice_tables`"
        )
    return pd.DataFrame(
        {
            "row": rows.astype("int64"),
            "item_id": item_ids,
            "group": combined["healthCode"],
            "label": combined["label"],
            "is_original": True,
            "fold": combined["fold"],
            "subset": combined["subset"],
        }
    )


def check_combined(combined: pd.DataFrame, where: str) -> None:
    """Check what every later number rests on.

    Raises:
        IntegrityError: other columns; a label or subset that is none; a patient with two labels, or in two subsets of
            one fold; an image twice in a fold. The message holds no id.
    """
    if list(combined.columns) != COMBINED_COLUMNS:
        raise IntegrityError(f"{where}: its columns are not {','.join(COMBINED_COLUMNS)}")
    in_fold = combined.groupby(["fold", "healthCode"])
    item = ["fold", "healthCode", "record_id", "column_id"]
    counts = {
        "rows with a label other than 0 and 1": int((~combined["label"].isin([0, 1])).sum()),
        "rows with an unknown subset": int((~combined["subset"].isin(SUBSETS)).sum()),
        "rows whose healthCode and health_code differ": int((combined["healthCode"] != combined["health_code"]).sum()),
        "patients with two labels": int((combined.groupby("healthCode")["label"].nunique() > 1).sum()),
        "patients in two subsets of one fold": int((in_fold["subset"].nunique() > 1).sum()),
        "images repeated in one fold": int(combined.duplicated(item).sum()),
    }
    wrong = [f"{count} {what}" for what, count in counts.items() if count]
    if wrong:
        raise IntegrityError(f"{where}: {'; '.join(wrong)}; nothing trained on it could be believed")
