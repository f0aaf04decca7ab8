"""check_params: params.yaml -> a constant file, or an error before any output is touched."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.audio.mel import check_bands
from evensong.errors import ParamsError
from evensong.learn.model_names import is_registered
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.schemas import Params

OUTPUT = Path("artifacts/params.ok")


def check_network(device: str, model: str) -> None:
    if device == "cpu" and is_registered(model):
        return
    from evensong.learn.device import check_device  # torch and timm take three seconds to load
    from evensong.learn.models import check_model_name

    check_device(device)
    check_model_name(model)


def main() -> None:
    params = load_section("", Params)
    check_bands(params)
    for name, track in (("night.train", params.night.train), ("voice.train", params.voice.train)):
        check_network(params.train.device, track.model)
        if track.pretrained and not Path(track.pretrained.file).is_file():
            raise ParamsError(f"{name}.pretrained.file: there is no {track.pretrained.file}")
    for track, embed in (("night", params.night.embed), ("voice", params.voice.embed)):
        for name, model in embed.models.items():
            if not Path(model.file).is_file():
                raise ParamsError(f"{track}.embed.models.{name}.file: there is no {model.file}")
    with publishing("check_params", [OUTPUT]) as staged:
        staged[OUTPUT].write_text("params.yaml follows the schemas\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
