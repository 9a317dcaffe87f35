#!/usr/bin/env bash
# What a user does, one command after the other, with the distillbench on PATH and whatever versions are beside it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

run() {
  echo "distillbench $*"
  distillbench "$@" > log 2>&1 || { cat log; exit 1; }
}

run run smoke --task classification --out results
run time results --backends eager,onnxruntime --precisions float32,int8-static,int8-dynamic --batch 1 --launches 1
run export results/records/classification/cnn_mlp/temperature/seed-0.json -o exported
run check classification mlp
run table results --format markdown
run table results --format latex
run report results -o page
run plot gap-recovered results -o gap.png
run leaderboard results -o board
