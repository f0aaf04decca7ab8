"""Write the frame of `dvc plots show` with its drawing scripts inside, so that the page opens without a network.

    .venv-docs/bin/python tools/offline_plots.py

`make plots` does so and tells DVC. By itself DVC lets the page fetch Vega, Vega-Lite and vega-embed whenever it is
opened. The package vl-convert-python carries the three, each BSD-3-Clause; nothing of them is kept in the repository.
"""

from pathlib import Path

import vl_convert

OUT = Path(__file__).parents[1] / ".dvc/tmp/plots_page.html"
# DVC's own templates speak this version
VEGA_LITE = "5.21"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>evensong: plots</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
body > div { margin-bottom: 2.5rem; overflow-x: auto; }
img { max-width: 100%; height: auto; }
</style>
<script>SCRIPTS</script>
</head>
<body>
<h1>Plots of this run</h1>
{plot_divs}
</body>
</html>
"""


def main() -> None:
    """Write the frame; DVC replaces what stands in braces."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(PAGE.replace("SCRIPTS", vl_convert.javascript_bundle(vl_version=VEGA_LITE)), encoding="utf-8")


if __name__ == "__main__":
    main()
