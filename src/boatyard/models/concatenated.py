"""Several backbones that get the same view; their embeddings are concatenated."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from boatyard.images.views import Preprocessing


class ConcatenatedBackbones(nn.Module):
    """Images normalised for the first network, float [n, 3, s, s] → embeddings [n, sum of the widths].

    Args:
        networks: from images [n, 3, s, s] to embeddings [n, width].
        preprocessings: of each network; only mean and std are used.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, networks: Sequence[nn.Module], preprocessings: Sequence[Preprocessing]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        mean = torch.tensor([each.mean for each in preprocessings], dtype=torch.float64).view(-1, 3, 1, 1)
        std = torch.tensor([each.std for each in preprocessings], dtype=torch.float64).view(-1, 3, 1, 1)
        # From the first network's normalisation to each one's own. Part of the state: it may depend on the published
        # weights, which a model file does not name.
        self.register_buffer("scale", (std[0] / std).float())
        self.register_buffer("shift", ((mean[0] - mean) / std).float())

    def forward(self, images: Tensor) -> Tensor:
        parts = zip(self.networks, self.scale, self.shift, strict=True)
        return torch.cat([network(images * scale + shift) for network, scale, shift in parts], dim=1)
