#!/usr/bin/env bash
# onedl-mmengine 0.10.12: init_weights() skips the modules inside a torch.nn.ModuleList.
#
# A good engineer expects that `model.init_weights()` reaches every module with an `init_cfg`, as
# `model.apply()` and `model.parameters()` reach every module. MMEngine calls only direct children
# that have a method `init_weights`. PyTorch's containers ModuleList, ModuleDict and Sequential have
# none, so that pretrained weights and initializations of the modules in them are silently left
# out. MMEngine's own containers of the same names have the method.
#
# Output seen on 2026-11-30 (Python 3.11, torch 2.13.0, Linux x86_64), a convolution with
# `init_cfg=dict(type="Constant", val=3.0)` in four places:
#   direct child: 3.0
#   in mmengine.model.ModuleList: 3.0
#   in torch.nn.ModuleList: not initialized
#   in torch.nn.Sequential: not initialized
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6 addict matplotlib \
  opencv-python-headless pyyaml rich termcolor yapf
env/bin/pip install -q --disable-pip-version-check --no-deps onedl-mmengine==0.10.12
cat > init.py <<'PY'
import torch
from mmengine.model import BaseModule, ModuleList


class Layer(BaseModule):
    def __init__(self):
        super().__init__(init_cfg=dict(type="Constant", layer="Conv2d", val=3.0))
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)


class Model(BaseModule):
    def __init__(self, container):
        super().__init__()
        self.inner = Layer() if container is None else container([Layer()])


places = {
    "direct child": None,
    "in mmengine.model.ModuleList": ModuleList,
    "in torch.nn.ModuleList": torch.nn.ModuleList,
    "in torch.nn.Sequential": lambda layers: torch.nn.Sequential(*layers),
}
for name, container in places.items():
    model = Model(container)
    model.init_weights()
    (weight,) = model.parameters()
    print(f"{name}: {weight.item() if weight.item() == 3 else 'not initialized'}")
PY
env/bin/python init.py 2> log | grep -E '^(direct|in )' | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
direct child: 3.0
in mmengine.model.ModuleList: 3.0
in torch.nn.ModuleList: not initialized
in torch.nn.Sequential: not initialized
TXT
