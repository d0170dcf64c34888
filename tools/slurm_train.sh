#!/usr/bin/env bash
set -euo pipefail
usage="usage: tools/slurm_train.sh PARTITION JOB CONFIG GPUS [options of tools/train.py]"
partition=${1:?$usage} job=${2:?$usage} config=${3:?$usage} gpus=${4:?$usage}
read -ra more <<<"${SRUN_ARGS:-}" # options, separated by spaces
per_node=$((gpus < ${GPUS_PER_NODE:-8} ? gpus : ${GPUS_PER_NODE:-8}))
srun --partition="$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" \
  --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
  ${more[@]+"${more[@]}"} python -u "$(dirname "$0")/train.py" "$config" --launcher slurm "${@:5}"
