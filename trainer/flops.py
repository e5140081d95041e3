"""How many operations a token of training takes, and what share of a device's peak that is."""

from __future__ import annotations

from gristmill.trainer.model_settings import ModelSettings

FORMULA = (
    "F = 6 N + 12 sum over layers of (heads x head_width x min(length, window)) a token; MFU = tokens/s x F / (devices x peak)"
)
"""N: weights that a token is multiplied by, the head included and the embedding not."""

# dense bf16, from the vendors' data sheets; keyed by what torch.cuda.get_device_name says, since an H200 NVL is no H200
PEAKS = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA H200 NVL": 836e12,
    "NVIDIA B200": 2.25e15,
}


def matmul_weights(settings: ModelSettings, vocabulary: int) -> int:
    """Weights that each token is multiplied by: of experts only those a token goes to; the head also where it is tied."""
    inner, shared = settings.heads * settings.head_size, settings.key_heads * settings.head_size
    attention = settings.width * (2 * inner + 2 * shared)
    of = settings.experts
    if of is None:
        feed_forward = (3 if settings.gated else 2) * settings.width * settings.inner_width
    else:
        feed_forward = (of.per_token + of.shared) * (3 if settings.gated else 2) * settings.width * of.width
        feed_forward += settings.width * of.count
    block = attention + feed_forward
    # each further token ahead has a block, a join of two widths to one, and the head again
    ahead = settings.ahead * (block + 2 * settings.width**2 + settings.width * vocabulary)
    return settings.layers * block + settings.width * vocabulary + ahead


def flops_per_token(settings: ModelSettings, vocabulary: int, length: int, *, causal: bool = False) -> int:
    """Operations of a forward and backward pass, a token: a multiplication and an addition are two, backward is twice forward.

    Args:
        settings: the shape.
        vocabulary: rows of the head.
        length: of the input, in tokens.
        causal: whether the half of the scores that causality masks is left out. Published MFUs mostly count it.

    Source: Chowdhery et al. 2022, arXiv:2204.02311, app. B. Recomputation counts nothing; norms and activations are left out.
    """
    windows = [*settings.windows, *[settings.windows[-1]] * settings.ahead]
    seen = sum(min(length, window or length) for window in windows)
    attention = 12 * settings.heads * settings.head_size * seen
    return 6 * matmul_weights(settings, vocabulary) + (attention // 2 if causal else attention)


def peak(device_name: str) -> float | None:
    """Dense bf16 operations a second of a device of exactly this name; None when it is not known."""
    return PEAKS.get(device_name)


def utilisation(tokens_per_second: float, flops: int, peak_flops: float, devices: int = 1) -> float:
    """Model FLOPs utilisation, a share of the peak."""
    return tokens_per_second * flops / (devices * peak_flops)
