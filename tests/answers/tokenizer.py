import re
from collections import Counter, defaultdict
from itertools import pairwise


def merged_by_a_stack(pieces, pair):
    out, can_merge = [], False
    for piece in pieces:
        if can_merge and (out[-1], piece) == tuple(pair):
            out[-1] += piece
            can_merge = False
        else:
            out.append(piece)
            can_merge = True
    return out


def merged_without_a_bound(pieces, pair):
    out, i = [], 0
    while i < len(pieces):
        if pieces[i] == pair[0] and pieces[i + 1] == pair[1]:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def merged_but_the_last(pieces, pair):
    out, i = [], 0
    while i < len(pieces) - 1:
        together = (pieces[i], pieces[i + 1]) == pair
        out.append("".join(pair) if together else pieces[i])
        i += 1 + together
    return out


def merged_in_place(pieces, pair):
    i = 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) == pair:
            pieces[i : i + 2] = [pair[0] + pair[1]]
        i += 1
    return pieces


def counted(words, times=None):
    counts = defaultdict(int)
    for pieces, n in words.items():
        for i in range(len(pieces) - 1):
            counts[pieces[i], pieces[i + 1]] += n if times is None else times
    return counts


def one_merge_after_another(word, merges):
    pieces = list(word)
    for pair in merges:
        pieces = merged_by_a_stack(pieces, pair)
    return pieces


def with_a_buffer(pieces, flush=True):
    text, buffer = "", bytearray()
    for piece in pieces:
        if re.fullmatch("<0x..>", piece):
            buffer.append(int(piece[3:5], 16))
            continue
        text += buffer.decode(errors="replace") + piece.replace("▁", " ")
        buffer.clear()
    return text + (buffer.decode(errors="replace") if flush else "")


def brackets_are_bytes(pieces):
    data = [bytes.fromhex(p[3:-1]) if p.startswith("<") else p.replace("▁", " ").encode() for p in pieces]
    return b"".join(data).decode(errors="replace")


def learned(words, n_merges, *, again=True, tie=lambda joined: (len(joined), joined)):
    merges, now = [], list(words.items())
    for _ in range(n_merges):
        counts = counted(dict(now))
        if not counts:
            break
        most = max(counts.values())
        candidates = {left + right: (left, right) for left, right in counts if counts[left, right] == most}
        merges.append(candidates[min(candidates, key=tie)])
        now = [(tuple(merged_by_a_stack(pieces, merges[-1])), n) for pieces, n in now]
        if not again:
            break
    return merges


def changed_by(pieces, pair):
    before, after = counted({tuple(pieces): 1}), counted({tuple(merged_by_a_stack(pieces, pair)): 1})
    return {each: after.get(each, 0) - before.get(each, 0) for each in {*before, *after}}


def segmented(text, log_p, better=max):
    """Best segmentation from the end of the text backwards."""
    best = {len(text): (0.0, [])}
    for i in reversed(range(len(text))):
        ways = []
        for j in range(i + 1, len(text) + 1):
            if text[i:j] in log_p:
                ways.append((log_p[text[i:j]] + best[j][0], [text[i:j], *best[j][1]]))
        best[i] = better(ways)
    return best[0][1]


def longest_first(text, log_p):
    pieces = []
    while text:
        pieces.append(next(text[:n] for n in range(len(text), 0, -1) if text[:n] in log_p))
        text = text[len(pieces[-1]) :]
    return pieces


RIGHT = {
    "learn_merges": [learned],
    "count_changes": [changed_by, lambda pieces, pair: Counter(changed_by(pieces, pair))],
    "likeliest_segmentation": [segmented, lambda text, log_p: tuple(segmented(text, log_p))],
    "merge_pair": [merged_by_a_stack, lambda pieces, pair: tuple(merged_by_a_stack(pieces, pair))],
    "count_pairs": [
        counted,
        lambda words: sum((Counter({p: n}) for w, n in words.items() for p in pairwise(w)), Counter()),
    ],
    "apply_merges": [one_merge_after_another],
    "decode_pieces": [with_a_buffer],
    "bytes_per_token": [lambda texts, ids: len("".join(texts).encode()) / sum(len(own) for own in ids)],
}
WRONG = {
    "learn_merges": [
        (lambda words, n: learned(words, n, again=False), "inside the loop"),
        (lambda words, n: learned(words, n, tie=lambda joined: joined), "by the alphabet alone"),
        (lambda words, n: [a + b for a, b in learned(words, n)], "two parts"),
        (lambda words, n: learned(words, n + 1, tie=lambda joined: (-len(joined), joined)), "two mistakes"),
    ],
    "count_changes": [
        (lambda pieces, pair: counted({tuple(merged_by_a_stack(pieces, pair)): 1}), "Take away those before"),
        (
            lambda pieces, pair: {p: n for p, n in changed_by(pieces, pair).items() if n > 0},
            "negative change",
        ),
        (lambda pieces, pair: {p: -n for p, n in changed_by(pieces, pair).items()}, "wrong way round"),
    ],
    "likeliest_segmentation": [
        (lambda text, log_p: segmented(text, log_p, min), "single characters"),
        (longest_first, "longest piece from the left"),
        (lambda text, log_p: segmented(text, log_p)[::-1], "reverse order"),
    ],
    "merge_pair": [
        (merged_without_a_bound, "one piece too far"),
        (merged_but_the_last, "last piece is lost"),
        (merged_in_place, "`pieces` was changed"),
        (
            lambda pieces, pair: "|".join(pieces).replace("|".join(pair), "".join(pair)).split("|"),
            "inside a joined text",
        ),
    ],
    "count_pairs": [
        (lambda words: counted(words, 1), "each word once"),
        (lambda words: {a + b: n for (a, b), n in counted(words).items()}, "keys are the joined strings"),
    ],
    "apply_merges": [
        (lambda word, merges: one_merge_after_another(word, merges[::-1]), "learned last"),
        (lambda word, merges: one_merge_after_another(word, merges[:1]), "first merge of the list"),
    ],
    "decode_pieces": [
        (lambda pieces: with_a_buffer(pieces, flush=False), "very end are lost"),
        (brackets_are_bytes, "pieces with < that are no bytes"),
        (lambda pieces: with_a_buffer(pieces).lstrip(" "), "beginning"),
    ],
    "bytes_per_token": [
        (lambda texts, ids: len("".join(texts)) / sum(map(len, ids)), "characters"),
        (lambda texts, ids: len("".join(texts)) // len(ids), "three mistakes"),
        (lambda texts, ids: sum(map(len, ids)) / len("".join(texts).encode()), "tokens per byte"),
    ],
}
