#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
set -euo pipefail
config=$1 gpus=$2
if [ "${NNODES:-1}" = 1 ]; then
  meeting=(--standalone) # on a free port, so that several can run beside one another
else
  meeting=(--nnodes="$NNODES" --node_rank="$NODE_RANK" --master_addr="$MASTER_ADDR"
    --master_port="${PORT:-29500}")
fi
python -m torch.distributed.run "${meeting[@]}" --nproc_per_node="$gpus" \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
