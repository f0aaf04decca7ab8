"""voice_control SEED: the training patients at natural prevalence + packed images -> one member of the control arm."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys

from evensong.errors import ParamsError
from evensong.params import load_section
from evensong.schemas import TrackTrain, Train, VoiceMels
from evensong.voice.tables import CONTROL
from evensong.voice.train import train_member


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        raise ParamsError("usage: python src/voice_control.py SEED, a whole number")
    seed = int(sys.argv[1])
    train_member(
        f"{CONTROL}{seed}",
        combined=CONTROL,
        purpose=(CONTROL, seed),
        train=load_section("train", Train),
        track=load_section("voice.train", TrackTrain),
        mels=load_section("voice.mels", VoiceMels),
    )


if __name__ == "__main__":
    run_stage(main)
