"""The orthogonalisation of Muon, shared by both trainings."""

import torch


@torch.no_grad()
def orthogonal(g, steps=5):
    """Newton-Schulz iteration: the nearest matrix with equal singular values (the direction of a Muon step)."""
    x = g.bfloat16()
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        y = x @ x.T
        x = 3.4445 * x + (-4.775 * y + 2.0315 * (y @ y)) @ x
    return (x.T if flip else x).float()
