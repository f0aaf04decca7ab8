# Get the sample data out of the store inside the repository. Data that is already there is never touched.
set -eu

marker=.dvc/tmp/pulling-sample # left behind only when a pull was cut short: then a part of the sample may be in data/
if [ -e data ] && [ ! -e "$marker" ]; then
    exit 0
fi
if [ ! -e data.dvc ]; then
    echo "ERROR: there is no data/ here: copy your recordings with evensong import, or into data/ as docs/ says" >&2
    exit 1
fi
mkdir -p .dvc/tmp
touch "$marker"
# no --force: DVC completes a partial sample, and refuses where data/ holds anything it does not know
if ! dvc pull --quiet --remote sample data.dvc </dev/null; then
    echo "ERROR: the sample could not be put into data/ (DVC says why above). Is data/ yours? Then: rm $marker" >&2
    echo "Is data.dvc yours? Then get your data with: dvc pull" >&2
    [ -e data ] || rm -f "$marker"
    exit 1
fi
rm -f "$marker"
