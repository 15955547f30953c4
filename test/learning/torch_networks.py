"""Flat parameters as plain torch modules, to hold the update rules against."""

from __future__ import annotations

import torch
from torch import nn


def network(mlp, flat: torch.Tensor) -> nn.Sequential:
    """Return one network of a flat parameter vector as torch modules."""
    parts = [part[0] for part in mlp.split(flat[None])]
    modules = []
    for weight, bias in zip(parts[::2], parts[1::2]):
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = weight.T.clone(), bias[0].clone()
        modules.append(linear)
        if weight is not parts[-2]:
            modules += [nn.LayerNorm(weight.shape[1], elementwise_affine=False)
                        ] if mlp.layer_norm else []
            modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def flatten(module: nn.Module) -> torch.Tensor:
    """Return the parameters of such a network as one flat vector again."""
    return torch.cat([(part.data.T if part.dim() == 2 else part.data).flatten()
                      for part in module.parameters()])
