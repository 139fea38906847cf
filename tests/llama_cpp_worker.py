"""Runs a GGUF file in llama.cpp: a job as JSON on the standard input, the answer as JSON on the standard output.

It is started with the Python that has llama-cpp-python, which need not be the one that runs the tests.
"""

from __future__ import annotations

import json
import sys

from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

FLOAT32 = 0


def main() -> None:
    job = json.load(sys.stdin)
    llama = Llama(
        job["path"],
        n_ctx=job["n_ctx"],
        logits_all=True,
        n_threads=1,
        verbose=False,
        type_k=FLOAT32,
        type_v=FLOAT32,
    )
    greedy = {"max_tokens": job["max_tokens"], "temperature": 0.0, "repeat_penalty": 1.0}
    llama.eval(job["ids"])
    logits = llama.scores[: len(job["ids"])].tolist()
    formatter = Jinja2ChatFormatter(
        llama.metadata["tokenizer.chat_template"], eos_token="<|eos|>", bos_token="<|bos|>"
    )
    conversation = formatter(messages=job["messages"]).prompt
    answer = {
        "logits": logits,
        "ids": [llama.tokenize(text.encode(), add_bos=False, special=False) for text in job["texts"]],
        "text": llama.create_completion(job["prompt"], **greedy)["choices"][0],
        "reply": llama.create_chat_completion(job["messages"], **greedy)["choices"][0],
        "conversation": llama.tokenize(conversation.encode(), add_bos=False, special=True),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
