#!/usr/bin/env bash
# Renews the lock files: versions and hashes for every platform, and no word of where they come from.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=("$1" pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11)

"${compile[@]}" pyproject.toml --group dev -o requirements/dev.lock
"${compile[@]}" pyproject.toml -c requirements/dev.lock -o requirements/run.lock
"${compile[@]}" --group catalogue -c requirements/dev.lock -o requirements/catalogue.lock
"${compile[@]}" --group cloud -c requirements/dev.lock -o requirements/cloud.lock
"${compile[@]}" --group bench -o requirements/bench.lock
"${compile[@]}" --group lambda -o requirements/lambda.lock
"${compile[@]}" --group powertools -o requirements/powertools.lock
