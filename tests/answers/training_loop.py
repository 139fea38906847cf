import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy


def adamw(weight, grad, m, v, step, lr, beta1, beta2, eps, decay, **changed):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad ** changed.get("power", 2)
    first, second = m / (1 - beta1**step), v / (1 - beta2**step)
    return weight * (1 - lr * decay) - lr * first / (second**0.5 + eps), m, v, first, second


def adamw_in_place(weight, grad, m, v, step, lr, beta1, beta2, eps, decay):
    m.lerp_(grad, 1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    change = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    return weight - lr * decay * weight - lr * change, m, v


def adamw_with_lerp(weight, grad, m, v, step, lr, beta1, beta2, eps, decay):
    m, v = torch.lerp(m, grad, 1 - beta1), torch.lerp(v, grad * grad, 1 - beta2)
    root = v.sqrt() / math.sqrt(1 - beta2**step) + eps
    return [weight.mul(1 - lr * decay).addcdiv(m, root, value=-lr / (1 - beta1**step)), m, v]


def cosine_by_a_table(step, n_steps, warmup_steps, final_share):
    rise = np.arange(1, warmup_steps + 1) / warmup_steps
    progress = np.linspace(0, 1, n_steps - warmup_steps + 1)[1:]
    return np.append(rise, 1 - (1 - final_share) * np.sin(np.pi * progress / 2) ** 2)[step]


def cosine(step, n, w, f, *, last=0, half=0.5, line=False, limit=None):
    if step < (w if limit is None else limit):
        return (step + 1) / w
    p = (step - w + 1) / (n - w - last)
    return f + (1 - f) * (1 - p if line else half * (1 + math.cos(math.pi * p)))


def accumulated_by_backward(weight, parts):
    weight.grad = None
    n = sum(int((labels != -100).sum()) for _, labels in parts)
    for hidden, labels in parts:
        (cross_entropy(hidden @ weight.T, labels, ignore_index=-100, reduction="sum") / n).backward()
    return weight.grad


def accumulated_by_means(weight, parts):
    n = sum(int((labels != -100).sum()) for _, labels in parts)
    total = 0
    for hidden, labels in parts:
        share = (labels != -100).sum() / n
        total = total + share * torch.autograd.grad(cross_entropy(hidden @ weight.T, labels), weight)[0]
    return total


def accumulated(weight, parts, reduction="sum", divide=None):
    n = sum(int((labels != -100).sum()) for _, labels in parts) if divide is None else divide
    return sum(cross_entropy(hidden @ weight.T, labels, reduction=reduction) for hidden, labels in parts) / n


def nothing_from_backward(weight, parts):
    loss = accumulated(weight, parts)
    return loss.backward()


def gradient(loss, weight):
    return torch.autograd.grad(loss, weight)[0]


RIGHT = {
    "adamw_step": [adamw_with_lerp, lambda *inputs: adamw(*inputs)[:3]],
    "cosine_factor": [cosine_by_a_table, lambda *inputs: np.array(cosine(*inputs))],
    "accumulated_gradient": [accumulated_by_backward, accumulated_by_means],
}
WRONG = {
    "adamw_step": [
        (adamw_in_place, "`m` was changed in place"),
        (lambda *i: (adamw(*i)[0], *adamw(*i)[3:]), "return the corrected"),
        (lambda *i: adamw(*i, power=1)[:3], "square is missing"),
        (lambda *i: adamw(*i[:6], 1 - i[6], 1 - i[7], *i[8:])[:3], "exchange β and 1 − β, everywhere"),
        (lambda *i: (adamw(*i[:4], i[4] + 1, *i[5:])[0], *adamw(*i)[1:3]), "one step too many"),
        (lambda *i: adamw(*i[:8], 0.0, i[9])[:3], "`eps` is forgotten"),
        (lambda *i: adamw(*i)[0], "weight alone"),
        (lambda *i: adamw(*i[:8], 0.0, 0.0)[:3], "two mistakes"),
    ],
    "cosine_factor": [
        (lambda *i: cosine(*i, half=1.0), "½ is missing"),
        (lambda step, n, w, f: cosine(step, n, w, f, limit=w + 1), "a step too many"),
        (lambda *i: cosine(*i, line=True), "straight line"),
        (lambda step, n, w, f: cosine(step, n, w, 0.0), "falls to 0"),
        (lambda *i: cosine(*i, last=1), "exceeds 1"),
        (lambda step, n, w, f: cosine(step, n, w, 0.0, line=True), "two mistakes"),
    ],
    "accumulated_gradient": [
        (lambda weight, parts: accumulated(weight, parts), "You return the loss"),
        (nothing_from_backward, "backward"),
        (lambda weight, parts: torch.autograd.grad(accumulated(weight, parts), weight), "tuple"),
        (
            lambda weight, parts: gradient(accumulated(weight, parts, "mean", len(parts)), weight),
            "mean of the parts",
        ),
        (lambda weight, parts: gradient(accumulated(weight, parts, divide=1), weight), "do not divide"),
        (lambda weight, parts: -gradient(accumulated(weight, parts, divide=1), weight), "two mistakes"),
    ],
}
