#!/usr/bin/env bash
set -euo pipefail
usage="usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]"
config=${1:?$usage} gpus=${2:?$usage}
if [ "${NNODES:-1}" = 1 ]; then
  meeting=(--standalone) # uses a free port, so that several trainings can run at the same time
else
  meeting=(--nnodes="$NNODES" --node_rank="$NODE_RANK" --master_addr="$MASTER_ADDR"
    --master_port="${PORT:-29500}")
fi
python -m torch.distributed.run "${meeting[@]}" --nproc_per_node="$gpus" \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
