"""The texts on a pyLDAvis page, by language; a name in braces is filled in by the page."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "selected": "Selected Topic: ",
        "previous": "Previous Topic",
        "next": "Next Topic",
        "clear": "Clear Topic",
        "slider": "Slide to adjust relevance metric:",
        "map": "Intertopic Distance Map (via multidimensional scaling)",
        "first_axis": "first axis",
        "second_axis": "second axis",
        "sizes": "Marginal topic distribution",
        "sizes_of_term": "Conditional topic distribution given term = '{term}'",
        "salient": "Top-{n} Most Salient Terms",
        "relevant": "Top-{n} Most Relevant Terms for Topic {topic} ({share}% of tokens)",
        "overall": "Overall frequency",
        "within": "Estimated frequency in this topic",
        "saliency": "1. saliency(term w) = frequency(w) * [sum_t p(t | w) * log(p(t | w)/p(t))] for topics t; "
        "see Chuang et al. (2012)",
        "relevance": "2. relevance(term w | topic t) = λ * log p(w | t) + (1 - λ) * log(p(w | t)/p(w)); "
        "see Sievert & Shirley (2014)",
        "topic": "Topic {topic}",
        "stability": "stability {stability}",
        "unstable": "unstable",
        "legend": "Dashed outline: an unstable topic, which the other chains find only in part.",
        "capped": "Shown are the {drawn} largest of {n_topics} topics, with {share}% of the tokens.",
    },
    "zh": {
        "selected": "选中的主题：",
        "previous": "上一个主题",
        "next": "下一个主题",
        "clear": "取消选中",
        "slider": "拖动滑块，调整相关度的权重：",
        "map": "主题间距离图（多维标度法）",
        "first_axis": "第一轴",
        "second_axis": "第二轴",
        "sizes": "各主题的总占比",
        "sizes_of_term": "词“{term}”在各主题中的分布",
        "salient": "最显著的 {n} 个词",
        "relevant": "与主题 {topic} 最相关的 {n} 个词（占词例的 {share}%）",
        "overall": "在全部文档中的频次",
        "within": "估计在所选主题中的频次",
        "saliency": "1. 显著度(词 w) = 频次(w) × [Σ_t p(t | w) × log(p(t | w)/p(t))]，t 遍历所有主题；"
        "见 Chuang 等（2012）",
        "relevance": "2. 相关度(词 w | 主题 t) = λ × log p(w | t) + (1 − λ) × log(p(w | t)/p(w))；"
        "见 Sievert 与 Shirley（2014）",
        "topic": "主题 {topic}",
        "stability": "稳定性 {stability}",
        "unstable": "不稳定",
        "legend": "虚线圆：不稳定的主题，其他链只找到它的一部分。",
        "capped": "图中是 {n_topics} 个主题中最大的 {drawn} 个，占词例的 {share}%。",
    },
}
