# Build .venv from requirements.lock: every package pinned and checked against its hash.
set -eu

NEEDED_KB=9000000 # torch brings its accelerator libraries on Linux
fail() { echo "ERROR: $1" >&2; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "there is no $python; install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version 2>&1) is too old; evensong needs Python 3.11 or newer: make PYTHON=python3.11 ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python has no venv; install it first (on Debian: apt-get install python3-venv)"
command -v git >/dev/null || fail "there is no git, which DVC needs; install it first (on Debian: apt-get install git)"

# scripts in .venv hold its absolute path, so a moved checkout needs a new one
if [ -e .venv/.ready ] && [ "$(cat .venv/.ready)" != "$(pwd)" ]; then
    rm -rf .venv
fi

if [ ! -d .venv ]; then
    free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
    [ "$free_kb" -ge "$NEEDED_KB" ] ||
        fail "the environment needs about $((NEEDED_KB / 1000000)) GB on this disk and $((free_kb / 1000)) MB are free"
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail ".venv holds $(.venv/bin/python --version); delete .venv and run make again"
if [ ! -x .venv/bin/uv ]; then
    .venv/bin/python -m pip --version >/dev/null 2>&1 || fail ".venv has no pip; delete .venv and run make again"
    # uv's own entry in the lock, hashes included
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >.venv/uv.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
fi
.venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python requirements.lock

# the library is run from src/, never installed, so the command is a script of its own
cat >.venv/bin/evensong <<END
#!$(pwd)/.venv/bin/python
import sys

sys.path.insert(0, "$(pwd)/src")
from evensong.cli import main

main()
END
chmod +x .venv/bin/evensong

# DVC's default site cache is a folder that every user of the machine may write to
mkdir -p -m 700 .dvc/tmp/site-cache
.venv/bin/dvc config --local core.site_cache_dir "$(pwd)/.dvc/tmp/site-cache"
pwd >.venv/.ready
