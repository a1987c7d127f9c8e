"""A state small enough to commit: checkpoint.py WORK/NAME.state OUT.pt

Keeps the averaged weights in f16, the momentum of the hidden matrices in bf16 and the moments of the other parameters in
bf16 (`train_lm.py --from OUT.pt` reads it; load_state_dict widens them again).
"""

import os
import sys

import torch


def narrow(x, kind):
    if isinstance(x, dict):
        return {k: narrow(v, kind) for k, v in x.items()}
    if isinstance(x, torch.Tensor) and x.is_floating_point() and x.numel() > 1:
        return x.to(kind)
    return x


if __name__ == "__main__":
    s = torch.load(sys.argv[1], weights_only=False)
    opt = [dict(state=narrow(d["state"], torch.bfloat16), param_groups=d["param_groups"]) for d in s["opt"]]
    torch.save(dict(ema=narrow(s["ema"], torch.float16), opt=opt, count=s["count"]), sys.argv[2])
    print(s["count"], os.path.getsize(sys.argv[2]), "bytes")
