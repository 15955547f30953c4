"""Batch-normed perceptrons with weights of unit norm, as pure functions of one flat tensor.

Batch norm, Ioffe and Szegedy 2015, arXiv 1502.03167, before each ReLU and of the inputs; the
weights of each unit are scaled to norm 1 after each update, which keeps the effective learning
rate (Lyle et al. 2024, arXiv 2407.01800). Together with a categorical loss that is the network of
XQC, Palenicek et al. 2025, arXiv 2509.25174.

The running moments are in the flat tensor beside the parameters: they have no gradient, so Adam
leaves them, and a network is one tensor still. Called, a network uses them; `of_batch` uses those
of the batch instead, and `take_in` keeps these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-3          # added to variances
NEW = 0.01              # share of a batch in the running moments


@dataclass(frozen=True)
class BatchNormMlp:
    """Layer sizes from input to output; members E, batch B."""

    sizes: tuple[int, ...]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the flat tensor's parts: norms (4, units), weights, and the last bias.

        A norm comes before each weight: scale, shift, running mean, running variance. The shift
        of the inputs is not used, as the norm after them takes it out again.
        """
        pairs = zip(self.sizes, self.sizes[1:])
        return [*(shape for inputs, outputs in pairs for shape in ((4, inputs), (inputs, outputs))
                  ), (1, self.sizes[-1])]

    def init(self, members: int, generator: torch.Generator) -> Tensor:
        """Return (members, P) with random weights of unit norm and norms that change nothing."""
        parts = []
        for shape in self.shapes[:-1]:
            if len(parts) % 2:
                part = torch.randn((members, *shape), generator=generator)
            else:
                part = torch.tensor([1.0, 0.0, 0.0, 1.0])[:, None].expand(members, *shape)
            parts.append(part.flatten(1))
        return self.settle(torch.cat([*parts, torch.zeros(members, self.sizes[-1])], 1))

    def split(self, flat: Tensor) -> list[Tensor]:
        """View (members, P) as its parts."""
        sizes = [rows * columns for rows, columns in self.shapes]
        return [part.unflatten(1, shape)
                for part, shape in zip(flat.split(sizes, dim=1), self.shapes)]

    def settle(self, flat: Tensor) -> Tensor:
        """Return (members, P) with weights of unit norm."""
        parts = self.split(flat)
        parts[1:-1:2] = [part / part.norm(dim=1, keepdim=True) for part in parts[1:-1:2]]
        return _joined(parts)

    def take_in(self, flat: Tensor, moments: list[Tensor]) -> Tensor:
        """Return (members, P) whose running moments are nearer to those of a batch."""
        parts = self.split(flat)
        parts[:-1:2] = [torch.cat((part[:, :2], part[:, 2:].lerp(found, NEW)), 1)
                        for part, found in zip(parts[:-1:2], moments)]
        return _joined(parts)

    def layers(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return one network (1, P) as a plain one: weight (in, out) and bias (out,) per layer."""
        *parts, last = [part[0] for part in self.split(flat)]
        factors, shifts = zip(*(_affine(norm[None], norm[None, 2:], index > 0)
                                for index, norm in enumerate(parts[::2])))
        found = [[weight, torch.zeros(weight.shape[1])] for weight in parts[1::2]]
        weight = found[0][0]            # the norm of the inputs comes before the first product,
        found[0] = [factors[0][0].T * weight, (shifts[0][0] @ weight)[0]]
        for layer, factor, shift in zip(found, factors[1:], shifts[1:]):    # the others after one
            layer[0], layer[1] = layer[0] * factor[0], layer[1] * factor[0, 0] + shift[0, 0]
        found[-1][1] = found[-1][1] + last[0]
        return [tuple(layer) for layer in found]

    def __call__(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """Map inputs (batch, in) or (members, batch, in) to (members, batch, out)."""
        return self._pass(flat, inputs, None)

    def of_batch(self, flat: Tensor, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As called, normed by the batch itself; return its moments (members, 2, units) too."""
        moments: list[Tensor] = []
        return self._pass(flat, inputs, moments), moments

    def _pass(self, flat: Tensor, inputs: Tensor, moments: list[Tensor] | None) -> Tensor:
        hidden = inputs.expand(flat.shape[0], -1, -1) if inputs.dim() == 2 else inputs
        *parts, last = self.split(flat)
        for index, (norm, weight) in enumerate(zip(parts[::2], parts[1::2])):
            if moments is None:
                known = norm[:, 2:]
            else:
                variance, mean = torch.var_mean(hidden, 1, correction=0, keepdim=True)
                known = torch.cat((mean, variance), 1)
                moments.append(known.detach())
            factor, shift = _affine(norm, known, index > 0)
            hidden = hidden * factor + shift
            if index:
                hidden = functional.relu(hidden)
            hidden = torch.bmm(hidden, weight)
        return hidden + last


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], 1)


def _affine(norm: Tensor, moments: Tensor, shifted: bool) -> tuple[Tensor, Tensor]:
    """Return what a norm (E, 4, units) multiplies and adds, (E, 1, units) each."""
    mean, variance = moments[:, :1], moments[:, 1:]
    factor = norm[:, :1] * (variance + EPSILON).rsqrt()
    shift = -mean * factor
    return factor, shift + norm[:, 1:2] if shifted else shift
