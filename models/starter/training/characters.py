"""Characters that the tokenizer has no piece for, as the text in the training set would have them (`replace_characters`).

Without this a character comes as its UTF-8 bytes, which the model has never seen: "nothing more…" had no end.
"""

import unicodedata

SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000_*#~^`|<>[]{}\\/"
NOTHING = '"\u00ab\u00bb\u2039\u203a\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f'
OTHERS = {
    "\u2018": "'", "\u2019": "'", "\u02bc": "'",
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2212": "-",
    "\u2013": ",", "\u2014": ",", "\u2015": ",", "(": ",", ")": ",", "\u2022": ",", "\u00b7": ",",
    "\u2026": "...", "\u00a1": "", "\u00bf": "",
    "&": " and ", "%": " percent", "@": " at ", "+": " plus ", "=": " equals ", "\u00d7": " times ", "\u00b0": " degrees",
    "$": " dollars ", "\u00a3": " pounds ", "\u20ac": " euros ", "\u00bd": " one half", "\u00bc": " one quarter", "\u00be": " three quarters",
    "\u00c6": "Ae", "\u00e6": "ae", "\u0152": "Oe", "\u0153": "oe", "\u00df": "ss", "\u1e9e": "ss", "\u00d8": "O", "\u00f8": "o",
    "\u0141": "L", "\u0142": "l", "\u0110": "D", "\u0111": "d", "\u00d0": "D", "\u00f0": "d", "\u00de": "Th", "\u00fe": "th", "\u0131": "i",
}  # fmt: skip


def letters():
    """Latin letters with marks -> the letter."""
    plain = {chr(c): unicodedata.normalize("NFKD", chr(c))[0] for c in range(0xC0, 0x180)}
    return {c: p for c, p in plain.items() if p.isascii() and p.isalpha()}


REPLACE = dict.fromkeys(SPACES, " ") | dict.fromkeys(NOTHING, "") | letters() | OTHERS
