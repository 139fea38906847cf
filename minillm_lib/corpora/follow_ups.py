"""What people say after an answer, in many wordings: why, an example, the other language, once more."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from minillm_lib.corpora.conversations import Language


@dataclass(frozen=True)
class FollowUp:
    """A kind of follow-up in its wordings.

    Attributes
    ----------
    english, chinese
        Wordings for training, by the language of the reply. (Who wants Chinese may ask for it in either language.)
    held_out_english, held_out_chinese
        Wordings for test.
    about_english, about_chinese
        Wordings for training with a place, ``{}``, for some words of what was or will be said.
    """

    english: tuple[str, ...]
    chinese: tuple[str, ...]
    held_out_english: tuple[str, ...]
    held_out_chinese: tuple[str, ...]
    about_english: tuple[str, ...] = ()
    about_chinese: tuple[str, ...] = ()

    def wordings(self, language: Language, held_out: bool) -> tuple[str, ...]:
        """Return the wordings of a split whose reply is in ``language``."""
        if language == "en":
            return self.held_out_english if held_out else self.english
        return self.held_out_chinese if held_out else self.chinese

    def said_by_someone(self, language: Language, about: str, rng: random.Random) -> str:
        """Return a wording for training, as one of many people would put it.

        Some name what they mean ("Why does it cut tokens off?"), some begin or end with a word or two ("OK, and why?"),
        and some are careless with capitals and marks.

        Parameters
        ----------
        language
            The language of the reply.
        about
            What was or will be said, some words of which may be in the wording.
        """
        wordings = self.wordings(language, held_out=False)
        named = self.about_english if language == "en" else self.about_chinese
        text = rng.choice(wordings)
        if named and rng.random() < _P_NAMED:
            text = rng.choice(named).format(_some_words(about, language, rng))
        openers, closers = _AROUND["zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"]
        if rng.random() < _P_OPENER:
            text = rng.choice(openers) + text[:1].lower() + text[1:]
        if rng.random() < _P_CLOSER:
            text = text.rstrip(".?。？") + rng.choice(closers)
        if rng.random() < _P_CARELESS:
            text = text.lower().rstrip(".?!。？！")
        held_out = map(letters_of, self.wordings(language, held_out=True))
        return rng.choice(wordings) if letters_of(text) in held_out else text


def letters_of(text: str) -> str:
    """Return the letters and digits of a text in lower case, by which wordings that differ in marks are the same."""
    return "".join(filter(str.isalnum, text.lower()))


_P_NAMED, _P_OPENER, _P_CLOSER, _P_CARELESS = 0.5, 0.25, 0.15, 0.3
_AROUND: Mapping[Language, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        (
            "OK, ",
            "ok ",
            "Hmm, ",
            "hm ",
            "Sorry, ",
            "Wait, ",
            "and ",
            "So ",
            "Right, ",
            "I see. ",
            "Yes, but ",
            "well, ",
        ),
        (
            ", please",
            " please?",
            " then?",
            ", if you can",
            " I mean",
            ", exactly?",
            " for me",
            "...",
            " though?",
            "??",
        ),
    ),
    "zh": (
        (
            "好的，",
            "嗯，",
            "那",
            "哦，",
            "等等，",
            "不好意思，",
            "明白了，",
            "请问",
            "可是",
            "行，",
            "那个，",
            "麻烦",
        ),
        ("呢？", "呀", "吗？", "，谢谢", "行吗", "吧", "，可以吗？", "啊？", "哈", "……"),
    ),
}
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")
_ENGLISH_WORD = re.compile(r"[A-Za-z][\w'-]*")


def _some_words(text: str, language: Language, rng: random.Random) -> str:
    """Return one to four neighbouring words of a text, or two to eight neighbouring characters in Chinese."""
    if language == "zh" and (runs := _HAN_RUN.findall(text)):
        run = rng.choice(runs)
        n = min(len(run), rng.randint(2, 8))
        at = rng.randrange(len(run) - n + 1)
        return str(run[at : at + n])
    words = _ENGLISH_WORD.findall(text)
    n = min(len(words), rng.randint(1, 4))
    at = rng.randrange(len(words) - n + 1)
    return " ".join(words[at : at + n])


FOLLOW_UPS: Mapping[str, FollowUp] = {
    "why": FollowUp(
        english=(
            *(
                "Why?",
                "why",
                "But why?",
                "Why is that?",
                "Why so?",
                "And why is it so?",
                "How come?",
                "Why, exactly?",
            ),
            *(
                "What is the reason?",
                "what's the reason for that",
                "Can you explain why?",
                "Explain why.",
                "Why though?",
            ),
            *(
                "Why does it work like that?",
                "Why is it done this way?",
                "why is this needed",
                "Why does that matter?",
            ),
            *(
                "What is it good for?",
                "What's the point of that?",
                "Why should I care?",
                "Why do we do that?",
            ),
            *(
                "I don't see why.",
                "I still don't understand why.",
                "Hmm, why?",
                "ok but why",
                "Why would anyone do that?",
            ),
            *(
                "What is the reason behind it?",
                "And the reason?",
                "What's the motivation?",
                "Why bother?",
                "Why not?",
            ),
            *(
                "Is there a reason for this?",
                "Tell me why.",
                "Go on.",
                "Tell me more.",
                "Can you go deeper?",
                "More details?",
            ),
            *(
                "please elaborate",
                "Say more about that.",
                "What else?",
                "go on please",
                "Could you tell me more about it?",
            ),
            *(
                "Why is this important?",
                "Okay, why is that so?",
                "What makes that so?",
                "Interesting. Why?",
                "Sure, but why?",
            ),
            *(
                "and why that?",
                "Could you justify that?",
                "What is behind this?",
                "why on earth",
                "Why is it like this?",
            ),
        ),
        chinese=(
            *(
                "为什么？",
                "为什么",
                "为啥？",
                "为啥呢",
                "为什么呢？",
                "这是为什么？",
                "原因是什么？",
                "什么原因",
                "那为什么呢？",
            ),
            *(
                "为什么要这样？",
                "为什么会这样？",
                "为什么这么做？",
                "为何？",
                "何以见得？",
                "怎么会这样？",
                "理由呢？",
                "有什么道理？",
            ),
            *(
                "这样做有什么好处？",
                "有什么用？",
                "这有什么意义？",
                "为什么需要它？",
                "为什么重要？",
                "干嘛要这样",
                "能解释一下为什么吗？",
            ),
            *(
                "请说明原因。",
                "我还是不明白为什么。",
                "不太懂为什么",
                "嗯，为什么？",
                "可是为什么？",
                "好的，但为什么呢？",
                "背后的原因是什么？",
            ),
            *(
                "动机是什么？",
                "再说详细点",
                "展开讲讲",
                "继续说",
                "继续",
                "多说一点",
                "能再深入一点吗？",
                "详细说说",
                "还有呢？",
                "然后呢？",
            ),
            *(
                "说具体点原因",
                "为什么不呢？",
                "这又是为啥",
                "道理在哪里？",
                "依据是什么？",
                "凭什么？",
                "请再多讲一些",
                "能详细解释吗？",
            ),
        ),
        held_out_english=(
            *("Why is that the case?", "What is the reason for this?", "why does it have to be like that?"),
            *("Could you explain the reason?", "But why is it so?"),
        ),
        held_out_chinese=(
            "这是什么原因呢？",
            "为什么要这么做呢？",
            "请问为什么？",
            "那是为啥呀",
            "能说说原因吗？",
        ),
        about_english=(
            *(
                "Why {}?",
                "why {}",
                "But why {}?",
                "why is it {}",
                "Why is that {}?",
                "why does it {}",
                "and why {}",
            ),
            *("How come {}?", "What is the reason for {}?", "why would one {}", "why the {}", "why not {}"),
            *("{}, why?", "{} but why", "Why do we need {}?", "why does {} matter", "what is {} good for"),
            *(
                "Tell me more about {}.",
                "What about {}?",
                "how so, {}?",
                "why exactly {}",
                "Why should {} matter?",
            ),
            *(
                "What is the point of {}?",
                "what happens without {}",
                "How does that follow, {}?",
                "why did they {}",
            ),
            *("Explain why {}.", "I don't see why {}", "why can't it {}", "why {} and not something else"),
        ),
        about_chinese=(
            *(
                "为什么{}？",
                "为什么{}",
                "为啥{}",
                "为何{}？",
                "凭什么{}",
                "{}是为什么？",
                "{}，为什么",
                "那为什么{}呢",
            ),
            *(
                "怎么会{}",
                "{}的原因是什么",
                "{}有什么用？",
                "为什么要{}",
                "为什么不{}",
                "{}有什么好处",
                "为啥要{}呢",
            ),
            *(
                "{}这是什么道理",
                "为什么会{}",
                "为什么非要{}",
                "没有{}会怎样",
                "干嘛{}",
                "{}的理由呢",
                "{}的意义在哪",
            ),
            *(
                "再说说{}",
                "{}展开讲讲",
                "详细说说{}",
                "{}这一点我不明白为什么",
                "怎么就{}了",
                "能解释一下为什么{}吗",
            ),
        ),
    ),
    "example": FollowUp(
        english=(
            *(
                "Give an example.",
                "Give me an example",
                "an example?",
                "For example?",
                "Example please",
                "e.g.?",
                "Such as?",
            ),
            *(
                "Can you give an example?",
                "Could you give me an example, please?",
                "Do you have an example?",
                "like what?",
            ),
            *(
                "Show me an example.",
                "I need an example.",
                "An example would help.",
                "example",
                "Any example?",
                "For instance?",
            ),
            *(
                "Can you make that concrete?",
                "Make it concrete.",
                "A concrete example, please.",
                "With numbers?",
                "In practice?",
            ),
            *(
                "What would that look like?",
                "how does that look in practice",
                "Illustrate that.",
                "Could you illustrate it?",
            ),
            *(
                "I don't get it, give me an example",
                "I don't understand.",
                "I don't understand that.",
                "huh?",
                "Too abstract.",
            ),
            *(
                "That's too abstract for me.",
                "Can you explain it more simply?",
                "Simpler, please.",
                "ELI5",
                "say it simpler",
            ),
            *(
                "Please explain it with an example.",
                "Can you show me with numbers?",
                "Let me see an example",
                "One example?",
            ),
            *(
                "Could you demonstrate?",
                "ok, example?",
                "And an example of that?",
                "Any concrete case?",
                "What's an example?",
            ),
            *(
                "Give a small example.",
                "a simple example please",
                "Now with an example.",
                "Hmm, can I see an example?",
            ),
        ),
        chinese=(
            *(
                "举个例子。",
                "举个例子",
                "举个例子吧",
                "举例说明",
                "能举个例子吗？",
                "可以举个例子吗",
                "给个例子",
                "来个例子",
                "例子呢？",
            ),
            *(
                "有例子吗？",
                "有没有例子",
                "比如？",
                "比如呢？",
                "例如？",
                "譬如说？",
                "请举例说明。",
                "请给我一个例子。",
                "举一个具体的例子",
            ),
            *(
                "能具体一点吗？",
                "具体点",
                "具体是什么样的？",
                "用数字说明一下",
                "拿数字举例",
                "实际中是什么样？",
                "能说得具体些吗？",
            ),
            *(
                "我没听懂，举个例子",
                "没听懂",
                "不懂",
                "听不懂",
                "看不明白",
                "太抽象了",
                "太抽象了，说简单点",
                "说得简单点",
                "通俗一点",
            ),
            *(
                "能用例子解释吗？",
                "打个比方",
                "打个比方吧",
                "演示一下",
                "给我看个例子",
                "举个简单的例子",
                "再举个例子",
                "有什么例子？",
            ),
            *(
                "想看一个例子",
                "能不能举例",
                "那举个例子呢？",
                "好，例子？",
                "可以说个具体的例子吗？",
                "用例子讲讲",
                "用大白话说",
            ),
        ),
        held_out_english=(
            *(
                "Could I have an example?",
                "Please show an example.",
                "Can you give me a concrete example of that?",
            ),
            *("what is an example of this?", "Do you have a concrete example?"),
        ),
        held_out_chinese=(
            "请举个例子。",
            "可以给个例子吗？",
            "能给我举个具体例子吗？",
            "有具体的例子吗？",
            "那能举例吗",
        ),
        about_english=(
            *(
                "An example of {}?",
                "Give me an example of {}.",
                "an example with {}",
                "example for {}?",
                "{}, for example?",
            ),
            *(
                "Show me {}",
                "show me how {}",
                "Can you show {}?",
                "What does {} look like?",
                "{} for instance",
            ),
            *(
                "Can you illustrate {}?",
                "with numbers: {}",
                "a concrete {} please",
                "let me see {}",
                "one {} as an example",
            ),
            *(
                "an example {}?",
                "Could I see {} in practice?",
                "like which {}?",
                "which {}, for example?",
                "make {} concrete",
            ),
            *(
                "I don't get {}, an example?",
                "explain {} with an example",
                "a small example with {}",
                "a picture of {}?",
            ),
            *("What would {} be in practice?", "walk me through {}", "compare {} for me", "how do I type {}"),
        ),
        about_chinese=(
            *(
                "举个{}的例子",
                "{}的例子呢",
                "拿{}举个例子",
                "用{}打个比方",
                "{}举例说明",
                "比如{}？",
                "{}，比如呢",
            ),
            *(
                "给我看看{}",
                "演示一下{}",
                "{}具体是什么样",
                "{}长什么样",
                "能用{}举例吗",
                "{}用数字说明一下",
                "写个{}给我看",
            ),
            *(
                "{}没听懂，举个例子",
                "具体说说{}的例子",
                "{}有例子吗",
                "来个{}的例子",
                "{}实际中怎么样",
                "用具体的{}说明",
            ),
            *(
                "{}能具体点吗",
                "{}说得简单点",
                "算一个{}看看",
                "以{}为例",
                "给个{}",
                "{}是怎么个样子",
                "举例：{}",
            ),
        ),
    ),
    "translation": FollowUp(
        english=(
            *(
                "the English for that?",
                "English?",
                "again but in English",
                "could I have it in English",
                "say this in English",
            ),
            *(
                "and how would that be in English",
                "同样的话用英文",
                "给我英语的",
                "英语版的呢",
                "用英语怎么表达",
                "换英语讲",
                "in english pls",
            ),
            *(
                "Same in English please",
                "now the same thing in English",
                "要英文的",
                "这句英文是什么",
                "英文讲一遍",
                "英文解释一下",
            ),
            *(
                "And in English?",
                "in English",
                "In English, please.",
                "English please",
                "Say it in English.",
                "英文呢？",
            ),
            *(
                "Can you say that in English?",
                "Could you translate that into English?",
                "Translate it into English.",
            ),
            *(
                "Please answer in English.",
                "now in english",
                "What is that in English?",
                "I prefer English.",
                "用英文说",
            ),
            *(
                "请用英文回答。",
                "用英语说一遍",
                "翻译成英文",
                "英语怎么说？",
                "能用英语说吗？",
                "请说英文",
                "换成英文",
                "英文版",
            ),
            *(
                "I don't read Chinese.",
                "I can't read that. English?",
                "Sorry, English please",
                "英文",
                "用英语再讲一遍",
            ),
            *(
                "Repeat in English",
                "the same in English?",
                "可以用英文解释吗？",
                "English version?",
                "请翻译成英语。",
            ),
        ),
        chinese=(
            *(
                "the Chinese for that?",
                "Chinese?",
                "again but in Chinese",
                "could I have it in Chinese",
                "say that in Mandarin",
            ),
            *(
                "and how would that be in Chinese",
                "同样的话用中文",
                "给我中文的",
                "中文版的呢",
                "用中文怎么表达",
                "换中文讲",
                "in chinese pls",
            ),
            *(
                "Same in Chinese please",
                "now the same thing in Chinese",
                "要中文的",
                "这段中文是什么",
                "中文讲一遍",
                "中文解释一下",
            ),
            *(
                "And in Chinese?",
                "in Chinese",
                "In Chinese, please.",
                "Chinese please",
                "Say it in Chinese.",
                "中文呢？",
            ),
            *(
                "Can you say that in Chinese?",
                "Could you translate that into Chinese?",
                "Translate it into Chinese.",
            ),
            *(
                "Please answer in Chinese.",
                "now in chinese",
                "What is that in Chinese?",
                "I prefer Chinese.",
                "用中文说",
            ),
            *(
                "请用中文回答。",
                "用汉语说一遍",
                "翻译成中文",
                "中文怎么说？",
                "能用中文说吗？",
                "请说中文",
                "换成中文",
                "中文版",
            ),
            *(
                "我看不懂英文",
                "英文看不懂，说中文",
                "讲中文",
                "中文",
                "用中文再讲一遍",
                "说人话，用中文",
                "请翻译一下",
            ),
            *(
                "Repeat in Chinese",
                "the same in Chinese?",
                "可以用中文解释吗？",
                "Chinese version?",
                "请翻译成汉语。",
            ),
        ),
        held_out_english=(
            *(
                "Could you repeat this in English?",
                "Please translate to English.",
                "How would you say it in English?",
            ),
            *("能不能用英文说一遍？", "请用英语解释"),
        ),
        held_out_chinese=(
            *(
                "Could you repeat this in Chinese?",
                "Please translate to Chinese.",
                "How would you say it in Chinese?",
            ),
            *("能不能用中文说一遍？", "请用汉语解释"),
        ),
    ),
    "again": FollowUp(
        english=(
            *(
                "say that again in other words",
                "Try again.",
                "in short?",
                "Put it another way.",
                "sum that up",
            ),
            *(
                "In one sentence?",
                "say it in fewer words",
                "Could you rephrase that?",
                "What do you mean?",
                "I'm lost, again",
            ),
            *(
                "say it slower",
                "What does that mean?",
                "can you run that by me again",
                "wait, what?",
                "Once again, slowly",
            ),
            *(
                "Say that again.",
                "Can you repeat that?",
                "Repeat please",
                "again?",
                "Once more, please.",
                "Pardon?",
                "Sorry?",
            ),
            *(
                "Could you say it again?",
                "What did you say?",
                "repeat that",
                "Come again?",
                "one more time",
                "Please repeat.",
            ),
            *(
                "What was that again?",
                "I missed that.",
                "Could you repeat your answer?",
                "the same again please",
            ),
        ),
        chinese=(
            *(
                "换个说法",
                "换句话说？",
                "一句话总结",
                "简单总结一下",
                "再发一次",
                "重新说一下",
                "刚刚那个再讲讲",
                "复述一下",
            ),
            *(
                "没跟上，再说一遍",
                "慢点，再说一次",
                "什么意思？",
                "你的意思是？",
                "再解释一遍",
                "重说",
                "又忘了，再讲一遍",
            ),
            *(
                "再说一遍",
                "请再说一遍。",
                "重复一下",
                "能再说一次吗？",
                "你刚才说什么？",
                "再讲一遍",
                "没看清，再说一遍",
                "再来一次",
            ),
            *("请重复一遍", "什么？再说一下", "可以重复吗？", "刚才那个再说一次", "麻烦再说一遍"),
        ),
        held_out_english=("Would you repeat that, please?", "Say it once more."),
        held_out_chinese=("麻烦重复一下。", "可以再讲一次吗？"),
        about_english=(
            *(
                "Say that about {} again.",
                "again, {}?",
                "what was that about {}",
                "Repeat the part on {}",
                "{} again?",
            ),
            *("sorry, {} what?", "I missed the part about {}", "once more: {}", "you said {}?"),
        ),
        about_chinese=(
            *(
                "{}再说一遍",
                "{}那段再讲一次",
                "你刚才说{}？",
                "没看清{}，再说一次",
                "{}重复一下",
                "再来一遍{}",
            ),
        ),
    ),
}
"""The kinds of follow-ups by name. ``translation`` asks for the previous answer in the other language."""
