"""What a crawl brings beside passages: pieces, heaps of words, page furniture, made from good text.

A quality model that only ever saw prose has no opinion of a menu. These are made, not collected,
so that a model can be trained from any corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    Maker: TypeAlias = Callable[[Sequence[str], Random], str]

_PHRASES = """
home|about us|contact us|log in|sign in|sign up|register|my account|search|menu|site map|next page|
previous page|back to top|read more|continue reading|show more|see also|related articles|
share this|tweet|print this page|email this page|leave a reply|post a comment|add to cart|
checkout|your basket is empty|out of stock|free delivery|terms of service|terms and conditions|
privacy policy|cookie settings|accept all cookies|manage preferences|all rights reserved|
copyright|enter your email address|follow us|advertisement|sponsored content|click here|
download now|skip to main content|page not found|powered by|last updated|posted by|filed under|
tags|categories|archives|permalink|report abuse|view profile|join date|quote|reply|bump|me too|
same here|anyone know|lol|no results found|sort by|filter by|view all|items per page|jobs|press|
help|faq|forums|gallery|videos|events|news|blog|partners|donate|language|english|
select your country|loading|please wait|forgot your password|remember me|create an account
"""
_SENTENCES = """
we use cookies to improve your experience|javascript is disabled in your browser|
by continuing to use this site you agree to our policy|subscribe to our newsletter for updates|
your session has expired, please log in again|thanks in advance for any help|
no part of this site may be reproduced without written permission|
the views expressed here are those of the author alone|this post may contain affiliate links|
prices and availability are subject to change without notice|
orders are usually dispatched within a few working days|
items may be returned unused within a month of purchase for a refund|
the author lives with her family and writes about many things|
he is a freelance writer and the editor of several magazines|
your email address will not be published|required fields are marked|
comments are moderated and may take some time to appear|be the first to review this product|
customers who bought this item also bought|we accept all major credit cards|
this article was first published on our partner site|we respect your privacy|
information on this page is provided as is and without warranty of any kind|
for more information please contact our customer service team|
all trademarks belong to their respective owners|the content of external links is not ours|
if you like this page, tell your friends about it|you must be logged in to see this content
"""
PHRASES = [phrase.strip() for phrase in _PHRASES.replace("\n", "").split("|")]
SENTENCES = [sentence.strip() for sentence in _SENTENCES.replace("\n", "").split("|")]
_BETWEEN = (" ", " | ", " > ", ", ", " - ", "\n", " / ")
_WORDS_READ = 400  # of a text: what is made stays short


def wreckage(texts: Sequence[str], count: int, rng: Random) -> list[str]:
    """So many wrecked texts, the kinds in turn, made from ``texts``, of which one has a word."""
    makers: tuple[Maker, ...] = (fragment, shuffled, stutter, heap, furniture, notice)
    return [makers[number % len(makers)](texts, rng) for number in range(count)]


def fragment(texts: Sequence[str], rng: Random) -> str:
    """2 to 14 words that begin and end anywhere."""
    words = _words(texts, rng)
    start = rng.randrange(max(1, len(words) - 2))
    return " ".join(words[start : start + rng.randint(2, 14)])


def shuffled(texts: Sequence[str], rng: Random) -> str:
    """The words of a text in any order."""
    words = _words(texts, rng)
    rng.shuffle(words)
    return " ".join(words)


def stutter(texts: Sequence[str], rng: Random) -> str:
    """A phrase of 1 to 8 words, again and again."""
    words = _words(texts, rng)
    start = rng.randrange(len(words))
    phrase = " ".join(words[start : start + rng.randint(1, 8)])
    return rng.choice(_BETWEEN).join([phrase] * rng.randint(3, 12))


def heap(texts: Sequence[str], rng: Random) -> str:
    """Words of several texts, side by side, as keywords and tags stand."""
    found: list[str] = []
    for _ in range(rng.randint(2, 6)):
        words = _words(texts, rng)
        for _ in range(rng.randint(2, 8)):
            start = rng.randrange(len(words))
            found.append(" ".join(words[start : start + rng.randint(1, 3)]).strip(".,;:"))
    rng.shuffle(found)
    between = rng.choice(_BETWEEN)
    return between.join(map(str.lower, found) if rng.random() < 0.5 else map(str.title, found))


def furniture(texts: Sequence[str], rng: Random) -> str:
    """Phrases of web pages around a few words of a text, or none."""
    phrases = rng.choices(PHRASES, k=rng.randint(3, 20))
    phrases = [p.capitalize() if rng.random() < 0.7 else p for p in phrases]
    if rng.random() < 0.5:
        phrases.insert(rng.randrange(len(phrases)), fragment(texts, rng))
    return rng.choice((*_BETWEEN, ". ")).join(phrases)


def notice(texts: Sequence[str], rng: Random) -> str:
    """What pages say about themselves in whole sentences, perhaps with words of a text."""
    chosen = rng.sample(SENTENCES, k=rng.randint(1, 5)) + rng.choices(PHRASES, k=rng.randint(0, 3))
    if rng.random() < 0.3:
        chosen.append(fragment(texts, rng))
    rng.shuffle(chosen)
    return " ".join(f"{said[0].upper()}{said[1:]}." for said in chosen)


def _words(texts: Sequence[str], rng: Random) -> list[str]:
    """Of a text that has any."""
    while not (words := rng.choice(texts).split(maxsplit=_WORDS_READ)[:_WORDS_READ]):
        pass
    return words
