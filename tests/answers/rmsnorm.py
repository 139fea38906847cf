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


def flat_steps(f, x, epsilon):
    steps = epsilon * torch.eye(x.numel(), dtype=x.dtype)
    return torch.stack([(f(x + s.view_as(x)) - f(x - s.view_as(x))) / (2 * epsilon) for s in steps]).view_as(
        x
    )


def one_sided(f, x, epsilon):
    gradient = torch.zeros_like(x)
    for place in torch.cartesian_prod(*map(torch.arange, x.shape)).view(-1, x.ndim).tolist():
        step = torch.zeros_like(x)
        step[tuple(place)] = epsilon
        gradient[tuple(place)] = (f(x + step) - f(x)) / epsilon
    return gradient


def moved_in_place(f, x, epsilon):
    gradient, flat = torch.zeros_like(x), x.view(-1)
    for i in range(x.numel()):
        flat[i] += epsilon
        up = f(x)
        flat[i] -= 2 * epsilon
        gradient.view(-1)[i] = (up - f(x)) / (2 * epsilon)
    return gradient


def input_gradient_by_autograd(grad, x, weight, eps):
    x = x.clone().requires_grad_()
    rms_norm(x, weight.shape, weight, eps).backward(grad)
    return x.grad


def by_the_jacobian(grad, x, weight, eps):
    d = x.shape[-1]
    r = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    jacobian = (torch.eye(d) - (x / r)[..., :, None] * (x / r)[..., None, :] / d) / r[..., None]
    return torch.einsum("...i,...ik->...k", grad * weight, jacobian)


def constant_root(grad, x, weight, eps):
    return grad * weight / (x.square().mean(-1, keepdim=True) + eps).sqrt()


RIGHT = {
    "rms_norm": [
        without_keepdim,
        lambda x, w, e: rms_norm(x, w.shape, w, e),
        lambda x, w, e: w.double() * scaled(x.double(), e),
    ],
    "numerical_gradient": [flat_steps],
    "rms_norm_input_gradient": [input_gradient_by_autograd, by_the_jacobian],
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
    "numerical_gradient": [
        (one_sided, "Central differences"),
        *(
            (lambda f, x, epsilon, own=own: flat_steps(f, x, own), "does not depend on `epsilon`")
            for own in (1e-3, 1e-4, 1e-5, 1e-6)
        ),
        (moved_in_place, "moved down by ε stays there"),
    ],
    "rms_norm_input_gradient": [
        (constant_root, "r for a constant"),
        (lambda g, x, w, e: w * input_gradient_by_autograd(g, x, torch.ones_like(w), e), "weight at the end"),
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
