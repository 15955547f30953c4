"""Multi-layer perceptrons as pure functions of one flat parameter vector.

A network is its shapes; its parameters are a flat float32 tensor. So an optimiser step, a target
update, a checkpoint and a comparison are each one line on one tensor. An ensemble of E networks
is a (E, P) tensor, evaluated with one batched matrix product per layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adam import adam


@dataclass(frozen=True)
class Mlp:
    """Layer sizes from input to output; ReLU between, optionally after a layer norm."""

    sizes: tuple[int, ...]
    layer_norm: bool = False

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of weight, bias, weight, bias, ... in the flat vector."""
        return [shape for inputs, outputs in zip(self.sizes, self.sizes[1:])
                for shape in ((inputs, outputs), (1, outputs))]

    def init(self, members: int, generator: torch.Generator) -> Tensor:
        """Return (members, P) parameters, uniform in +-1/sqrt(inputs) as torch.nn.Linear."""
        parts = []
        for inputs, outputs in zip(self.sizes, self.sizes[1:]):
            size = (members, (inputs + 1) * outputs)
            uniform = torch.rand(size, generator=generator) * 2.0 - 1.0
            parts.append(uniform / sqrt(inputs))
        return torch.cat(parts, dim=1)

    def split(self, flat: Tensor) -> list[Tensor]:
        """View (members, P) as weights (members, in, out) and biases (members, 1, out)."""
        sizes = [rows * columns for rows, columns in self.shapes]
        parts = flat.split(sizes, dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes)]

    def layers(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """View one network (1, P) as the weight (in, out) and bias (out,) of each layer."""
        parts = [part[0] for part in self.split(flat)]
        return [(weight, bias[0]) for weight, bias in zip(parts[::2], parts[1::2])]

    def __call__(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """Map inputs (batch, in) or (members, batch, in) to (members, batch, out)."""
        hidden = inputs.expand(flat.shape[0], -1, -1) if inputs.dim() == 2 else inputs
        parameters = self.split(flat)
        for layer in range(0, len(parameters), 2):
            if torch.compiler.is_compiling():   # which adds in the loop that follows
                hidden = torch.bmm(hidden, parameters[layer]) + parameters[layer + 1]
            else:
                hidden = torch.baddbmm(parameters[layer + 1], hidden, parameters[layer])
            if layer + 2 < len(parameters):
                if self.layer_norm:
                    hidden = functional.layer_norm(hidden, hidden.shape[-1:])
                hidden = functional.relu(hidden)
        return hidden


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) on one flat tensor, torch's kernel as a pure function."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def step(self, slot: Slot, gradient: Tensor, count: Tensor) -> Slot:
        """Return the slot after step number `count` (from 1); the one given stays as it is."""
        if torch.compiler.is_compiling():       # which has no way into the kernel
            return self._written_out(slot, gradient, count)
        after = Slot(slot.value.clone(), slot.mean.clone(), slot.square.clone())
        adam([after.value], [gradient], [after.mean], [after.square], [], [count - 1.0],
             fused=True, amsgrad=False, maximize=False, weight_decay=0.0, lr=self.learning_rate,
             beta1=self.beta1, beta2=self.beta2, eps=self.epsilon)
        return after

    def _written_out(self, slot: Slot, gradient: Tensor, count: Tensor) -> Slot:
        mean = slot.mean.lerp(gradient, 1.0 - self.beta1)
        square = self.beta2 * slot.square + (1.0 - self.beta2) * gradient * gradient
        first, second = (-torch.expm1(count * log(beta)) for beta in (self.beta1, self.beta2))
        scale = (square / second).sqrt() + self.epsilon
        return Slot(slot.value - self.learning_rate / first * mean / scale, mean, square)


@dataclass(frozen=True)
class Slot:
    """Optimised parameters with their Adam moments, all of one shape."""

    value: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, value: Tensor) -> Slot:
        """Return a slot with zero moments."""
        return cls(value, torch.zeros_like(value), torch.zeros_like(value))
