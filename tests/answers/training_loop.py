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


def newton_schulz_of_the_short_side(matrix, n_iterations, a, b, c):
    x = matrix / matrix.square().sum().sqrt()
    turned = len(x) > x.shape[1]
    x = x.T if turned else x
    for _ in range(n_iterations):
        cubed = x @ x.T @ x
        x = a * x + b * cubed + c * x @ x.T @ cubed
    return x.T if turned else x


def newton_schulz(matrix, n_iterations, a, b, c, size=None, by_number=False):
    x = matrix / (matrix.norm() if size is None else size(matrix))
    for _ in range(n_iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram**2 if by_number else gram @ gram)) @ x
    return x


def step_that_empties_first(model, optimizers, parts, step, schedule, max_norm):
    model.zero_grad()
    n = sum(int((labels != -100).sum()) for _, labels in parts)
    losses = [model.loss(ids, labels, reduction="sum") / n for ids, labels in parts]
    sum(losses).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    norm = torch.cat([each.flatten() for each in gradients]).norm()
    for each in gradients:
        each.mul_(min(1.0, max_norm / norm))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.step()
    return sum(losses).item(), norm.item()


def a_step(
    model, optimizers, parts, step, schedule, max_norm, *, reduction="sum", divide=None, groups=slice(None),
    zero=True, clip=True, number=float,
):  # fmt: skip
    n = sum(int((labels != -100).sum()) for _, labels in parts) if divide is None else divide(parts)
    total = 0.0
    for ids, labels in parts:
        loss = model.loss(ids, labels, reduction=reduction) / n
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm if clip else math.inf)
    for optimizer in optimizers:
        for group in optimizer.param_groups[groups]:
            group["lr"] = schedule(step)
        optimizer.step()
        if zero:
            optimizer.zero_grad()
    return total, number(norm)


def unscaled_one_by_one(gradients, scale, good_steps, patience):
    results = []
    for each in gradients:
        if torch.isnan(each).any() or torch.isinf(each).any():
            return None, scale * 0.5, 0
        results.append(each.to(torch.float32).mul(1 / scale))
    good_steps += 1
    grows = good_steps >= patience
    return results, scale * (2 if grows else 1), 0 if grows else good_steps


def unscaled(gradients, scale, good, patience, *, half=False, fine=torch.isfinite, reset=0, late=0):
    if not all(bool(fine(each).all()) for each in gradients):
        return None, scale / 2, 0
    found = [(each / scale).float() if half else each.float() / scale for each in gradients]
    return (found, 2 * scale, reset) if good + 1 >= patience + late else (found, scale, good + 1)


def unscaled_at_the_border(gradients, scale, good_steps, patience):
    if not all(torch.isfinite(each).all() for each in gradients):
        return None, scale / 2, 0
    found = [each.float() / scale for each in gradients]
    return (found, scale * 2, 0) if good_steps + 1 == patience else (found, scale, good_steps + 1)


BUGS = {
    "A": "gradients not zeroed",
    "B": "no causal mask",
    "C": "learning rate / 100",
    "D": "labels shifted twice",
    "E": "the same batch always",
    "F": "no warm-up",
    "G": "labels not shifted",
    "H": "learning rate × 100",
}


def gradient(loss, weight):
    return torch.autograd.grad(loss, weight)[0]


RIGHT = {
    "adamw_step": [adamw_with_lerp, lambda *inputs: adamw(*inputs)[:3]],
    "cosine_factor": [cosine_by_a_table, lambda *inputs: np.array(cosine(*inputs))],
    "accumulated_gradient": [accumulated_by_backward, accumulated_by_means],
    "newton_schulz": [
        newton_schulz_of_the_short_side,
        newton_schulz,
        lambda *i: newton_schulz(*i, size=lambda matrix: matrix.norm() + 1e-7),
    ],
    "training_step": [step_that_empties_first, a_step],
    "unscaled_gradients": [unscaled_one_by_one, unscaled, unscaled_at_the_border],
    "which_bug": [lambda: dict(reversed(BUGS.items()))],
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
    "newton_schulz": [
        (lambda *i: newton_schulz(*i, size=lambda m: 1), "not divided by its length"),
        (lambda *i: newton_schulz(*i, size=lambda m: m.abs().max()), "largest number"),
        (lambda *i: newton_schulz(*i, by_number=True), "number by number"),
        (lambda *i: newton_schulz(*i).T, "[Tt]ranspose|shape"),
        (lambda m, n, *i: newton_schulz(m, n - 1, *i), "a turn too few"),
        (lambda m, n, a, b, c: newton_schulz(m, n, a, c, b), "exchanged"),
        (lambda m, n, a, b, c: newton_schulz(m, n + 1, a, c, b), "two mistakes"),
    ],
    "training_step": [
        (lambda *i: a_step(*i, zero=False), "never emptied"),
        (lambda *i: a_step(*i, clip=False), "not clipped"),
        (lambda *i: a_step(*i, reduction="mean", divide=len), "mean of the parts' means"),
        (lambda *i: a_step(*i, divide=lambda parts: 1), "not divided"),
        (lambda *i: a_step(*i, groups=slice(1)), "several groups"),
        (lambda *i: a_step(*i, number=lambda norm: norm), "not tensors"),
        (lambda *i: tuple(map(torch.tensor, a_step(*i))), "not tensors"),
        (lambda *i: a_step(*i)[0], "loss alone"),
        (lambda *i: a_step(*i, zero=False, clip=False), "two mistakes"),
    ],
    "unscaled_gradients": [
        (lambda *i: unscaled(*i, half=True), "divide in float16"),
        (lambda *i: unscaled(*i, fine=lambda x: ~torch.isinf(x)), "infinities only"),
        (lambda *i: unscaled(*i, fine=lambda x: torch.isfinite(x.sum())), "look at a sum"),
        (lambda *i: unscaled(*i, fine=lambda x: torch.isfinite(x.norm())), "look at a sum, or at a length"),
        (lambda *i: unscaled(*i, late=1), "one step late"),
        (lambda *i: unscaled(*i)[0], "gradients alone"),
        (lambda g, s, n, p: (*unscaled(g, s, n, p)[:2], n), "count|good"),
        (lambda *i: unscaled(*i, half=True, late=1), "two mistakes"),
    ],
    "which_bug": [
        (lambda: {**BUGS, "A": BUGS["D"], "D": BUGS["A"]}, "A among them.*length of the gradient"),
        (lambda: {**BUGS, "B": BUGS["H"]}, "1 run is not right, B among them"),
        (lambda: {**BUGS, "A": "the learning rate"}, "no bug named"),
        (lambda: {letter: BUGS[letter] for letter in "ABC"}, "run D is missing"),
        (lambda: list(BUGS), "dictionary"),
    ],
}
