"""The texts of the report on a topic model, by language."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "{n_topics} topics in {n_documents} documents",
        "subtitle": "Latent Dirichlet allocation, fitted by collapsed Gibbs sampling.",
        "documents": "Documents",
        "years": "Years",
        "months": "Months",
        "vocabulary": "Terms",
        "tokens": "Tokens",
        "n_topics": "Topics",
        "sweeps": "Sweeps",
        "chains": "{n_chains} chains of {n_sweeps}",
        "alpha": "Alpha",
        "beta": "Beta",
        "seed": "Seed",
        "not_fixed": "not fixed",
        "time": "Sampling time",
        "seconds": "{seconds:.1f} s",
        "topics": "The topics",
        "topics_note": "A topic is a list of words that occur together. It is named here after its three most "
        "relevant terms, unless you gave it a label. Its share is the fraction of all tokens that it explains.",
        "stability": "Stability",
        "stability_note": "Its stability is how much of it the other chains find again, from 0 to 1. A topic below "
        "{unstable:g} is unstable: another run may not find it, so draw no conclusions from it. Unstable here: {n} "
        "of {n_topics}.",
        "is_unstable": "unstable",
        "show_documents": "Documents",
        "document": "document {number}",
        "documents_heading": "The documents",
        "documents_note": "Search the titles and the beginnings of the texts, or choose a topic to see its documents, "
        "those with the largest share of it first.",
        "documents_capped": "The page has room for {shown} of the {n_documents} documents: for each topic, those with "
        "the largest share of it.",
        "search": "Search",
        "all_topics": "all topics",
        "found": "Documents found: {count}",
        "nothing": "No document has all of these words.",
        "show_more": "Show more",
        "export": "Take the results with you",
        "export_note": "Files for spreadsheets and programs, made from what this page holds: of each document the "
        "topics with a share of at least {least_share:.0%}, up to {most_topics}, and of each topic the {n_terms} most "
        "probable terms. For the complete tables, use minillm lda with --export, or minillm topics export.",
        "export_topics": "Topics (JSON)",
        "export_documents": "Topics of the documents (CSV)",
        "export_terms": "Terms of the topics (CSV)",
        "largest_only": " Only the {n} topics with the largest shares are drawn.",
        "reading": "What was read",
        "reading_note": "Where the documents came from, and what was passed over.",
        "reading_counts": "Documents: {documents:,}. Files: {files:,}. Records that could not be used: {n_faulty:,}. "
        "Records without text: {n_without_text:,}. Files that were passed over: {n_passed_over:,}. Empty files: "
        "{n_empty:,}. Files in which bytes were replaced: {n_replaced:,}.",
        "reading_details": "Details",
        "topic_counts": "Which number of topics?",
        "topic_counts_note": "Candidates that were compared by cross-validation. The bars are one standard error to "
        "each side. Perplexity tends to favour more topics than a person finds readable; coherence and stability tend "
        "to favour fewer. Read the three together.",
        "topic_counts_alt": "{measure} for each number of topics: {values}.",
        "measure_perplexity": "Held-out perplexity: lower is better",
        "measure_coherence": "Coherence (NPMI): higher is better",
        "measure_stability": "Stability: higher is better",
        "axis_n_topics": "number of topics",
        "number": "No.",
        "label_and_share": "Topic and share",
        "terms": "Most relevant terms",
        "typical": "Most typical documents",
        "comma": ", ",
        "colon": ": ",
        "semicolon": "; ",
        "explore": "Explore the topics",
        "explore_title": "Map of the topics with their terms (pyLDAvis)",
        "explore_note": "Each circle is a topic, numbered as in the table below. A larger circle explains more "
        "tokens, and circles that are closer together have more similar words. Click a circle to see its terms, or "
        "point at a term to see which topics use it.",
        "convergence": "Convergence",
        "convergence_note": "Where the curve is flat, further sweeps change the topics little. Averages are taken over "
        "the sweeps to the right of the dotted line.{chains}",
        "convergence_central": " The topics come from the blue chain, the most central one.",
        "convergence_consensus": " The topics are those of the blue chain, the most central one, each averaged with "
        "the topics of the other chains that match it.",
        "convergence_alt": "Line chart: the log-likelihood per token goes from {first:.2f} to {last:.2f} nats in "
        "{n_sweeps} sweeps.",
        "similarity": "Similar topics",
        "similarity_note": "The darker a square, the more similar the words of its two topics. Topics {a} and {b} are "
        "the most similar, with a similarity of {most:.2f}.",
        "similarity_alt": "Heat map of the similarity between each pair of {n_topics} topics.",
        "over_the_years": "Topics over the years",
        "over_the_years_note": "Each panel follows the share of one topic, with the others in grey. The bars are 95 % "
        "intervals: they show how far a share could differ if other documents had been written in the same time. They "
        "take the topics as given. Topic {up} grew most, from {up_from:.1%} to {up_to:.1%} of the tokens; topic {down} "
        "shrank most, from {down_from:.1%} to {down_to:.1%}.",
        "over_the_years_alt": "Topic {topic}: its share of the tokens goes from {share_from:.1%} in {first} to "
        "{share_to:.1%} in {last}.",
        "over_the_months": "Topics over the months",
        "undated": " Documents without a date: {n:,}.",
        "unusable_dates": " Documents whose date could not be read: {n:,} (such as {examples}).",
        "top_terms": "Top terms",
        "top_terms_note": "The most relevant terms of each topic, the most relevant at the top, with their probability "
        "in the topic. A long bar below a short one is a word that other topics use as well.",
        "axis_sweep": "sweep",
        "axis_likelihood": "log p(w, z) per token (nats)",
        "axis_similarity": "similarity",
        "axis_topic": "topic",
        "panel_topic": "Topic",
        "cleaning": "What cleaning changed and dropped",
        "cleaning_note": "Every step between the original texts and the terms that the model saw.",
        "step": "Step",
        "affected": "Affected",
        "why": "Why",
        "examples": "Examples",
        "of": "{affected:,} of {total:,} {unit} ({share:.1%})",
        "footer": "Made by minillm_lib {version}. Sampler: Griffiths and Steyvers (2004). Relevance: Sievert and "
        "Shirley (2014), with λ = 0.6. Similarity: one minus the Jensen–Shannon distance. Interactive map: pyLDAvis.",
    },
    "zh": {
        "title": "{n_documents} 篇文档中的 {n_topics} 个主题",
        "subtitle": "潜在狄利克雷分配（LDA），以折叠吉布斯采样拟合。",
        "documents": "文档数",
        "years": "年份",
        "months": "月份",
        "vocabulary": "词表大小",
        "tokens": "词例数",
        "n_topics": "主题数",
        "sweeps": "采样轮数",
        "chains": "{n_chains} 条链，各 {n_sweeps} 轮",
        "alpha": "先验 α",
        "beta": "先验 β",
        "seed": "随机种子",
        "not_fixed": "未固定",
        "time": "采样用时",
        "seconds": "{seconds:.1f} 秒",
        "topics": "主题一览",
        "topics_note": "一个主题是一组常常一起出现的词；除非您给了它名称，这里以相关度最高的三个词为它命名。"
        "占比是该主题所解释的词例的比例。",
        "stability": "稳定性",
        "stability_note": "稳定性是其他链能重新找到该主题的多少，从 0 到 1。低于 {unstable:g} 的主题不稳定："
        "再运行一次未必能找到它，不要由它下结论。此处 {n_topics} 个主题中有 {n} 个不稳定。",
        "is_unstable": "不稳定",
        "show_documents": "文档",
        "document": "文档 {number}",
        "documents_heading": "文档",
        "documents_note": "搜索标题和正文开头，或选一个主题查看它的文档，占比最大的在前。",
        "documents_capped": "本页只容得下 {n_documents} 篇文档中的 {shown} 篇：每个主题占比最大的那些。",
        "search": "搜索",
        "all_topics": "全部主题",
        "found": "找到 {count} 篇文档",
        "nothing": "没有文档含有所有这些词。",
        "show_more": "显示更多",
        "export": "带走结果",
        "export_note": "供表格软件和程序使用的文件，由本页所含的数据生成：每篇文档占比不低于 {least_share:.0%} "
        "的主题，至多 {most_topics} 个；每个主题概率最高的 {n_terms} 个词。完整的表格请用 minillm lda 的 --export "
        "或 minillm topics export 导出。",
        "export_topics": "主题（JSON）",
        "export_documents": "文档的主题（CSV）",
        "export_terms": "主题的词（CSV）",
        "largest_only": "只画出占比最大的 {n} 个主题。",
        "reading": "读取了什么",
        "reading_note": "文档从何而来，跳过了什么。",
        "reading_counts": "文档 {documents:,} 篇，来自 {files:,} 个文件。无法使用的记录 {n_faulty:,} "
        "条，没有文字的记录 {n_without_text:,} 条，跳过的文件 "
        "{n_passed_over:,} 个，空文件 {n_empty:,} 个，有字节被替换的文件 {n_replaced:,} 个。",
        "reading_details": "详情（英文）",
        "topic_counts": "取多少个主题？",
        "topic_counts_note": "以交叉验证比较的各个主题数；竖线为上下各一个标准误。困惑度往往偏向比人易读的更多的主题，"
        "一致性和稳定性则偏向更少；三者要一起看。",
        "topic_counts_alt": "各主题数的{measure}：{values}。",
        "measure_perplexity": "留出困惑度，越低越好",
        "measure_coherence": "一致性（NPMI），越高越好",
        "measure_stability": "稳定性，越高越好",
        "axis_n_topics": "主题数",
        "number": "编号",
        "label_and_share": "主题与占比",
        "terms": "相关度最高的词",
        "typical": "最典型的文档",
        "comma": "、",
        "colon": "：",
        "semicolon": "；",
        "explore": "交互浏览",
        "explore_title": "主题与主题词的交互图（pyLDAvis）",
        "explore_note": "每个圆是一个主题，编号与下表一致：圆越大，解释的词例越多；两圆越近，用词越相似。"
        "点击圆可查看它的词，指向某个词可查看哪些主题使用它。",
        "convergence": "收敛",
        "convergence_note": "曲线平坦之处，继续采样对主题的影响已很小；虚线右侧用于取平均。{chains}",
        "convergence_central": "蓝线是居中的那条链，主题即取自它。",
        "convergence_consensus": "蓝线是居中的那条链；所示主题以它为准，并与其他链中相匹配的主题取平均。",
        "convergence_alt": "折线图：经过 {n_sweeps} 轮采样，每个词例的对数似然从 {first:.2f} 变为 {last:.2f} 奈特。",
        "similarity": "主题间的相似度",
        "similarity_note": "方格颜色越深，两个主题的用词越相似。最相似的是主题 {a} 与主题 {b}，相似度为 {most:.2f}。",
        "similarity_alt": "热力图：{n_topics} 个主题两两之间的相似度。",
        "over_the_years": "主题的逐年变化",
        "over_the_years_note": "每幅小图展示一个主题占词例的比例，灰线为其余主题。竖线为 95% 区间："
        "若同一时期写成的是另一些文档，占比会有多大不同；它把主题本身视为已知。增长最多的是主题 {up}，"
        "占比从 {up_from:.1%} 到 {up_to:.1%}；下降最多的是主题 {down}，从 {down_from:.1%} 到 {down_to:.1%}。",
        "over_the_years_alt": "主题 {topic}：占词例的比例从 {first} 的 {share_from:.1%} 到 {last} 的 {share_to:.1%}。",
        "over_the_months": "主题的逐月变化",
        "undated": "没有日期的文档：{n:,} 篇。",
        "unusable_dates": "日期无法读懂的文档：{n:,} 篇（例如 {examples}）。",
        "top_terms": "主题词",
        "top_terms_note": "自上而下列出各主题中相关度最高的词，以及它们在主题中的概率。"
        "排在短条之下的长条，是其他主题也常用的词。",
        "axis_sweep": "采样轮次",
        "axis_likelihood": "每个词例的 log p(w, z)（奈特）",
        "axis_similarity": "相似度",
        "axis_topic": "主题",
        "panel_topic": "主题",
        "cleaning": "清洗时改动和去掉了什么",
        "cleaning_note": "从原始文本到模型所见的词，每一步改动和去掉的内容。",
        "step": "步骤",
        "affected": "涉及",
        "why": "原因",
        "examples": "例如",
        "of": "{affected:,} / {total:,} {unit}（{share:.1%}）",
        "footer": "由 minillm_lib {version} 生成。采样方法：Griffiths 与 Steyvers（2004）。"
        "相关度：Sievert 与 Shirley（2014），λ = 0.6。相似度：1 减去 Jensen–Shannon 距离。交互图：pyLDAvis。",
    },
}
