"""Batch-normed perceptrons beside torch's own, and as the plain networks that robots run."""

from __future__ import annotations

from robot_rl.learning.batch_norm import BatchNormMlp, EPSILON, NEW
import torch
from torch import nn

SIZES, MEMBERS, B = (5, 16, 12, 3), 2, 40


def made(seed: int = 0) -> tuple[BatchNormMlp, torch.Tensor]:
    """Return a network whose norms are not those of a fresh one."""
    mlp, g = BatchNormMlp(SIZES), torch.Generator().manual_seed(seed)
    flat = mlp.init(MEMBERS, g)
    for part in mlp.split(flat)[:-1:2]:
        part[:, :3] += 0.3 * torch.randn(part[:, :3].shape, generator=g)
        part[:, 3] += torch.rand(part[:, 3].shape, generator=g)
    mlp.split(flat)[0][:, 1] = 0.0              # not used
    mlp.split(flat)[-1].add_(torch.randn(MEMBERS, 1, SIZES[-1], generator=g))
    return mlp, flat


def inputs(seed: int = 1) -> torch.Tensor:
    return 2.0 * torch.randn(B, SIZES[0], generator=torch.Generator().manual_seed(seed)) + 1.0


def torch_network(mlp: BatchNormMlp, flat: torch.Tensor, member: int) -> nn.Sequential:
    """Return one member as torch modules."""
    *parts, last = [part[member] for part in mlp.split(flat)]
    modules = []
    for index, (norm, weight) in enumerate(zip(parts[::2], parts[1::2])):
        batch_norm = nn.BatchNorm1d(norm.shape[1], eps=EPSILON, momentum=NEW)
        batch_norm.weight.data, batch_norm.bias.data = norm[0].clone(), norm[1].clone()
        batch_norm.running_mean, batch_norm.running_var = norm[2].clone(), norm[3].clone()
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = weight.T.clone(), torch.zeros(weight.shape[1])
        modules += [batch_norm, *([nn.ReLU()] if index else []), linear]
    modules[-1].bias.data = last[0].clone()
    return nn.Sequential(*modules)


def test_it_gives_what_torch_gives_by_running_moments_and_by_the_batch():
    mlp, flat = made()
    known, (found, _) = mlp(flat, inputs()), mlp.of_batch(flat, inputs())
    for member in range(MEMBERS):
        network = torch_network(mlp, flat, member)
        assert torch.allclose(found[member], network.train()(inputs()), atol=1e-5)
        network = torch_network(mlp, flat, member)
        assert torch.allclose(known[member], network.eval()(inputs()), atol=1e-5)
    assert not torch.allclose(known, found, atol=0.1)


def test_the_gradient_is_torchs_and_moments_have_none():
    mlp, flat = made()
    parameters = flat.clone().requires_grad_()
    gradient, = torch.autograd.grad(mlp.of_batch(parameters, inputs())[0].square().sum(),
                                    parameters)
    network = torch_network(mlp, flat, 1).train()
    network(inputs()).square().sum().backward()
    *parts, last = [part[1] for part in mlp.split(gradient)]
    for norm in parts[::2]:
        assert not norm[2:].any() and norm[0].any() and norm[1].any() == (norm is not parts[0])
    linears = [module for module in network if isinstance(module, nn.Linear)]
    for weight, linear in zip(parts[1::2], linears):
        assert torch.allclose(weight, linear.weight.grad.T, rtol=1e-3, atol=1e-3)
    assert torch.allclose(last[0], linears[-1].bias.grad, rtol=1e-3, atol=1e-3)


def test_moments_of_a_batch_are_taken_in_as_torch_does_with_the_variance_of_all():
    mlp, flat = made()
    _, moments = mlp.of_batch(flat, inputs())
    taken, before = mlp.split(mlp.take_in(flat, moments)), mlp.split(flat)
    network = torch_network(mlp, flat, 0).train()
    network[0](inputs())
    assert torch.allclose(taken[0][0, 2], network[0].running_mean, atol=1e-5)
    biased = before[0][0, 3] * (1 - NEW) + NEW * inputs().var(0, correction=0)
    assert torch.allclose(taken[0][0, 3], biased, atol=1e-5)
    for norm, was in zip(taken[:-1:2], before[:-1:2]):
        assert torch.equal(norm[:, :2], was[:, :2]) and not torch.equal(norm[:, 2:], was[:, 2:])
    assert all(map(torch.equal, taken[1::2] + taken[-1:], before[1::2] + before[-1:]))


def test_to_settle_makes_weights_of_unit_norm_and_changes_nothing_else():
    mlp, flat = made()
    settled, before = mlp.split(mlp.settle(3.0 * flat)), mlp.split(3.0 * flat)
    for weight, was in zip(settled[1::2], before[1::2]):
        assert torch.allclose(weight.norm(dim=1), torch.ones(()), atol=1e-6)
        assert torch.allclose(was, 3.0 * weight, atol=1e-5)
    assert all(map(torch.equal, settled[:-1:2] + settled[-1:], before[:-1:2] + before[-1:]))


def test_moments_of_many_batches_come_to_those_of_the_data():
    mlp = BatchNormMlp(SIZES)
    flat = mlp.init(1, torch.Generator().manual_seed(0))
    for seed in range(600):
        flat = mlp.take_in(flat, mlp.of_batch(flat, inputs(seed))[1])
    norm = mlp.split(flat)[0][0]
    assert torch.allclose(norm[2], torch.ones(5), atol=0.15)
    assert torch.allclose(norm[3], torch.full((5,), 4.0), rtol=0.15)


def test_its_layers_are_a_plain_network_of_the_same_function():
    mlp, flat = made()
    for member in range(MEMBERS):
        hidden = inputs()
        layers = mlp.layers(flat[member:member + 1])
        for index, (weight, bias) in enumerate(layers):
            hidden = hidden @ weight + bias
            hidden = hidden.relu() if index + 1 < len(layers) else hidden
        assert torch.allclose(hidden, mlp(flat, inputs())[member], atol=1e-5)


def test_a_fresh_network_changes_no_scale_and_members_differ():
    mlp = BatchNormMlp(SIZES)
    flat = mlp.init(MEMBERS, torch.Generator().manual_seed(3))
    assert torch.equal(mlp.split(flat)[0][:, 0], torch.ones(MEMBERS, SIZES[0]))
    assert not torch.equal(flat[0], flat[1])
    assert torch.equal(flat, mlp.init(MEMBERS, torch.Generator().manual_seed(3)))
