"""evensong results, report, seeds, learning-curve: what came out of a run, and how far it can be believed."""

from pathlib import Path

import click

from evensong.commands.frame import PATH, as_json, leaf, print_json
from evensong.errors import ParamsError
from evensong.report.headline import TRACKS


@leaf("results", "evensong results", "evensong results night", "evensong results --json")
@click.argument("track", required=False, type=click.Choice(TRACKS))
@as_json
def results(track: str | None, as_json: bool) -> None:
    """Show the scores of the last run, and where to look next."""
    from evensong.report.headline import headline, scores_of, tracks_here

    tracks = [track] if track else tracks_here(Path())
    if as_json:
        print_json(scores_of(Path(), tracks))
    else:
        print(headline(Path(), tracks))


@leaf("report", "evensong report night", "evensong report voice --out for_the_paper.html")
@click.argument("track", type=click.Choice(TRACKS))
@click.option("--out", type=PATH, metavar="FILE.html", help="Default: night_report.html or voice_report.html here.")
def report(track: str, out: Path | None) -> None:
    """Copy a run's page, and add versions, commit and hashes.

    The page itself is an output of the pipeline and names no machine. The copy says, in an appendix, what is installed,
    the commit, the hashes of dvc.lock, and shows learning_curve.png where that is here.
    """
    from evensong.report.appendix import page_of, write_with_appendix

    target = out or Path(f"{track}_report.html")
    if target.suffix.lower() != ".html":
        raise ParamsError(f"--out {target}: a page; the name must end in .html")
    notes = write_with_appendix(Path(), track, target)
    print(f"{page_of(track)}: the page of the run", f"{target}: the same, with {'; '.join(notes)}", sep="\n")


@leaf("seeds", "evensong seeds night --runs 5", "evensong seeds voice")
@click.argument("track", type=click.Choice(TRACKS))
@click.option("--runs", type=int, default=0, metavar="N", help="Run the seeds 1 to N that have not succeeded yet.")
def seeds(track: str, runs: int) -> None:
    """Run a track with other seeds: how far its scores move.

    Queue experiments that differ by their seeds alone, run them, and print the spread of the headline scores. Without
    --runs, print that of the runs that are there. Runs that failed or have other parameters are named, not counted.
    """
    from evensong.report.seeds import describe_seeds, run_seeds

    if runs > 0:
        run_seeds(Path(), track, range(1, runs + 1))
    print(describe_seeds(Path(), track))


@leaf("learning-curve", "evensong learning-curve night", "evensong learning-curve night --draws 5 --out curve.csv")
@click.argument("track", type=click.Choice(["night"]))
@click.option("--draws", type=int, default=20, metavar="N", show_default=True, help="Draws of the training clips.")
@click.option(
    "--out", type=PATH, default="learning_curve.csv", metavar="FILE.csv", show_default=True, help="And FILE.png."
)
def learning_curve(track: str, draws: int, out: Path) -> None:
    """Score the arms at 4, 8, 16 ... training clips a class.

    Fit the baseline and every embedding on 4, 8, 16, ... training clips a class, drawn source after source, and ask
    them about the test clips. The network is left out: it would be trained hundreds of times.
    """
    from evensong.report.learning_curve import describe_curve, learning_curve
    from evensong.run.machine import n_cores

    if draws < 1 or out.suffix != ".csv":
        raise ParamsError("--draws is 1 or more, and the name of --out ends in .csv")
    print(describe_curve(learning_curve(Path(), out, draws=draws, workers=n_cores())))


COMMANDS = (results, report, seeds, learning_curve)
