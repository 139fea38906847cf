def share_by_a_loop(word, text):
    words = text.split(" ")
    return sum(1 for other in words if other == word) / len(words)


def share_of_letters(word, text):
    return text.count(word) / len(text)


RIGHT = {"word_share": [share_by_a_loop, lambda w, t: sum(x == w for x in t.split()) / len(t.split())]}
WRONG = {
    "word_share": [
        (lambda w, t: t.count(w) / len(t.split()), "inside longer words"),
        (share_of_letters, "number of characters|inside longer words"),
        (lambda w, t: t.split().count(w), "how often it occurs"),
        (lambda w, t: (w in t.split()) / len(t.split()), "however often"),
    ]
}
