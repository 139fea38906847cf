# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 06 · From counts to gradients
#
# **What you build.** The bigram model of notebook 05 once more, this time without counting: its probabilities come out of
# a softmax, the gradient of its loss is derived by hand and checked by PyTorch, and gradient descent takes it to the loss
# of the counted table. Then a small neural network that reads eight tokens and predicts the ninth better than every
# n-gram model of notebook 05.
#
# **What you need.** Python and some linear algebra: vectors, matrices, their product; derivatives and the chain rule.
# From notebook 05 the loss, the bigrams and the entropy as a floor. PyTorch is introduced here, and so are neural
# networks.
#
# **How long.** About 75 minutes to work through. All cells together run in under 30 seconds on two CPU cores.
#
# > **中文提要** 上一节靠计数得到概率，本节改用梯度。先介绍张量与广播；再用 softmax 把任意分数（logits）变成概率，用交叉熵衡量损失，并手工推导它对分数的梯度：预测概率减去独热向量，即 p − y，然后用有限差分与 PyTorch 的自动求导两种方法验证。随机梯度下降每步只看一小批样本，却能使二元模型的损失降到与计数所得的相同。最后引入嵌入和多层感知机（MLP）：它读前面八个词元，损失低于上一节所有的 n 元模型，向语法的熵又靠近一步；并通过干预实验说明它用到了多远的上文。

# %%
import re
from math import log

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from minillm_lib import check, course, load_grammar
from minillm_lib.model import NGramModel
from minillm_lib.viz import BLUE, INK, ORANGE

course.setup()

# %% [markdown]
# ## 1 · Tensors
#
# PyTorch computes with **tensors**: arrays of numbers of any number of dimensions, as in NumPy. A tensor has a shape, and
# a type of number, which is float32 unless one asks for another: four bytes, about seven decimal digits. A tensor can do
# two things that an array of NumPy cannot. It can live on a graphics card, and it can remember how it was computed, which
# is the subject of section 5.

# %%
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
print("shape:", tuple(x.shape), "  type:", x.dtype)
print("x times its transpose:", (x @ x.T).tolist())
print("mean along the last dimension:", x.mean(dim=-1).tolist())
print("less that mean:", (x - x.mean(dim=-1, keepdim=True)).tolist())

# %% [markdown]
# `dim=-1` is the last dimension: the mean runs along it, and the dimension is gone from the result. With `keepdim=True` it
# stays, with length 1. So in the last line a tensor of shape (2, 3) meets one of shape (2, 1), and PyTorch repeats the
# latter three times. This is **broadcasting**: shapes are compared from the right, and where one of the two has length 1,
# or nothing at all, its numbers are repeated. Without `keepdim` the shapes would have been (2, 3) and (2,), which do not
# fit. Worse, (3, 3) and (3,) would have fitted: the mean of row $j$ would have been taken from *column* $j$, without a
# word.
#
# A tensor of whole numbers picks rows. That is the same as a product with **one-hot** vectors, which are 1 at one
# coordinate and 0 at all others:

# %%
rows = torch.arange(12.0).reshape(4, 3)
chosen = torch.tensor([2, 0, 2])
one_hot = nn.functional.one_hot(chosen, num_classes=4).float()
print("picked:", rows[chosen].tolist())
print("one-hot:", one_hot.int().tolist())
print("the same as a product:", torch.equal(rows[chosen], one_hot @ rows))

# %% [markdown]
# Three rows were computed at once. Such a set of examples is called a **batch**, and stands in the first dimension: one
# large product is much faster than many small ones.
#
# **The text** is that of notebook 05, in the same tokens: 2,000 documents of the course's grammar to learn from, 100 to
# be tested on, with the end of a document as token 0.

# %%
grammar = load_grammar("en")
words = [
    [
        [*re.findall(r"\w+|[^\w\s]", document.text), "<end>"]
        for document in grammar.generate(n_documents, seed=seed)
    ]
    for n_documents, seed in ((2000, 0), (100, 1))
]
vocabulary = ["<end>", *sorted({word for document in words[0] for word in document} - {"<end>"})]
number = {word: i for i, word in enumerate(vocabulary)}
train, test = (torch.tensor([number[word] for document in part for word in document]) for part in words)
V, floor = len(vocabulary), grammar.nats_per_word()
print(f"{V} different tokens; {len(train):,} to learn from, {len(test):,} to predict; floor {floor:.2f} nats")

# %% [markdown]
# ## 2 · From scores to probabilities
#
# The bigram model of notebook 05 is a table of counts, and a count can only be found by counting. Let us replace it by a
# table of **scores**, any real numbers at all, that can be *improved* little by little. Row $v$ of the table holds a score
# for each token that may come after $v$. Such scores are called **logits**. What turns a vector $z$ of logits into
# probabilities is the **softmax**:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}} . \tag{1}$$
#
# The exponential makes every number positive, and the division makes them sum to 1. A higher score gives a higher
# probability, and only differences matter: $p_i / p_j = e^{z_i - z_j}$. One point more makes a token $e \approx 2.7$ times
# as likely, in comparison with another. So a constant added to all scores changes nothing: it multiplies all powers by the
# same factor, above and below the line. (The name: if all scores are multiplied by a large number, the highest gets nearly
# everything. It is a soft maximum.)
#
# Computers have one difficulty with it. float32 ends at $3.4 \cdot 10^{38}$:

# %%
print("infinite:", torch.isinf(torch.exp(torch.tensor([88.0, 89.0, 1000.0]))).tolist())

# %% [markdown]
# ### Exercise 1 · A stable softmax (1 point)
#
# `z` has the shape `(…, V)`, and each vector along the last dimension becomes a distribution. The scores may be in the
# thousands, or minus thousands. The probabilities of such scores are ordinary numbers; only (1) as it is written does not
# get to them.


# %%
def stable_softmax(z):
    """Equation (1) along the last dimension, for scores of any size: the shape of z."""
    ### BEGIN SOLUTION
    powers = (z - z.amax(dim=-1, keepdim=True)).exp()  # the largest is 1
    return powers / powers.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %%
check.stable_softmax(stable_softmax)

# %% [markdown]
# What passes goes on into what follows. `check.stable_softmax.function` is yours if it passed, and the library's
# otherwise:

# %%
softmax = check.stable_softmax.function
z = torch.tensor([2.0, 1.0, -1.0])
print("scores", z.tolist(), "probabilities", [round(p, 2) for p in softmax(z).tolist()])
print("the same with 1,000 added:", torch.allclose(softmax(z), softmax(z + 1000)))

# %% [markdown]
# ## 3 · The loss of a batch
#
# The loss is that of notebook 05: the mean of $-\ln p$ of the tokens that came. Let $w$ be the token that came at one
# position, and put (1) into it:
#
# $$\ell = -\ln p_w = -z_w + \ln \sum_j e^{z_j} . \tag{2}$$
#
# As a function of scores and of the right token this is called the **cross-entropy**. By equation (4) of notebook 05 that is
# what it estimates: the expected loss of a model on text from the source.
#
# The second term is a *log-sum-exp*. It has to be computed with the same care as the softmax. And it should be computed
# from scores, not from probabilities: a token that is 200 points behind has a probability that float32 rounds to 0, and
# the logarithm of 0 is minus infinity. Its loss by (2) is just 200.
#
# ### Exercise 2 · Cross-entropy (2 points)
#
# `logits` is `(B, V)`, a row of scores for each of B positions. `targets` is `(B,)`, the token that came at each. Give the
# mean of (2), a tensor without dimensions. Compute it with tensors throughout: section 5 will look into how it was
# computed. (A row index and a column index together, `logits[rows, columns]`, pick one number for each pair.)


# %%
def cross_entropy(logits, targets):
    """The mean of equation (2) over the batch: a tensor of shape ()."""
    ### BEGIN SOLUTION
    of_targets = logits[torch.arange(len(logits)), targets]
    return (torch.logsumexp(logits, dim=-1) - of_targets).mean()
    ### END SOLUTION


# %%
check.cross_entropy(cross_entropy)

# %% [markdown]
# A table of zeros knows nothing: all tokens are equally likely, and the loss is that of uniform guesses, $\ln V$. This is a
# useful test of every language model before its training.

# %%
loss_of = check.cross_entropy.function
S = torch.zeros(V, V)
before, after = train[:1000], train[1:1001]
print(f"loss of a table of zeros {loss_of(S[before], after).item():.2f}, ln V = {log(V):.2f}")

# %% [markdown]
# ## 4 · The gradient, by hand
#
# In which direction should the scores move so that the loss falls? The **gradient** of $\ell$ is the vector of its
# derivatives with respect to the scores. Take (2) term by term.
#
# **The first term**, $-z_w$, depends on one score only. Its derivative with respect to $z_w$ is $-1$, with respect
# to all others 0: its gradient is $-y$, where $y$ is the one-hot vector of the token that came.
#
# **The second term.** The derivative of the logarithm is one over its argument, and by the chain rule this is multiplied
# by the derivative of the sum, in which $z_i$ occurs once:
#
# $$\frac{\partial}{\partial z_i} \ln \sum_j e^{z_j} = \frac{1}{\sum_j e^{z_j}}\; e^{z_i} = p_i .$$
#
# The derivative of the log-sum-exp is the softmax. Together,
#
# $$\frac{\partial \ell}{\partial z} = p - y : \tag{3}$$
#
# *what the model expected, less what came.* The score of the token that came should rise, by the more the less probable
# the model had thought it. All other scores should fall, each in proportion to the probability that it got. The
# coordinates sum to $1 - 1 = 0$. And if the model had been certain, and right, there would be nothing to change.
#
# **Finite differences.** A derivation should be tested. Move one score by a small $\epsilon$ up and down, and see how the
# loss changes: $\big(\ell(z_i + \epsilon) - \ell(z_i - \epsilon)\big) / 2\epsilon$. In float64, as small differences of large
# numbers need the digits.

# %%
torch.manual_seed(0)
z, w, epsilon = torch.randn(6, dtype=torch.float64), torch.tensor([2]), 1e-5
moved = epsilon * torch.eye(6, dtype=torch.float64)
differences = torch.stack([loss_of((z + m)[None], w) - loss_of((z - m)[None], w) for m in moved]) / (
    2 * epsilon
)
by_formula = softmax(z) - nn.functional.one_hot(w[0], num_classes=6)
print("p − y:             ", [round(g, 3) for g in by_formula.tolist()])
print("equal to finite differences:", torch.allclose(differences, by_formula, atol=1e-8))

# %% [markdown]
# ### Exercise 3 · The gradient of the bigram (3 points)
#
# Now the whole model: a table $S$ of scores, `(V, V)`, in which row $v$ holds the scores of the tokens after $v$. A batch
# has B positions; `after[b]` is the token that came after `before[b]`, and both are `(B,)`. The loss is the mean of (2)
# over the positions. Give its gradient with respect to the table, which has the table's shape.
#
# Derive it first, on paper. On which scores does the loss of one position depend? What if two positions have the same token
# before? Then write it with (3). PyTorch could give it (section 5), but not until you have: then each is a check of the
# other.


# %%
def bigram_gradient(table, before, after):
    """The gradient of the mean cross-entropy with respect to the table: (V, V)."""
    ### BEGIN SOLUTION
    batch = len(before)
    error = torch.softmax(table[before], dim=-1)  # (B, V)
    error[torch.arange(batch), after] -= 1
    return torch.zeros_like(table).index_add_(0, before, error / batch)
    ### END SOLUTION


# %%
check.bigram_gradient(bigram_gradient)

# %% [markdown]
# ## 5 · The gradient, by autograd
#
# Nobody derives by hand the gradient of a network with hundreds of operations. It is not necessary: each of the operations
# is simple, and the chain rule puts their derivatives together. PyTorch does that. A tensor with `requires_grad=True` is
# watched. Whatever is computed from it remembers the operation and its inputs, and so all that was computed becomes a
# *graph*. `loss.backward()` goes through this graph from the loss back to the beginning. At each operation it multiplies the
# derivatives that have come so far by those of the operation. This is **backpropagation**; PyTorch's part that does it is
# called *autograd*. What arrives at a watched tensor is stored in its `grad`. The whole costs about twice as much as
# computing the loss did, however many parameters there are; finite differences would cost two evaluations for *each*.
#
# Here it checks our derivation, on random scores:

# %%
gradient_of = check.bigram_gradient.function
torch.manual_seed(1)
S = torch.randn(V, V, requires_grad=True)
loss = loss_of(S[before], after)
loss.backward()
by_hand = gradient_of(S.detach(), before, after)
print("gradient:", tuple(S.grad.shape), "  by hand the same:", torch.allclose(S.grad, by_hand, atol=1e-7))

# %% [markdown]
# `S.detach()` is the same tensor, unwatched. Two more properties of autograd are the cause of most first mistakes.

# %%
loss_of(S[before], after).backward()
print(
    "after a second backward() the gradient is twice the right one:",
    torch.allclose(S.grad, 2 * by_hand, atol=1e-6),
)
try:
    S -= S.grad
except RuntimeError:
    print("a watched tensor may not be changed while PyTorch records")

# %% [markdown]
# So, first, **gradients add up**: `backward()` adds to what is in `grad` already. (Notebook 12 makes use of that.) So they have
# to be emptied before the next step. Second, an update of the parameters is not a part of the model, and must not be
# recorded: it stands inside `with torch.no_grad():`.

# %% [markdown]
# ## 6 · Downhill
#
# The gradient points to where the loss rises fastest. So **gradient descent** takes a step the other way, again and again:
#
# $$\theta \;\leftarrow\; \theta - \eta\, \frac{\partial \ell}{\partial \theta} , \tag{4}$$
#
# where $\theta$ are all **parameters**, the numbers that are learned (here the table $S$), and $\eta$ is the **learning
# rate**. If it is too small, nothing much happens; if it is too large, the step goes past the valley and up the other side.
#
# The loss is a mean over all positions of the text, and so is its gradient. A step does not need that mean exactly. Draw a
# batch of positions at random: the gradient of their mean is right *on average*, and costs a fraction. This is
# **stochastic gradient descent**, SGD (Robbins and Monro 1951). Its steps jitter around the right direction, so towards
# the end of a training the learning rate is lowered, and the jitter averages out.
#
# ### Exercise 4 · A step of SGD (2 points)
#
# `parameters` is a list of watched tensors, and `loss` was computed from them. Take one step by (4): change each parameter
# *in place*. It will be called many times with the same parameters, so no gradient of an earlier step may get into a later
# one.


# %%
def sgd_step(parameters, loss, learning_rate):
    """One step of (4), in place, with the gradients that autograd gives."""
    ### BEGIN SOLUTION
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter -= learning_rate * parameter.grad
            parameter.grad = None
    ### END SOLUTION


# %%
check.sgd_step(sgd_step)

# %% [markdown]
# ## 7 · The counted bigram, found by descent
#
# Where does the descent of the bigram end? At a minimum the gradient is zero. Take the whole training text as one batch, of
# $N$ positions. Row $v$ of the gradient collects $p - y$ from the $c_v$ positions with $v$ before, all with the same $p$,
# that of row $v$. The one-hot vectors add up to the counts $c_{vw}$ of the pairs. So
#
# $$\frac{\partial \ell}{\partial S_{vw}} = \frac1N \big(c_v\, p(w \mid v) - c_{vw}\big) = 0
# \quad\Longleftrightarrow\quad p(w \mid v) = \frac{c_{vw}}{c_v} . \tag{5}$$
#
# *The minimum is the counted bigram.* And there is no other valley to be caught in: (2) is convex, as a log-sum-exp is
# convex and $-z_w$ is linear. Only, a pair that never occurred has $p = 0$ there, for which its score would have to fall to
# $-\infty$: the minimum can be approached, not reached.
#
# A model that is linear up to a softmax, like this one, is called *softmax regression* (or multinomial logistic
# regression). We train it with the gradient of exercise 3, in batches of 512 positions. The learning rate is large, because
# the gradients are small: each position is a 512th of its batch, and most rows see few of them.

# %%
preceding = torch.cat([torch.zeros(1, dtype=torch.long), train[:-1]])  # the token before each of the text
counts = torch.zeros(V, V).index_put_((preceding, train), torch.ones(len(train)), accumulate=True)
shares = counts / counts.sum(dim=1, keepdim=True)  # the counted bigram


def loss_on_training_text(log_p):
    """The mean of -ln p over all pairs of the training text; log_p is (V, V)."""
    return -(counts * log_p).sum().item() / len(train)


counted = loss_on_training_text(shares.clamp(min=1e-30).log())
print(f"loss of the counted bigram on its own training text: {counted:.2f} nats")

# %%
n_steps = 1000
torch.manual_seed(0)
S, course_of_loss = torch.zeros(V, V), {0: log(V)}
for step in range(n_steps):
    chosen = torch.randint(len(train), (512,))
    learning_rate = 400 * min(1, 2 * (1 - step / n_steps))  # falls to zero over the second half
    S -= learning_rate * gradient_of(S, preceding[chosen], train[chosen])
    if (step + 1) % 50 == 0:
        course_of_loss[step + 1] = loss_on_training_text(torch.log_softmax(S, dim=-1))

# %%
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(course_of_loss.keys(), course_of_loss.values(), color=BLUE, label="softmax regression, by SGD")
axis.axhline(counted, color=ORANGE, linewidth=1.5, linestyle="--", label="the counted bigram")
axis.set(xlabel="steps", ylabel="loss on the training text\n(nats per token)", ylim=(0, 7))
axis.legend()
plt.show()
distance = course_of_loss[n_steps] - counted
assert 0 < distance < 0.05
print(f"from {log(V):.2f} to less than 0.05 above the counted bigram: {distance < 0.05}")

# %% [markdown]
# **What to see.** The blue curve begins at $\ln V$, falls steeply, and then jitters: each batch pulls in a direction of its
# own, and the steps are long. From the middle on the learning rate falls. The jitter goes, and the curve settles on
# the dashed line. No counting was done, only steps against the gradient. It cannot go below, since (5) is the minimum.
#
# How near are the probabilities themselves? Take for each row the probability that would have to be moved to make one
# distribution the other, and its average over the text. And of the small gap in the loss, how much is due to pairs that
# never occur? Counting gives them nothing, but their scores have not yet fallen to $-\infty$.

# %%
learned = torch.softmax(S, dim=-1)
frequency = counts.sum(dim=1) / len(train)  # of the token before
moved_probability = (frequency * (learned - shares).abs().sum(dim=1) / 2).sum().item()
on_pairs_that_never_occur = (learned * (counts == 0)).sum(dim=1)
part = -(frequency * (1 - on_pairs_that_never_occur).log()).sum().item() / distance
assert moved_probability < 0.08
assert 0.3 < part < 0.8
print("probability to be moved, on average, is less than 8 %:", moved_probability < 0.08)
print("pairs that never occur make up between 30 and 80 % of the gap:", 0.3 < part < 0.8)

# %% [markdown]
# ## 8 · Embeddings, and a network that reads eight tokens
#
# So far nothing has been gained: descent took a thousand steps to where counting goes in one. But descent does not need a
# table. It works for *every* function from tokens to scores that can be differentiated, also for those whose best
# parameters nobody can count.
#
# Why not a table? For eight tokens of context it would have $V^8$ rows, and nearly all of them would stay empty. An n-gram
# model stores only what it has seen. But to it "in three runs" and "in five runs" are two contexts that have nothing to do
# with each other: what was learned after one does not help after the other, but for the last word that they share.
# Bengio et al. (2003, "A neural probabilistic language model") give each token a vector of $d$ numbers, an **embedding**,
# and let gradient descent choose the numbers. Tokens that are used alike can get similar vectors, and what is learned from
# one then holds for the other, too.
#
# The network has two layers. Look up the vectors $x_1, \dots, x_n$ of the $n$ previous tokens, put them one after the other
# into one long vector, and
#
# $$h = \operatorname{ReLU}\big(W_1\, [x_1; x_2; \dots; x_n] + b_1\big) , \qquad z = W_2\, h + b_2 . \tag{6}$$
#
# $h$ is the **hidden layer**, and its coordinates are hidden units. $\operatorname{ReLU}(x) = \max(0, x)$, coordinate by
# coordinate, is an **activation function**. It must not be left out: $W_2(W_1 x + b_1) + b_2$ is just another linear
# function of $x$, and however many linear layers there are, they amount to one. Such a stack of linear layers with
# activations in between is called a **multilayer perceptron**, MLP.
#
# ### Exercise 5 · The forward pass (2 points)
#
# `tokens` is `(B, n)`, n previous tokens for each of B positions, the oldest first. `embedding` is `(V, d)`, `w1` is
# `(hidden, n·d)`, `w2` is `(V, hidden)`: as in (6), a weight has a row for each *output*. Give the logits, `(B, V)`.


# %%
def mlp_logits(tokens, embedding, w1, b1, w2, b2):
    """Equation (6) for a batch: (B, V)."""
    ### BEGIN SOLUTION
    x = embedding[tokens].flatten(start_dim=1)  # (B, n·d)
    hidden = torch.relu(x @ w1.T + b1)  # (B, hidden)
    return hidden @ w2.T + b2
    ### END SOLUTION


# %%
check.mlp_logits(mlp_logits)

# %% [markdown]
# PyTorch keeps the parameters of a network in an `nn.Module`. Its attributes are its parts: other modules, and so on down
# to the tensors that are parameters. `model.parameters()` lists these, and all of them are watched. Its method `forward`
# says what is computed, and `model(x)` calls it. `nn.Embedding(V, d)` is a table with a row for each token, and
# `nn.Linear(a, b)` a layer as in (6), from `a` numbers to `b`. All layers of this course are such modules.

# %%
logits_of, step_of_sgd = check.mlp_logits.function, check.sgd_step.function


class MLP(nn.Module):
    """Scores of the next token, from the n tokens before it."""

    def __init__(self, n, width=32, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(V, width)
        self.first, self.second = nn.Linear(n * width, hidden), nn.Linear(hidden, V)

    def forward(self, tokens):
        first, second = self.first, self.second
        return logits_of(tokens, self.embedding.weight, first.weight, first.bias, second.weight, second.bias)


# %%
def contexts_of(tokens, n):
    """The n tokens before each token, (len(tokens), n); end tokens stand before the first."""
    return torch.cat([torch.zeros(n, dtype=torch.long), tokens[:-1]]).unfold(0, n, 1)


torch.manual_seed(0)
model, x = MLP(8), contexts_of(train, 8)
by_modules = model.second(torch.relu(model.first(model.embedding(x[:5]).flatten(1))))
print("the same as by nn.Embedding and nn.Linear:", torch.allclose(model(x[:5]), by_modules, atol=1e-5))
print(f"{sum(p.numel() for p in model.parameters()):,} parameters; the bigram's table has {V * V:,}")

# %% [markdown]
# **Where to begin.** A table could begin with zeros. A network cannot: if all hidden units are alike, their gradients are
# alike, and they stay alike for ever. So weights are drawn at random, with mean 0 and a variance $\sigma^2$ on which
# much depends. An output is a sum of $d_\text{in}$ products. With independent weights the variances add up, so that
# the outputs are $d_\text{in}\,\sigma^2$ times as large, in mean square, as the inputs: with $\sigma^2 = 1/d_\text{in}$
# numbers keep their size from layer to layer. Glorot and Bengio (2010, "Understanding the difficulty of training deep feedforward neural networks") want the same
# for the gradients, which go through the matrix the other way, and take the middle, $\sigma^2 = 2/(d_\text{in} +
# d_\text{out})$: *Xavier* initialisation, after Xavier Glorot. He et al. (2015,
# [arXiv:1502.01852](https://arxiv.org/abs/1502.01852)) notice that ReLU sets half of the numbers to zero and so halves the
# mean square, and take twice as much, $\sigma^2 = 2/d_\text{in}$. `nn.Linear` draws evenly from $\pm 1/\sqrt{d_\text{in}}$,
# which is $\sigma^2 = 1/(3\,d_\text{in})$: somewhat small, which does no harm in a network of two layers. In one of forty
# it would; there notebook 07 begins.

# %% [markdown]
# ## 9 · Below the n-grams
#
# The loop is that of section 7, with autograd in place of the derivation: draw a batch, compute the loss, take a step.


# %%
def trained(seed, n=8, n_steps=4000, batch=64):
    """An MLP over n tokens after SGD."""
    torch.manual_seed(seed)
    model, x = MLP(n), contexts_of(train, n)
    parameters = list(model.parameters())
    for step in range(n_steps):
        chosen = torch.randint(len(train), (batch,))
        loss = loss_of(model(x[chosen]), train[chosen])
        step_of_sgd(parameters, loss, min(1.5, 3 * (1 - step / n_steps)))
    return model


# %%
def losses_on_test(model, x):
    """-ln p of each token of the test text, from the contexts x."""
    with torch.no_grad():
        return nn.functional.cross_entropy(model(x), test, reduction="none")


# %%
models = [trained(seed) for seed in (0, 1)]
x_test = contexts_of(test, 8)
by_seed = [losses_on_test(model, x_test).mean().item() for model in models]
with_five = losses_on_test(trained(0, n=5), contexts_of(test, 5)).mean().item()

# %%
by_order = []
for order in range(1, 7):
    streams = [
        nn.functional.pad(tokens, (order - 1, 0)).numpy() for tokens in (train, test)
    ]  # end tokens in front
    by_order.append(NGramModel(order, V).fit(streams[0]).loss(streams[1]))
print("n-grams, with 0 to 5 tokens before:", [round(loss, 2) for loss in by_order])

# %%
best = min(by_order)
assert floor < min(by_seed)
assert max(by_seed) < best - 0.03
print("the networks over eight tokens are at least 0.03 nats below the best:", max(by_seed) < best - 0.03)
print("the network over five tokens is not below it:", with_five > best)
way = (best - np.mean(by_seed)) / (best - floor)
assert with_five > best
assert 0.2 < way < 0.33
print("part of the way from the best n-gram to the floor, between 0.2 and 0.33:", 0.2 < way < 0.33)

# %%
figure, axis = plt.subplots(figsize=(7, 3.4))
axis.plot(range(6), by_order, color=ORANGE, marker="o", markersize=4, label="n-grams (Kneser–Ney)")
axis.plot(
    [8, 8, 5], [*by_seed, with_five], "D", color=BLUE, markersize=5, label="MLP (two seeds at 8, one at 5)"
)
axis.axhline(floor, color=INK, linewidth=1, linestyle=":")
axis.text(0, floor * 0.97, "entropy of the grammar", va="top")
axis.set(
    xlabel="number of previous tokens that the model reads", ylabel="loss on the test text\n(nats per token)"
)
axis.set(yscale="log", ylim=(0.28, 7), xticks=range(9))
axis.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The n-grams come down as they see more, ever more slowly: within five tokens there is not enough to know.
# The networks see eight, and lie below all of them, about a quarter of the way from the best one to the floor. Longer
# n-grams would not change that. With seven tokens before, a Kneser–Ney model comes to 0.51, just above the networks, and
# with eleven it is back at 0.56, as too many of its contexts were never seen. (The library's has room for five before, with
# so many different tokens. A test in `tests/` computes the others.)
#
# Be careful, however, with what the figure shows. With the *same* five tokens the network has no advantage: counting makes
# as much of them, and in a fraction of a second. What the network has gained is room. Its window costs little: three more
# tokens took 12,288 parameters more, where a full table would have grown by a factor of $V^3$. And it need not be a window
# at all. Whatever function of the past can be differentiated may take the place of (6).
#
# ## 10 · What the network uses
#
# Does it really make use of all eight tokens? To find out what a model uses, *change* it and see what happens. Put
# a random token of the training text in the place of the token $k$ back, in all test contexts, and measure the loss.


# %%
def loss_without(model, k):
    """The loss on the test text, with a random token in the place of the one that stands k back."""
    generator = torch.Generator().manual_seed(k)
    x = x_test.clone()
    x[:, -k] = train[torch.randint(len(train), (len(x),), generator=generator)]
    return losses_on_test(model, x).mean().item()


# %%
rise = np.array(
    [
        [loss_without(model, k) - loss for k in range(1, 9)]
        for model, loss in zip(models, by_seed, strict=True)
    ]
)
figure, axis = plt.subplots(figsize=(7, 2.8))
axis.plot(range(1, 9), rise.mean(axis=0), color=BLUE, label="mean of two seeds")
axis.plot(range(1, 9), rise.T, "D", color=INK, markersize=4, label=["each seed", "_"])
axis.set(yscale="log", xlabel="tokens back, k", ylabel="rise of the loss\n(nats per token)")
axis.legend()
plt.show()
assert rise.min() > 0.01
print("every one of the eight tokens is used, by both networks:", (rise > 0.01).all())

# %% [markdown]
# **What to see.** The axis is logarithmic: the token just before matters most by far. But each of the eight is used, down to
# the farthest, and those beyond the fifth are what the n-grams of notebook 05 did not see. (A random token is worse than
# none. So the figure shows that a token is used, not how much would be lost without it.)
#
# **Words that stand in for each other.** Section 8 promised that what is learned from one token may hold for another. In
# this grammar `58` and `61`, or `three` and `ten`, are exchanged freely. Has the network noticed? Intervene again: put in
# the place of every such number the next of its group, in all contexts that have one, and compare with random tokens in
# the same places.

# %%
texts = "51 54 58 61 63 67", "72 75 79 84 88 91", "1 2 3 4 5 6 7 8 9", "three five ten forty"
groups = [torch.tensor([number[word] for word in text.split()]) for text in texts]
exchanged = torch.arange(V)
for group in groups:
    exchanged[group] = group.roll(-1)
changes = exchanged[x_test] != x_test
affected = changes.any(dim=1)
at_random = train[torch.randint(len(train), x_test.shape, generator=torch.Generator().manual_seed(0))]
for model in models:
    as_it_is, by_group, by_chance = [
        losses_on_test(model, torch.where(changes, other, x_test))[affected].mean().item()
        for other in (x_test, exchanged[x_test], at_random)
    ]
    assert by_group - as_it_is < (by_chance - as_it_is) / 2
    print("exchanged in its group, less than half the harm of a random token: True")

# %% [markdown]
# It has. Is that to be seen in the embeddings, as similar vectors? Compare them by the cosine of the angle between them.
# It is 1 for vectors of the same direction, and around 0 for vectors drawn at random, as these were in the beginning.

# %%
cosines = []
for model in models:
    directions = nn.functional.normalize(model.embedding.weight.detach(), dim=-1)
    for group in groups:
        table = directions[group] @ directions[group].T
        cosines.append((table.sum() - len(group)).item() / (len(group) * (len(group) - 1)))
assert max(cosines) < 0.4
print("mean cosine within each group below 0.4, in both networks:", max(cosines) < 0.4)

# %% [markdown]
# Hardly. The vectors have not come together, so it must be the layers above them that treat these words alike. What a network
# does need not be visible in one of its parts. It is found by changing what the network reads: notebooks 09 and 17 come
# back to this.
#
# ## Summary
#
# - Softmax turns any scores into probabilities; only differences of scores count. It is computed with the largest score
#   taken away.
# - The gradient of the cross-entropy with respect to the scores is $p - y$: what was expected, less what came.
# - Autograd records how a loss was computed, and applies the chain rule backwards. Gradients add up until they are emptied.
# - SGD takes steps against the gradient of a random batch. For the bigram the gradient vanishes where the probabilities are
#   the relative counts, and descent gets there without counting.
# - Embeddings and a hidden layer make a function of several tokens that no table could hold. It comes below the n-grams of
#   notebook 05, as it can afford to see more; from the floor it is still far away.
#
# SGD with one learning rate for all parameters is the simplest optimizer. Momentum and Adam, which also look at earlier
# gradients, are a subject of notebook 12, and so is the whole training loop.
#
# **In the library:** `minillm_lib/model/loss.py`, `minillm_lib/training/fitting.py` (the loop of section 9 as a function,
# for later notebooks).
# **Next:** [07 · RMSNorm](07_rmsnorm.ipynb): what becomes of numbers that go through forty layers instead of two.
#
# **To read on.** Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic language model", Journal of Machine
# Learning Research 3, for the network of section 8 and what it was good for; Rumelhart, Hinton and Williams 1986,
# "Learning representations by back-propagating errors", Nature 323, for backpropagation; Glorot and Bengio 2010 and He et
# al. 2015 for where to begin; Goodfellow, Bengio and Courville 2016, *Deep Learning*, chapters 6 to 8, for all of it at
# length.
