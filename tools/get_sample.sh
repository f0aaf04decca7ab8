# Get the sample data out of the store inside the repository. Data that is already there is never touched.
set -eu

marker=.dvc/tmp/pulling-sample # left behind only when a pull was cut short
if [ -e data ] && [ ! -e "$marker" ]; then
    exit 0
fi
mkdir -p .dvc/tmp
touch "$marker"
dvc pull --quiet --force --remote sample data.dvc || {
    echo "ERROR: data/ is missing and data.dvc is not in the sample store; if the data is yours, get it with dvc pull" >&2
    rm -f "$marker"
    exit 1
}
rm -f "$marker"
