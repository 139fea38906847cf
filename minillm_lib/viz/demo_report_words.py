"""The texts of the demo report, by language."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "From topic models to a language model",
        "subtitle": "Ten topics found in 1,000 NeurIPS papers, and a small decoder that was trained, and "
        "taught to answer questions, on this machine.",
        "unfinished": "Written after stage {done} of {stages} of minillm demo, and written again after each "
        "further one. Reload the page to see it.",
        "to_come": "Still to come.",
        "topics_part": "1 Topics",
        "topics_part_note": "Latent Dirichlet allocation, fitted by collapsed Gibbs sampling to the words "
        "of 1,000 papers. The model knows which words occur together, but nothing about their order.",
        "text_part": "2 Text and tokenizer",
        "text_part_note": "The documentation installed on this machine, and the course's questions with "
        "their answers: {megabytes:.1f} MB of text, or {tokens:,} tokens from a vocabulary of "
        "{vocab_size:,} pieces. The tokenizer was trained on this text. This is how it splits a sentence.",
        "token_note": "{tokens} tokens, {bytes_per_token:.2f} bytes per token",
        "pretraining_part": "3 Pretraining",
        "pretraining_part_note": "A decoder with {parameters:,} parameters learned to predict the next token "
        "from {tokens:,} tokens. Held-out perplexity went from {first:,.0f} to {last:,.1f} ({bits:.2f} "
        "bits per byte). On the same held-out text, counting single tokens gives {unigram:,.0f}, and "
        "counting pairs of tokens gives {bigram:,.1f}.",
        "pretraining_alt": "Line chart: the loss over tokens, with the losses of unigram, bigram and "
        "trigram counts.",
        "samples": "What it writes as it learns",
        "samples_note": "Continuations of the same prompts, sampled at temperature 0.8 after the given "
        "number of steps.",
        "step": "Step",
        "perplexity": "Perplexity",
        "text": "Text",
        "sft_part": "4 Learning to answer",
        "sft_part_note": "The same weights, trained further on {conversations:,} conversations. Only the "
        "answers count towards the loss. Perplexity on held-out phrasings went from {first:,.1f} to "
        "{last:,.2f}.",
        "sft_alt": "Line chart: the loss of the answers over tokens.",
        "answers": "Questions in words that the model was never trained on",
        "answers_note": "After each question come the text of the pretrained model, the answer of the "
        "fine-tuned model, and the reference answer.",
        "answer_score": "Of {n} held-out phrasings, {en:.0%} of the English and {zh:.0%} of the Chinese "
        "ones got the right answer. An answer is right if the nearest of all reference answers, by "
        "character n-grams, is the one to the question.",
        "question": "Question",
        "before": "Pretrained only",
        "after": "Fine-tuned",
        "reference": "Reference",
        "time_part": "5 Time taken",
        "stage": "Stage",
        "seconds": "Seconds",
        "stage_lda": "Gibbs sampling, {sweeps} sweeps of {chains} chains",
        "stage_data": "reading the text, training the tokenizer, packing (skipped if done before)",
        "stage_pretraining": "pretraining, {steps} steps",
        "stage_sft": "fine-tuning, {steps} steps",
        "stage_answers": "asking {n} questions",
        "next": "Next steps:",
        "example": "One question, before and after training",
        "example_note": "Both answers are the model's own words. Before, it has only learned to continue texts; "
        "afterwards, also to answer. The question is in words that it was never trained on. An answer counts as right "
        "if, of all reference answers, it resembles most the one to this question.",
        "before_training": "Before learning to answer: the pretrained model",
        "after_training": "After learning to answer: the same model, fine-tuned",
        "is_right": "right",
        "is_wrong": "wrong",
        "no_answer": "(nothing but spaces)",
        "figures": "The figures, and what they mean",
        "topics": "Topics",
        "topics_means": "Groups of words that occur together, found in {n_papers:,} papers without any hint.",
        "parameters": "Parameters",
        "parameters_means": "The numbers inside the model that training adjusts.",
        "tokens_read": "Tokens read",
        "tokens_read_means": "A token is a word or a piece of one. From so many the model learned which token follows.",
        "held_out": "Held-out perplexity",
        "held_out_means": "On text that it has not read, the model is as unsure of the next token as if it had to pick "
        "one of {best:,.0f}, all equally likely. Before training it was one of {first:,.0f}; 1 would be certainty.",
        "bigram_means": " A table that counts which token follows which gets {bigram:,.0f}.",
        "right": "Right answers",
        "right_value": "{en:.0%} English, {zh:.0%} Chinese",
        "right_means": "{n} questions were asked in words that the model was never trained on. So many of them got the "
        "right answer; guesses would be right in less than 0.5 % of cases.",
        "time": "Time",
        "time_means": "From the first topic to the last answer, on this machine.",
        "minutes": "{minutes:.1f} min",
        "footer": "Made by minillm demo, minillm_lib {version}. Everything was computed offline on this "
        "machine.",
    },
    "zh": {
        "title": "从主题模型到语言模型",
        "subtitle": "1,000 篇 NeurIPS 论文的十个主题，以及一个在本机上训练并学会回答的小型解码器。",
        "unfinished": "本页写于 minillm demo 的第 {done} 阶段（共 {stages} 个阶段）之后，"
        "每完成一个阶段都会重写；刷新即可看到。",
        "to_come": "尚未完成。",
        "topics_part": "1 主题",
        "topics_part_note": "潜在狄利克雷分配（LDA），以折叠吉布斯采样拟合 1,000 篇论文的词。它知道哪些词一"
        "同出现，但对词序一无所知。",
        "text_part": "2 文本与分词器",
        "text_part_note": "本机已安装的文档，加上本课程的问答：{megabytes:.1f} MB 文本，以 {vocab_size:,} "
        "个词片切成 {tokens:,} 个 token。分词器即在其上训练；下面是它如何切分一句话。",
        "token_note": "{tokens} 个 token，每个 {bytes_per_token:.2f} 字节",
        "pretraining_part": "3 预训练",
        "pretraining_part_note": "一个 {parameters:,} 参数的解码器从 {tokens:,} 个 token 中学习预测下一个 "
        "token。留出文本上的困惑度从 {first:,.0f} 降到 {last:,.1f}（每字节 {bits:.2f} "
        "比特）。在同一文本上，只数单个 token 得 {unigram:,.0f}，数相邻的一对得 {bigram:,.1f}。",
        "pretraining_alt": "折线图：损失随 token 数的变化，并标出一元和二元计数的损失。",
        "samples": "它边学边写",
        "samples_note": "同样的开头，温度 0.8，训练若干步之后。",
        "step": "步",
        "perplexity": "困惑度",
        "text": "文本",
        "sft_part": "4 学习回答",
        "sft_part_note": "同样的权重，在 {conversations:,} 段对话上继续训练。只有回答计入损失。在留出的问法"
        "上，困惑度从 {first:,.1f} 降到 {last:,.2f}。",
        "sft_alt": "折线图：回答的损失随 token 数的变化。",
        "answers": "从未以这些措辞问过它的问题",
        "answers_note": "左边是仅预训练的模型所说，其次是微调后的回答，最后是参考答案。",
        "answer_score": "在 {n} 个留出的问法中，英文答对 {en:.0%}，中文答对 {zh:.0%}（按字符 n 元组最接近的"
        "参考答案即为正确的那个）。",
        "question": "问题",
        "before": "仅预训练",
        "after": "微调后",
        "reference": "参考答案",
        "time_part": "5 所用时间",
        "stage": "阶段",
        "seconds": "秒",
        "stage_lda": "吉布斯采样，{chains} 条链各 {sweeps} 轮",
        "stage_data": "读取文本、训练分词器、打包（先前做过则无须再做）",
        "stage_pretraining": "预训练，{steps} 步",
        "stage_sft": "微调，{steps} 步",
        "stage_answers": "提问 {n} 次",
        "next": "接下来可以：",
        "example": "同一个问题，训练前后的回答",
        "example_note": "两个回答都是模型自己的话。之前它只学过续写文本，之后还学会了回答。这个问法它从未见过。"
        "在全部参考答案中，回答若与这个问题的参考答案最接近，就算答对。",
        "before_training": "学习回答之前：预训练的模型",
        "after_training": "学习回答之后：同一个模型，经过微调",
        "is_right": "对",
        "is_wrong": "错",
        "no_answer": "（只有空白）",
        "figures": "这些数字是什么意思",
        "topics": "主题",
        "topics_means": "常常一起出现的词，从 {n_papers:,} 篇论文中找出，没有任何提示。",
        "parameters": "参数",
        "parameters_means": "模型内部由训练调整的数。",
        "tokens_read": "读过的 token",
        "tokens_read_means": "token 是一个词或词的一部分。模型从这么多 token 中学习接下来是哪一个。",
        "held_out": "留出困惑度",
        "held_out_means": "在没有读过的文本上，模型对下一个 token 的把握，相当于从 {best:,.0f} 个同样可能的里面选一个；"
        "训练前是 {first:,.0f} 个，完全确定则为 1。",
        "bigram_means": "只统计哪个 token 跟在哪个后面的表格得 {bigram:,.0f}。",
        "right": "答对的问题",
        "right_value": "英文 {en:.0%}，中文 {zh:.0%}",
        "right_means": "用模型从未见过的措辞问了 {n} 个问题，这是答对的比例；瞎猜答对的不到 0.5%。",
        "time": "用时",
        "time_means": "从第一个主题到最后一个回答，在本机上。",
        "minutes": "{minutes:.1f} 分钟",
        "footer": "由 minillm_lib {version} 的 minillm demo 生成。一切均在本机离线计算。",
    },
}
