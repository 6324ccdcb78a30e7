"""The optimiser Muon in float32: `torch.optim.Muon` (2.13) computes in bfloat16 alone.

A CPU without instructions for that takes twenty times as long for a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """
    Steps along each matrix's momentum, made nearly orthogonal (Jordan et al. 2024).

    A step is scaled to the size of one of Adam's, so that rates are alike (Liu et al. 2025,
    https://arxiv.org/abs/2502.16982). For the matrices within a network; its embeddings, biases and
    heads are for another optimiser.
    """

    def __init__(
        self, matrices: Iterable[torch.Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, _: Any = None) -> None:  # type: ignore[override]
        """Change each matrix by one step along its gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - group["momentum"])
                direction = orthogonal(matrix.grad.lerp(average, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-0.2 * group["lr"] * math.sqrt(max(matrix.shape)))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return float (n, m) with the singular values of *matrix* moved near one (0.7 to 1.2)."""
    a, b, c = _COEFFICIENTS
    is_wide = matrix.shape[0] <= matrix.shape[1]
    rows: torch.Tensor = matrix if is_wide else matrix.T
    rows = rows / (rows.norm() + 1e-7)
    for _ in range(5):  # of Newton and Schulz
        squares = rows @ rows.T
        rows = a * rows + (b * squares + c * squares @ squares) @ rows
    return rows if is_wide else rows.T
