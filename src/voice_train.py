"""voice_train K: the combined CSV of sub-database K + packed images -> models, predictions and curves of every fold."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys

from evensong.errors import ParamsError
from evensong.params import load_section
from evensong.schemas import TrackTrain, Train, VoiceMels
from evensong.voice.train import train_member


def main() -> None:
    if sys.argv[1:] not in [[str(subdb)] for subdb in range(1, 10)]:
        raise ParamsError("usage: python src/voice_train.py SUBDB, a number from 1 to 9")
    name = f"subdb{sys.argv[1]}"
    train_member(
        name,
        combined=name,
        purpose=(name,),
        train=load_section("train", Train),
        track=load_section("voice.train", TrackTrain),
        mels=load_section("voice.mels", VoiceMels),
    )


if __name__ == "__main__":
    run_stage(main)
