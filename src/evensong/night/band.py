"""Which originals have most of their energy where the pool's sample rate or the mel range leaves nothing of it."""

import pandas as pd

from evensong.intake.names import some_of


def lost_energy(pool: pd.DataFrame, cures: str, above_hz: float, up_to_hz: float = float("inf")) -> str | None:
    """One line on the originals with over half of their energy above a limit; None where there are none.

    Args:
        pool: one row a pool file: is_augmented, original_file, half_energy_hz (of the recording, at its own rate).
        cures: the parameters that raise the limit.
        above_hz: the limit.
        up_to_hz: energy above this was lost before, and told then.
    """
    originals = pool[pool["is_augmented"] == 0]
    is_lost = originals["half_energy_hz"].between(above_hz, up_to_hz, inclusive="right")
    if not is_lost.any():
        return None
    names = some_of(sorted(originals.loc[is_lost, "original_file"]))
    return (
        f"NOTE: {is_lost.sum()} of {len(originals)} clips have over half of their energy above {above_hz:g} Hz, where "
        f"nothing of it is left ({names}; half_energy_hz in artifacts/night/pool.csv); raise {cures}"
    )
