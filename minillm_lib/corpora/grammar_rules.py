"""The rules of the shipped grammars: sentences that all topics share, and the words of ten topics, in two languages.

The notation is that of :class:`~minillm_lib.corpora.grammar.Grammar`. A symbol that ends in ``@`` stands for one symbol
per topic: ``<task@>`` is ``<task@vision>`` in an abstract on vision. The Chinese rules have spaces between words, which
the generated texts do not have. All figures and findings are invented.
"""

from __future__ import annotations

from collections.abc import Mapping


def for_every_topic(sentences: Mapping[str, str], topics: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Replace the symbols that end in ``@``: copy their rules for each topic and add the topics' own rules.

    Parameters
    ----------
    sentences
        For each symbol its rule; names that end in ``@`` are copied once per topic.
    topics
        For each topic its own rules, by name without ``@`` and topic.

    Returns
    -------
    dict[str, str]
        The rules that :class:`~minillm_lib.corpora.grammar.Grammar` accepts.
    """
    rules = {name: text for name, text in sentences.items() if not name.endswith("@")}
    for topic, words in topics.items():
        for name, text in sentences.items():
            if name.endswith("@"):
                rules[name + topic] = text.replace("@>", f"@{topic}>")
        rules.update({f"{name}@{topic}": text for name, text in words.items()})
    return rules


ENGLISH_SENTENCES = {
    "abstract": """
        [14] <abstract@vision> | [13] <abstract@language> | [12] <abstract@reinforcement> | [11] <abstract@bayes>
        | [10] <abstract@optimization> | [10] <abstract@graphs> | [9] <abstract@speech> | [8] <abstract@diffusion>
        | [7] <abstract@privacy> | [6] <abstract@medicine>""",
    "abstract@": "<problem@> <approach@> <evidence@>",
    "problem@": """
        [3] We study <task@>, where <obstacle@>.
        | [2] Progress in <task@> is slow because <obstacle@>.
        | [2] In <task@>, <obstacle@>.
        | [1] Why is <task@> still hard? One answer is that <obstacle@>.""",
    "approach@": """
        [3] We propose <kind> <core@> that learns by <step@>.
        | [2] Our method trains <kind> <core@> and improves it by <step@>.
        | [1] We start from <kind> <core@> that everybody has at home, and extend it by <step@>.""",
    "kind": "[3] a sparse | [3] a hierarchical | [2] a lightweight | [2] a modular | [1] a surprisingly small",
    "evidence@": """
        [4] <result@> <comparison@> <ablation@>
        | [2] A short proof shows that it converges. <result@> <ablation@>
        | [1] <result@> <closing@>""",
    "result@": """
        [3] On <data@>, it raises <measure@> by <digit>.<digit>%.
        | [2] It improves <measure@> on <data@> from <low>% to <high>%.
        | [2] In <count> runs on <data@>, <measure@> rises by <digit>.<digit>%, give or take 0.<digit>%.""",
    "comparison@": """
        [3] This beats <rival@> at <share> of the cost.
        | [2] Compared with <rival@>, it needs <count> times less memory.
        | [1] To our surprise, <rival@> come close when tuned for <count> weeks.""",
    "ablation@": "[2] <closing@> | [1] Without <step@>, the gain shrinks to 0.<digit>%. <ablation@>",
    "closing@": """
        [2] The lesson is that <lesson@>.
        | [2] We conclude that <lesson@>.
        | [1] The code is public, and so is the evidence that <lesson@>.""",
    "digit": "1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9",
    "count": "[4] three | [3] five | [2] ten | [1] forty",
    "low": "51 | 54 | 58 | 61 | 63 | 67",
    "high": "72 | 75 | 79 | 84 | 88 | 91",
    "share": "[2] half | [2] a third | [1] a tenth",
}

ENGLISH_TOPICS = {
    "vision": {
        "task": """object detection in crowded streets | image segmentation at night
            | face recognition behind masks | depth estimation from a single image
            | the recognition of birds in video""",
        "obstacle": """objects hide behind other objects | annotated images are scarce
            | shadows look like cats to the camera | small objects cover only a few pixels
            | the camera moves faster than its shutter""",
        "core": """convolutional network | vision transformer | feature pyramid | pixel encoder
            | pose estimator""",
        "step": """pooling features over several scales | cropping and rotating images
            | matching patches between two frames | masking random pixels""",
        "data": """two million street images | a collection of bird videos
            | the photographs of a railway museum | aerial images of vineyards""",
        "measure": "detection precision | segmentation overlap | the share of recognized objects",
        "rival": "edge detectors | template matchers | contour models",
        "lesson": """texture tells more than contour | a sharp image is worth a thousand blurred pixels
            | cameras should look twice""",
    },
    "language": {
        "task": """machine translation into rare languages | question answering over novels
            | the parsing of long sentences | text summarization | dialogue with impatient users""",
        "obstacle": """words change their sense with every sentence | parallel sentences are scarce
            | a pronoun may refer to a noun three paragraphs away | idioms resist literal translation
            | proverbs mean more than their words""",
        "core": """language model | sentence encoder | attention decoder | translation model
            | subword tokenizer""",
        "step": """predicting the next word | translating sentences back and forth
            | attending to the whole paragraph | replacing nouns with their synonyms""",
        "data": """a shelf of detective novels | parallel sentences from parliament
            | ten thousand dialogues with a waiter | the letters of two poets""",
        "measure": "translation fluency | the share of correct answers | agreement with bilingual readers",
        "rival": "phrase tables | bags of words | handwritten syntax rules",
        "lesson": """grammar can be learned from context | attention finds the antecedent of a pronoun
            | every word is known by the company it keeps""",
    },
    "reinforcement": {
        "task": """robot locomotion on ice | the control of a walking robot | the game of go on a torus
            | exploration of mazes without reward | cooperation among selfish agents""",
        "obstacle": """rewards are delayed and sparse | an agent sees each state only once
            | exploration is dangerous for the robot | the environment changes when the agent acts
            | agents prefer a bad habit to an unknown action""",
        "core": """policy network | actor with two critics | value function | world model
            | planner over action trees""",
        "step": """rewarding curiosity | replaying old episodes | imagining future states
            | imitating an expert player""",
        "data": """a simulator of clumsy robots | thirty arcade games | a maze with moving walls
            | a kitchen with a robot arm""",
        "measure": """the mean reward an episode | the share of mazes solved
            | the win rate against human players""",
        "rival": "greedy policies | temporal difference tables | random explorers",
        "lesson": """curiosity is a reward of its own | an agent should plan before it acts
            | a policy is only as good as its exploration""",
    },
    "bayes": {
        "task": """posterior inference in topic models | regression with Gaussian processes
            | the clustering of unordered data | density estimation in high dimensions
            | causal inference from surveys""",
        "obstacle": """the posterior has many modes | the likelihood is known only up to a constant
            | priors are chosen in haste | the Markov chain mixes slowly
            | uncertainty is reported without a variance""",
        "core": """variational family | Gibbs sampler | mixture prior | kernel with learned bandwidth
            | particle filter""",
        "step": """integrating out the latent variables | tempering the likelihood
            | sampling from the posterior | bounding the marginal likelihood""",
        "data": """counts of insects in forests | a survey of ten thousand households
            | a simulated mixture of Gaussians | historical temperatures with missing values""",
        "measure": "the coverage of credible intervals | the held out likelihood | the effective sample size",
        "rival": "point estimates | Laplace approximations | rejection samplers",
        "lesson": """a wide posterior is an honest one | the prior matters until the data speak
            | conjugacy is convenient but not sacred""",
    },
    "optimization": {
        "task": """stochastic gradient descent on saddle surfaces | convex optimization under constraints
            | the search for flat minima | distributed optimization over slow links | minimax optimization""",
        "obstacle": """gradients are noisy and badly scaled | the curvature differs by direction
            | step sizes are tuned by folklore | saddle points slow every iterate
            | the objective is smooth only in theory""",
        "core": """momentum method | preconditioner | proximal operator | quasi Newton solver
            | schedule for the step size""",
        "step": """averaging the iterates | clipping large gradients | estimating the curvature
            | restarting the momentum""",
        "data": """quadratic objectives of rank one | a suite of ill conditioned problems
            | the Rosenbrock valley | logistic losses with outliers""",
        "measure": """the rate of convergence | the share of problems solved to tolerance
            | the decrease an iteration""",
        "rival": "line searches | subgradient methods | second order solvers",
        "lesson": """noise in the gradient is a friend | large steps find flat minima
            | curvature is cheaper than it looks""",
    },
    "graphs": {
        "task": """link prediction in social networks | community detection
            | node classification in citation graphs | the matching of large graphs
            | traffic forecasting on road networks""",
        "obstacle": """neighbors are not alike | distant nodes exchange messages through a bottleneck
            | hubs drown the voice of every leaf | edges appear and vanish overnight
            | the degree distribution has a heavy tail""",
        "core": """graph convolution | message passing network | random walk embedding | spectral filter
            | edge classifier""",
        "step": """aggregating messages from neighbors | rewiring edges | sampling random walks
            | coarsening the adjacency matrix""",
        "data": """citations among mathematicians | a graph of road crossings | friendships in a small village
            | a network of ant trails""",
        "measure": "link recall | community purity | the share of nodes classified correctly",
        "rival": "label propagation schemes | spectral clusterings | matrix factorizations",
        "lesson": """a node is judged by its neighbors | two hops are often enough
            | the structure of a graph outweighs its labels""",
    },
    "speech": {
        "task": """speech recognition in noisy kitchens | speaker identification by telephone
            | music transcription | the synthesis of whispered speech | keyword spotting on hearing aids""",
        "obstacle": """echoes smear the spectrogram | speakers interrupt one another
            | accents vary from valley to valley | the microphone is next to the dishwasher
            | vowels blend into consonants""",
        "core": """acoustic model | recurrent transducer | waveform vocoder | bank of learned filters
            | phoneme aligner""",
        "step": """warping the spectrogram | adding recorded noise | stretching vowels in time
            | separating the voices of speakers""",
        "data": """nine hundred hours of radio | recordings of piano lessons
            | telephone calls from a noisy office | an archive of dialect songs""",
        "measure": "phoneme accuracy | listener preference | the share of keywords heard",
        "rival": "hidden Markov recognizers | cepstral features | spectral subtraction filters",
        "lesson": """silence carries information | the ear forgives what the spectrogram shows
            | pitch and rhythm should be modelled jointly""",
    },
    "diffusion": {
        "task": """the generation of portraits | texture synthesis by diffusion
            | the design of molecules by generative models | inpainting of old paintings
            | the interpolation of latent codes""",
        "obstacle": """the generator collapses to a few modes | sampling takes a thousand denoising steps
            | generated hands have six fingers | the discriminator wins too early
            | the latent space is full of holes""",
        "core": """diffusion model | normalizing flow | adversarial generator | score network
            | variational autoencoder""",
        "step": """denoising in a latent space | distilling the sampler into one step
            | guiding the score by a classifier | reversing the noise process""",
        "data": """scans of oil paintings | drawings by children | ceramic glazes in every colour
            | a catalogue of synthetic molecules""",
        "measure": "sample diversity | generation fidelity | the share of samples taken for originals",
        "rival": "autoregressive generators | energy models | adversarial autoencoders",
        "lesson": """noise is the mother of every sample | a good generator knows what it leaves out
            | denoising is a form of imagination""",
    },
    "privacy": {
        "task": """federated training across phones | private release of statistics | fair lending decisions
            | the unlearning of personal records | the audit of black box classifiers""",
        "obstacle": """clients drop out without notice | a model may memorize personal records
            | sensitive attributes leak through innocent ones | attackers query the model in secret
            | fairness criteria contradict one another""",
        "core": """secure aggregation protocol | private accountant | fairness regularizer
            | auditor with few queries | shuffler of client updates""",
        "step": """adding calibrated noise to client updates | auditing decisions by group
            | encrypting the updates | bounding the influence of each record""",
        "data": """loan applications from five banks | keyboards of volunteer clients
            | a census of an imaginary island | hospital bills without names""",
        "measure": """utility at a fixed privacy budget | parity between groups
            | the share of attacks detected""",
        "rival": "anonymized tables | centralized audits | membership oracles",
        "lesson": """privacy and utility can be friends | a secret shared with a model is no secret
            | fairness needs to be measured before it is promised""",
    },
    "medicine": {
        "task": """tumor diagnosis from scans | the prediction of protein folding | triage in emergency rooms
            | dosage planning for patients | the early warning of sepsis""",
        "obstacle": """patients differ more than hospitals admit | physicians disagree on the diagnosis
            | rare diseases have few cases | clinical notes are written in a hurry
            | genes interact in unknown ways""",
        "core": """survival model | diagnosis network | protein encoder | risk score
            | clinical calendar of symptoms""",
        "step": """calibrating risks for each hospital | aligning protein sequences
            | asking physicians for second opinions | pretraining on clinical notes""",
        "data": """scans of four hundred patients | blood samples from two hospitals
            | the genomes of a yeast family | records of an intensive care ward""",
        "measure": "diagnosis sensitivity | survival concordance | the share of patients warned in time",
        "rival": "clinical scores | radiology checklists | logistic risk charts",
        "lesson": """a calibrated risk helps the patient | physicians trust what they can question
            | the rarest disease deserves the most data""",
    },
}

CHINESE_SENTENCES = {
    "abstract": ENGLISH_SENTENCES["abstract"],
    "abstract@": "<problem@> <approach@> <evidence@>",
    "problem@": """
        [3] 本文 研究 <task@>，其 难点 在于 <obstacle@>。
        | [2] <task@> 进展 缓慢，原因 是 <obstacle@>。
        | [2] 在 <task@> 中，<obstacle@>。
        | [1] 为什么 <task@> 依然 困难？答案 之一 是 <obstacle@>。""",
    "approach@": """
        [3] 我们 提出 一种 <kind> <core@>，通过 <step@> 进行 学习。
        | [2] 我们 训练 一个 <kind> <core@>，并 通过 <step@> 加以 改进。
        | [1] 我们 从 人人 家里 都有 的 <kind> <core@> 出发，再 加上 <step@>。""",
    "kind": "[3] 稀疏 的 | [3] 分层 的 | [2] 轻量 的 | [2] 模块化 的 | [1] 小得 出奇 的",
    "evidence@": """
        [4] <result@> <comparison@> <ablation@>
        | [2] 一个 简短 的 证明 表明 它 收敛。<result@> <ablation@>
        | [1] <result@> <closing@>""",
    "result@": """
        [3] 在 <data@> 上，它 使 <measure@> 提高 <digit>.<digit>%。
        | [2] 它 把 <data@> 上 的 <measure@> 从 <low>% 提升 到 <high>%。
        | [2] 对 <data@> 运行 <count> 次，<measure@> 上升 <digit>.<digit>%，误差 约 0.<digit>%。""",
    "comparison@": """
        [3] 它 胜过 <rival@>，成本 只有 <share>。
        | [2] 与 <rival@> 相比，它 节省 <count> 倍 内存。
        | [1] 出人意料 的 是，<rival@> 调参 <count> 周 之后 也 相差 无几。""",
    "ablation@": "[2] <closing@> | [1] 如果 去掉 <step@>，增益 只剩 0.<digit>%。<ablation@>",
    "closing@": """
        [2] 由此 得到 的 教训 是：<lesson@>。
        | [2] 我们 的 结论 是：<lesson@>。
        | [1] 代码 已经 公开，证据 同样 公开：<lesson@>。""",
    "digit": ENGLISH_SENTENCES["digit"],
    "count": "[4] 三 | [3] 五 | [2] 十 | [1] 四十",
    "low": ENGLISH_SENTENCES["low"],
    "high": ENGLISH_SENTENCES["high"],
    "share": "[2] 一半 | [2] 三分之一 | [1] 十分之一",
}

CHINESE_TOPICS = {
    "vision": {
        "task": """拥挤 街道 的 目标 检测 | 夜间 图像 分割 | 口罩 遮挡 下 的 人脸 识别
            | 单幅 图像 的 深度 估计 | 视频 中 的 鸟类 识别""",
        "obstacle": """物体 相互 遮挡 | 标注 图像 稀少 | 相机 把 影子 看成 猫 | 小 物体 只占 几个 像素
            | 镜头 晃动 快于 快门""",
        "core": "卷积 网络 | 视觉 变换器 | 特征 金字塔 | 像素 编码器 | 姿态 估计器",
        "step": "多 尺度 池化 特征 | 裁剪 和 旋转 图像 | 匹配 两帧 的 图块 | 随机 遮盖 像素",
        "data": "两百万 张 街景 图像 | 一批 鸟类 视频 | 铁路 博物馆 的 照片 | 葡萄园 的 航拍 图像",
        "measure": "检测 精度 | 分割 重叠率 | 物体 识别率",
        "rival": "边缘 检测器 | 模板 匹配 | 轮廓 模型",
        "lesson": """纹理 比 轮廓 说得 更多 | 一张 清晰 的 图像 胜过 一千 个 模糊 的 像素
            | 相机 应该 多看 一眼""",
    },
    "language": {
        "task": "稀有 语言 的 机器 翻译 | 小说 问答 | 长句 句法 分析 | 文本 摘要 | 与 急躁 用户 的 对话",
        "obstacle": """词义 随 句子 变化 | 平行 句子 稀少 | 代词 指向 三段 之外 的 名词 | 成语 无法 直译
            | 谚语 话里 有话""",
        "core": "语言 模型 | 句子 编码器 | 注意力 解码器 | 翻译 模型 | 子词 分词器",
        "step": "预测 下一个 词 | 来回 翻译 句子 | 关注 整个 段落 | 用 同义词 替换 名词",
        "data": "一架 侦探 小说 | 议会 的 平行 句子 | 一万 段 点菜 对话 | 两位 诗人 的 书信",
        "measure": "翻译 流畅度 | 答案 正确率 | 双语 读者 的 认可度",
        "rival": "短语 表 | 词袋 | 手写 句法 规则",
        "lesson": """语法 可以 从 上下文 中 学到 | 注意力 找得到 代词 的 先行词
            | 看 一个 词 的 同伴 就 知道 它 的 词义""",
    },
    "reinforcement": {
        "task": """机器人 的 冰面 行走 | 步行 机器人 的 控制 | 环面 上 的 围棋 博弈 | 没有 奖励 的 迷宫 探索
            | 自私 智能体 的 合作""",
        "obstacle": """奖励 稀疏 而 迟到 | 每个 状态 智能体 只见 一次 | 探索 会 伤到 机器人
            | 环境 随 动作 改变 | 智能体 宁守 恶习 也 不试 新 动作""",
        "core": "策略 网络 | 双 评论家 演员 | 价值 函数 | 世界 模型 | 动作 树 规划器",
        "step": "奖励 好奇心 | 回放 旧 回合 | 想象 未来 状态 | 模仿 高手 玩家",
        "data": "笨拙 机器人 的 模拟器 | 三十 款 街机 游戏 | 墙壁 会动 的 迷宫 | 带 机械臂 的 厨房",
        "measure": "每 回合 平均 奖励 | 迷宫 破解率 | 对 人类 玩家 的 胜率",
        "rival": "贪心 策略 | 时间 差分 表 | 随机 探索者",
        "lesson": "好奇心 本身 就是 奖励 | 智能体 应该 先 规划 再 行动 | 探索 有 多好 策略 就 有 多好",
    },
    "bayes": {
        "task": """主题 模型 的 后验 推断 | 高斯 过程 回归 | 无序 数据 的 聚类 | 高维 密度 估计
            | 问卷 的 因果 推断""",
        "obstacle": """后验 有 许多 峰 | 似然 只 知道 到 一个 常数 | 先验 选得 匆忙 | 马尔可夫 链 混合 太慢
            | 不确定性 没有 方差""",
        "core": "变分 族 | 吉布斯 采样器 | 混合 先验 | 自选 带宽 的 核 | 粒子 滤波器",
        "step": "积分 消去 隐变量 | 对 似然 退火 | 从 后验 采样 | 给 边际 似然 定界",
        "data": "森林 昆虫 的 计数 | 一万 户 家庭 的 问卷 | 模拟 的 高斯 混合 | 有 缺失值 的 历史 气温",
        "measure": "可信 区间 覆盖率 | 留出 似然 | 有效 样本量",
        "rival": "点 估计 | 拉普拉斯 近似 | 拒绝 采样",
        "lesson": "后验 宽 才 诚实 | 数据 开口 之前 先验 说了 算 | 共轭 方便 却 不 神圣",
    },
    "optimization": {
        "task": """鞍面 上 的 随机 梯度 下降 | 带 约束 的 凸 优化 | 平坦 极小值 的 搜索
            | 慢速 链路 上 的 分布式 优化 | 极小 极大 优化""",
        "obstacle": """梯度 嘈杂 而且 尺度 不一 | 曲率 因 方向 而异 | 步长 全靠 传说 | 鞍点 拖慢 每次 迭代
            | 目标 函数 只在 理论上 光滑""",
        "core": "动量 方法 | 预条件子 | 近端 算子 | 拟牛顿 求解器 | 步长 调度",
        "step": "平均 迭代点 | 裁剪 过大 的 梯度 | 估计 曲率 | 重启 动量",
        "data": "秩一 的 二次 目标 函数 | 一组 病态 问题 | 罗森布罗克 山谷 | 含 离群点 的 逻辑 损失",
        "measure": "收敛 速率 | 达到 容差 的 比例 | 每次 迭代 的 下降量",
        "rival": "线 搜索 | 次梯度 方法 | 二阶 求解器",
        "lesson": "梯度 噪声 是 朋友 | 大 步长 找到 平坦 极小值 | 曲率 没有 看上去 那么 贵",
    },
    "graphs": {
        "task": "社交 网络 的 链接 预测 | 社区 发现 | 引文 图 的 节点 分类 | 大图 匹配 | 路网 的 交通 预测",
        "obstacle": """邻居 并不 相似 | 远处 节点 的 消息 挤过 瓶颈 | 枢纽 淹没 叶子 的 声音
            | 边 一夜 之间 出现 又 消失 | 度 分布 有 长尾""",
        "core": "图 卷积 | 消息 传递 网络 | 随机 游走 嵌入 | 谱 滤波器 | 边 分类器",
        "step": "聚合 邻居 的 消息 | 重连 边 | 采样 随机 游走 | 粗化 邻接 矩阵",
        "data": "数学家 的 引文 | 路口 构成 的 图 | 小 村庄 的 友谊 | 蚂蚁 路径 网络",
        "measure": "链接 召回率 | 社区 纯度 | 节点 分类 正确率",
        "rival": "标签 传播 | 谱 聚类 | 矩阵 分解",
        "lesson": "看 邻居 就 知道 节点 | 两跳 往往 足够 | 图 的 结构 重于 标签",
    },
    "speech": {
        "task": """嘈杂 厨房 的 语音 识别 | 电话 说话人 辨认 | 音乐 转谱 | 耳语 语音 合成
            | 助听器 上 的 关键词 唤醒""",
        "obstacle": """回声 抹花 频谱图 | 说话人 彼此 打断 | 口音 隔山 不同 | 麦克风 紧挨 洗碗机
            | 元音 混入 辅音""",
        "core": "声学 模型 | 循环 转写器 | 波形 声码器 | 可学 滤波器组 | 音素 对齐器",
        "step": "扭曲 频谱图 | 加入 录制 的 噪音 | 拉长 元音 | 分离 说话人 的 嗓音",
        "data": "九百 小时 广播 | 钢琴课 录音 | 吵闹 办公室 的 电话 | 方言 歌曲 档案",
        "measure": "音素 准确率 | 听众 偏好 | 关键词 听出率",
        "rival": "隐马尔可夫 识别器 | 倒谱 特征 | 谱减法",
        "lesson": "沉默 也有 信息 | 耳朵 会 原谅 频谱图 的 瑕疵 | 音高 与 节奏 应当 一起 建模",
    },
    "diffusion": {
        "task": "肖像 生成 | 扩散 纹理 合成 | 分子 的 生成式 设计 | 旧画 修补 | 潜码 插值",
        "obstacle": """生成器 塌缩 到 几种 样本 | 采样 要 走 一千 步 去噪 | 生成 的 手 有 六根 手指
            | 判别器 赢得 太早 | 潜空间 到处 是 洞""",
        "core": "扩散 模型 | 归一化 流 | 对抗 生成器 | 得分 网络 | 变分 自编码器",
        "step": "在 潜空间 去噪 | 把 采样器 蒸馏 成 一步 | 用 分类器 引导 得分 | 逆转 加噪 过程",
        "data": "油画 扫描件 | 儿童 涂鸦 | 五彩 瓷釉 | 合成 分子 目录",
        "measure": "样本 多样性 | 生成 保真度 | 样本 乱真率",
        "rival": "自回归 生成器 | 能量 模型 | 对抗 自编码器",
        "lesson": "噪声 是 样本 之母 | 好 的 生成器 懂得 留白 | 去噪 也是 一种 想象",
    },
    "privacy": {
        "task": "手机 之间 的 联邦 训练 | 统计 的 隐私 发布 | 公平 放贷 | 个人 记录 的 遗忘 | 黑箱 审计",
        "obstacle": """客户端 不告 而别 | 模型 会 背下 个人 记录 | 敏感 属性 借 无害 属性 泄露
            | 攻击者 暗中 查询 | 公平 准则 互相 矛盾""",
        "core": "安全 聚合 协议 | 隐私 记账器 | 公平 正则项 | 省 查询 的 审计员 | 更新 洗牌器",
        "step": "给 客户端 更新 加 校准 噪声 | 分 群体 审计 决策 | 加密 更新 | 限制 每条 记录 的 影响",
        "data": "五家 银行 的 贷款 申请 | 志愿者 的 键盘 | 虚构 岛屿 的 人口 普查 | 匿名 账单",
        "measure": "固定 隐私 预算 下 的 效用 | 群体 均等 程度 | 攻击 检出率",
        "rival": "脱敏 表格 | 集中式 审计 | 成员 推断",
        "lesson": "隐私 与 效用 可以 做 朋友 | 告诉 模型 的 秘密 不再 是 秘密 | 公平 要 先 度量 再 许诺",
    },
    "medicine": {
        "task": "扫描 影像 的 肿瘤 诊断 | 蛋白质 折叠 预测 | 急诊 分诊 | 患者 用药 剂量 规划 | 败血症 预警",
        "obstacle": """患者 差异 大于 医院 的 想象 | 医生 对 诊断 意见 不一 | 罕见 病 病例 太少
            | 病历 写得 潦草 | 基因 相互作用 不明""",
        "core": "生存 模型 | 诊断 网络 | 蛋白质 编码器 | 风险 评分 | 症状 日历",
        "step": "按 医院 校准 风险 | 比对 蛋白质 序列 | 请 医生 会诊 | 在 病历 上 预训练",
        "data": "四百 名 患者 的 扫描 影像 | 两家 医院 的 血样 | 酵母 家族 的 基因组 | 重症 病房 的 记录",
        "measure": "诊断 灵敏度 | 生存 一致性 | 患者 及时 预警率",
        "rival": "临床 评分 | 放射科 清单 | 逻辑 回归 风险表",
        "lesson": "校准 的 风险 帮助 患者 | 医生 信任 可以 追问 的 东西 | 最 罕见 的 病 最 需要 数据",
    },
}
