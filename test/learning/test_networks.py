from __future__ import annotations

import pytest
from robot_rl.learning.networks import Adam, Mlp, Slot
import torch
from torch import nn


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def module_of(mlp: Mlp, flat: torch.Tensor) -> nn.Sequential:
    """Return one member as ordinary torch layers."""
    parts = [part[0] for part in mlp.split(flat[None])]
    layers = []
    for weight, bias in zip(parts[::2], parts[1::2]):
        linear = nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias[0])
        norm = [nn.LayerNorm(weight.shape[1], elementwise_affine=False)] if mlp.layer_norm else []
        layers += [linear, *norm, nn.ReLU()]
    return nn.Sequential(*layers[:-2 if mlp.layer_norm else -1])


@pytest.mark.parametrize('layer_norm', [False, True])
def test_an_ensemble_is_so_many_separate_networks(layer_norm):
    mlp = Mlp((5, 16, 16, 3), layer_norm)
    flat = mlp.init(4, generator())
    inputs = torch.randn(7, 5, generator=generator(1))
    expected = torch.stack([module_of(mlp, member)(inputs) for member in flat])
    assert torch.allclose(mlp(flat, inputs), expected, atol=1e-6)


def test_members_may_have_inputs_of_their_own():
    mlp = Mlp((5, 8, 2))
    flat, inputs = mlp.init(3, generator()), torch.randn(3, 7, 5, generator=generator(1))
    expected = torch.stack([module_of(mlp, *pair[:1])(pair[1]) for pair in zip(flat, inputs)])
    assert torch.allclose(mlp(flat, inputs), expected, atol=1e-6)


def test_gradients_are_those_of_separate_networks():
    mlp = Mlp((5, 16, 2), layer_norm=True)
    flat = mlp.init(3, generator()).requires_grad_()
    inputs = torch.randn(7, 5, generator=generator(1))
    gradient, = torch.autograd.grad((mlp(flat, inputs) ** 2).sum(), flat)
    for member, found in zip(flat.detach(), gradient):
        module = module_of(mlp, member)
        (module(inputs) ** 2).sum().backward()
        expected = torch.cat([part.grad.t().flatten() for part in module.parameters()])
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_initial_parameters_have_the_bounds_of_linear_layers_and_differ_between_members():
    mlp = Mlp((100, 25, 3))
    flat = mlp.init(2, generator())
    for part, inputs in zip(mlp.split(flat), (100, 100, 25, 25)):
        assert part.abs().max() <= inputs ** -0.5
    assert mlp.split(flat)[0].abs().max() > 0.99 * 0.1
    assert not torch.equal(flat[0], flat[1])
    assert torch.equal(flat, mlp.init(2, generator()))


@pytest.mark.parametrize('scale', [1.0, 1e-3, 1e-7], ids=lambda scale: f'gradients of {scale:g}')
def test_adam_is_that_of_torch(scale):
    value = torch.randn(3, 50, generator=generator())
    gradients = scale * torch.randn(20, 3, 50, generator=generator(1))
    parameter = nn.Parameter(value.clone())
    reference = torch.optim.Adam([parameter], lr=1e-2)
    slot, adam = Slot.of(value), Adam(1e-2)
    for count, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient.clone()
        reference.step()
        slot = adam.step(slot, gradient, torch.tensor(float(count)))
        assert torch.allclose(slot.value, parameter.detach(), rtol=0.0, atol=1e-6)


def test_a_step_leaves_the_slot_it_started_from_unchanged():
    slot = Slot.of(torch.ones(1, 4))
    Adam(0.1).step(slot, torch.ones(1, 4), torch.tensor(1.0))
    assert torch.equal(slot.value, torch.ones(1, 4)) and not slot.mean.any()
