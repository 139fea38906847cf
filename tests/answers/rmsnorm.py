import torch
from torch.nn.functional import normalize, rms_norm


def without_keepdim(x, weight, eps):
    return weight * x / torch.sqrt((x**2).mean(-1) + eps)[..., None]


def fixed_dimension(x, weight, eps):
    return weight * x / (x.square().mean(2, keepdim=True) + eps).sqrt()


def fixed_width(x, weight, eps):
    return weight * x / (x.square().sum(-1, keepdim=True) / 8 + eps).sqrt()


def by_autograd(grad, x, eps):
    weight = torch.ones(x.shape[-1], requires_grad=True)
    (grad * rms_norm(x, weight.shape, weight, eps)).sum().backward()
    return weight.grad


def scaled(x, eps):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def in_place(weight, bias):
    weight -= weight.mean(0)
    return weight, bias - bias.mean()


RIGHT = {
    "rms_norm": [
        without_keepdim,
        lambda x, w, e: rms_norm(x, w.shape, w, e),
        lambda x, w, e: w.double() * scaled(x.double(), e),
    ],
    "rms_norm_weight_gradient": [by_autograd, lambda g, x, e: torch.einsum("bsd,bsd->d", g, scaled(x, e))],
    "centre_outputs": [lambda w, b: [w - w.sum(0) / len(w), b - b.sum() / len(b)]],
}
WRONG = {
    "rms_norm": [
        (fixed_dimension, "dimension 2, which is the last only"),
        (fixed_width, "by 8"),
        (lambda x, w, e: w * normalize(x, dim=-1), "two mistakes.*length of the vector.*`eps` is missing"),
        (
            lambda x, w, e: scaled(x - x.mean(-1, keepdim=True), e),
            "two mistakes.*not multiplied by `weight`.*LayerNorm",
        ),
        (lambda x, w, e: w * x / x.std(-1, keepdim=True), "two mistakes.*`var` or `std`.*eps"),
    ],
    "rms_norm_weight_gradient": [
        (lambda g, x, e: (g * scaled(x, e)).mean((0, 1)), "mean over the vectors"),
        (lambda g, x, e: (g * scaled(x, 0)).sum(0), "two mistakes.*batch only.*`eps`"),
        (lambda g, x, e: g.sum((0, 1)) * scaled(x, e).sum((0, 1)), "apart"),
    ],
    "centre_outputs": [
        (in_place, "`weight` was changed"),
        (lambda w, b: (w - w.mean(1, keepdim=True), b), "two mistakes.*each row.*bias is returned"),
        (lambda w, b: (w.mean(0), b.mean()), "return the means"),
    ],
}
