"""check_params: params.yaml -> a constant file, or an error before any output is touched."""

from pathlib import Path

from evensong.run.stage import run_stage  # first: it sets the thread counts

from evensong.errors import ParamsError
from evensong.learn.models import check_model_name
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.schemas import Params

OUTPUT = Path("artifacts/params.ok")


def main() -> None:
    params = load_section("", Params)
    for name, track in (("night.train", params.night.train), ("voice.train", params.voice.train)):
        check_model_name(track.model)
        if track.pretrained and not Path(track.pretrained.file).is_file():
            raise ParamsError(f"{name}.pretrained.file: there is no {track.pretrained.file}")
    with publishing("check_params", [OUTPUT]) as staged:
        staged[OUTPUT].write_text("params.yaml follows the schemas\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
